use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::try_join_all};
use redis::{Client, ConnectionInfo, Pipeline, Value};
use session_core::{ConfigError, Error, Fault, StoreError, StoreTime};
use session_lock::{
    Clock, SystemClock,
    link::{self, CallError, Link, ServerInfo, Settings, Source, connection_fault, server_error},
};

use crate::{
    RedisStore,
    address::Address,
    cached::{CachedReads, Entries},
    cluster::Cluster,
    delivery::Server,
    keys::Prefix,
    outbox,
    scripts::Current,
    sentinel::{self, IsMaster, Master, Sentinels},
    server_time::ServerTime,
    waiters::Ears,
    way::Way,
};

/// Settings of a [`RedisStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisStoreBuilder {
    prefix: String,
    call_timeout: Duration,
    resolve_timeout: Duration,
    accepted_policy: Option<String>,
    max_staleness: Option<Duration>,
    cache_memory: u64,
    clock: Arc<dyn Clock>,
    script_prelude: String,
}

impl RedisStore {
    /// A store on the server at `url`, with the default settings.
    ///
    /// `redis://[user[:password]@]host[:port][/database]`; `rediss://` for TLS (feature `tls`); `unix:///path/to/socket`;
    /// `redis+cluster://[user[:password]@]host[:port],...` for a Redis Cluster, by some of its nodes;
    /// `redis+sentinel://[user[:password]@]host[:port],.../service[/database]` for the master of a service, by its sentinels,
    /// which are asked without a password. Both with TLS as `rediss+...`.
    ///
    /// # Errors
    /// [`Error::Store`] within the call timeout (1 s) when the server cannot be reached or used: wrong address or
    /// password, a replica, still loading, an eviction policy that would lose sessions, older than 6.2.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder().connect(url).await
    }

    /// A store with other settings.
    pub fn builder() -> RedisStoreBuilder {
        RedisStoreBuilder {
            prefix: Prefix::DEFAULT.to_owned(),
            call_timeout: Duration::from_secs(1),
            resolve_timeout: Duration::from_secs(5),
            accepted_policy: None,
            max_staleness: None,
            cache_memory: 32 << 20,
            clock: Arc::new(SystemClock),
            script_prelude: String::new(),
        }
    }

    /// A store on the server of a client, over connections of its own.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn from_client(client: Client) -> Result<Self, Error> {
        Self::builder().from_client(client).await
    }

    /// A store on the connections of a pool.
    ///
    /// Slower than connections of its own: each operation takes one from the pool. A pool cannot receive messages, so
    /// a lock is waited for by looking, every 20 ms.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Cancel safe.
    #[cfg(feature = "deadpool")]
    pub async fn from_pool(pool: deadpool_redis::Pool) -> Result<Self, Error> {
        Self::builder().from_pool(pool).await
    }
}

impl RedisStoreBuilder {
    /// What all keys begin with. Default `latchkey`; 1 to 64 printable ASCII characters without braces. Services that
    /// share sessions share the prefix.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long one call may take, connecting included. Default 1 s; 10 ms to 60 s.
    pub const fn call_timeout(mut self, limit: Duration) -> Self {
        self.call_timeout = limit;
        self
    }

    /// How long a write whose answer was lost is asked for again before it fails as unknown. Default 5 s; at least the
    /// call timeout, at most 5 min.
    pub const fn resolve_timeout(mut self, limit: Duration) -> Self {
        self.resolve_timeout = limit;
        self
    }

    /// Accepts a server that evicts keys when it is full, by the name of its `maxmemory-policy`. Sessions can then
    /// vanish before their time; every other promise holds.
    pub fn accept_eviction_policy(mut self, name: impl Into<String>) -> Self {
        self.accepted_policy = Some(name.into());
        self
    }

    /// Answers [`Sessions::snapshot`](session_core::Sessions::snapshot) from this process if it has read the session before.
    /// Default: every read asks the server. 1 ms to 60 s, and at least a round trip to the server.
    ///
    /// What is shown was true at most `max_staleness` ago: also of sessions that were ended or revoked, and whatever happens
    /// to the connection. Usually it is a fraction of a millisecond old, because the server tells of changes; and never older
    /// than what this process has written itself. Locks, updates and [`latest`](session_core::Sessions::latest) are not
    /// concerned. Across an asynchronous fail-over, or on a master that was cut off from its successor, the bound holds
    /// against that server only.
    ///
    /// Needs a connection of its own, RESP3, and permission for `HELLO` and `CLIENT TRACKING`. Without them, the store logs
    /// that once and asks the server.
    pub const fn cached_reads(mut self, max_staleness: Duration) -> Self {
        self.max_staleness = Some(max_staleness);
        self
    }

    /// How many bytes of sessions are kept for cached reads, as they are stored: sealed if records are. At least 64 KiB;
    /// default 32 MiB.
    pub const fn cache_memory(mut self, bytes: u64) -> Self {
        self.cache_memory = bytes;
        self
    }

    /// Where leases take their time from; for tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Lua that stands before every script: how tests make single calls of a script fail.
    #[doc(hidden)]
    pub fn script_prelude(mut self, lua: impl Into<String>) -> Self {
        self.script_prelude = lua.into();
        self
    }

    /// Connects to the server at `url`.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is out of its range; else as [`RedisStore::connect`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn connect(self, url: &str) -> Result<RedisStore, Error> {
        Ok(self.open_url(url).await?.into())
    }

    /// What [`connect`](Self::connect) makes a store of.
    pub(crate) async fn open_url(self, url: &str) -> Result<Opened, Error> {
        match Address::parse(url)? {
            // Boxed, because the compiler gives up on futures that are nested too deeply.
            Address::Server(client) => self.open_client(client).boxed().await,
            Address::Cluster(nodes) => self.open_cluster(nodes).boxed().await,
            Address::Sentinel {
                sentinels,
                service,
                like,
            } => self.open_service(&sentinels, service, *like).boxed().await,
        }
    }

    /// Connects to the master of a service, as these sentinels name it, and follows it. `like`: a client with the user, the
    /// database and the TLS settings of the servers; its address is not used.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); and when no sentinel knows the service.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn from_sentinels(
        self,
        sentinels: impl IntoIterator<Item = Client> + Send,
        service: impl Into<String> + Send,
        like: Client,
    ) -> Result<RedisStore, Error> {
        let sentinels = sentinels.into_iter();
        let sentinels = sentinels.map(|one| one.get_connection_info().clone());
        let (sentinels, service): (Vec<_>, _) = (sentinels.collect(), service.into());
        let like = like.get_connection_info().clone();
        Ok(self.open_service(&sentinels, service, like).await?.into())
    }

    async fn open_service(
        self,
        sentinels: &[ConnectionInfo],
        service: String,
        like: ConnectionInfo,
    ) -> Result<Opened, Error> {
        if sentinels.is_empty() {
            let allowed = "at least one";
            return Err(ConfigError::new("sentinels", "none".to_owned(), allowed).into());
        }
        let (link, master, database) = self.way_by(sentinels, service, like)?;
        let ears = Ears::Server(master.listening());
        let opened = self.start(Way::Server(link), ears, Some(database)).await?;
        Ok(Opened {
            master: Some(master),
            ..opened
        })
    }

    fn way_by(
        &self,
        sentinels: &[ConnectionInfo],
        service: String,
        like: ConnectionInfo,
    ) -> Result<(Link, Arc<Master>, i64), StoreError> {
        let sentinels = Sentinels::new(sentinels, service, like, self.call_timeout);
        let sentinels = sentinels.map_err(|error| {
            let fault = connection_fault(&error);
            StoreError::new(CONNECT, "the sentinels", fault).with_source(error)
        })?;
        let (name, database) = (Arc::clone(sentinels.name()), sentinels.database());
        let master = Master::new(&Arc::new(sentinels));
        let settings = Settings {
            greeting: Some(Arc::new(IsMaster)),
            ..Settings::new(self.call_timeout)
        };
        let source = Source::Sought(Arc::clone(&master) as _);
        Ok((
            Link::with_settings(source, name, settings),
            master,
            database,
        ))
    }

    /// Connects to the cluster that the servers of these clients belong to: some of its nodes, from which all others are
    /// learnt. They have the same user and the same TLS settings as the first one.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn from_cluster(
        self,
        nodes: impl IntoIterator<Item = Client> + Send,
    ) -> Result<RedisStore, Error> {
        let nodes = nodes.into_iter();
        let nodes = nodes
            .map(|node| node.get_connection_info().clone())
            .collect();
        Ok(self.open_cluster(nodes).await?.into())
    }

    async fn open_cluster(self, nodes: Vec<ConnectionInfo>) -> Result<Opened, Error> {
        if nodes.is_empty() {
            let allowed = "at least one node";
            return Err(ConfigError::new("nodes of a cluster", "none".to_owned(), allowed).into());
        }
        if self.max_staleness.is_some() {
            tracing::warn!("cannot cache reads of a cluster; the servers are asked each time");
        }
        let cluster = Arc::new(Cluster::new(nodes, self.call_timeout));
        let way = Way::Cluster(Arc::clone(&cluster));
        self.start(way, Ears::Cluster(cluster), Some(0)).await
    }

    /// Connects to the server of a client.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn from_client(self, client: Client) -> Result<RedisStore, Error> {
        Ok(self.open_client(client).await?.into())
    }

    async fn open_client(self, client: Client) -> Result<Opened, Error> {
        let (link, listener) = self.ways_to(&client)?;
        let database = listener.get_connection_info().redis_settings().db();
        self.start(
            Way::Server(link),
            Ears::Server(Arc::new(listener)),
            Some(database),
        )
        .await
    }

    /// The server at `url`, without a look at it.
    pub(crate) fn unseen(self, url: &str) -> Result<(Server, Prefix), Error> {
        let prefix = Prefix::new(&self.prefix)?;
        self.check_ranges()?;
        let (way, database) = match Address::parse(url)? {
            Address::Server(client) => {
                let database = client.get_connection_info().redis_settings().db();
                (Way::Server(self.ways_to(&client)?.0), database)
            }
            Address::Cluster(nodes) => {
                let cluster = Cluster::new(nodes, self.call_timeout);
                (Way::Cluster(Arc::new(cluster)), 0)
            }
            Address::Sentinel {
                sentinels,
                service,
                like,
            } => {
                let (link, _, database) = self.way_by(&sentinels, service, *like)?;
                (Way::Server(link), database)
            }
        };
        Ok((self.server(way, Some(database)), prefix))
    }

    /// Uses the connections of a pool.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Cancel safe.
    #[cfg(feature = "deadpool")]
    pub async fn from_pool(self, pool: deadpool_redis::Pool) -> Result<RedisStore, Error> {
        tracing::info!("sessions on a connection pool: locks are waited for by looking");
        if self.max_staleness.is_some() {
            tracing::warn!(
                "cannot cache reads over a connection pool; the server is asked each time"
            );
        }
        let node = "the pool's server".into();
        let link = Link::new(Source::Pool(pool), node, self.call_timeout);
        Ok(self
            .start(Way::Server(link), Ears::None, None)
            .await?
            .into())
    }

    async fn start(self, way: Way, mut ears: Ears, database: Option<i64>) -> Result<Opened, Error> {
        let prefix = Prefix::new(&self.prefix)?;
        self.check_ranges()?;
        let server = self.server(way, database);
        let shards = server.check(self.accepted_policy.as_deref()).await?;
        if matches!(ears, Ears::Cluster(_)) && !shards {
            tracing::warn!(
                "a node older than Redis 7.0 has no sharded channels: locks are waited for by looking"
            );
            ears = Ears::None;
        }
        let registered = outbox::registered(&server, &prefix).await?;
        let cached = match (self.max_staleness, &ears) {
            (Some(bound), Ears::Server(finder)) => {
                server.check_staleness(bound).await?;
                let entries = Entries::new(bound, self.cache_memory, Arc::clone(&server.clock));
                Some(CachedReads::new(Arc::clone(finder), &server, entries))
            }
            _ => None,
        };
        Ok(Opened {
            server,
            prefix,
            ears,
            cached,
            registered,
            master: None,
        })
    }

    fn server(&self, way: Way, database: Option<i64>) -> Server {
        Server {
            way,
            database,
            scripts: Current::new(&self.script_prelude),
            time: ServerTime::new(Arc::clone(&self.clock)),
            clock: Arc::clone(&self.clock),
            resolve_timeout: self.resolve_timeout,
            reloading: tokio::sync::Mutex::default(),
        }
    }

    /// For calls, and for hearing of what happens.
    fn ways_to(&self, client: &Client) -> Result<(Link, Client), StoreError> {
        let info = client.get_connection_info();
        let node: Arc<str> = info.addr().to_string().into();
        let opened = link::open(info.clone())
            .and_then(|client| Ok((client, link::open_pushing(info)?)))
            .map_err(|error| {
                let fault = connection_fault(&error);
                StoreError::new("connect to the store", node.to_string(), fault).with_source(error)
            });
        let (client, listener) = opened?;
        let source = Source::Client(Box::new(client));
        Ok((Link::new(source, node, self.call_timeout), listener))
    }

    /// What stands before every script.
    #[cfg(feature = "sanic")]
    pub(crate) fn prelude(&self) -> &str {
        &self.script_prelude
    }

    fn check_ranges(&self) -> Result<(), ConfigError> {
        let (call, resolve) = (self.call_timeout, self.resolve_timeout);
        if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&call) {
            return Err(ConfigError::new(
                "call timeout",
                format!("{call:?}"),
                "10 ms to 60 s",
            ));
        }
        if !(call..=Duration::from_secs(300)).contains(&resolve) {
            return Err(ConfigError::new(
                "resolve timeout",
                format!("{resolve:?}"),
                "the call timeout to 5 min",
            ));
        }
        if let Some(bound) = self.max_staleness
            && !(Duration::from_millis(1)..=Duration::from_secs(60)).contains(&bound)
        {
            let allowed = "1 ms to 60 s";
            return Err(ConfigError::new(
                "staleness of cached reads",
                format!("{bound:?}"),
                allowed,
            ));
        }
        if self.cache_memory < SMALLEST_CACHE {
            let found = format!("{} bytes", self.cache_memory);
            let allowed = "at least 64 KiB";
            return Err(ConfigError::new("memory for cached reads", found, allowed));
        }
        Ok(())
    }
}

/// A server that was checked, and what else a store needs.
pub(crate) struct Opened {
    pub(crate) server: Server,
    pub(crate) prefix: Prefix,
    pub(crate) ears: Ears,
    pub(crate) cached: Option<CachedReads>,
    /// The secondaries that sessions are written through to.
    pub(crate) registered: Vec<String>,
    /// The master that is to be followed.
    master: Option<Arc<Master>>,
}

const CONNECT: &str = "connect to the store";
const SMALLEST_CACHE: u64 = 64 << 10;

impl From<Opened> for RedisStore {
    fn from(opened: Opened) -> Self {
        let Opened {
            server,
            prefix,
            ears,
            cached,
            registered,
            master,
        } = opened;
        let store = Self::new(server, prefix, ears, cached, registered);
        if let Some(master) = master {
            let inner = Arc::downgrade(&store.inner);
            tokio::spawn(sentinel::look_after(inner, master));
        }
        store
    }
}

impl Server {
    /// Whether these servers can keep the promises, and loads the scripts. Whether all of them have sharded channels.
    async fn check(&self, accepted_policy: Option<&str>) -> Result<bool, StoreError> {
        let links = self.way.links().await;
        let (links, _) = links.map_err(|error| self.failed(CONNECT, error))?;
        if let Way::Cluster(cluster) = &self.way {
            let missing = cluster.missing();
            if !missing.is_empty() {
                let found = format!("no node serves the slots {}", missing.join(", "));
                let node = self.way.node().to_owned();
                return Err(StoreError::new(CONNECT, node, Fault::Unsuitable(found)));
            }
        }
        let check = links.iter();
        let check = check.map(|link| self.check_one(link, accepted_policy));
        let shards = try_join_all(check).await?;
        Ok(shards.into_iter().all(|shards| shards))
    }

    /// Whether it has sharded channels.
    async fn check_one(
        &self,
        link: &Link,
        accepted_policy: Option<&str>,
    ) -> Result<bool, StoreError> {
        let fail = |fault| StoreError::new(CONNECT, link.node().to_owned(), fault);
        let ask = async |pipeline| {
            let answers = link.call(&pipeline).await;
            answers.map_err(|error: CallError| match error.source {
                Some(source) => fail(error.fault).with_source(source),
                None => fail(error.fault),
            })
        };
        // First, and small: a server that is loading its data answers little at a time.
        let mut questions = Pipeline::new();
        questions.cmd("TIME").cmd("INFO");
        let answers = ask(questions).await?;
        let [time, info] = &answers[..] else {
            return Err(fail(Fault::Protocol));
        };
        // Unless it says otherwise: those who wait look as well.
        let mut shards = true;
        match ServerInfo::read(info) {
            Some(info) => {
                info.check(accepted_policy).map_err(fail)?;
                shards = info.version() >= (7, 0);
                // Keys of several sessions are in several slots of a cluster.
                if info.is_standalone() {
                    link.join_scripts();
                }
            }
            None => tracing::warn!(
                node = link.node(),
                "INFO is not permitted: version, role and eviction not checked"
            ),
        }
        let loaded = ask(self.scripts.load_all()).await?;
        for answer in loaded.iter().chain([time]) {
            if let Value::ServerError(error) = answer {
                return Err(
                    fail(server_error(error)).with_source(redis::RedisError::from(error.clone()))
                );
            }
        }
        if let Some(now) = read_time(time) {
            self.time.heard(now);
        }
        Ok(shards)
    }

    /// Whether the server can be heard of often enough.
    async fn check_staleness(&self, bound: Duration) -> Result<(), Error> {
        let mut quickest = Duration::MAX;
        for _ in 0..3 {
            let asked = SystemClock.now();
            self.ping().await?;
            quickest = quickest.min(SystemClock.now().saturating_since(asked));
        }
        if bound < quickest {
            let found = format!("{bound:?}, where a round trip took {quickest:?}");
            let allowed = "at least a round trip to the server";
            return Err(ConfigError::new("staleness of cached reads", found, allowed).into());
        }
        Ok(())
    }
}

pub(crate) fn read_time(time: &Value) -> Option<StoreTime> {
    let Value::Array(parts) = time else {
        return None;
    };
    let number = |part: &Value| match part {
        Value::BulkString(text) => str::from_utf8(text).ok()?.parse::<u64>().ok(),
        _ => None,
    };
    let (seconds, micros) = (number(parts.first()?)?, number(parts.get(1)?)?);
    Some(StoreTime::from_millis(seconds * 1000 + micros / 1000))
}

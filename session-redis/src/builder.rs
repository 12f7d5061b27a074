use std::{sync::Arc, time::Duration};

use redis::{
    Client, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, Value, io::tcp::TcpSettings,
};
use session_core::{ConfigError, Error, Fault, StoreError, StoreTime};
use session_lock::{Clock, SystemClock};

use crate::{
    RedisStore,
    delivery::Server,
    error::{connection_fault, server_error},
    keys::Prefix,
    link::{Link, Source},
    scripts::Scripts,
    server_time::ServerTime,
};

/// Settings of a [`RedisStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisStoreBuilder {
    prefix: String,
    call_timeout: Duration,
    resolve_timeout: Duration,
    accepted_policy: Option<String>,
    clock: Arc<dyn Clock>,
    script_prelude: String,
}

impl RedisStore {
    /// A store on the server at `url`, with the default settings.
    ///
    /// `redis://[user[:password]@]host[:port][/database]`; `rediss://` for TLS (feature `tls`); `unix:///path/to/socket`.
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
        // The URL may hold a password: of a URL that cannot be read, nothing is shown.
        let client = url.into_connection_info().and_then(Client::open).map_err(|error| {
            let fault = Fault::Unsuitable("the URL cannot be used; expected redis://[user[:password]@]host[:port][/database], rediss://... with feature `tls`, or unix:///path".to_owned());
            StoreError::new("connect to the store", "a URL that cannot be read", fault).with_source(error)
        })?;
        self.from_client(client).await
    }

    /// Connects to the server of a client.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn from_client(self, client: Client) -> Result<RedisStore, Error> {
        let info = client.get_connection_info();
        let node: Arc<str> = info.addr().to_string().into();
        // Without it, small packets wait for the acknowledgement of the one before.
        let info = info
            .clone()
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let open = |info: ConnectionInfo| {
            Client::open(info).map_err(|error| {
                StoreError::new(
                    "connect to the store",
                    node.to_string(),
                    connection_fault(&error),
                )
                .with_source(error)
            })
        };
        #[cfg(feature = "tls")]
        ensure_crypto_provider();
        let pushing = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let listener = open(info.clone().set_redis_settings(pushing))?;
        let source = Source::Client(Box::new(open(info)?));
        self.start(source, Arc::clone(&node), Some(listener)).await
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
        self.start(Source::Pool(pool), "the pool's server".into(), None)
            .await
    }

    async fn start(
        self,
        source: Source,
        node: Arc<str>,
        listener: Option<Client>,
    ) -> Result<RedisStore, Error> {
        let prefix = Prefix::new(&self.prefix)?;
        self.check_ranges()?;
        let server = Server {
            link: Link::new(source, node, self.call_timeout),
            scripts: Scripts::new(&self.script_prelude),
            time: ServerTime::new(Arc::clone(&self.clock)),
            clock: self.clock,
            resolve_timeout: self.resolve_timeout,
        };
        server.check(self.accepted_policy.as_deref()).await?;
        Ok(RedisStore::new(server, prefix, listener))
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
        Ok(())
    }
}

/// TLS needs a provider of cryptography for the process. One that the application has chosen stays.
#[cfg(feature = "tls")]
fn ensure_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Lost only to somebody who chose one at this very moment.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
    }
}

impl Server {
    /// Whether this server can keep the promises, and loads the scripts.
    async fn check(&self, accepted_policy: Option<&str>) -> Result<(), StoreError> {
        let fail =
            |fault| StoreError::new("connect to the store", self.link.node().to_owned(), fault);
        let mut pipeline = self.scripts.load_all();
        pipeline.cmd("TIME").cmd("INFO");
        let answers = self.link.call(&pipeline).await;
        let answers = answers
            .map_err(|error| error.into_store_error("connect to the store", self.link.node()))?;
        let [loaded @ .., time, info] = &answers[..] else {
            return Err(fail(Fault::Protocol));
        };
        match info {
            Value::BulkString(text) => {
                check_info(&String::from_utf8_lossy(text), accepted_policy).map_err(fail)?;
            }
            Value::VerbatimString { text, .. } => {
                check_info(text, accepted_policy).map_err(fail)?;
            }
            _ => tracing::warn!(
                node = self.link.node(),
                "INFO is not permitted: version, role and eviction not checked"
            ),
        }
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
        Ok(())
    }
}

fn check_info(info: &str, accepted_policy: Option<&str>) -> Result<(), Fault> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let version = field("redis_version").unwrap_or_default();
    let mut numbers = version
        .split('.')
        .map_while(|number| number.parse::<u32>().ok());
    let known = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if known < (6, 2) {
        return Err(Fault::Unsuitable(format!(
            "the server has version {version:?}; needed is 6.2 or newer"
        )));
    }
    if field("loading").is_some_and(|loading| loading != "0") {
        return Err(Fault::Loading);
    }
    if field("role").is_some_and(|role| role != "master") {
        return Err(Fault::ReadOnly);
    }
    match field("maxmemory_policy") {
        Some(policy) if policy != "noeviction" && Some(policy) != accepted_policy => {
            Err(Fault::Unsuitable(format!(
                "the server evicts keys (maxmemory-policy {policy}), which loses sessions; set noeviction, or accept the policy by its name"
            )))
        }
        _ => Ok(()),
    }
}

fn read_time(time: &Value) -> Option<StoreTime> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "redis_version:7.0.15\r\nloading:0\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n";

    #[test]
    fn a_server_that_can_lose_sessions_is_refused_unless_accepted_by_name() {
        assert_eq!(check_info(GOOD, None), Ok(()));
        let evicting = GOOD.replace("noeviction", "allkeys-lru");
        assert!(matches!(
            check_info(&evicting, None),
            Err(Fault::Unsuitable(_))
        ));
        assert!(check_info(&evicting, Some("volatile-lru")).is_err());
        assert_eq!(check_info(&evicting, Some("allkeys-lru")), Ok(()));
    }

    #[test]
    fn replicas_loading_and_old_servers_are_refused() {
        assert_eq!(
            check_info(&GOOD.replace("master", "slave"), None),
            Err(Fault::ReadOnly)
        );
        assert_eq!(
            check_info(&GOOD.replace("loading:0", "loading:1"), None),
            Err(Fault::Loading)
        );
        assert!(check_info(&GOOD.replace("7.0.15", "6.0.20"), None).is_err());
        assert_eq!(check_info(&GOOD.replace("7.0.15", "6.2.0"), None), Ok(()));
    }
}

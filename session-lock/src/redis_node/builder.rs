use std::{sync::Arc, time::Duration};

use redis::Client;

use super::{Inner, RedisNode, greeting::Greeter, keys::Keys, scripts::Scripts, watches::Watches};
use crate::{
    Fault, NodeFault,
    link::{self, Link, Settings, Source, connection_fault},
};

/// Settings of a [`RedisNode`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisNodeBuilder {
    name: Option<String>,
    prefix: String,
    lock_prefix: Option<Vec<u8>>,
    call_timeout: Duration,
    accepted_policy: Option<String>,
    may_lose_data: bool,
    fence_ttl: Option<Duration>,
    script_prelude: String,
}

impl RedisNode {
    /// A node on the server at `url`, with the default settings. Does not wait for the server.
    ///
    /// `redis://[user[:password]@]host[:port][/database]`; `rediss://` for TLS (feature `tls`); `unix:///path/to/socket`.
    ///
    /// # Errors
    /// [`Fault::Unsuitable`] when the URL cannot be used. The URL may hold a password: the error does not show it.
    pub fn connect(url: &str) -> Result<Self, NodeFault> {
        Self::builder().connect(url)
    }

    /// A node with other settings.
    pub fn builder() -> RedisNodeBuilder {
        RedisNodeBuilder {
            name: None,
            prefix: Keys::DEFAULT_PREFIX.to_owned(),
            lock_prefix: None,
            call_timeout: Duration::from_secs(1),
            accepted_policy: None,
            may_lose_data: true,
            fence_ttl: None,
            script_prelude: String::new(),
        }
    }

    /// A node on the server of a client, over connections of its own. Does not wait for the server.
    ///
    /// # Errors
    /// [`Fault::Unsuitable`] when the client's settings contradict each other.
    pub fn from_client(client: &Client) -> Result<Self, NodeFault> {
        Self::builder().from_client(client)
    }

    /// A node on the connections of a pool, called `name`.
    ///
    /// Slower than connections of its own: each call takes one from the pool. A pool cannot receive messages, so
    /// whoever waits for a lock looks again and again.
    ///
    /// # Errors
    /// None with the default settings.
    #[cfg(feature = "deadpool")]
    pub fn from_pool(
        name: impl Into<String>,
        pool: deadpool_redis::Pool,
    ) -> Result<Self, NodeFault> {
        Self::builder().name(name).from_pool(pool)
    }
}

impl RedisNodeBuilder {
    /// What the node is called in errors and logs. Default: its address, without credentials. Nodes of one lock have
    /// different names, in every process the same ones.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What the node's own keys begin with, and its locks unless told otherwise. Default `latchkey`; 1 to 64 printable
    /// ASCII characters. Everybody who uses a lock uses the same prefixes.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// What locks begin with, in place of `latchkey:lock:`: the key of a lock is this and the resource.
    ///
    /// `redlock:` is what pottery uses, `lock:` python-redis-lock. Must not begin as the node's own keys do.
    pub fn lock_prefix(mut self, prefix: impl AsRef<[u8]>) -> Self {
        self.lock_prefix = Some(prefix.as_ref().to_vec());
        self
    }

    /// The key of a lock is the resource and nothing else, as the Redlock page of Redis has it.
    ///
    /// So locks of redlock-py, redlock-ng, redsync, node-redlock, rslock and of redis-py exclude ours, and ours
    /// theirs. Whoever writes to that database can hit a lock then: give locks a database of their own. A resource
    /// whose name begins as the node's own keys do (`latchkey:`) is refused.
    pub fn raw_keys(self) -> Self {
        self.lock_prefix("")
    }

    /// How long one call may take, connecting included. Default 1 s; 10 ms to 60 s.
    ///
    /// The lock itself waits for less; this is when a connection that does not answer is given up.
    pub const fn call_timeout(mut self, limit: Duration) -> Self {
        self.call_timeout = limit;
        self
    }

    /// Accepts a server that evicts keys when it is full, by the name of its `maxmemory-policy`. Locks can then vanish
    /// while they are held, and two can hold one.
    pub fn accept_eviction_policy(mut self, name: impl Into<String>) -> Self {
        self.accepted_policy = Some(name.into());
        self
    }

    /// The server loses nothing when it restarts: it writes to disk before it answers (`appendonly yes` and `appendfsync
    /// always`), and no replica ever takes its place.
    ///
    /// Without this, a server that was restarted or replaced counts again only when the longest TTL has passed, even if
    /// its data seem to be there: what it has may be older than what it had.
    pub const fn durable(mut self) -> Self {
        self.may_lose_data = false;
        self
    }

    /// How long a fence is remembered, for tests that wait for its end.
    #[doc(hidden)]
    pub const fn fence_ttl(mut self, ttl: Duration) -> Self {
        self.fence_ttl = Some(ttl);
        self
    }

    /// Lua that stands before every script: how tests make single calls of a script fail.
    #[doc(hidden)]
    pub fn script_prelude(mut self, lua: impl Into<String>) -> Self {
        self.script_prelude = lua.into();
        self
    }

    /// A node on the server at `url`. Does not wait for the server.
    ///
    /// # Errors
    /// [`Fault::Unsuitable`] when the URL cannot be used or a setting is out of its range.
    pub fn connect(self, url: &str) -> Result<RedisNode, NodeFault> {
        // The URL may hold a password: of a URL that cannot be read, nothing is shown.
        let client = link::parse_url(url).map_err(|error| {
            let node = self.name.as_deref().unwrap_or("a URL that cannot be read");
            NodeFault::new(node, Fault::Unsuitable(link::URL_FORM.to_owned())).with_source(error)
        })?;
        self.from_client(&client)
    }

    /// A node on the server of a client. Does not wait for the server.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn from_client(self, client: &Client) -> Result<RedisNode, NodeFault> {
        let info = client.get_connection_info();
        let name: Arc<str> = match &self.name {
            Some(name) => name.as_str().into(),
            None => info.addr().to_string().into(),
        };
        let opened = link::open(info.clone())
            .and_then(|client| Ok((client, link::open_pushing(info)?)))
            .map_err(|error| NodeFault::new(&*name, connection_fault(&error)).with_source(error));
        let (client, listener) = opened?;
        self.start(name, Source::Client(Box::new(client)), Some(listener))
    }

    /// A node on the connections of a pool.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and without a [`name`](Self::name): a pool does not tell its server.
    #[cfg(feature = "deadpool")]
    pub fn from_pool(self, pool: deadpool_redis::Pool) -> Result<RedisNode, NodeFault> {
        let Some(name) = self.name.as_deref().map(Arc::from) else {
            let unnamed = "a node on a pool needs a name; a pool does not tell its server";
            return Err(NodeFault::new(
                "a pool",
                Fault::Unsuitable(unnamed.to_owned()),
            ));
        };
        tracing::info!(
            node = &*name,
            "a node on a connection pool: locks are waited for by looking"
        );
        self.start(name, Source::Pool(pool), None)
    }

    fn start(
        self,
        node: Arc<str>,
        source: Source,
        listener: Option<Client>,
    ) -> Result<RedisNode, NodeFault> {
        let unsuitable = |fault| NodeFault::new(&*node, fault);
        let keys = Keys::new(&self.prefix, self.lock_prefix.as_deref()).map_err(unsuitable)?;
        let (keys, limit) = (Arc::new(keys), self.call_timeout);
        if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&limit) {
            let found = format!("the call timeout is {limit:?}; allowed are 10 ms to 60 s");
            return Err(unsuitable(Fault::Unsuitable(found)));
        }
        let scripts = Arc::new(Scripts::new(&self.script_prelude, self.fence_ttl));
        let greeter = Arc::new(Greeter::new(
            Arc::clone(&node),
            Arc::clone(&keys),
            Arc::clone(&scripts),
            self.accepted_policy,
            self.may_lose_data,
        ));
        let watches = Watches::new(Arc::clone(&node), listener, Arc::clone(&keys), limit);
        let greeting: Arc<Greeter> = Arc::clone(&greeter);
        let settings = Settings {
            call_timeout: limit,
            pause_after_failure: PAUSE,
            // A lock is given back while the answer to the request for it may still be on its way.
            most_alone: 2,
            greeting: Some(greeting),
            hearing: None,
        };
        let link = Link::with_settings(source, node, settings);
        link.join_scripts();
        Ok(RedisNode {
            inner: Arc::new(Inner {
                link,
                keys,
                scripts,
                greeter,
                watches,
            }),
        })
    }
}

/// A node that is down costs the others nothing: it is asked again only so often.
const PAUSE: Duration = Duration::from_millis(50);

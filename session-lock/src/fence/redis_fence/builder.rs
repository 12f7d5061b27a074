use std::{sync::Arc, time::Duration};

use redis::Client;

use super::{RedisFence, greeting::Greeter, scripts::Scripts};
use crate::{
    Fault, NodeFault,
    fence::Accept,
    link::{self, Link, Settings, Source, connection_fault},
};

/// Settings of a [`RedisFence`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisFenceBuilder {
    name: Option<String>,
    accept: Accept,
    fence_ttl: Duration,
    call_timeout: Duration,
    accepted_policy: Option<String>,
    script_prelude: String,
}

impl RedisFence {
    /// Fenced keys on the server at `url`, with the default settings. Does not wait for the server.
    ///
    /// `redis://[user[:password]@]host[:port][/database]`; `rediss://` for TLS (feature `tls`); `unix:///path/to/socket`.
    ///
    /// # Errors
    /// [`Fault::Unsuitable`] when the URL cannot be used. The URL may hold a password: the error does not show it.
    pub fn connect(url: &str) -> Result<Self, NodeFault> {
        Self::builder().connect(url)
    }

    /// Fenced keys on the server of a client, over a connection of their own. Does not wait for the server.
    ///
    /// # Errors
    /// [`Fault::Unsuitable`] when the client's settings contradict each other.
    pub fn from_client(client: &Client) -> Result<Self, NodeFault> {
        Self::builder().from_client(client)
    }

    /// Fenced keys with other settings.
    pub fn builder() -> RedisFenceBuilder {
        RedisFenceBuilder {
            name: None,
            accept: Accept::Larger,
            fence_ttl: DAY,
            call_timeout: Duration::from_secs(1),
            accepted_policy: None,
            script_prelude: String::new(),
        }
    }
}

impl RedisFenceBuilder {
    /// What the server is called in errors. Default: its address, without credentials.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Which tokens are accepted. Default [`Accept::Larger`].
    pub const fn accepting(mut self, accept: Accept) -> Self {
        self.accept = accept;
        self
    }

    /// How long the largest token of a key is kept after it was last accepted. Range 1 s to 366 days; default 24 h.
    ///
    /// A holder who is later than that is let in. Without the clock floor of a lock, whose tokens begin anew when its nodes
    /// have forgotten them after 24 h, a longer time would keep everybody out.
    pub const fn fence_ttl(mut self, ttl: Duration) -> Self {
        self.fence_ttl = ttl;
        self
    }

    /// How long one call may take, connecting included. Default 1 s; 10 ms to 60 s.
    pub const fn call_timeout(mut self, limit: Duration) -> Self {
        self.call_timeout = limit;
        self
    }

    /// Accepts a server that evicts keys when it is full, by the name of its `maxmemory-policy`. A fence can then vanish
    /// before its value, and whoever is late is let in.
    pub fn accept_eviction_policy(mut self, name: impl Into<String>) -> Self {
        self.accepted_policy = Some(name.into());
        self
    }

    /// Lua that stands before every script: how tests make single calls of a script fail.
    #[doc(hidden)]
    pub fn script_prelude(mut self, lua: impl Into<String>) -> Self {
        self.script_prelude = lua.into();
        self
    }

    /// Fenced keys on the server at `url`. Does not wait for the server.
    ///
    /// # Errors
    /// [`Fault::Unsuitable`] when the URL cannot be used or a setting is out of its range.
    pub fn connect(self, url: &str) -> Result<RedisFence, NodeFault> {
        // The URL may hold a password: of a URL that cannot be read, nothing is shown.
        let client = link::parse_url(url).map_err(|error| {
            let node = self.name.as_deref().unwrap_or("a URL that cannot be read");
            NodeFault::new(node, Fault::Unsuitable(link::URL_FORM.to_owned())).with_source(error)
        })?;
        self.from_client(&client)
    }

    /// Fenced keys on the server of a client. Does not wait for the server.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn from_client(self, client: &Client) -> Result<RedisFence, NodeFault> {
        let info = client.get_connection_info();
        let node = match &self.name {
            Some(name) => name.clone(),
            None => info.addr().to_string(),
        };
        let client = link::open(info.clone())
            .map_err(|error| NodeFault::new(&*node, connection_fault(&error)).with_source(error))?;
        self.start(&node, Source::Client(Box::new(client)))
    }

    /// Fenced keys on the connections of a pool, which does not tell its server: give a [`name`](Self::name).
    ///
    /// # Errors
    /// [`Fault::Unsuitable`] when a setting is out of its range.
    #[cfg(feature = "deadpool")]
    pub fn from_pool(self, pool: deadpool_redis::Pool) -> Result<RedisFence, NodeFault> {
        let node = self.name.clone().unwrap_or_else(|| "a pool".to_owned());
        self.start(&node, Source::Pool(pool))
    }

    fn start(self, node: &str, source: Source) -> Result<RedisFence, NodeFault> {
        let within = |what, found, range: std::ops::RangeInclusive<Duration>, allowed| {
            if range.contains(&found) {
                return Ok(());
            }
            let found = format!("the {what} is {found:?}; allowed are {allowed}");
            Err(NodeFault::new(node, Fault::Unsuitable(found)))
        };
        let (ttl, limit) = (self.fence_ttl, self.call_timeout);
        within("TTL of fences", ttl, SECOND..=366 * DAY, "1 s to 366 days")?;
        within(
            "call timeout",
            limit,
            SECOND / 100..=60 * SECOND,
            "10 ms to 60 s",
        )?;
        let scripts = Arc::new(Scripts::new(&self.script_prelude));
        let greeter = Greeter {
            scripts: Arc::clone(&scripts),
            accepted_policy: self.accepted_policy,
        };
        let settings = Settings {
            call_timeout: limit,
            pause_after_failure: Duration::ZERO,
            most_alone: 1,
            greeting: Some(Arc::new(greeter)),
            hearing: None,
        };
        Ok(RedisFence {
            accept: self.accept,
            ttl_ms: ttl.as_millis().to_string().into(),
            scripts,
            link: Arc::new(Link::with_settings(source, node.into(), settings)),
        })
    }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3_600);

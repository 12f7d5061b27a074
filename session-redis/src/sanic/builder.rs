use std::{fmt, sync::Arc, time::Duration};

use redis::Value;
use session_core::{ConfigError, Error};

use super::{SanicStore, format::LONGEST, scripts::Scripts};
use crate::{
    RedisStore, RedisStoreBuilder,
    keys::{Prefix, SanicPrefix},
    waiters::Ears,
};

/// Settings of a [`SanicStore`].
#[derive(Clone)]
#[must_use]
pub struct SanicStoreBuilder {
    redis: RedisStoreBuilder,
    key_prefix: String,
    expiry: Duration,
}

impl SanicStore {
    /// A store on the server at `url`, with the defaults of sanic-cookies.
    ///
    /// # Errors
    /// As [`RedisStore::connect`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder().connect(url).await
    }

    /// A store with other settings.
    pub fn builder() -> SanicStoreBuilder {
        SanicStoreBuilder {
            redis: RedisStore::builder(),
            key_prefix: SanicPrefix::DEFAULT.to_owned(),
            expiry: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

impl SanicStoreBuilder {
    /// What the keys of sanic-cookies begin with: `prefix` of its interface `Aioredis`. Default `session:`; 1 to 64
    /// printable ASCII characters without braces.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// How long sanic-cookies lets a session live after each write: `expiry` of its session. Default 30 days; 1 s to ten
    /// years.
    ///
    /// It holds for sessions that sanic-cookies began. Those that begin here have the timeouts of
    /// [`Sessions`](session_core::Sessions), until sanic-cookies writes them.
    #[doc(alias = "max_age")]
    pub const fn expiry(mut self, expiry: Duration) -> Self {
        self.expiry = expiry;
        self
    }

    /// The other settings: prefix of the keys beside those of sanic-cookies, timeouts of calls, accepted eviction policy.
    pub fn redis(mut self, redis: RedisStoreBuilder) -> Self {
        self.redis = redis;
        self
    }

    /// Connects to the server at `url`.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is out of its range; else as [`RedisStore::connect`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn connect(self, url: &str) -> Result<SanicStore, Error> {
        if !(Duration::from_secs(1)..=LONGEST).contains(&self.expiry) {
            let found = format!("{:?}", self.expiry);
            return Err(ConfigError::new("expiry", found, "1 s to ten years").into());
        }
        let theirs = SanicPrefix::new(&self.key_prefix)?;
        let scripts = Scripts::new(self.redis.prelude());
        let opened = self.redis.open_url(url).await?;
        let server = Arc::new(opened.server);
        let failed = |error| server.failed("connect to the store", error);
        let (links, _) = server.way.links().await.map_err(failed)?;
        for link in links {
            for answer in link.call(&scripts.load_all()).await.map_err(failed)? {
                if let Value::ServerError(error) = answer {
                    return Err(server.fault("connect to the store", &error).into());
                }
            }
        }
        let prefix = Prefix::sharing(opened.prefix, theirs);
        let ears = match opened.ears {
            // Each of these sessions is in a slot of its own: too many to listen in.
            Ears::Cluster(_) => Ears::None,
            ears => ears,
        };
        Ok(SanicStore::new(server, scripts, prefix, ears, self.expiry))
    }
}

impl fmt::Debug for SanicStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SanicStoreBuilder")
            .field("redis", &self.redis)
            .field("key_prefix", &self.key_prefix)
            .field("expiry", &self.expiry)
            .finish()
    }
}

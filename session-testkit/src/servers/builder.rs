use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::config::Config;
use super::{RedisCluster, RedisServer, ServerError, ServerKind};

/// Options of a [`RedisServer`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RedisServerBuilder {
    kind: Option<ServerKind>,
    config: Config,
    unix_socket: bool,
}

impl RedisServerBuilder {
    /// Where the server runs; default [`ServerKind::selected`].
    #[must_use]
    pub fn kind(mut self, kind: ServerKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Adds a directive of `redis.conf`, such as `("maxmemory", "20mb")`.
    ///
    /// The value is written as it is; an empty one as `""`. Directives come after those of the
    /// other options and so override them.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.directives.push((name.into(), value.into()));
        self
    }

    /// Keeps data over a kill: `appendonly yes`, `appendfsync always`.
    ///
    /// Without it a server that ends, in whatever way, restarts empty.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.config.durable = true;
        self
    }

    /// Runs the server as a cluster of one node that owns all slots.
    ///
    /// Redis refuses writes for the first two seconds of a node's life, and the start waits for
    /// that.
    #[must_use]
    pub fn cluster(mut self) -> Self {
        self.config.cluster = true;
        self
    }

    /// Asks clients for a password (`requirepass`); it is part of the server's URL.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.config.password = Some(password.into());
        self
    }

    /// Listens on a unix socket too, and names it in the server's URL; processes only.
    #[must_use]
    pub fn unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// [`ServerError`]: no server of the kind can be had, or it does not take these options.
    pub async fn start(self) -> Result<RedisServer, ServerError> {
        let kind = self.resolved_kind().await?;
        RedisServer::launch(kind, &self.config, self.unix_socket).await
    }

    /// The server with these options that all tests of this process share; the first caller
    /// starts it, and the end of the process ends it.
    ///
    /// For tests that leave the server as they found it and use keys of their own.
    ///
    /// # Errors
    /// As [`start`](Self::start); a failed start is tried again by the next caller.
    pub async fn shared(mut self) -> Result<&'static RedisServer, ServerError> {
        type Shared = Mutex<HashMap<RedisServerBuilder, Arc<OnceCell<&'static RedisServer>>>>;
        static SHARED: LazyLock<Shared> = LazyLock::new(Shared::default);

        self.kind = Some(self.resolved_kind().await?);
        let server = {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(shared.entry(self.clone()).or_default())
        };
        server
            .get_or_try_init(async || {
                let server: &'static RedisServer = Box::leak(Box::new(self.start().await?));
                Ok(server)
            })
            .await
            .copied()
    }

    /// Starts a cluster of `masters` nodes, each with these options, and spreads the slots evenly.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// If `masters` is 0.
    pub async fn start_cluster(self, masters: usize) -> Result<RedisCluster, ServerError> {
        self.start_cluster_with_replicas(masters, 0).await
    }

    /// Starts a cluster of `masters` nodes, and so many replicas of each: behind the masters, in their order.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// If `masters` is 0.
    pub async fn start_cluster_with_replicas(
        mut self,
        masters: usize,
        replicas: usize,
    ) -> Result<RedisCluster, ServerError> {
        let kind = self.resolved_kind().await?;
        self.config.cluster = true;
        RedisCluster::launch(kind, &self.config, masters, replicas).await
    }

    async fn resolved_kind(&self) -> Result<ServerKind, ServerError> {
        match self.kind {
            Some(kind) => Ok(kind),
            None => ServerKind::selected().await,
        }
    }
}

use super::redis_server::Backend;
use super::{RedisServer, ServerError};

/// What an error at the limit of memory is called.
const OUT_OF_MEMORY: &str = "OOM";

/// Far more than the buffers of idle clients, which Redis shrinks after a while.
const MARGIN: u64 = 256 * 1024;

/// Large first for speed, then small for the last gaps.
const FILL_VALUES: [usize; 3] = [64 * 1024, 1024, 16];

/// Sign of life of a fill that nobody drained, in milliseconds.
const FILL_TTL_MS: u64 = 3_600_000;

/// Keys that [`RedisServer::fill`] wrote; give it to [`RedisServer::drain`].
#[derive(Debug)]
#[must_use = "the server stays full until it is drained"]
pub struct Filled {
    keys: Vec<String>,
    maxmemory: u64,
}

impl Filled {
    /// The keys, in the order in which they were written.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }
}

/// # Faults
///
/// A fault has happened when its future returns: a paused server has stopped, a killed one is gone.
/// Faults that a server at a given URL cannot suffer are [`ServerError::Unsupported`].
impl RedisServer {
    /// Ends the server by `SIGKILL`, also while it is paused. Clients find their connections closed
    /// and the port refusing new ones.
    ///
    /// # Errors
    /// [`ServerError`]: unsupported, or refused by the system.
    pub async fn kill(&self) -> Result<(), ServerError> {
        match &self.backend {
            Backend::Container(container) => container.kill().await,
            Backend::Process(process) => process.kill(),
            Backend::Url => Err(self.unsupported("killing the server")),
        }
    }

    /// Shuts the server down (`SIGTERM`) and waits until it has ended.
    ///
    /// # Errors
    /// [`ServerError`]: unsupported, or refused by the system.
    pub async fn stop(&self) -> Result<(), ServerError> {
        match &self.backend {
            Backend::Container(container) => container.stop().await,
            Backend::Process(process) => process.stop().await,
            Backend::Url => Err(self.unsupported("stopping the server")),
        }
    }

    /// Starts the server again on the same port, and waits until it is ready.
    ///
    /// A server that still runs is stopped first. Data are kept by a
    /// [durable](super::RedisServerBuilder::durable) server.
    ///
    /// # Errors
    /// [`ServerError`]: unsupported, refused by the system, or not ready in time.
    pub async fn restart(&self) -> Result<(), ServerError> {
        self.stop().await?;
        match &self.backend {
            Backend::Container(container) => container.start_again().await?,
            Backend::Process(process) => process.spawn()?,
            Backend::Url => return Err(self.unsupported("restarting the server")),
        }
        self.wait_ready().await
    }

    /// Freezes the server: it keeps its connections, accepts none of the new ones and answers
    /// nothing.
    ///
    /// # Errors
    /// [`ServerError`]: unsupported, or refused by the system.
    pub async fn pause(&self) -> Result<(), ServerError> {
        match &self.backend {
            Backend::Container(container) => container.pause().await,
            Backend::Process(process) => process.pause().await,
            Backend::Url => Err(self.unsupported("pausing the server")),
        }
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    /// [`ServerError`]: unsupported, or refused by the system.
    pub async fn resume(&self) -> Result<(), ServerError> {
        match &self.backend {
            Backend::Container(container) => container.resume().await,
            Backend::Process(process) => process.resume(),
            Backend::Url => Err(self.unsupported("resuming the server")),
        }
    }

    /// Fills the server until it refuses a `SET` for want of memory.
    ///
    /// Needs `maxmemory` and `noeviction`. At the end the limit is lowered by a margin, so that
    /// the server stays full when buffers of its clients shrink; draining puts it back.
    ///
    /// # Errors
    /// [`ServerError::NotFillable`] when the server has no limit or evicts instead.
    pub async fn fill(&self) -> Result<Filled, ServerError> {
        if let Backend::Url = self.backend {
            return Err(self.unsupported("filling the server"));
        }
        let maxmemory = self.maxmemory().await?;
        let mut connection = self.connection().await?;
        let mut keys = Vec::new();
        for size in FILL_VALUES {
            let value = vec![b'.'; size];
            loop {
                let key = format!("latchkey-test-fill:{}", keys.len());
                let set: redis::RedisResult<()> = redis::cmd("SET")
                    .arg(&key)
                    .arg(&value)
                    .arg("PX")
                    .arg(FILL_TTL_MS)
                    .query_async(&mut connection)
                    .await;
                match set {
                    Ok(()) => keys.push(key),
                    Err(error) if error.code() == Some(OUT_OF_MEMORY) => break,
                    Err(error) => return Err(self.redis_error()(error)),
                }
            }
        }
        self.set_maxmemory(maxmemory.saturating_sub(MARGIN).max(1))
            .await?;
        Ok(Filled { keys, maxmemory })
    }

    /// Removes what [`fill`](Self::fill) wrote and restores the limit.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when the server cannot be asked.
    pub async fn drain(&self, filled: Filled) -> Result<(), ServerError> {
        self.set_maxmemory(filled.maxmemory).await?;
        let mut connection = self.connection().await?;
        // One by one: on a cluster, keys of several slots do not go into one command.
        for key in filled.keys {
            redis::cmd("DEL")
                .arg(key)
                .query_async::<()>(&mut connection)
                .await
                .map_err(self.redis_error())?;
        }
        Ok(())
    }

    /// Closes the connections of all clients, subscribers included; returns how many.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when the server cannot be asked.
    pub async fn kill_clients(&self) -> Result<usize, ServerError> {
        let mut killed = 0;
        for client_type in ["normal", "pubsub"] {
            killed += self
                .query::<usize>(redis::cmd("CLIENT").arg(&[
                    "KILL",
                    "TYPE",
                    client_type,
                    "SKIPME",
                    "yes",
                ]))
                .await?;
        }
        Ok(killed)
    }

    /// Makes the server forget all scripts.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when the server cannot be asked.
    pub async fn flush_scripts(&self) -> Result<(), ServerError> {
        self.query(redis::cmd("SCRIPT").arg(&["FLUSH", "SYNC"]))
            .await
    }

    async fn maxmemory(&self) -> Result<u64, ServerError> {
        let (_, maxmemory): (String, u64) = self.config_get("maxmemory").await?;
        let (_, policy): (String, String) = self.config_get("maxmemory-policy").await?;
        if maxmemory == 0 || policy != "noeviction" {
            return Err(ServerError::NotFillable { maxmemory, policy });
        }
        Ok(maxmemory)
    }

    async fn config_get<T: redis::FromRedisValue>(&self, name: &str) -> Result<T, ServerError> {
        self.query(redis::cmd("CONFIG").arg(&["GET", name])).await
    }

    async fn set_maxmemory(&self, bytes: u64) -> Result<(), ServerError> {
        self.query(redis::cmd("CONFIG").arg(&["SET", "maxmemory"]).arg(bytes))
            .await
    }

    fn unsupported(&self, what: &'static str) -> ServerError {
        ServerError::Unsupported {
            what,
            kind: self.kind(),
        }
    }
}

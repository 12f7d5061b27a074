//! Connections: one multiplexed connection that all tasks share, or a pool that somebody else brought.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Pipeline, RedisError, Value,
    aio::{ConnectionLike as _, MultiplexedConnection},
};
use session_core::Fault;

use crate::error::{CallError, connection_fault};

/// The way to one server. Reconnects by itself.
pub(crate) struct Link {
    source: Source,
    node: Arc<str>,
    call_timeout: Duration,
    // A std mutex: held to clone a handle, never across an await.
    current: Mutex<Option<Current>>,
    connecting: tokio::sync::Mutex<()>,
    generations: AtomicU64,
}

pub(crate) enum Source {
    Client(Box<Client>),
    #[cfg(feature = "deadpool")]
    Pool(deadpool_redis::Pool),
}

#[derive(Clone)]
struct Current {
    connection: MultiplexedConnection,
    generation: u64,
}

impl Link {
    pub(crate) fn new(source: Source, node: Arc<str>, call_timeout: Duration) -> Self {
        Self {
            source,
            node,
            call_timeout,
            current: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
            generations: AtomicU64::new(0),
        }
    }

    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    pub(crate) const fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    /// Sends a pipeline in one flight and returns an answer for each command; errors of the server are answers.
    ///
    /// Cancel safe in that nothing is left behind here; what was sent is executed.
    pub(crate) async fn call(&self, pipeline: &Pipeline) -> Result<Vec<Value>, CallError> {
        match &self.source {
            Source::Client(client) => self.call_shared(client, pipeline).await,
            #[cfg(feature = "deadpool")]
            Source::Pool(pool) => self.call_pooled(pool, pipeline).await,
        }
    }

    async fn call_shared(
        &self,
        client: &Client,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, CallError> {
        let mut current = self.connect(client).await?;
        let answer = self.send(&mut current.connection, pipeline).await;
        if answer.as_ref().is_err_and(|error| error.sent) {
            // Broken or stuck: others need not find that out one by one.
            self.forget(current.generation);
        }
        answer
    }

    #[cfg(feature = "deadpool")]
    async fn call_pooled(
        &self,
        pool: &deadpool_redis::Pool,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, CallError> {
        let unsent = |fault, source| CallError {
            fault,
            source,
            sent: false,
        };
        let mut connection = match tokio::time::timeout(self.call_timeout, pool.get()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(deadpool_redis::PoolError::Backend(error))) => {
                return Err(unsent(connection_fault(&error), Some(error)));
            }
            Ok(Err(_)) => return Err(unsent(Fault::Unreachable, None)),
            Err(_) => return Err(unsent(Fault::TimedOut(self.call_timeout), None)),
        };
        let answer = self.send(&mut connection, pipeline).await;
        if answer.is_err() {
            // Not back into the pool.
            drop(deadpool_redis::Connection::take(connection));
        }
        answer
    }

    async fn send(
        &self,
        connection: &mut MultiplexedConnection,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, CallError> {
        let answer = connection.req_packed_commands(pipeline, 0, pipeline.len());
        match tokio::time::timeout(self.call_timeout, answer).await {
            Ok(Ok(values)) => Ok(values),
            Ok(Err(error)) => Err(CallError {
                fault: connection_fault(&error),
                source: Some(error),
                sent: true,
            }),
            Err(_) => Err(CallError {
                fault: Fault::TimedOut(self.call_timeout),
                source: None,
                sent: true,
            }),
        }
    }

    fn current(&self) -> Option<Current> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn connect(&self, client: &Client) -> Result<Current, CallError> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let connecting = async {
            // One connects, the others wait for it.
            let _turn = self.connecting.lock().await;
            if let Some(current) = self.current() {
                return Ok(current);
            }
            let connection = client
                .get_multiplexed_async_connection_with_config(&config())
                .await?;
            let generation = self.generations.fetch_add(1, Ordering::Relaxed);
            let current = Current {
                connection,
                generation,
            };
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(current.clone());
            Ok(current)
        };
        match tokio::time::timeout(self.call_timeout, connecting).await {
            Ok(Ok(current)) => Ok(current),
            Ok(Err(error)) => {
                let error: RedisError = error;
                Err(CallError {
                    fault: connection_fault(&error),
                    source: Some(error),
                    sent: false,
                })
            }
            Err(_) => Err(CallError {
                fault: Fault::TimedOut(self.call_timeout),
                source: None,
                sent: false,
            }),
        }
    }

    fn forget(&self, generation: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current
            .as_ref()
            .is_some_and(|current| current.generation == generation)
        {
            *current = None;
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// Deadlines are our own: the client's would only come before or after them.
pub(crate) fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
}

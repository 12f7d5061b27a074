//! Connections: one multiplexed connection that all tasks share, or a pool that somebody else brought.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Pipeline, RedisError, Value,
    aio::{ConnectionLike as _, MultiplexedConnection},
};
use session_core::Fault;
use tokio::sync::Notify;

use crate::error::{CallError, connection_fault};

/// The way to one server. Reconnects by itself.
pub(crate) struct Link {
    source: Source,
    node: Arc<str>,
    call_timeout: Duration,
    // A std mutex: held to clone a handle, never across an await.
    current: Mutex<Option<Current>>,
    connecting: tokio::sync::Mutex<()>,
}

pub(crate) enum Source {
    Client(Box<Client>),
    #[cfg(feature = "deadpool")]
    Pool(deadpool_redis::Pool),
}

#[derive(Clone)]
struct Current {
    connection: MultiplexedConnection,
    broken: Arc<Broken>,
}

/// Tells everybody who waits on a connection that it broke. Its client can leave a request unanswered that was handed
/// over at that very moment, and would let it wait for its deadline.
#[derive(Default)]
struct Broken {
    is_broken: AtomicBool,
    changed: Notify,
}

impl Broken {
    fn set(&self) {
        self.is_broken.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    async fn is_set(&self) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        // Registered before the flag is read: a change in between is not missed.
        changed.as_mut().enable();
        if !self.is_broken.load(Ordering::Acquire) {
            changed.await;
        }
    }
}

impl Link {
    pub(crate) fn new(source: Source, node: Arc<str>, call_timeout: Duration) -> Self {
        Self {
            source,
            node,
            call_timeout,
            current: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
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
        let Current {
            mut connection,
            broken,
        } = self.connect(client).await?;
        let answer = tokio::select! {
            biased;
            answer = self.send(&mut connection, pipeline) => answer,
            () = broken.is_set() => Err(CallError { fault: Fault::Unreachable, source: None, sent: true }),
        };
        if let Err(error) = &answer
            && error.sent
        {
            // Broken or stuck: others need not find that out one by one.
            self.forget(&broken);
            if error.fault == Fault::Unreachable {
                broken.set();
            }
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
            let current = Current {
                connection,
                broken: Arc::default(),
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

    fn forget(&self, broken: &Arc<Broken>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(&current.broken, broken))
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
        .set_pipeline_buffer_size(1024)
}

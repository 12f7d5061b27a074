//! Getting a write to the server, whatever happens on the way.

use std::{sync::Arc, time::Duration};

use redis::{Pipeline, RedisError, Value};
use session_core::{Fault, StoreError};
use session_lock::Clock;

use crate::{
    error::{CallError, is_no_script, server_error},
    link::Link,
    scripts::{Answer, Scripts},
    server_time::ServerTime,
};

/// The server and what is needed to run scripts on it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) link: Link,
    pub(crate) scripts: Scripts,
    pub(crate) time: ServerTime,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a write whose fate is unknown is asked for.
    pub(crate) resolve_timeout: Duration,
}

/// The answer to a write.
pub(crate) struct Delivered {
    pub(crate) answer: Answer,
    /// Whether the same write may have reached the server before, in a copy that got no answer.
    pub(crate) again: bool,
}

/// A write that got no answer.
pub(crate) struct Undelivered {
    pub(crate) error: StoreError,
    /// Whether it may be stored all the same, now or later.
    pub(crate) unknown: bool,
}

impl Server {
    /// Sends a write until it is answered: the very same attempt, which the server executes at most once.
    ///
    /// The call of the script stands last in the pipeline. Gives up after a call timeout if nothing of it can have
    /// reached the server, else after the resolve timeout.
    pub(crate) async fn deliver(
        &self,
        action: &'static str,
        pipeline: &Pipeline,
    ) -> Result<Delivered, Undelivered> {
        let start = self.clock.now();
        let mut again = false;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.run(pipeline).await {
                Ok(answer) => return Ok(Delivered { answer, again }),
                Err(error) => error,
            };
            again |= error.sent;
            let limit = if again {
                self.resolve_timeout
            } else {
                self.link.call_timeout()
            };
            let over = start + limit;
            if self.clock.now() + pause >= over || !(error.is_passing() || error.sent) {
                let error = error.into_store_error(action, self.link.node());
                return Err(Undelivered {
                    error,
                    unknown: again,
                });
            }
            self.clock.sleep_until(self.clock.now() + pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Runs a pipeline whose last command is a script, and reads the script's answer. Loads the scripts if the
    /// server has lost them.
    pub(crate) async fn run(&self, pipeline: &Pipeline) -> Result<Answer, CallError> {
        let values = self.call(pipeline).await?;
        if let Some(Value::ServerError(error)) = values
            .iter()
            .find(|value| matches!(value, Value::ServerError(_)))
        {
            return Err(refused(server_error(error), Some(error.clone().into())));
        }
        let answer = values
            .last()
            .and_then(Answer::read)
            .ok_or_else(|| refused(Fault::Protocol, None))?;
        self.time.heard(answer.now);
        Ok(answer)
    }

    /// Runs a pipeline, and runs it again if the server has lost a script of it.
    pub(crate) async fn call(&self, pipeline: &Pipeline) -> Result<Vec<Value>, CallError> {
        let values = self.link.call(pipeline).await?;
        if !values
            .iter()
            .any(|value| matches!(value, Value::ServerError(error) if is_no_script(error)))
        {
            return Ok(values);
        }
        self.link.call(&self.scripts.spelled_out(pipeline)).await
    }
}

// The first pause is short: after a broken connection the next one usually works at once.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The server answered, and did nothing.
const fn refused(fault: Fault, source: Option<RedisError>) -> CallError {
    CallError {
        fault,
        source,
        sent: false,
    }
}

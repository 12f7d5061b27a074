//! Getting a write to the server, whatever happens on the way.

use std::{sync::Arc, time::Duration};

use redis::{RedisError, ServerError, Value};
use session_core::{Fault, StoreError};
use session_lock::{
    Clock,
    link::{Call, CallError, lost_script, server_error},
};

use crate::{
    keys::Prefix,
    scripts::{Answer, Current},
    server_time::ServerTime,
    way::Way,
};

/// The server and what is needed to run scripts on it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) way: Way,
    /// The number of the database, if it is known.
    pub(crate) database: Option<i64>,
    pub(crate) scripts: Current,
    pub(crate) time: ServerTime,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a write whose fate is unknown is asked for.
    pub(crate) resolve_timeout: Duration,
    /// Held by whoever gives the server its scripts again.
    pub(crate) reloading: tokio::sync::Mutex<()>,
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
    /// Where what stands under this prefix is; of a pool nobody knows.
    pub(crate) fn place(&self, prefix: &Prefix) -> Option<String> {
        let database = self.database?;
        Some(format!("{}/{database} {}", self.way.node(), prefix.text()))
    }

    /// `action` failed here.
    pub(crate) fn failed(&self, action: &'static str, error: CallError) -> StoreError {
        let failed = StoreError::new(action, self.way.node().to_owned(), error.fault);
        match error.source {
            Some(source) => failed.with_source(source),
            None => failed,
        }
    }

    /// The server answered with an error.
    pub(crate) fn fault(&self, action: &'static str, error: &ServerError) -> StoreError {
        let node = self.way.node().to_owned();
        StoreError::new(action, node, server_error(error))
            .with_source(RedisError::from(error.clone()))
    }

    /// The server answered something that cannot be understood.
    pub(crate) fn protocol(&self, action: &'static str) -> StoreError {
        StoreError::new(action, self.way.node().to_owned(), Fault::Protocol)
    }

    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let ping = || {
            let mut call = Call::default();
            call.add(redis::cmd("PING"));
            call
        };
        let answers = self.call(&ping).await;
        match &answers.map_err(|error| self.failed("ping", error))?[..] {
            [Value::ServerError(error)] => Err(self.fault("ping", error)),
            _ => Ok(()),
        }
    }

    /// Sends a write until it is answered: the very same attempt, which the server executes at most once.
    ///
    /// Gives up after a call timeout if nothing of it can have
    /// reached the server, else after the resolve timeout.
    pub(crate) async fn deliver(
        &self,
        action: &'static str,
        call: impl Fn() -> Call + Sync,
    ) -> Result<Delivered, Undelivered> {
        let start = self.clock.now();
        let mut again = false;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.run(&call).await {
                Ok(answer) => return Ok(Delivered { answer, again }),
                Err(error) => error,
            };
            again |= error.sent;
            let limit = if again {
                self.resolve_timeout
            } else {
                self.way.call_timeout()
            };
            let over = start + limit;
            if self.clock.now() + pause >= over || !(error.is_passing() || error.sent) {
                let error = self.failed(action, error);
                return Err(Undelivered {
                    error,
                    unknown: again,
                });
            }
            self.clock.sleep_until(self.clock.now() + pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Runs a call that ends with a script, and reads the script's answer.
    pub(crate) async fn run(&self, call: &(impl Fn() -> Call + Sync)) -> Result<Answer, CallError> {
        Ok(self.run_for_more(call).await?.0)
    }

    /// As [`run`](Self::run), and what the script answers beyond that.
    pub(crate) async fn run_for_more(
        &self,
        call: &(impl Fn() -> Call + Sync),
    ) -> Result<(Answer, Option<Value>), CallError> {
        let mut values = self.call(call).await?;
        if values.last() == Some(&Value::Nil) {
            // Not simple enough for the script that serves many at once.
            values = Box::pin(self.alone(call)).await?;
        }
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
        let more = match values.pop() {
            Some(Value::Array(parts)) => parts.into_iter().nth(Answer::PARTS),
            _ => None,
        };
        Ok((answer, more))
    }

    /// Runs a call that is joined with no other one.
    async fn alone(&self, call: &(impl Fn() -> Call + Sync)) -> Result<Vec<Value>, CallError> {
        let values = self.way.alone(call).await?;
        if !lost_script(&values) {
            return Ok(values);
        }
        self.spelled_out(call).await
    }

    /// Runs a call, and runs it again if the server has lost its script.
    pub(crate) async fn call(
        &self,
        call: &(impl Fn() -> Call + Sync),
    ) -> Result<Vec<Value>, CallError> {
        let values = self.way.join(call).await?;
        if !lost_script(&values) {
            return Ok(values);
        }
        Box::pin(self.spelled_out(call)).await
    }

    /// Runs a call that changes nothing: once more over a new connection if its own was broken, perhaps since long ago.
    pub(crate) async fn ask(
        &self,
        call: &(impl Fn() -> Call + Sync),
    ) -> Result<Vec<Value>, CallError> {
        match self.call(call).await {
            Err(error) if error.sent && error.fault == Fault::Unreachable => self.call(call).await,
            answers => answers,
        }
    }

    /// Runs a call with the text of its script. One of the callers gives the server all scripts again: those that serve
    /// many at once are never spelled out.
    async fn spelled_out(
        &self,
        call: &(impl Fn() -> Call + Sync),
    ) -> Result<Vec<Value>, CallError> {
        let one = self.reloading.try_lock();
        let scripts = one.is_ok().then(|| self.scripts.load_all());
        self.way.spelled_out(call, scripts).await
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

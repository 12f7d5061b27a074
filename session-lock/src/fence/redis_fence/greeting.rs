use std::sync::Arc;

use redis::{Pipeline, RedisError, Value};

use super::scripts::Scripts;
use crate::{
    Fault,
    link::{CallError, Greeting, ServerInfo, server_error},
};

/// What each new connection is asked: whether the server keeps what it is given.
#[derive(Debug)]
pub(super) struct Greeter {
    pub(super) scripts: Arc<Scripts>,
    pub(super) accepted_policy: Option<String>,
}

impl Greeting for Greeter {
    fn questions(&self) -> Pipeline {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("INFO");
        self.scripts.load(&mut pipeline);
        pipeline
    }

    /// A user of the server who may neither ask it nor load scripts is no misuse: scripts are sent along with their calls then.
    fn check(&self, answers: &[Value]) -> Result<(), CallError> {
        let Some(info) = answers.first() else {
            return Err(CallError::refused(Fault::Protocol));
        };
        if let Some(info) = ServerInfo::read(info) {
            let policy = self.accepted_policy.as_deref();
            info.check(policy).map_err(CallError::refused)?;
        }
        answers.iter().try_for_each(permitted)
    }
}

/// Fails unless the command was refused for want of permission.
fn permitted(answer: &Value) -> Result<(), CallError> {
    match answer {
        Value::ServerError(error) if error.code() != "NOPERM" => Err(CallError {
            fault: server_error(error),
            source: Some(RedisError::from(error.clone())),
            sent: false,
        }),
        _ => Ok(()),
    }
}

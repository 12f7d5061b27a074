//! Carried sessions that were ended before their time: one key for each, which lives as long as the session might have.

use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Value};
use session_core::{RevocationList, SessionHandle, StoreError};
use session_lock::link::{Call, CallError};

use crate::{RedisStore, delivery::Server, server_time::millis};

/// All processes with this store see the list. A server without room takes no entry: the session has not ended then.
#[async_trait]
impl RevocationList for RedisStore {
    async fn revoke(&self, session: &SessionHandle, keep: Duration) -> Result<(), StoreError> {
        let key = self.inner.prefix.ended(session);
        let call = || {
            let mut set = Cmd::with_capacity(5, key.len() + 32);
            set.arg("SET").arg(&key).arg("").arg("PX");
            set.arg(millis(keep).max(1));
            only(set)
        };
        let action = "note an ended session";
        let server = &self.inner.server;
        // The same command again does the same: a session has one end.
        match answer(server, action, server.ask(&call).await)? {
            Value::Okay => Ok(()),
            _ => Err(server.protocol(action)),
        }
    }

    async fn is_revoked(&self, session: &SessionHandle) -> Result<bool, StoreError> {
        let key = self.inner.prefix.ended(session);
        let call = || {
            let mut exists = Cmd::with_capacity(2, key.len() + 16);
            exists.arg("EXISTS").arg(&key);
            only(exists)
        };
        let action = "look for an ended session";
        let server = &self.inner.server;
        match answer(server, action, server.ask(&call).await)? {
            Value::Int(found) => Ok(found > 0),
            _ => Err(server.protocol(action)),
        }
    }
}

fn only(command: Cmd) -> Call {
    let mut call = Call::with_capacity(1);
    call.add(command);
    call
}

fn answer(
    server: &Server,
    action: &'static str,
    answers: Result<Vec<Value>, CallError>,
) -> Result<Value, StoreError> {
    let mut answers = answers.map_err(|error| server.failed(action, error))?;
    match answers.pop() {
        Some(Value::ServerError(error)) => Err(server.fault(action, &error)),
        Some(answer) => Ok(answer),
        None => Err(server.protocol(action)),
    }
}

//! Uses of limits: one key for each name, which lives as long as it matters.

use std::time::Duration;

use async_trait::async_trait;
use redis::Cmd;
use session_core::{Allowance, CountedName, Fault, Limit, StoreError, UseCounter};
use session_lock::link::{Call, Entry};

use crate::{
    RedisStore,
    scripts::{Answer, Code},
    server_time::millis,
};

/// All processes with this store count together, by the server's clock.
#[async_trait]
impl UseCounter for RedisStore {
    async fn take(&self, name: &CountedName, limit: &Limit) -> Result<Allowance, StoreError> {
        self.count(TAKE, name, limit).await
    }

    async fn give_back(&self, name: &CountedName, limit: &Limit) -> Result<(), StoreError> {
        self.count(GIVE_BACK, name, limit).await.map(drop)
    }

    async fn look(&self, name: &CountedName, limit: &Limit) -> Result<Allowance, StoreError> {
        self.count(LOOK, name, limit).await
    }

    async fn forget(&self, name: &CountedName) -> Result<(), StoreError> {
        let key = self.inner.prefix.limit(name);
        let call = || {
            let mut delete = Cmd::with_capacity(2, key.len() + 16);
            delete.arg("DEL").arg(&key);
            let mut call = Call::with_capacity(1);
            call.add(delete);
            call
        };
        let server = &self.inner.server;
        let action = "forget the uses of a limit";
        let answers = server.ask(&call).await;
        match answers
            .map_err(|error| server.failed(action, error))?
            .first()
        {
            Some(redis::Value::ServerError(error)) => Err(server.fault(action, error)),
            _ => Ok(()),
        }
    }
}

const TAKE: &[u8] = b"1";
const GIVE_BACK: &[u8] = b"-1";
const LOOK: &[u8] = b"0";

impl RedisStore {
    async fn count(
        &self,
        change: &[u8],
        name: &CountedName,
        limit: &Limit,
    ) -> Result<Allowance, StoreError> {
        let server = &self.inner.server;
        let key = self.inner.prefix.limit(name);
        let numbers = [
            u64::from(limit.uses()),
            millis(limit.window()),
            millis(limit.longest()),
        ];
        let [uses, window, longest] = numbers.map(|number| number.to_string());
        let args = [
            change,
            uses.as_bytes(),
            window.as_bytes(),
            longest.as_bytes(),
        ];
        let entry = Entry::new(&server.scripts.limit, &[key.as_bytes()], &args);
        let call = || entry.clone().into();
        let answer = match server.run(&call).await {
            // Its connection may have been broken since long ago. A use that is counted twice errs on the safe side.
            Err(error) if error.sent && error.fault == Fault::Unreachable => {
                server.run(&call).await
            }
            answer => answer,
        };
        let action = "count the uses of a limit";
        allowance(answer.map_err(|error| server.failed(action, error))?)
            .ok_or_else(|| server.protocol(action))
    }
}

fn allowance(answer: Answer) -> Option<Allowance> {
    let extra = u64::try_from(answer.extra).ok()?;
    match answer.code {
        Code::Done => Some(Allowance::Granted {
            left: u32::try_from(extra).ok()?,
        }),
        Code::Nothing => Some(Allowance::Refused {
            retry_after: Duration::from_millis(extra),
        }),
        _ => None,
    }
}

use std::{fmt, sync::Arc};

use redis::{Pipeline, PushInfo, PushKind, RedisError, Value};
use session_core::Fault;
use session_lock::link::{CallError, Greeting, Hearing, server_error};

use super::{Counts, count, entries::Entries};
use crate::{keys::session_of_record, sentinel::is_replica};

/// What keeps records current: the server tells on the connection on which it was asked for them that they were changed.
pub(super) struct Tracking {
    pub(super) entries: Arc<Entries>,
    pub(super) counts: Arc<Counts>,
}

impl Greeting for Tracking {
    fn questions(&self) -> Pipeline {
        let mut questions = Pipeline::new();
        questions.cmd("CLIENT").arg("TRACKING").arg("ON");
        questions.cmd("ROLE");
        questions
    }

    fn check(&self, answers: &[Value]) -> Result<(), CallError> {
        // What was read over another connection is not heard of any more.
        self.forget_all();
        match answers {
            [Value::ServerError(error), ..] => Err(CallError {
                fault: server_error(error),
                source: Some(RedisError::from(error.clone())),
                sent: false,
            }),
            [_, role] if is_replica(role) => Err(CallError::refused(Fault::ReadOnly)),
            _ => Ok(()),
        }
    }
}

impl Hearing for Tracking {
    fn heard(&self, PushInfo { kind, data }: PushInfo) {
        match (kind, &data[..]) {
            (PushKind::Invalidate, [Value::Array(keys)]) => {
                for key in keys.iter().filter_map(session) {
                    self.entries.forget(&key);
                    count(&self.counts.invalidations);
                }
            }
            // All keys are gone, or the connection is.
            (PushKind::Invalidate | PushKind::Disconnection, _) => self.forget_all(),
            _ => {}
        }
    }
}

impl Tracking {
    fn forget_all(&self) {
        self.entries.forget_all();
        count(&self.counts.resets);
    }
}

fn session(record: &Value) -> Option<session_core::SessionKey> {
    let Value::BulkString(record) = record else {
        return None;
    };
    session_of_record(str::from_utf8(record).ok()?)
}

impl fmt::Debug for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracking").finish_non_exhaustive()
    }
}

use std::{future::Future, time::Duration};

use session_core::{
    CommitError, Committed, Creation, Digest, Fault, RecordKind, SessionKey, StoreError,
};
use session_lock::{Clock, FencingToken, SystemClock};
use tokio_postgres::types::ToSql;

use super::{
    Effect, Look, PostgresRecords, Written,
    row::{head, revision},
};
use crate::{
    number::{key_bytes, ms, token_number},
    postgres::CallError,
};

/// The answer to a write.
pub(super) struct Delivered<T> {
    pub(super) answer: T,
    /// An earlier copy of the same write that may have been executed, and got no answer.
    pub(super) lost: Option<Undelivered>,
}

/// A write that got no answer.
pub(super) struct Undelivered {
    pub(super) error: StoreError,
    /// Whether it may be executed all the same, now or later.
    unknown: bool,
}

impl From<Undelivered> for CommitError {
    fn from(undelivered: Undelivered) -> Self {
        if undelivered.unknown {
            Self::Unknown(undelivered.error)
        } else {
            Self::Store(undelivered.error)
        }
    }
}

// The first pause is short: after a broken connection the next one usually works at once.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

impl PostgresRecords {
    /// Sends a write until it is answered: the very same attempt, which finds its own traces if it was executed before.
    ///
    /// Gives up after a call timeout if nothing of it can have reached the server, else after the resolve timeout.
    pub(super) async fn deliver<T, F>(
        &self,
        write: impl Fn() -> F,
    ) -> Result<Delivered<T>, Undelivered>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let clock = SystemClock;
        let start = clock.now();
        let mut lost = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let failed = match write().await {
                Ok(answer) => return Ok(Delivered { answer, lost }),
                Err(failed) => failed,
            };
            let unknown = failed.sent || lost.is_some();
            let limit = if unknown {
                self.inner.resolve_timeout
            } else {
                self.postgres().limit()
            };
            let passes = failed.sent || is_passing(failed.error.fault());
            let undelivered = Undelivered {
                error: failed.error,
                unknown,
            };
            if clock.now() + pause >= start + limit || !passes {
                return Err(undelivered);
            }
            if unknown {
                lost = Some(undelivered);
            }
            clock.sleep_until(clock.now() + pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    pub(super) async fn create_anonymous(
        &self,
        key: &SessionKey,
        creation: Creation,
    ) -> Result<Committed, CommitError> {
        let action = "store a new session";
        let attempt = self.next_attempt();
        let mut header = creation.header;
        header.idle_timeout = creation.timeouts.idle();
        header.digest = Digest::default();
        header.digest.note(attempt);
        let (params, head, body) = (key_bytes(key), head(&header), &creation.body[..]);
        let (absolute, idle) = (ms(creation.timeouts.absolute()), ms(header.idle_timeout));
        let (nobody, no_labels): (Option<&[u8]>, &[u8]) = (None, &[]);
        let create = async || {
            let sql = include_str!("../../sql/record_create.sql");
            let params: [&(dyn ToSql + Sync); 7] =
                [&params, &head, &body, &absolute, &idle, &nobody, &no_labels];
            let rows = self.execute(action, Effect::Write, sql, &params).await?;
            match rows.first() {
                Some(row) => Ok(Written::Done(revision(row))),
                None => self.look(action, key).await.map(Written::Refused),
            }
        };
        let delivered = self.deliver(create).await?;
        match (delivered.answer, delivered.lost) {
            (Written::Done(revision), _) => Ok(Committed {
                revision,
                commit_id: header.commit_id,
            }),
            (Written::Refused(Look::Unreadable(error)), _) => Err(error.into()),
            (Written::Refused(_), None) => Err(CommitError::Conflict),
            // Nobody else knows the ID: what stands there is ours, or has become of it.
            (Written::Refused(look), Some(lost)) => {
                look.resolve(attempt, CommitError::Conflict, &lost)
            }
        }
    }

    /// A statement that the holder of a token may execute on a live session. If it may not: why, and whether an earlier
    /// copy of it may have been executed.
    pub(super) async fn under_token(
        &self,
        action: &'static str,
        effect: Effect,
        sql: &str,
        key: &SessionKey,
        token: FencingToken,
        more: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<(CommitError, bool)>, Undelivered> {
        let (bytes, number) = (key_bytes(key), token_number(token));
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&bytes, &number];
        params.extend(more);
        let write = async || {
            let rows = self.execute(action, effect, sql, &params).await?;
            if !rows.is_empty() {
                return Ok(None);
            }
            self.look(action, key).await.map(Some)
        };
        let delivered = self.deliver(write).await?;
        let again = delivered.lost.is_some();
        let look = delivered.answer;
        Ok(look.map(|look| (look.refusal(token), again)))
    }
}

impl Look {
    /// Whether the very version stands there that is called so.
    pub(super) fn is_version(&self, identity: &[u8]) -> bool {
        match self {
            Self::Found(found) => {
                found.header.kind == RecordKind::Live && head(&found.header).starts_with(identity)
            }
            _ => false,
        }
    }
}

/// Whether the server may take a write in a moment that it has not got.
fn is_passing(fault: &Fault) -> bool {
    matches!(fault, Fault::Unreachable | Fault::Loading)
}

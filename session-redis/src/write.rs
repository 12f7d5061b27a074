//! Writes as they go over the wire, and what their answers mean to the caller.

use std::{io::Write as _, sync::Arc};

use bytes::Bytes;
use redis::{Cmd, RedisWrite, ToRedisArgs, ToSingleRedisArg};
use session_core::{
    Attempt, BadRecord, CommitError, CommitId, Committed, FILLED_AT_CREATION, HEADER_MAX, Header,
    RecordError, Revision, SessionKey, StoreError, StoreTime, Write,
};
use session_lock::{
    LossCause,
    link::{Call, Entry, Routine},
};

use crate::{
    delivery::{Delivered, Undelivered},
    keys::Prefix,
    scripts::Code,
};

/// An encoded record, and how much of it the server fills in.
pub(crate) struct Encoded {
    head: Vec<u8>,
    body: Bytes,
    filled_in: usize,
}

impl Encoded {
    /// A new version. Its revision is the one that the server would give it, as far as one can tell here; the server
    /// corrects it if another has come in between.
    pub(crate) fn version(write: Write, attempt: Attempt, now: StoreTime) -> Self {
        let mut header = write.header;
        header.revision = header.revision.next(now);
        Self::new(header, write.body, attempt, 0)
    }

    /// A first version: the server sets its revision, the time of its creation and its absolute end.
    pub(crate) fn first(header: Header, body: Bytes, attempt: Attempt) -> Self {
        Self::new(header, body, attempt, FILLED_AT_CREATION)
    }

    fn new(mut header: Header, body: Bytes, attempt: Attempt, filled_in: usize) -> Self {
        header.digest.note(attempt);
        let mut head = Vec::with_capacity(HEADER_MAX);
        header.encode(&mut head);
        Self {
            head,
            body,
            filled_in,
        }
    }

    const fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

impl ToRedisArgs for Encoded {
    fn write_redis_args<W: RedisWrite + ?Sized>(&self, out: &mut W) {
        let mut argument = out.writer_for_next_arg();
        for part in [&self.head[..], &self.body] {
            argument
                .write_all(part)
                .expect("memory takes all that is written");
        }
    }
}

impl ToSingleRedisArg for Encoded {}

// Above this, handing a value through Lua costs more than a command of its own (2 µs per KiB and direction).
const STAGE_ABOVE: usize = 1536;
// Far longer than a flight; a stage that its script never saw goes away by itself.
const STAGE_TTL_MS: u64 = 10_000;

/// A write, ready to be sent as often as needed: the script, and for a large record the stage before it.
pub(crate) struct Flight {
    entry: Entry,
    stage: Option<(String, Encoded)>,
}

impl Flight {
    pub(crate) fn new(
        script: &Arc<Routine>,
        keys: &[&[u8]],
        args: &[&[u8]],
        record: Encoded,
        stage: impl FnOnce() -> String,
    ) -> Self {
        let head = &record.head[record.filled_in..];
        if record.len() <= STAGE_ABOVE {
            return Self {
                entry: Entry::continued(script, keys, &[args, &[head]].concat(), &record.body),
                stage: None,
            };
        }
        let (stage, args) = (stage(), [args, &[head]].concat());
        Self {
            entry: Entry::new(script, &[keys, &[stage.as_bytes()]].concat(), &args),
            stage: Some((stage, record)),
        }
    }

    pub(crate) fn call(&self) -> Call {
        let mut call = Call::default();
        if let Some((stage, record)) = &self.stage {
            let mut set = Cmd::with_capacity(5, stage.len() + record.len() + 16);
            set.arg("SET").arg(stage).arg(record);
            set.arg("PX").arg(STAGE_TTL_MS);
            call.add(set);
            call = call.carrying(record.len());
        }
        call.then(self.entry.clone())
    }
}

/// Where a large record of this attempt is staged.
pub(crate) fn stage<'a>(
    prefix: &'a Prefix,
    key: &'a SessionKey,
    attempt: Attempt,
) -> impl FnOnce() -> String + 'a {
    move || prefix.stage(key, attempt)
}

/// A version that is stored.
pub(crate) fn as_version(commit_id: CommitId) -> impl FnOnce(Revision) -> Committed {
    move |revision| Committed {
        revision,
        commit_id,
    }
}

/// What the answer to a write means: under which revision it is stored.
pub(crate) fn outcome(
    key: &SessionKey,
    delivered: Result<Delivered, Undelivered>,
    protocol: impl Fn() -> StoreError,
) -> Result<Revision, CommitError> {
    let Delivered { answer, again } = delivered.map_err(|undelivered| match undelivered {
        Undelivered {
            error,
            unknown: true,
        } => CommitError::Unknown(error),
        Undelivered {
            error,
            unknown: false,
        } => CommitError::Store(error),
    })?;
    let error = match answer.code {
        Code::Done | Code::DoneBefore => {
            return Ok(Revision(answer.extra.unsigned_abs()));
        }
        Code::NoRecord | Code::Expired => CommitError::Expired,
        Code::Ended => CommitError::Destroyed,
        Code::NotOwner => CommitError::LeaseLost {
            cause: LossCause::Gone,
        },
        Code::OtherVersion => CommitError::Conflict,
        Code::Locked => CommitError::LockHeld,
        Code::WrongType => CommitError::Record(RecordError::new(key, BadRecord::WrongType)),
        Code::Unreadable => CommitError::Record(RecordError::new(key, BadRecord::Unreadable)),
        Code::Rotated => CommitError::Rotated,
        Code::Superseded => CommitError::Superseded,
        Code::UserDisabled => CommitError::UserDisabled,
        Code::TooManySessions => CommitError::TooManySessions { limit: 0 },
        Code::NoStage | Code::Nothing | Code::ForeignLock => CommitError::Store(protocol()),
    };
    // An earlier copy may have been stored, and others have gone on from there since.
    if again && answer.extra == 1 {
        Err(CommitError::Unknown(protocol()))
    } else {
        Err(error)
    }
}

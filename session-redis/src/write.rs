//! Writes as they go over the wire, and what their answers mean to the caller.

use redis::Pipeline;
use session_core::{
    Attempt, BadRecord, CommitError, Committed, FILLED_AT_CREATION, HEADER_MAX, Header,
    RecordError, Revision, SessionKey, StoreError, StoreTime, Write,
};
use session_lock::LossCause;

use crate::{
    delivery::{Delivered, Undelivered},
    keys::{Keys, Prefix},
    scripts::{Code, Script},
};

/// An encoded record, and how much of it the server fills in.
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    filled_in: usize,
}

impl Encoded {
    /// A new version. Its revision is the one that the server would give it, as far as one can tell here; the server
    /// corrects it if another has come in between.
    pub(crate) fn version(write: Write, attempt: Attempt, now: StoreTime) -> Self {
        let mut header = write.header;
        header.revision = header.revision.next(now);
        Self::new(header, &write.body, attempt, 0)
    }

    /// A first version: the server sets its revision, the time of its creation and its absolute end.
    pub(crate) fn first(header: Header, body: &[u8], attempt: Attempt) -> Self {
        Self::new(header, body, attempt, FILLED_AT_CREATION)
    }

    fn new(mut header: Header, body: &[u8], attempt: Attempt, filled_in: usize) -> Self {
        header.digest.note(attempt);
        let mut bytes = Vec::with_capacity(HEADER_MAX + body.len());
        header.encode(&mut bytes);
        bytes.extend_from_slice(body);
        Self { bytes, filled_in }
    }
}

// Above this, handing a value through Lua costs more than a command of its own (2 µs per KiB and direction).
const STAGE_ABOVE: usize = 1536;
// Far longer than a flight; a stage that its script never saw goes away by itself.
const STAGE_TTL_MS: u64 = 10_000;

/// Builds the flight of a write: the script, and for a large record the stage before it.
pub(crate) fn flight(
    script: &Script,
    keys: &[&str],
    args: &[&[u8]],
    record: &Encoded,
    stage: impl FnOnce() -> String,
) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(2);
    let Encoded { bytes, filled_in } = record;
    if bytes.len() <= STAGE_ABOVE {
        script.call(
            &mut pipeline,
            keys,
            &[args, &[&bytes[*filled_in..]]].concat(),
        );
        return pipeline;
    }
    let (stage, length) = (stage(), bytes.len().to_string());
    pipeline
        .cmd("SET")
        .arg(&stage)
        .arg(bytes)
        .arg("PX")
        .arg(STAGE_TTL_MS);
    let (head, keys) = (&bytes[*filled_in..HEADER_MAX], [keys, &[&*stage]].concat());
    script.call(
        &mut pipeline,
        &keys,
        &[args, &[head, length.as_bytes()]].concat(),
    );
    pipeline
}

/// All keys of a session, in the order that scripts want them.
pub(crate) fn all(keys: &Keys) -> [&str; 3] {
    [&keys.record, &keys.lock, &keys.queue]
}

/// Where a large record of this attempt is staged.
pub(crate) fn stage<'a>(
    prefix: &'a Prefix,
    key: &'a SessionKey,
    attempt: Attempt,
) -> impl FnOnce() -> String + 'a {
    move || prefix.stage(key, attempt)
}

/// What the answer to a write means.
pub(crate) fn outcome(
    key: &SessionKey,
    delivered: Result<Delivered, Undelivered>,
    protocol: impl Fn() -> StoreError,
) -> Result<Committed, CommitError> {
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
            let revision = Revision(answer.extra.unsigned_abs());
            return Ok(Committed { revision });
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
        Code::NoStage | Code::Nothing | Code::ForeignLock => CommitError::Store(protocol()),
    };
    // An earlier copy may have been stored, and others have gone on from there since.
    if again && answer.extra == 1 {
        Err(CommitError::Unknown(protocol()))
    } else {
        Err(error)
    }
}

//! Writes as they go over the wire, and what their answers mean to the caller.

use redis::Pipeline;
use session_core::{
    Attempt, BadRecord, CommitError, Committed, Header, REVISION_AT, RecordError, Revision,
    SessionKey, StoreError, Write,
};
use session_lock::LossCause;

use crate::{
    delivery::{Delivered, Undelivered},
    keys::{Keys, Prefix},
    scripts::{Code, Script},
    server_time::millis,
};

/// An encoded record, and where its parts are that the server fills in.
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    /// From where on the script leaves the record as it is.
    rest: usize,
}

impl Encoded {
    /// A new version: the server sets its revision.
    pub(crate) fn version(write: &Write, attempt: Attempt) -> Self {
        Self::new(write.header.clone(), &write.body, attempt, REVISION_AT + 8)
    }

    /// A first version: the server sets its revision, the time of its creation and its absolute end.
    pub(crate) fn first(header: Header, body: &[u8], attempt: Attempt) -> Self {
        Self::new(header, body, attempt, REVISION_AT + 24)
    }

    fn new(mut header: Header, body: &[u8], attempt: Attempt, rest: usize) -> Self {
        header.digest.note(attempt);
        let mut bytes = Vec::with_capacity(session_core::HEADER_MAX + body.len());
        header.encode(&mut bytes);
        bytes.extend_from_slice(body);
        Self { bytes, rest }
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
    let mut args = args.to_vec();
    if record.bytes.len() <= STAGE_ABOVE {
        args.extend([&record.bytes[..REVISION_AT], &record.bytes[record.rest..]]);
        script.call(&mut pipeline, keys, &args);
        return pipeline;
    }
    let (stage, length) = (stage(), record.bytes.len().to_string());
    pipeline
        .cmd("SET")
        .arg(&stage)
        .arg(&record.bytes)
        .arg("PX")
        .arg(STAGE_TTL_MS);
    let keys: Vec<&str> = keys.iter().copied().chain([&*stage]).collect();
    args.push(length.as_bytes());
    script.call(&mut pipeline, &keys, &args);
    pipeline
}

/// The timeouts of a record as arguments: idle timeout, absolute end.
pub(crate) fn lifetime(header: &Header) -> [String; 2] {
    [
        millis(header.idle_timeout).to_string(),
        header.absolute_end.as_millis().to_string(),
    ]
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

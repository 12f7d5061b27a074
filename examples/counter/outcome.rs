use std::time::Duration;

use latchkey::{AcquireError, CommitError, Fault, ReadError, StoreError, ValueError, WithError};

/// What the store said of one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is stored. `wait` is the time from asking for the session to having it; in mode update, of the whole round.
    Acknowledged { wait: Duration },
    /// It may be stored or not.
    Unknown,
    /// It is not stored.
    Failed(Failure),
}

/// Why a round is not stored. The discriminant is its code in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Failure {
    WaitTimeout,
    Busy,
    NoSession,
    LeaseLost,
    Conflict,
    LockHeld,
    Destroyed,
    Expired,
    BadRecord,
    BadValue,
    Unreachable,
    TimedOut,
    Loading,
    ReadOnly,
    Full,
    Denied,
    Unsuitable,
    Protocol,
    Other,
}

impl Failure {
    /// All of them, in the order of their codes.
    pub(crate) const ALL: [Self; 19] = [
        Self::WaitTimeout,
        Self::Busy,
        Self::NoSession,
        Self::LeaseLost,
        Self::Conflict,
        Self::LockHeld,
        Self::Destroyed,
        Self::Expired,
        Self::BadRecord,
        Self::BadValue,
        Self::Unreachable,
        Self::TimedOut,
        Self::Loading,
        Self::ReadOnly,
        Self::Full,
        Self::Denied,
        Self::Unsuitable,
        Self::Protocol,
        Self::Other,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::WaitTimeout => "wait_timeout",
            Self::Busy => "busy",
            Self::NoSession => "no_session",
            Self::LeaseLost => "lease_lost",
            Self::Conflict => "conflict",
            Self::LockHeld => "lock_held",
            Self::Destroyed => "destroyed",
            Self::Expired => "expired",
            Self::BadRecord => "bad_record",
            Self::BadValue => "bad_value",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Loading => "loading",
            Self::ReadOnly => "read_only",
            Self::Full => "full",
            Self::Denied => "denied",
            Self::Unsuitable => "unsuitable",
            Self::Protocol => "protocol",
            Self::Other => "other",
        }
    }
}

/// Why a round is not acknowledged. All errors of the library end here.
pub(crate) enum NotStored {
    /// The store gave no answer.
    Perhaps,
    For(Failure),
}

impl From<Failure> for NotStored {
    fn from(failure: Failure) -> Self {
        Self::For(failure)
    }
}

impl From<AcquireError> for NotStored {
    fn from(error: AcquireError) -> Self {
        Self::For(match error {
            AcquireError::NoSession => Failure::NoSession,
            AcquireError::Held { .. } => Failure::WaitTimeout,
            AcquireError::Busy { .. } => Failure::Busy,
            AcquireError::Record(_) => Failure::BadRecord,
            AcquireError::Store(error) => error.into(),
            _ => Failure::Other,
        })
    }
}

impl From<ReadError> for NotStored {
    fn from(error: ReadError) -> Self {
        AcquireError::from(error).into()
    }
}

impl From<CommitError> for NotStored {
    fn from(error: CommitError) -> Self {
        Self::For(match error {
            CommitError::Unknown(_) => return Self::Perhaps,
            CommitError::LeaseLost { .. } => Failure::LeaseLost,
            CommitError::Conflict => Failure::Conflict,
            CommitError::LockHeld => Failure::LockHeld,
            CommitError::Destroyed => Failure::Destroyed,
            CommitError::Expired => Failure::Expired,
            CommitError::Record(_) => Failure::BadRecord,
            CommitError::Store(error) => error.into(),
            _ => Failure::Other,
        })
    }
}

impl From<ValueError> for NotStored {
    fn from(_: ValueError) -> Self {
        Self::For(Failure::BadValue)
    }
}

impl From<WithError<ValueError>> for NotStored {
    fn from(error: WithError<ValueError>) -> Self {
        match error {
            WithError::Acquire(error) => error.into(),
            WithError::Body(error) => error.into(),
            WithError::Commit(error) => error.into(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error.fault() {
            Fault::Unreachable => Self::Unreachable,
            Fault::TimedOut(_) => Self::TimedOut,
            Fault::Loading => Self::Loading,
            Fault::ReadOnly => Self::ReadOnly,
            Fault::Full => Self::Full,
            Fault::Denied => Self::Denied,
            Fault::Unsuitable(_) => Self::Unsuitable,
            Fault::Protocol => Self::Protocol,
            _ => Self::Other,
        }
    }
}

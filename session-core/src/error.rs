use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc, time::Duration};

use session_lock::{Fault, LossCause};

use crate::{
    CommitCarriedError, CommitReport, LoadCarriedError, RecordError, data::ValueError,
    lifetime::ConfigError,
};

type Source = Box<dyn StdError + Send + Sync>;

/// A store could not do what it was asked for: a fault of the server, the network or the set-up.
///
/// Says what was attempted, on which node, what was found, and what to do. Keeps its cause.
#[derive(Clone, Debug)]
pub struct StoreError {
    action: &'static str,
    node: Cow<'static, str>,
    fault: Fault,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// `action` (as in "load a session") failed on `node` with `fault`.
    pub fn new(action: &'static str, node: impl Into<Cow<'static, str>>, fault: Fault) -> Self {
        Self {
            action,
            node: node.into(),
            fault,
            source: None,
        }
    }

    /// The same error with the cause below it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// What was found.
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The node that was asked, without credentials.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Whether trying again can succeed without anybody changing the set-up.
    pub const fn is_retryable(&self) -> bool {
        self.fault.is_retryable()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "could not {} on {}: {}",
            self.action, self.node, self.fault
        )
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// A session could not be locked. Nothing is held and nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// There is no such session: never stored, expired, or ended.
    #[error("there is no such session")]
    NoSession,
    /// Others held the session until the wait timeout passed.
    #[error("the session is locked by another holder; waited {waited:?}, {ahead} ahead")]
    Held {
        /// How long the caller waited.
        waited: Duration,
        /// How many were to have it before the caller, as far as it could tell: callers in this process, and other
        /// processes.
        ahead: usize,
    },
    /// More callers wait for this session than allowed.
    #[error("{waiting} callers wait for this session already")]
    Busy {
        /// How many wait.
        waiting: usize,
    },
    /// This task holds the session already; waiting for itself would never end.
    #[error("this task holds the session already")]
    AlreadyHeld,
    /// The session has a new ID: the answer to the request that changed it brought the new cookie. Try again with that.
    #[error("the session has a new ID; try again with the new cookie")]
    Rotated,
    /// The stored record cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// [`Sessions::shutdown`](crate::Sessions::shutdown) was called.
    #[error("the session store is shut down")]
    ShutDown,
}

impl AcquireError {
    /// Whether waiting and trying again can succeed without any change by the caller.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Held { .. } | Self::Busy { .. } | Self::Rotated => true,
            Self::Store(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// A session could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The stored record cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// [`Sessions::shutdown`](crate::Sessions::shutdown) was called.
    #[error("the session store is shut down")]
    ShutDown,
}

impl ReadError {
    /// Whether waiting and trying again can succeed without any change by the caller.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_retryable())
    }
}

impl From<ReadError> for AcquireError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Record(error) => Self::Record(error),
            ReadError::Store(error) => Self::Store(error),
            ReadError::ShutDown => Self::ShutDown,
        }
    }
}

/// Changes of a session could not be committed.
///
/// Except for [`Unknown`](Self::Unknown) and [`SecondaryFailed`](Self::SecondaryFailed), nothing was written and nothing of
/// it will be written later.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The lease was lost before the write.
    #[error("the lease was lost before the commit: {cause}")]
    LeaseLost {
        /// How it was lost.
        cause: LossCause,
    },
    /// The record is not the one that was loaded.
    #[error("the session was changed by somebody else since it was loaded")]
    Conflict,
    /// The session was ended meanwhile: logged out, revoked.
    #[error("the session was ended meanwhile")]
    Destroyed,
    /// The session is over: its idle or absolute timeout has passed.
    #[error("the session has expired")]
    Expired,
    /// The session is locked, and this write does not hold the lock.
    #[error("the session is locked by a holder")]
    LockHeld,
    /// The session has a new ID: the answer to the request that changed it brought the new cookie. Try again with that.
    #[error("the session has a new ID; try again with the new cookie")]
    Rotated,
    /// All sessions of the user were revoked since the login began. Begin the login again, with the credentials.
    #[error("the user's sessions were revoked since this login began")]
    Superseded,
    /// The user is disabled.
    #[error("the user is disabled")]
    UserDisabled,
    /// The user has as many sessions as allowed.
    #[error("the user has {limit} sessions already")]
    TooManySessions {
        /// How many are allowed.
        limit: u32,
    },
    /// The record would be larger than allowed.
    #[error("the record has {size} bytes, allowed are {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The stored record cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store failed before the write; nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store gave no answer: the changes may or may not be stored. Load the session again before acting on it.
    #[error("it is not known whether the changes are stored")]
    Unknown(#[source] StoreError),
    /// The changes are stored, and a required secondary does not have them yet. It gets them later: do not repeat.
    #[error(
        "the changes are stored, but a required secondary does not have them yet; do not repeat"
    )]
    SecondaryFailed {
        /// What the commit did, and how far it came at each secondary.
        report: Box<CommitReport>,
    },
    /// [`Sessions::shutdown`](crate::Sessions::shutdown) was called.
    #[error("the session store is shut down")]
    ShutDown,
}

impl CommitError {
    /// Whether the changes may be stored all the same.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// Whether the changes are stored.
    pub const fn is_committed(&self) -> bool {
        matches!(self, Self::SecondaryFailed { .. })
    }

    /// Whether loading the session again and repeating the change can succeed without any change by the caller.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::LeaseLost { .. } | Self::Conflict | Self::LockHeld | Self::Rotated => true,
            Self::Store(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// A session could not be ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DestroyError {
    /// The stored record is not ours to end.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store failed; the session may live on. Ending it again is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A login could not begin, or could not be bound to a session. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The user ID is empty or too long.
    #[error(transparent)]
    InvalidUserId(#[from] crate::InvalidUserId),
    /// What is to be known of the user cannot be stored.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The labels are too long.
    #[error(transparent)]
    Labels(#[from] crate::LabelsTooLong),
    /// The ticket was given out for the login of another user.
    #[error("the ticket belongs to the login of another user")]
    OtherUsersTicket,
    /// The user is disabled.
    #[error("the user is disabled")]
    Disabled,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// [`Sessions::shutdown`](crate::Sessions::shutdown) was called.
    #[error("the session store is shut down")]
    ShutDown,
}

/// A scoped use of a session failed: at its beginning, in its body, or at its end.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three steps of a scope are all there are"
)]
pub enum WithError<E> {
    /// The session could not be locked; the body did not run.
    #[error("could not lock the session")]
    Acquire(#[source] AcquireError),
    /// The body failed; its changes were discarded.
    #[error("the body failed")]
    Body(E),
    /// The body succeeded, its changes could not be committed.
    #[error("could not commit the session")]
    Commit(#[source] CommitError),
}

/// Any error of this library, for callers that pass errors on with `?`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// See [`AcquireError`].
    #[error("could not lock the session")]
    Acquire(#[from] AcquireError),
    /// See [`ReadError`].
    #[error("could not read the session")]
    Read(#[from] ReadError),
    /// See [`CommitError`].
    #[error("could not commit the session")]
    Commit(#[from] CommitError),
    /// See [`DestroyError`].
    #[error("could not end the session")]
    Destroy(#[from] DestroyError),
    /// See [`ValueError`].
    #[error(transparent)]
    Value(#[from] ValueError),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
    /// See [`ConfigError`].
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// See [`InvalidSessionId`](crate::InvalidSessionId).
    #[error(transparent)]
    InvalidSessionId(#[from] crate::InvalidSessionId),
    /// See [`InvalidUserId`](crate::InvalidUserId).
    #[error(transparent)]
    InvalidUserId(#[from] crate::InvalidUserId),
    /// See [`LoginError`].
    #[error("could not log in")]
    Login(#[from] LoginError),
    /// See [`LoadCarriedError`].
    #[error("could not read the session that the client carries")]
    LoadCarried(#[from] LoadCarriedError),
    /// See [`CommitCarriedError`].
    #[error("could not make the record that the client is to carry")]
    CommitCarried(#[from] CommitCarriedError),
}

impl From<WithError<Self>> for Error {
    fn from(error: WithError<Self>) -> Self {
        match error {
            WithError::Acquire(error) => Self::Acquire(error),
            WithError::Body(error) => error,
            WithError::Commit(error) => Self::Commit(error),
        }
    }
}

/// The result of whatever can fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

use serde::{Deserialize, Serialize};

/// Nanoseconds on a clock that all processes of the machine share.
pub type Nanos = u64;

/// What is written is written once: a value names its write.
pub type Value = u64;

/// One operation of a client on one session, from its call to its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what there is to know of it")]
pub struct Op {
    /// The process that called: another one after a restart.
    pub process: u64,
    /// Which of its tasks.
    pub client: u64,
    /// The session, through all of its IDs; 0 for what concerns many.
    pub session: u64,
    /// When it was called.
    pub invoked: Nanos,
    /// When it was answered; `None` if its process was killed before.
    pub returned: Option<Nanos>,
    /// What it was to do, and what it saw.
    pub action: Action,
    /// What it was told.
    pub outcome: Outcome,
    /// The revision that it was told.
    pub revision: Option<u64>,
}

/// What an operation does to a session. IDs are numbers here: the real ones are secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the check matches on all of them")]
pub enum Action {
    /// Stores a new session.
    Create {
        /// Its ID.
        id: u64,
        /// Its first value.
        write: Value,
        /// Timeouts of its own.
        life: Option<Life>,
    },
    /// Replaces a value, under the lock or by `update`.
    Change {
        /// Through this ID.
        id: u64,
        /// The value that it was shown; `None` if it is not known.
        read: Option<Value>,
        /// The new one.
        write: Value,
    },
    /// Gives the session another ID, and a value.
    Rotate {
        /// Through this ID.
        id: u64,
        /// The new one.
        to: u64,
        /// The value that it was shown.
        read: Value,
        /// The new one.
        write: Value,
    },
    /// Binds the session to a user under another ID, and gives it a value.
    Login {
        /// Through this ID.
        id: u64,
        /// The new one.
        to: u64,
        /// The value that it was shown.
        read: Value,
        /// The new one.
        write: Value,
        /// Who.
        user: u64,
        /// When the login's ticket had been issued, if it has one.
        ticket: Option<Nanos>,
    },
    /// Ends the session under its lock.
    End {
        /// Through this ID.
        id: u64,
        /// The value that it was shown.
        read: Value,
    },
    /// Ends the session, whoever holds it.
    Destroy {
        /// Through this ID.
        id: u64,
    },
    /// Ends all sessions of a user.
    RevokeAll {
        /// Whose.
        user: u64,
    },
    /// Looks at the session.
    Read {
        /// Through this ID.
        id: u64,
        /// What it saw; `None` as long as it has not been answered.
        seen: Option<Seen>,
        /// How old that may be, in nanoseconds.
        staleness: Nanos,
    },
    /// Locks the session; whoever gets it goes on with another operation.
    Lock {
        /// Through this ID.
        id: u64,
        /// What it was told; `None` as long as it has not been answered.
        told: Option<Told>,
    },
}

/// Timeouts of a session, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "both are needed")]
pub struct Life {
    /// It may end when it was not used for so long.
    pub idle: Nanos,
    /// It ends after so long.
    pub absolute: Nanos,
}

/// What a read saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the check matches on all of them")]
pub enum Seen {
    /// The session with this value.
    Current(Value),
    /// The same, through an ID that it had before.
    Former(Value),
    /// No session.
    Nothing,
}

/// What a caller was told who wanted a lock, or who lost a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the check matches on all of them")]
pub enum Told {
    /// It has the lock.
    Granted,
    /// There is no such session.
    Absent,
    /// The session has another ID.
    Moved,
    /// Something failed.
    Failed,
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the check matches on all of them")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was surely not done.
    Failed,
    /// It may have been done, or be done later.
    Unknown,
}

/// A time in which a guard was sure to hold its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "what there is to know of it")]
pub struct Hold {
    /// The process of the guard.
    pub process: u64,
    /// Its task.
    pub client: u64,
    /// The session.
    pub session: u64,
    /// The first moment at which its lease said that it is valid.
    pub from: Nanos,
    /// The last such moment before its end.
    pub until: Nanos,
    /// Whether it was told at its end that the store failed, so that nothing of it counts. A guard of a cohort learns that a
    /// save before it has failed when the answer comes, and others may have the lock by that time.
    pub void: bool,
}

impl Action {
    /// The value that it replaces, if that is known, and the one that it writes.
    pub(crate) const fn writes(&self) -> Option<(Option<Value>, Value)> {
        match self {
            Self::Create { write, .. } => Some((None, *write)),
            Self::Change { read, write, .. } => Some((*read, *write)),
            Self::Rotate { read, write, .. } | Self::Login { read, write, .. } => {
                Some((Some(*read), *write))
            }
            _ => None,
        }
    }

    /// Whether it changes nothing, whatever becomes of it.
    pub(crate) const fn is_pure(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Lock { .. })
    }

    /// The value that it shows the session to have had, and whether through an ID of before.
    pub(crate) const fn saw(&self) -> Option<(Value, bool)> {
        match self {
            Self::Read {
                seen: Some(Seen::Current(value)),
                ..
            } => Some((*value, false)),
            Self::Read {
                seen: Some(Seen::Former(value)),
                ..
            } => Some((*value, true)),
            Self::Change {
                read: Some(read), ..
            }
            | Self::Rotate { read, .. }
            | Self::Login { read, .. }
            | Self::End { read, .. } => Some((*read, false)),
            _ => None,
        }
    }
}

impl Op {
    /// When it was over; never, if it may happen yet.
    pub(crate) fn end(&self) -> Nanos {
        match self.outcome {
            Outcome::Unknown => Nanos::MAX,
            _ => self.returned.unwrap_or(Nanos::MAX),
        }
    }

    /// The first moment at which what it saw may have been so.
    pub(crate) const fn from(&self) -> Nanos {
        match self.action {
            Action::Read { staleness, .. } => self.invoked.saturating_sub(staleness),
            _ => self.invoked,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.outcome == Outcome::Done
    }
}

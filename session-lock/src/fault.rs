use std::{fmt, time::Duration};

/// What was found where a server could not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// No connection could be made, or it broke.
    Unreachable,
    /// No answer within the time limit.
    TimedOut(Duration),
    /// The server is reading its data from disk.
    Loading,
    /// The keys are moving to another server.
    Migrating,
    /// The cluster has no server for the keys at present.
    Unserved,
    /// The server is a replica or has been told to refuse writes.
    ReadOnly,
    /// The server has no memory or disk left for the write.
    Full,
    /// User name, password or permissions are wrong.
    Denied,
    /// The server, its version or its settings do not fit; the text says what and what to do.
    Unsuitable(String),
    /// The node has lost its data or is new, and does not count yet; with the time after which it may.
    NotAdmitted(Option<Duration>),
    /// The server answered something unexpected.
    Protocol,
}

impl Fault {
    /// Whether trying again can succeed without anybody changing the set-up.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::TimedOut(_)
                | Self::Loading
                | Self::Migrating
                | Self::Unserved
                | Self::Full
                | Self::NotAdmitted(_)
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => {
                f.write_str("no connection; check that the server runs and the address is right")
            }
            Self::TimedOut(limit) => write!(f, "no answer within {limit:?}"),
            Self::Loading => f.write_str("the server is still loading its data; try again"),
            Self::Migrating => f.write_str("the keys are moving to another server; try again"),
            Self::Unserved => f.write_str(
                "the cluster has no server for the keys at present; try again, and check its nodes if that lasts",
            ),
            Self::ReadOnly => {
                f.write_str("the server refuses writes; connect to the primary, not to a replica")
            }
            Self::Full => {
                f.write_str("the server has no room for the write; give it more memory or disk")
            }
            Self::Denied => f.write_str("access denied; check user name, password and permissions"),
            Self::Unsuitable(what) => f.write_str(what),
            Self::NotAdmitted(None) => {
                f.write_str("the node has lost its data or is new, and does not count yet")
            }
            Self::NotAdmitted(Some(left)) => write!(
                f,
                "the node has lost its data or is new, and counts in {left:?} at the earliest"
            ),
            Self::Protocol => f.write_str("the answer was not understood"),
        }
    }
}

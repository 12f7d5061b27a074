use std::{convert::Infallible, time::Duration};

use crate::{LossCause, NodeFault, Resource, ResourceNameLength, TtlOutOfRange};

/// A [`Redlock`](crate::Redlock) cannot be built like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is nothing to lock on.
    #[error("no nodes are given, needed is at least one")]
    NoNodes,
    /// A node that counts twice is no second opinion.
    #[error("node {node} is given more than once")]
    DuplicateNode {
        /// Its name.
        node: String,
    },
    /// See [`TtlOutOfRange`].
    #[error(transparent)]
    Ttl(#[from] TtlOutOfRange),
    /// A setting is out of its range.
    #[error("{setting} is {found:?}, allowed are {allowed}")]
    OutOfRange {
        /// Which one.
        setting: &'static str,
        /// What was asked for.
        found: Duration,
        /// Its range.
        allowed: &'static str,
    },
    /// Waiting needs room for one at least.
    #[error("the number of waiters is zero, needed is at least one")]
    NoWaiters,
}

/// A lock was not acquired. Nothing is held; what single nodes had granted is given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// Another owner held the lock until the wait timeout passed.
    #[error("the lock is held by another owner; waited {waited:?}")]
    Held {
        /// How long the caller waited.
        waited: Duration,
        /// When the lock is free at the latest, if its holder does not extend it.
        retry_after: Option<Duration>,
    },
    /// Too few nodes answered in time that they grant or hold the lock.
    #[error(
        "{granted} of {required} required nodes granted the lock; {}",
        listed(faults)
    )]
    NoQuorum {
        /// How many nodes granted it.
        granted: usize,
        /// How many have to.
        required: usize,
        /// What was found on the others.
        faults: Vec<NodeFault>,
    },
    /// Under the name of the lock stands something else. Another name, or another prefix of the node, is needed.
    #[error("on node {node} stands something that is no lock under the name {resource}")]
    WrongType {
        /// The node.
        node: String,
        /// The name.
        resource: Resource,
    },
    /// More callers of this process wait for this lock than allowed.
    #[error("{waiting} callers wait for this lock already")]
    Busy {
        /// How many wait.
        waiting: usize,
    },
    /// See [`ResourceNameLength`].
    #[error(transparent)]
    Name(#[from] ResourceNameLength),
    /// The same lock was asked for twice in one call; its caller would wait for itself.
    #[error("resource {resource} is named more than once")]
    Duplicate {
        /// The name.
        resource: Resource,
    },
    /// The lease was asked for with a longer TTL than the nodes are prepared for:
    /// [`RedlockBuilder::longest_ttl`](crate::RedlockBuilder::longest_ttl).
    #[error("a TTL of {ttl:?} was asked for, the longest one of these nodes is {longest:?}")]
    TtlTooLong {
        /// What was asked for.
        ttl: Duration,
        /// What is allowed.
        longest: Duration,
    },
    /// [`Redlock::shutdown`](crate::Redlock::shutdown) was called.
    #[error("the lock is shut down")]
    ShutDown,
}

impl AcquireError {
    /// Whether waiting and trying again can succeed without any change by the caller.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Held { .. } | Self::Busy { .. } => true,
            Self::NoQuorum { faults, .. } => {
                faults.iter().any(|fault| fault.fault().is_retryable())
            }
            _ => false,
        }
    }
}

impl From<Infallible> for AcquireError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A lease was not extended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtendError {
    /// The lease is lost; the holder may act no more.
    #[error("the lease is lost: {cause}")]
    Lost {
        /// How it was lost.
        cause: LossCause,
    },
    /// Too few nodes answered in time. The lease lives on until its validity ends.
    #[error(
        "{extended} of {required} required nodes extended the lease; {}",
        listed(faults)
    )]
    NoQuorum {
        /// How many nodes extended it.
        extended: usize,
        /// How many have to.
        required: usize,
        /// What was found on the others.
        faults: Vec<NodeFault>,
    },
}

impl ExtendError {
    /// Whether trying again can succeed without any change by the caller.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::NoQuorum { .. })
    }
}

/// A lease was not given back as it should have been.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The lease was lost before: others may have held the lock meanwhile. What is left of it is given back.
    #[error("the lease was lost before it was given back: {cause}")]
    Lost {
        /// How it was lost.
        cause: LossCause,
    },
    /// Too few nodes confirmed in time. The release goes on in the background; after that the TTL frees the lock.
    #[error(
        "{released} of {required} required nodes confirmed the release; {}",
        listed(faults)
    )]
    NoQuorum {
        /// How many nodes confirmed it.
        released: usize,
        /// How many have to, for the lock to be free.
        required: usize,
        /// What was found on the others.
        faults: Vec<NodeFault>,
    },
}

/// A scoped use of a lock failed: at its beginning, in its body, or at its end.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three steps of a scope are all there are"
)]
pub enum WithError<E> {
    /// The lock was not acquired; the body did not run.
    #[error("could not acquire the lock")]
    Acquire(#[source] AcquireError),
    /// The body failed; the lock was given back.
    #[error("the body failed")]
    Body(E),
    /// The body succeeded. The lock was lost while it ran, or could not be given back.
    #[error("could not give the lock back")]
    Release(#[source] ReleaseError),
}

/// Locks were still out when the time limit of a shutdown had passed. They free themselves with their TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("locks are still held or being given back after {limit:?}")]
#[expect(clippy::exhaustive_structs, reason = "all there is to say")]
pub struct ShutdownTimedOut {
    /// The time limit.
    pub limit: Duration,
}

fn listed(faults: &[NodeFault]) -> String {
    if faults.is_empty() {
        return "no node failed".to_owned();
    }
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    faults.join("; ")
}

use std::{error::Error as StdError, fmt, time::Duration};

use async_trait::async_trait;

use crate::{Fault, FencingToken, Held, Resource, Ttl, watch::Watch};

/// One of the independent servers that a lock is spread over.
///
/// Each keeps for each resource a *lock* (an owner value with a TTL) and a *fence* (a number that only grows).
/// An `Err` means that nobody knows whether the request had its effect; every refusal is an answer.
///
/// # Contract
/// 1. `acquire` grants a lock that is free, or held under the same owner value; it then has its full TTL.
/// 2. A grant carries a fence that is larger than every fence of this resource that the node has given or been
///    raised to, and larger than the requested floor. A node remembers a fence for at least 23 h past the last grant, raise
///    or extension; after that it counts from the clock, if the request allows it.
/// 3. `acquire` of a lock under another owner value changes nothing and says how long that lock lasts.
/// 4. A node that is not admitted grants nothing and changes nothing.
/// 5. `raise` moves the fence up to the token only while the lock is held under the owner value; never down. It says no
///    where the fence is above the token already: others may have been granted the numbers up to there.
/// 6. `extend` gives the lock its full TTL only while it is held under the owner value; it never creates one.
/// 7. `release` frees only a lock that is held under the owner value.
/// 8. `extend` and `release` answer for each lease, in order; one that fails does not stop the others.
/// 9. What stands under a lock's name and is no lock stays as it is: `acquire` says [`NodeAnswer::WrongType`].
/// 10. `admit` says whether the node is admitted. It admits at once if told that this is the first use and admission was
///     not asked for before; else only when the longest TTL has passed on the node since it was first asked, and never if
///     the data were lost in between, nor without a floor, nor with one that was read in another wait.
/// 11. After admission every fence is larger than every floor that admission was asked for, for every resource, also
///     where an older fence was kept.
/// 12. Every key has a TTL, but for those that tell of the admission.
/// 13. A lock that was freed by `release` is told to every watch of its resource that was made before.
/// 14. `highest_fence` is no smaller than any fence that the node remembers, nor than its admission's floor.
/// 15. No fence is larger than [`FencingToken::MAX`]: what would need one fails and changes nothing.
#[async_trait]
pub trait LockNode: fmt::Debug + Send + Sync + 'static {
    /// What this node is called in errors and logs: its address without credentials. Nodes of one lock differ in it.
    fn name(&self) -> &str;

    /// Asks for the lock.
    async fn acquire(&self, request: &NodeRequest) -> Result<NodeAnswer, NodeFault>;

    /// Moves the fence up to `token` while the lock is held; whether it stands exactly there now.
    async fn raise(&self, held: &Held<Resource>, token: FencingToken) -> Result<bool, NodeFault>;

    /// Gives locks their full TTL again.
    async fn extend(&self, leases: &[(Held<Resource>, Ttl)]) -> Result<Vec<Extension>, NodeFault>;

    /// Frees locks; for each, whether it was held.
    async fn release(&self, leases: &[Held<Resource>]) -> Result<Vec<bool>, NodeFault>;

    /// Takes the node into the quorum, when that is safe.
    async fn admit(&self, admission: &Admission) -> Result<Admitted, NodeFault>;

    /// A number that no fence on this node is larger than, of all resources; 0 if it has none.
    async fn highest_fence(&self) -> Result<u64, NodeFault>;

    /// Listens for this resource to become free. `None`: this node cannot tell.
    async fn watch(&self, resource: &Resource) -> Option<Watch>;

    /// How often the server is known to have started anew since this value was made. Only reported: a node may lose its
    /// data without it, and may start anew without a loss.
    fn restarts(&self) -> u64 {
        0
    }
}

/// A request for a lock on one node.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the lock builds it, nodes read it"
)]
pub struct NodeRequest {
    /// What is to be held, and under which owner value.
    pub held: Held<Resource>,
    /// How long the node keeps the lock.
    pub ttl: Ttl,
    /// The fence has to be larger than this.
    pub floor: u64,
    /// Whether a resource without a fence starts from the node's clock (milliseconds since 1970, times 1,024) instead of
    /// zero. That replaces fences that have run out or were lost.
    pub clock_floor: bool,
}

/// What a node says to a request for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the lock has to act on each")]
pub enum NodeAnswer {
    /// The lock is held now, under this fence.
    Granted {
        /// The node's fence for this grant.
        fence: u64,
    },
    /// Somebody else holds the lock.
    Held {
        /// How long the node keeps it if it is not extended; `None`: it has no TTL.
        left: Option<Duration>,
    },
    /// The node has lost its data, or is new, and does not count yet.
    NotAdmitted,
    /// Under the name of the lock stands something else.
    WrongType,
}

/// What a node says to an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the lock has to act on each")]
pub enum Extension {
    /// The lock has its full TTL again.
    Extended,
    /// The lock is held under another owner value.
    Stolen,
    /// There is no lock.
    Gone,
    /// The node could not do it for this one.
    Failed,
}

/// A request to take a node into the quorum.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the lock builds it, nodes read it"
)]
pub struct Admission {
    /// Whether no node of the lock was ever used.
    pub first_use: bool,
    /// The longest TTL that anybody uses with this lock: whoever held something on the lost data holds it no longer.
    pub longest_ttl: Ttl,
    /// Every fence has to be larger than this. `None`: it is not known yet, so the node is only told to begin its wait.
    ///
    /// It may be read from the other nodes only when the wait is over: what was granted with the help of the lost data
    /// can still be on its way before.
    pub floor: Option<u64>,
    /// In which wait of the node the floor was read: a request that is late, and finds the node in another wait, brings a
    /// floor from before the data were lost once more. `None`: the floor is good in each.
    pub wait: Option<u64>,
}

/// Where the admission of a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the lock has to act on each")]
pub enum Admitted {
    /// The node counts.
    Yes,
    /// The node does not count yet.
    In {
        /// It counts when this time has passed and it is asked again.
        left: Duration,
        /// Which wait this is: after another loss of data it is another one.
        wait: u64,
    },
}

/// How long a node remembers a fence, at most. After that the clock floor takes its place: even a clock that is wrong by most
/// of a day then lies above it.
pub(crate) const FENCE_TTL: Duration = Duration::from_secs(24 * 3600);

/// How many grants a millisecond of the clock floor has room for.
pub(crate) const TICKS_PER_MILLISECOND: u64 = 1024;

pub(crate) const FENCE_BEYOND_MAX: &str =
    "no fence is left below 2^53, up to which nodes can count; start again under another name";

/// A node could not do what it was asked for; it may have done it all the same.
#[derive(Debug)]
pub struct NodeFault {
    node: String,
    fault: Fault,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl NodeFault {
    /// `fault` on `node`.
    pub fn new(node: impl Into<String>, fault: Fault) -> Self {
        Self {
            node: node.into(),
            fault,
            source: None,
        }
    }

    /// The same fault with the cause below it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The node, without credentials.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// What was found.
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl fmt::Display for NodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.fault)
    }
}

impl StdError for NodeFault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.source.as_deref();
        source.map(|source| source as &(dyn StdError + 'static))
    }
}

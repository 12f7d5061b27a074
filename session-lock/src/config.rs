use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use crate::{
    Clock, ConfigError, Drift, LeaseTerms, LockNode, Redlock, SystemClock, Ttl, random_bytes,
};

/// When nodes that are all new count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FirstUse {
    /// At once, if all nodes say that they hold no data and this process has never seen one that did.
    ///
    /// A process that starts right after *all* nodes have lost their data at the same moment takes them for new ones
    /// too. Whoever held a lock then is excluded no longer until its lease ends.
    #[default]
    AtOnce,
    /// When the longest TTL has passed, as after a loss of data. Safe also if all nodes lose their data at the same
    /// moment, at the price of that wait when the nodes are used for the first time.
    AfterLongestTtl,
}

/// Settings of a [`Redlock`]. All have defaults; each is checked by [`build`](Self::build).
#[derive(Clone)]
#[must_use]
pub struct RedlockBuilder {
    nodes: Vec<Arc<dyn LockNode>>,
    ttl: Duration,
    drift: Drift,
    node_timeout: Option<Duration>,
    release_timeout: Option<Duration>,
    retry_pause: Duration,
    wait_timeout: Duration,
    max_waiters: usize,
    renewal: Option<Duration>,
    longest_ttl: Option<Duration>,
    clock_floor: bool,
    first_use: FirstUse,
    clock: Arc<dyn Clock>,
    dice: Arc<dyn Dice>,
}

/// What a builder has checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) terms: LeaseTerms,
    pub(crate) node_timeout: Duration,
    pub(crate) release_timeout: Duration,
    pub(crate) retry_pause: Duration,
    pub(crate) wait_timeout: Duration,
    pub(crate) max_waiters: usize,
    pub(crate) longest_ttl: Ttl,
    pub(crate) clock_floor: bool,
    pub(crate) first_use: FirstUse,
}

/// Where chance comes from, so that a simulation can own it.
#[doc(hidden)]
pub trait Dice: fmt::Debug + Send + Sync + 'static {
    /// Any number, each as likely as the others.
    fn roll(&self) -> u64;
}

/// Chance from the operating system.
#[derive(Debug)]
struct SystemDice;

impl Dice for SystemDice {
    fn roll(&self) -> u64 {
        u64::from_be_bytes(random_bytes())
    }
}

impl RedlockBuilder {
    pub(crate) fn new(nodes: Vec<Arc<dyn LockNode>>) -> Self {
        Self {
            nodes,
            ttl: Duration::from_secs(8),
            drift: Drift::default(),
            node_timeout: None,
            release_timeout: None,
            retry_pause: Duration::from_millis(100),
            wait_timeout: Duration::from_secs(5),
            max_waiters: 1024,
            renewal: Some(Duration::from_secs(60)),
            longest_ttl: None,
            clock_floor: true,
            first_use: FirstUse::AtOnce,
            clock: Arc::new(SystemClock),
            dice: Arc::new(SystemDice),
        }
    }

    /// How long the nodes keep a lock if nobody extends it. Whole milliseconds, rounded down. Range 10 ms to 1 h;
    /// default 8 s.
    ///
    /// A longer TTL survives longer pauses of the holder; a shorter one frees the lock sooner after a crash.
    #[doc(alias = "max_age")]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Allowance for clocks that run at different rates. Default 1 % of the TTL and 2 ms.
    pub const fn drift(mut self, drift: Drift) -> Self {
        self.drift = drift;
        self
    }

    /// How long a lock waits for a node before it goes on without it. Range 1 ms to the TTL; default a 200th of the TTL,
    /// at least 5 ms and at most 50 ms.
    ///
    /// A quorum that answers sooner is not kept waiting. Longer helps on slow networks; shorter fails sooner where too
    /// few nodes are left.
    /// Source: "Distributed Locks with Redis" (redis.io/topics/distlock), step 2 of the algorithm.
    pub const fn node_timeout(mut self, limit: Duration) -> Self {
        self.node_timeout = Some(limit);
        self
    }

    /// How long a lock that was given back is tried to be freed on a node that does not answer. Range 1 ms to 1 h;
    /// default the TTL, at most 1 s. After that the TTL frees it.
    pub const fn release_timeout(mut self, limit: Duration) -> Self {
        self.release_timeout = Some(limit);
        self
    }

    /// How long a waiter pauses before it tries again where no node tells it that the lock is free; chance adds or takes
    /// up to a half. Range 1 ms to 1 min; default 100 ms.
    #[doc(alias = "retry_delay")]
    pub const fn retry_pause(mut self, pause: Duration) -> Self {
        self.retry_pause = pause;
        self
    }

    /// How long [`Redlock::acquire`] waits while others hold the lock or too few nodes answer. At most 24 h; default 5 s.
    #[doc(alias = "lock_timeout")]
    pub const fn wait_timeout(mut self, limit: Duration) -> Self {
        self.wait_timeout = limit;
        self
    }

    /// How many callers of this process may wait for one lock; one more is
    /// [`AcquireError::Busy`](crate::AcquireError::Busy). At least 1; default 1,024.
    pub const fn max_waiters(mut self, count: usize) -> Self {
        self.max_waiters = count;
        self
    }

    /// How long a lease is renewed by itself at most, from its grant or from the last
    /// [`extend`](crate::RedlockLease::extend). From the TTL to 24 h; default 60 s.
    pub const fn longest_hold(mut self, limit: Duration) -> Self {
        self.renewal = Some(limit);
        self
    }

    /// No lease is renewed by itself: each ends with its TTL unless its holder extends it.
    pub const fn without_renewal(mut self) -> Self {
        self.renewal = None;
        self
    }

    /// The longest TTL that anybody uses on these nodes: a node that has lost its data counts again after this time.
    /// From the TTL to 1 h; default the TTL.
    pub const fn longest_ttl(mut self, longest: Duration) -> Self {
        self.longest_ttl = Some(longest);
        self
    }

    /// Whether a resource without a fence starts from the node's clock instead of zero. Default on.
    ///
    /// On, fencing tokens grow also across a loss of data and 24 h without a grant, as long as the nodes' clocks are
    /// roughly right. Off, tokens are small numbers; a node that has lost its data then counts again only when enough
    /// others could be asked for their fences, and tokens begin anew after 24 h without a grant.
    pub const fn clock_floor(mut self, on: bool) -> Self {
        self.clock_floor = on;
        self
    }

    /// When nodes that are all new count. Default [`FirstUse::AtOnce`].
    pub const fn first_use(mut self, policy: FirstUse) -> Self {
        self.first_use = policy;
        self
    }

    /// Where leases take their time from; for tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where chance comes from; for simulations.
    #[doc(hidden)]
    pub fn dice(mut self, dice: Arc<dyn Dice>) -> Self {
        self.dice = dice;
        self
    }

    /// The lock.
    ///
    /// # Errors
    /// [`ConfigError`] where nodes are missing or doubled, or a setting is out of its range.
    pub fn build(self) -> Result<Redlock, ConfigError> {
        check_nodes(&self.nodes)?;
        let settings = self.settings()?;
        Ok(Redlock::assemble(
            self.nodes, settings, self.clock, self.dice,
        ))
    }

    fn settings(&self) -> Result<Settings, ConfigError> {
        let ttl = Ttl::new(self.ttl)?;
        let longest_ttl = Ttl::new(self.longest_ttl.unwrap_or(self.ttl))?;
        let node_timeout = self
            .node_timeout
            .unwrap_or_else(|| (self.ttl / 200).clamp(SHORTEST_NODE_TIMEOUT, LONGEST_NODE_TIMEOUT));
        let release_timeout = self.release_timeout.unwrap_or_else(|| self.ttl.min(SECOND));
        // A hold that no renewal lengthens is one without renewal.
        let longest_hold = self.renewal.unwrap_or(ttl.get());
        let ranges = [
            (
                "longest TTL",
                longest_ttl.get(),
                ttl.get(),
                HOUR,
                "the TTL to 1 h",
            ),
            (
                "node timeout",
                node_timeout,
                MILLISECOND,
                ttl.get(),
                "1 ms to the TTL",
            ),
            (
                "release timeout",
                release_timeout,
                MILLISECOND,
                HOUR,
                "1 ms to 1 h",
            ),
            (
                "retry pause",
                self.retry_pause,
                MILLISECOND,
                MINUTE,
                "1 ms to 1 min",
            ),
            (
                "wait timeout",
                self.wait_timeout,
                Duration::ZERO,
                DAY,
                "0 to 24 h",
            ),
            (
                "longest hold",
                longest_hold,
                ttl.get(),
                DAY,
                "the TTL to 24 h",
            ),
        ];
        for (setting, found, least, most, allowed) in ranges {
            if !(least..=most).contains(&found) {
                return Err(ConfigError::OutOfRange {
                    setting,
                    found,
                    allowed,
                });
            }
        }
        if self.max_waiters == 0 {
            return Err(ConfigError::NoWaiters);
        }
        let terms = LeaseTerms {
            ttl,
            drift: self.drift,
            longest_hold,
        };
        Ok(Settings {
            terms,
            node_timeout,
            release_timeout,
            retry_pause: self.retry_pause,
            wait_timeout: self.wait_timeout,
            max_waiters: self.max_waiters,
            longest_ttl,
            clock_floor: self.clock_floor,
            first_use: self.first_use,
        })
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SHORTEST_NODE_TIMEOUT: Duration = Duration::from_millis(5);
const LONGEST_NODE_TIMEOUT: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn check_nodes(nodes: &[Arc<dyn LockNode>]) -> Result<(), ConfigError> {
    let mut names = HashSet::new();
    for node in nodes {
        if !names.insert(node.name()) {
            let node = node.name().to_owned();
            return Err(ConfigError::DuplicateNode { node });
        }
    }
    if nodes.is_empty() {
        return Err(ConfigError::NoNodes);
    }
    Ok(())
}

impl fmt::Debug for RedlockBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedlockBuilder")
            .field("nodes", &self.nodes)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

//! A lock on nodes whose network does what the test says, on a clock that the test owns.

use std::{sync::Arc, time::Duration};

use session_lock::{
    Clock as _, Held, LockNode, Moment, NodeAnswer, NodeRequest, OwnerValue, Redlock,
    RedlockBuilder, RedlockLease, Resource, Ttl,
};
use session_testkit::{FakeClock, ScriptedNode, settle};
use tokio::task::JoinHandle;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const NO_TIME: Duration = Duration::ZERO;
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// Long against every other time of these tests: what is free was given back and has not run out.
pub(crate) const TTL: Duration = Duration::from_secs(600);
pub(crate) const NODE_TIMEOUT: Duration = Duration::from_millis(40);
pub(crate) const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) struct Quorum {
    pub(crate) clock: FakeClock,
    pub(crate) nodes: Vec<ScriptedNode>,
    pub(crate) lock: Redlock,
}

impl Quorum {
    pub(crate) fn of(count: usize) -> Self {
        Self::with(count, |builder| builder)
    }

    pub(crate) fn with(
        count: usize,
        settings: impl FnOnce(RedlockBuilder) -> RedlockBuilder,
    ) -> Self {
        let clock = FakeClock::new();
        let node = |index| ScriptedNode::new(format!("node-{index}"), Arc::new(clock.clone()));
        let nodes: Vec<_> = (0..count).map(node).collect();
        Self::on(nodes, clock, settings)
    }

    pub(crate) fn on(
        nodes: Vec<ScriptedNode>,
        clock: FakeClock,
        settings: impl FnOnce(RedlockBuilder) -> RedlockBuilder,
    ) -> Self {
        let lock = settings(builder(&nodes, &clock)).build().unwrap();
        Self { clock, nodes, lock }
    }

    /// The lock as another process has it.
    pub(crate) fn another(&self) -> Redlock {
        builder(&self.nodes, &self.clock).build().unwrap()
    }

    /// On how many nodes the lock is held, by anybody.
    pub(crate) fn held(&self, name: &str) -> usize {
        let resource = Resource::new(name).unwrap();
        let held = self.nodes.iter().map(|node| node.holder(&resource));
        held.flatten().count()
    }

    /// On how many nodes this lease is held.
    pub(crate) fn held_by(&self, lease: &RedlockLease) -> usize {
        let held = lease.held();
        let holders = self.nodes.iter().map(|node| node.holder(&held.resource));
        holders.filter(|owner| *owner == Some(held.owner)).count()
    }

    /// Lets time go by, in small steps, until there is nothing left to do in the background.
    pub(crate) async fn rest(&self) {
        self.rest_but(0).await;
    }

    /// The same while so many leases are held.
    pub(crate) async fn rest_but(&self, leases: usize) {
        for _ in 0..1_000 {
            settle().await;
            if self.lock.outstanding() <= leases {
                return;
            }
            self.clock.advance(5 * MS);
        }
        panic!("{} things are still to be done", self.lock.outstanding());
    }

    /// Lets time go by in the background while the test waits for something.
    pub(crate) fn ticking(&self) -> Ticking {
        self.ticking_by(MS)
    }

    /// The same in larger steps.
    pub(crate) fn ticking_by(&self, step: Duration) -> Ticking {
        let clock = self.clock.clone();
        Ticking(tokio::spawn(async move {
            loop {
                settle().await;
                clock.advance(step);
            }
        }))
    }

    /// How much time has gone by since `start`.
    pub(crate) fn since(&self, start: Moment) -> Duration {
        self.clock.now().saturating_since(start)
    }
}

fn builder(nodes: &[ScriptedNode], clock: &FakeClock) -> RedlockBuilder {
    let nodes = nodes
        .iter()
        .cloned()
        .map(|node| Arc::new(node) as Arc<dyn LockNode>);
    Redlock::builder(nodes.collect())
        .clock(Arc::new(clock.clone()))
        .ttl(TTL)
        .longest_hold(TTL * 10)
        .node_timeout(NODE_TIMEOUT)
        .release_timeout(RELEASE_TIMEOUT)
}

/// Lets the fence of a resource on a node be this.
pub(crate) async fn give_fence(node: &ScriptedNode, name: &str, fence: u64) {
    let held = Held {
        resource: Resource::new(name).unwrap(),
        owner: OwnerValue::random(),
    };
    let request = NodeRequest {
        held: held.clone(),
        ttl: Ttl::new(TTL).unwrap(),
        floor: fence - 1,
        clock_floor: false,
    };
    let answer = node.memory().acquire(&request).await.unwrap();
    assert_eq!(answer, NodeAnswer::Granted { fence });
    node.memory().release(&[held]).await.unwrap();
}

/// Time that goes by until this is dropped.
pub(crate) struct Ticking(JoinHandle<()>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

//! Nodes that are new or have lost their data, and how they come to count.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;

use crate::{
    Admission, Admitted, Clock, FirstUse, Moment, NodeAnswer, NodeFault, clock::by, nodes::Nodes,
    refusal::Answers, retry::jittered,
};

/// What this process knows of the admission of its nodes.
#[derive(Debug)]
pub(crate) struct Admissions {
    /// Whether any node has ever been seen admitted: then those that are not have lost their data.
    any_seen: AtomicBool,
    /// By node.
    standings: Mutex<Vec<Standing>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// It counts, as far as is known.
    #[default]
    In,
    /// Its admission is being asked for; with the moment at which it may count.
    Waiting(Option<Moment>),
}

impl Admissions {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            any_seen: AtomicBool::new(false),
            standings: Mutex::new(vec![Standing::default(); nodes]),
        }
    }

    pub(crate) fn any_seen(&self) -> bool {
        self.any_seen.load(Ordering::Acquire)
    }

    fn seen(&self) {
        // Looked at first: this is written once and read with each answer.
        if !self.any_seen() {
            self.any_seen.store(true, Ordering::Release);
        }
    }

    /// How long it takes until a node may count.
    pub(crate) fn left(&self, node: usize, clock: &dyn Clock) -> Option<Duration> {
        match self.standings()[node] {
            Standing::Waiting(Some(moment)) => Some(moment.saturating_since(clock.now())),
            _ => None,
        }
    }

    fn standings(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.standings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is the first to see that a node is not admitted.
    fn begins_to_wait(&self, node: usize) -> bool {
        let mut standings = self.standings();
        let first = standings[node] == Standing::In;
        if first {
            standings[node] = Standing::Waiting(None);
        }
        first
    }

    fn set(&self, node: usize, standing: Standing) {
        self.standings()[node] = standing;
    }
}

impl Nodes {
    /// Takes note of what an answer says about the admission of its node.
    pub(crate) fn heard(&self, answer: &Result<NodeAnswer, NodeFault>) {
        if matches!(answer, Ok(answer) if *answer != NodeAnswer::NotAdmitted) {
            self.admissions.seen();
        }
    }

    /// Takes all nodes into use, which are all new. Whether the lock can be asked for again at once.
    pub(crate) async fn use_first(self: &Arc<Self>) -> bool {
        if self.settings.first_use == FirstUse::AfterLongestTtl || self.admissions.any_seen() {
            (0..self.len()).for_each(|node| self.seek_admission(node));
            return false;
        }
        let admission = Admission {
            first_use: true,
            longest_ttl: self.settings.longest_ttl,
            floor: Some(0),
            wait: None,
        };
        let mut calls = self.call_all(|_, node| async move { node.admit(&admission).await });
        let until = self.clock.now() + self.settings.node_timeout;
        let all = by(&*self.clock, until, async {
            let mut admitted = 0;
            while let Some(answer) = calls.next().await {
                admitted += usize::from(matches!(answer, Ok(Admitted::Yes)));
            }
            admitted
        });
        all.await.is_some_and(|admitted| admitted >= self.quorum())
    }

    /// Asks for the admission of each node that said that it is not admitted.
    pub(crate) fn seek_admissions(self: &Arc<Self>, answers: &Answers) {
        for (node, answer) in answers.iter().enumerate() {
            if matches!(answer, Some(Ok(NodeAnswer::NotAdmitted))) {
                self.seek_admission(node);
            }
        }
    }

    /// Asks for the admission of a node from now on until it counts, in the background.
    pub(crate) fn seek_admission(self: &Arc<Self>, node: usize) {
        if self.admissions.begins_to_wait(node) {
            tracing::warn!(
                node = self.name(node),
                "the node has lost its data or is new; it counts again when the longest TTL has passed"
            );
            let chore = seek_admission(Arc::downgrade(self), node);
            self.reaper.start(Box::pin(chore));
        }
    }

    /// `waited`: the wait of the node that is over, as far as is known.
    async fn ask_admission(&self, node: usize, waited: Option<u64>) -> Progress {
        let floor = match (self.settings.clock_floor, waited) {
            (true, _) => Some(Floor::of_the_clock()),
            (false, Some(wait)) => {
                let floor = self.floor_of_others(node).await;
                floor.map(|floor| Floor::read_in(wait, floor))
            }
            (false, None) => None,
        };
        match self.admit_later(node, floor).await {
            Some(Admitted::Yes) => {
                self.admissions.seen();
                Progress::Counts
            }
            Some(Admitted::In { left, wait }) => {
                let due = self.clock.now() + left;
                self.admissions.set(node, Standing::Waiting(Some(due)));
                Progress::Waits { left, wait }
            }
            None => Progress::Unknown,
        }
    }

    /// A number that no token is larger than which was ever granted with the help of `node`: the fences of so many others
    /// that each quorum with `node` in it has one of them. They have to count themselves.
    async fn floor_of_others(&self, node: usize) -> Option<u64> {
        let needed = self.len() - self.quorum() + 1;
        let (mut highest, mut counting, mut new) = (0, 0, Vec::new());
        let others = || (0..self.len()).filter(|other| *other != node);
        for other in others() {
            let fence = self.patiently(self.all[other].highest_fence()).await;
            // Asked afterwards: data that are still there now were there when the fence was read.
            let admitted = self.admit_later(other, None).await;
            match (fence, admitted) {
                (Some(Ok(fence)), Some(Admitted::Yes)) => {
                    highest = highest.max(fence);
                    counting += 1;
                }
                (_, Some(Admitted::In { left, wait })) if left.is_zero() => new.push((other, wait)),
                _ => {}
            }
        }
        if new.len() == self.len() - 1 {
            // Nothing is left to know. All at once, or the first would make the others look as if they had lost something.
            for (other, wait) in new {
                self.admit_later(other, Some(Floor::read_in(wait, 0))).await;
            }
            return Some(0);
        }
        (counting >= needed).then_some(highest)
    }

    async fn admit_later(&self, node: usize, floor: Option<Floor>) -> Option<Admitted> {
        let admission = Admission {
            first_use: false,
            longest_ttl: self.settings.longest_ttl,
            floor: floor.map(|floor| floor.above),
            wait: floor.and_then(|floor| floor.wait),
        };
        self.patiently(self.all[node].admit(&admission)).await?.ok()
    }

    /// Nobody waits for this: a slow answer is an answer too.
    async fn patiently<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        by(
            &*self.clock,
            self.clock.now() + self.settings.release_timeout,
            call,
        )
        .await
    }
}

/// What every fence of a node has to be larger than.
#[derive(Clone, Copy)]
struct Floor {
    above: u64,
    /// In which wait of the node that was read.
    wait: Option<u64>,
}

impl Floor {
    /// The node's clock is ahead of everything by itself.
    const fn of_the_clock() -> Self {
        Self {
            above: 0,
            wait: None,
        }
    }

    const fn read_in(wait: u64, above: u64) -> Self {
        Self {
            above,
            wait: Some(wait),
        }
    }
}

/// Where the admission of a node stands.
enum Progress {
    Counts,
    Waits { left: Duration, wait: u64 },
    Unknown,
}

async fn seek_admission(nodes: Weak<Nodes>, node: usize) {
    let seeking = Seeking { nodes, node };
    let mut waited = None;
    while let Some(nodes) = seeking.nodes.upgrade() {
        let progress = nodes.ask_admission(node, waited).await;
        let pause = match progress {
            Progress::Counts => {
                tracing::info!(node = nodes.name(node), "the node counts");
                return;
            }
            Progress::Waits { left, .. } if !left.is_zero() => left,
            Progress::Waits { wait, .. } if waited != Some(wait) => Duration::ZERO,
            Progress::Waits { .. } | Progress::Unknown => SECOND,
        };
        waited = match progress {
            Progress::Waits { wait, .. } => Some(wait),
            _ => None,
        };
        let chance = jittered(nodes.settings.retry_pause, nodes.dice.roll());
        let until = nodes.clock.now() + pause + chance;
        let clock = Arc::clone(&nodes.clock);
        drop(nodes);
        clock.sleep_until(until).await;
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Lets somebody else begin when the search for an admission ends, also with its runtime.
struct Seeking {
    nodes: Weak<Nodes>,
    node: usize,
}

impl Drop for Seeking {
    fn drop(&mut self) {
        if let Some(nodes) = self.nodes.upgrade() {
            nodes.admissions.set(self.node, Standing::In);
        }
    }
}

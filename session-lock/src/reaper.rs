//! What goes on after a caller has its answer: stragglers are seen through, and locks are given back on each node.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::Notify;

use crate::{
    Clock, Held, LockNode, Moment, Resource,
    clock::{by, up},
};

/// Owns what is left of calls to nodes, and frees locks: one task for all of it.
///
/// The task starts with the first work, on the runtime that is current then, and starts anew if that runtime ends.
pub(crate) struct Reaper {
    shared: Arc<Shared>,
}

impl Reaper {
    /// `limit`: how long a lock is tried to be freed on a node, and how long a straggler is waited for.
    pub(crate) fn new(
        nodes: Arc<[Arc<dyn LockNode>]>,
        clock: Arc<dyn Clock>,
        limit: Duration,
    ) -> Self {
        let state = State {
            debts: nodes.iter().map(|_| Debt::default()).collect(),
            ..State::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            busy: AtomicUsize::new(0),
            changed: Notify::new(),
            drained: Notify::new(),
            nodes,
            clock,
            limit,
        });
        Self { shared }
    }

    /// How long a straggler is waited for.
    pub(crate) fn limit(&self) -> Duration {
        self.shared.limit
    }

    /// Sees `work` through. It has to end by itself.
    pub(crate) fn adopt(&self, work: BoxFuture<'static, ()>) {
        if self.ensure_running() {
            self.shared.state().adopted.push(work);
            self.shared.changed.notify_one();
        }
        // Without a runtime nothing can be seen through: what was granted is left to the TTL.
    }

    /// Sees `work` through that most likely has nothing to do any more when it is looked at: in a moment, together with
    /// what others bring. To wake the task for each would cost more than the work.
    pub(crate) fn adopt_later(&self, work: BoxFuture<'static, ()>) {
        if self.ensure_running() {
            let mut state = self.shared.state();
            state.later.push(work);
            let planned = std::mem::replace(&mut state.look_is_planned, true);
            drop(state);
            if !planned {
                self.shared.changed.notify_one();
            }
        }
    }

    /// Does `chore` for as long as anybody uses the lock.
    pub(crate) fn start(&self, chore: BoxFuture<'static, ()>) {
        if self.ensure_running() {
            self.shared.state().chores.push(chore);
            self.shared.changed.notify_one();
        }
    }

    /// Frees a lock on one node, in the background.
    pub(crate) fn give_back(&self, node: usize, held: Held<Resource>) {
        self.ensure_running();
        let until = self.shared.clock.now() + self.shared.limit;
        self.shared.state().debts[node]
            .owed
            .push(Owed { held, until });
        self.shared.changed.notify_one();
    }

    /// Frees locks on all nodes, in the background.
    pub(crate) fn give_back_everywhere(&self, leases: &[Held<Resource>]) {
        self.ensure_running();
        let until = self.shared.clock.now() + self.shared.limit;
        let mut state = self.shared.state();
        for debt in &mut state.debts {
            let owed = leases.iter().cloned();
            debt.owed.extend(owed.map(|held| Owed { held, until }));
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Counts somebody who may soon leave work behind, until the returned value is dropped.
    pub(crate) fn busy(&self) -> Busy {
        self.shared.busy.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(&self.shared))
    }

    /// The number of calls that are seen through and of locks that are not yet given back.
    pub(crate) fn outstanding(&self) -> usize {
        self.shared.outstanding()
    }

    /// Waits until nothing is left to do. Cancel safe.
    pub(crate) async fn drained(&self) {
        loop {
            let drained = self.shared.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.outstanding() == 0 {
                return;
            }
            // What was left when the task ended with its runtime is done from here.
            self.ensure_running();
            drained.await;
        }
    }

    /// Starts the task if it does not run; whether it runs then.
    fn ensure_running(&self) -> bool {
        let mut state = self.shared.state();
        if state.running {
            return true;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return false;
        };
        state.running = true;
        drop(state);
        let running = Running(Arc::clone(&self.shared));
        runtime.spawn(async move { running.0.run().await });
        true
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.changed.notify_one();
    }
}

impl fmt::Debug for Reaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reaper")
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}

struct Shared {
    // A std mutex: held for a few instructions and never across an await.
    state: Mutex<State>,
    busy: AtomicUsize,
    changed: Notify,
    drained: Notify,
    nodes: Arc<[Arc<dyn LockNode>]>,
    clock: Arc<dyn Clock>,
    limit: Duration,
}

#[derive(Default)]
struct State {
    adopted: Vec<BoxFuture<'static, ()>>,
    /// Work that the task looks at in a moment.
    later: Vec<BoxFuture<'static, ()>>,
    /// Whether it will do so without being told.
    look_is_planned: bool,
    /// Adopted work that the task has taken over.
    working: usize,
    chores: Vec<BoxFuture<'static, ()>>,
    /// By node.
    debts: Vec<Debt>,
    running: bool,
    closed: bool,
}

struct Work {
    adopted: Vec<BoxFuture<'static, ()>>,
    chores: Vec<BoxFuture<'static, ()>>,
    debtors: Vec<usize>,
    look_is_planned: bool,
}

/// The locks to be freed on one node.
#[derive(Default)]
struct Debt {
    owed: Vec<Owed>,
    /// Those that the node is being asked to free.
    in_flight: usize,
    /// Whether somebody sees to it.
    paying: bool,
}

struct Owed {
    held: Held<Resource>,
    until: Moment,
}

impl State {
    fn outstanding(&self) -> usize {
        let owed = self
            .debts
            .iter()
            .map(|debt| debt.owed.len() + debt.in_flight);
        self.adopted.len() + self.later.len() + self.working + owed.sum::<usize>()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outstanding(&self) -> usize {
        // In this order: who is busy leaves work behind before it is no longer counted.
        let busy = self.busy.load(Ordering::Acquire);
        busy + self.state().outstanding()
    }

    fn tell_if_drained(&self) {
        if self.outstanding() == 0 {
            self.drained.notify_waiters();
        }
    }

    async fn run(&self) {
        let mut adopted = FuturesUnordered::new();
        let mut chores = FuturesUnordered::new();
        let mut payments = FuturesUnordered::new();
        let (mut look, mut looks) = (None, false);
        while let Some(work) = self.take_work(looks) {
            looks = false;
            if work.look_is_planned && look.is_none() {
                look = Some(self.clock.sleep_until(self.clock.now() + MOMENT));
            }
            adopted.extend(work.adopted);
            chores.extend(work.chores);
            payments.extend(work.debtors.into_iter().map(|node| self.pay(node)));
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                Some(()) = adopted.next() => self.finished(|state| state.working -= 1),
                Some(()) = payments.next() => {}
                Some(()) = chores.next() => {}
                () = up(&mut look) => (look, looks) = (None, true),
            }
        }
    }

    /// What has come in since the last time; `None` when nothing is left to do and nobody can bring more.
    fn take_work(&self, looks: bool) -> Option<Work> {
        let mut state = self.state();
        if state.closed && state.outstanding() == 0 {
            return None;
        }
        let mut adopted = std::mem::take(&mut state.adopted);
        if looks || state.closed {
            // As long as there is something each time, nobody has to wake the task.
            state.look_is_planned = !state.later.is_empty();
            adopted.append(&mut state.later);
        }
        let look_is_planned = state.look_is_planned;
        state.working += adopted.len();
        let chores = std::mem::take(&mut state.chores);
        let debts = state.debts.iter_mut().enumerate();
        let unpaid = debts.filter(|(_, debt)| !debt.paying && !debt.owed.is_empty());
        let begin = |(node, debt): (usize, &mut Debt)| {
            debt.paying = true;
            node
        };
        let debtors = unpaid.map(begin).collect();
        drop(state);
        Some(Work {
            adopted,
            chores,
            debtors,
            look_is_planned,
        })
    }

    /// Asks a node to free what is owed to it until nothing is left, all that is owed in one call. One call at a time: a
    /// node that does not answer is not flooded.
    async fn pay(&self, node: usize) {
        let mut failures = 0;
        while let Some(owed) = self.take_owed(node) {
            let leases: Vec<_> = owed.iter().map(|owed| owed.held.clone()).collect();
            let until = self.clock.now() + self.limit / 4;
            let answer = by(&*self.clock, until, self.nodes[node].release(&leases)).await;
            if let Some(Ok(_)) = answer {
                failures = 0;
                self.finished(|state| state.debts[node].in_flight = 0);
                continue;
            }
            if let Some(Err(fault)) = answer {
                tracing::debug!(%fault, "could not give back a lock");
            }
            failures += 1;
            self.put_back(node, owed);
            let pause = FIRST_PAUSE * 2_u32.pow(failures.min(6));
            self.clock.sleep_until(self.clock.now() + pause).await;
        }
    }

    /// What a node has to be asked for; `None` when nothing is left, and then nobody sees to it any more.
    fn take_owed(&self, node: usize) -> Option<Vec<Owed>> {
        let now = self.clock.now();
        let mut state = self.state();
        let debt = &mut state.debts[node];
        let mut owed = std::mem::take(&mut debt.owed);
        owed.retain(|owed| now < owed.until);
        debt.in_flight = owed.len();
        debt.paying = !owed.is_empty();
        drop(state);
        if owed.is_empty() {
            self.finished(|_| ());
            return None;
        }
        Some(owed)
    }

    fn put_back(&self, node: usize, owed: Vec<Owed>) {
        self.finished(|state| {
            let debt = &mut state.debts[node];
            debt.in_flight = 0;
            debt.owed.extend(owed);
        });
    }

    fn finished(&self, note: impl FnOnce(&mut State)) {
        let mut state = self.state();
        note(&mut state);
        let may_be_drained = state.outstanding() == 0;
        drop(state);
        if may_be_drained {
            self.tell_if_drained();
        }
    }
}

/// See [`Reaper::busy`].
pub(crate) struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.tell_if_drained();
        }
    }
}

/// How long work can wait that most likely is none.
const MOMENT: Duration = Duration::from_millis(5);

const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// Tells the others when the task ends, also when the runtime drops it.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        let mut unseen = Vec::new();
        self.0.finished(|state| {
            state.running = false;
            // What it was about to do is left to the TTL; what is owed and not asked for yet is left to the next task.
            unseen = std::mem::take(&mut state.adopted);
            unseen.append(&mut state.later);
            state.look_is_planned = false;
            state.working = 0;
            for debt in &mut state.debts {
                (debt.in_flight, debt.paying) = (0, false);
            }
        });
    }
}

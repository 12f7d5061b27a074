use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use slab::Slab;
use tokio::sync::Notify;

use crate::{
    Clock, FencingToken, Held, KeepAlive, Lease, LeaseTerms, LossCause, Moment, OwnerValue,
    lease::Entry,
};

/// Where leases come from: what a [`Keeper`] needs of a lock server.
///
/// # Contract
/// 1. `renew` extends only a lock that is held under the given owner value; it never creates one.
/// 2. `renew` answers for each lease, in order, and says [`Renewal::Unknown`] when it could not ask.
/// 3. `release` frees only a lock that is held under the given owner value.
#[async_trait]
pub trait LeaseBackend<R>: Send + Sync + 'static {
    /// Gives each lease its full TTL again, in one flight where the server allows it.
    async fn renew(&self, leases: &[(Held<R>, LeaseTerms)]) -> Vec<Renewal>;

    /// Frees the locks. Failure is left to the TTL.
    async fn release(&self, leases: &[Held<R>]);
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renewal {
    /// The lock has its full TTL again.
    Extended,
    /// The lock is not ours any more.
    Lost(LossCause),
    /// The server could not be asked; the lease lives on until its time runs out.
    Unknown,
}

/// Renews the leases of one back end and gives back those that are dropped: one task for all of them.
///
/// The task starts with the first lease, on the runtime that is current then, and starts anew if that runtime ends.
pub struct Keeper<R: Clone + Send + Sync + 'static> {
    shared: Arc<Shared<R>>,
    backend: Arc<dyn LeaseBackend<R>>,
}

impl<R: Clone + Send + Sync + 'static> Keeper<R> {
    /// A keeper of leases that `backend` grants, on `clock`.
    pub fn new(backend: Arc<dyn LeaseBackend<R>>, clock: Arc<dyn Clock>) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            changed: Notify::new(),
            drained: Notify::new(),
            clock,
        });
        Self { shared, backend }
    }

    /// Announces that a lock is about to be asked for: now is the moment that validity counts from.
    ///
    /// If the returned value is dropped before the answer is known, the lock is given back, should it have been
    /// granted. That makes acquiring safe to cancel.
    pub fn ask(&self, resource: R, owner: OwnerValue, terms: LeaseTerms) -> Pending<'_, R> {
        Pending {
            keeper: self,
            held: Held { resource, owner },
            answered: false,
            terms,
            sent_at: self.shared.clock.now(),
        }
    }

    /// The number of leases that are held or not yet given back.
    pub fn outstanding(&self) -> usize {
        let state = self.shared.state();
        state.live.len() + state.returned.len() + state.returning
    }

    /// Waits until every lease has been given back. Cancel safe.
    pub async fn drained(&self) {
        loop {
            let drained = self.shared.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.outstanding() == 0 {
                return;
            }
            // What was dropped after the task had ended with its runtime is given back from here.
            self.ensure_running();
            drained.await;
        }
    }

    fn ensure_running(&self) {
        let mut state = self.shared.state();
        if state.running {
            return;
        }
        // Without a runtime nothing can renew; the TTL then frees what is dropped.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        state.running = true;
        drop(state);
        let running = Running(Arc::clone(&self.shared));
        let backend = Arc::clone(&self.backend);
        runtime.spawn(async move { running.0.run(&*backend).await });
    }
}

impl<R: Clone + Send + Sync + 'static> Drop for Keeper<R> {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.changed.notify_one();
    }
}

impl<R: Clone + Send + Sync + 'static> fmt::Debug for Keeper<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}

/// A lock that has been asked for and not yet answered.
#[must_use = "dropping it gives the lock back"]
pub struct Pending<'a, R: Clone + Send + Sync + 'static> {
    keeper: &'a Keeper<R>,
    held: Held<R>,
    answered: bool,
    terms: LeaseTerms,
    sent_at: Moment,
}

impl<R: Clone + Send + Sync + 'static> Pending<'_, R> {
    /// The lock was granted. `keep_alive` is how long the resource itself lives, if renewal must beat that too.
    pub fn granted(self, keep_alive: Option<KeepAlive>) -> Lease<R> {
        self.granted_with_token(keep_alive, None)
    }

    /// The lock was granted, with a fencing token.
    pub fn granted_with_token(
        mut self,
        keep_alive: Option<KeepAlive>,
        token: Option<FencingToken>,
    ) -> Lease<R> {
        self.answered = true;
        let held = self.held.clone();
        self.keeper.ensure_running();
        let entry = Arc::new(Entry::new(
            held,
            self.terms,
            self.sent_at,
            keep_alive,
            token,
        ));
        let slot = self.keeper.shared.insert(&entry);
        Lease::new(entry, Arc::clone(&self.keeper.shared), slot)
    }

    /// Validity counts from this moment instead: the lock was handed over, no earlier than then.
    pub const fn count_from(&mut self, moment: Moment) {
        self.sent_at = moment;
    }

    /// The lock was certainly not granted: nothing is to be given back.
    pub fn refused(mut self) {
        self.answered = true;
    }
}

impl<R: Clone + Send + Sync + 'static> Drop for Pending<'_, R> {
    fn drop(&mut self) {
        if !self.answered {
            self.keeper.ensure_running();
            self.keeper.shared.give_back(self.held.clone());
        }
    }
}

impl<R: Clone + Send + Sync + 'static> fmt::Debug for Pending<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

/// What leases, their keeper and its task share.
pub(crate) struct Shared<R> {
    // A std mutex: held for a few instructions and never across an await.
    state: Mutex<State<R>>,
    changed: Notify,
    drained: Notify,
    pub(crate) clock: Arc<dyn Clock>,
}

struct State<R> {
    live: Slab<Arc<Entry<R>>>,
    returned: Vec<Held<R>>,
    /// Leases whose release is on its way.
    returning: usize,
    /// When the task wakes next; `None` when it sleeps until something changes.
    next_wake: Option<Moment>,
    running: bool,
    closed: bool,
}

impl<R> Default for State<R> {
    fn default() -> Self {
        Self {
            live: Slab::new(),
            returned: Vec::new(),
            returning: 0,
            next_wake: None,
            running: false,
            closed: false,
        }
    }
}

impl<R: Clone + Send + Sync + 'static> Shared<R> {
    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, entry: &Arc<Entry<R>>) -> usize {
        let due = entry.status().next_renewal;
        let mut state = self.state();
        let slot = state.live.insert(Arc::clone(entry));
        let sooner = state.next_wake.is_none_or(|wake| due < wake);
        if sooner {
            state.next_wake = Some(due);
        }
        drop(state);
        if sooner {
            self.changed.notify_one();
        }
        slot
    }

    /// Forgets a lease, and gives its lock back unless the server has freed it already.
    pub(crate) fn remove(&self, slot: usize, give_back: bool) {
        let mut state = self.state();
        let entry = state.live.remove(slot);
        if give_back {
            state.returned.push(entry.held.clone());
        }
        let last = state.live.is_empty();
        let task_may_end = state.closed && last;
        drop(state);
        if give_back || task_may_end {
            self.changed.notify_one();
        }
        if last && !give_back {
            self.drained.notify_waiters();
        }
    }

    fn give_back(&self, held: Held<R>) {
        self.state().returned.push(held);
        self.changed.notify_one();
    }

    async fn run(&self, backend: &dyn LeaseBackend<R>) {
        let mut flights: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        loop {
            let now = self.clock.now();
            let returned = self.take_returned();
            if !returned.is_empty() {
                flights.push(Box::pin(self.release(backend, returned)));
            }
            let due = self.take_due(now);
            if !due.is_empty() {
                flights.push(Box::pin(self.renew(backend, due)));
            }
            let Some(wake) = self.plan_wake(now, flights.is_empty()) else {
                return;
            };
            // Flights first: however often something changes, what is on its way goes on.
            tokio::select! {
                biased;
                Some(()) = flights.next() => {}
                () = self.changed.notified() => {}
                () = sleep_until(&*self.clock, wake) => {}
            }
        }
    }

    fn take_returned(&self) -> Vec<Held<R>> {
        let mut state = self.state();
        state.returning += state.returned.len();
        std::mem::take(&mut state.returned)
    }

    /// Those that are due, and with them those that will be soon: leases that were taken one after the other come to be
    /// renewed together.
    fn take_due(&self, now: Moment) -> Vec<Arc<Entry<R>>> {
        let state = self.state();
        let wanted = state.live.iter().map(|(_, entry)| entry);
        let wanted: Vec<_> = wanted.filter(|entry| entry.wants_renewal(now)).collect();
        if !wanted
            .iter()
            .any(|entry| entry.status().next_renewal <= now)
        {
            return Vec::new();
        }
        let due = wanted.into_iter().filter(|entry| entry.is_due_soon(now));
        due.inspect(|entry| entry.schedule_renewal(now))
            .cloned()
            .collect()
    }

    /// When to wake next (`Some(None)`: when something changes); `None` when the task is to end.
    fn plan_wake(&self, now: Moment, idle: bool) -> Option<Option<Moment>> {
        let mut state = self.state();
        if state.closed && idle && state.live.is_empty() && state.returned.is_empty() {
            return None;
        }
        let earliest = state
            .live
            .iter()
            .filter(|(_, entry)| entry.wants_renewal(now));
        let earliest = earliest.map(|(_, entry)| entry.status().next_renewal).min();
        let lingered = state.next_wake.is_none_or(|wake| wake <= now);
        state.next_wake = match (earliest, lingered) {
            (Some(earliest), _) => Some(earliest),
            // Nothing to renew, but the wake-up stays planned: a service that locks and commits all the time, one
            // session after the other, does not wake the task for each.
            (None, false) => state.next_wake,
            (None, true) => None,
        };
        Some(state.next_wake)
    }

    async fn renew(&self, backend: &dyn LeaseBackend<R>, due: Vec<Arc<Entry<R>>>) {
        let sent_at = self.clock.now();
        let asked: Vec<_> = due
            .iter()
            .map(|entry| (entry.held.clone(), entry.terms))
            .collect();
        let answers = backend.renew(&asked).await;
        for (entry, answer) in due.iter().zip(answers) {
            match answer {
                Renewal::Extended => entry.extended(sent_at, &*self.clock),
                // A lease that was given back while its renewal was on its way is not lost.
                Renewal::Lost(cause) if entry.end(cause) => {
                    tracing::warn!(%cause, "lease lost");
                }
                Renewal::Lost(_) => {}
                Renewal::Unknown => tracing::debug!("lease renewal got no answer"),
            }
        }
    }

    async fn release(&self, backend: &dyn LeaseBackend<R>, returned: Vec<Held<R>>) {
        backend.release(&returned).await;
        let mut state = self.state();
        state.returning -= returned.len();
        drop(state);
        self.drained.notify_waiters();
    }
}

async fn sleep_until(clock: &dyn Clock, wake: Option<Moment>) {
    match wake {
        Some(moment) => clock.sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Tells the keeper when its task ends, also when the runtime drops it.
struct Running<R: Clone + Send + Sync + 'static>(Arc<Shared<R>>);

impl<R: Clone + Send + Sync + 'static> Drop for Running<R> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running = false;
        // What it was about to give back is left to the TTL.
        state.returning = 0;
        state.next_wake = None;
        drop(state);
        self.0.drained.notify_waiters();
    }
}

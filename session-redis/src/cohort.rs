//! Guards of this process that follow each other under one lease.
//!
//! Whoever commits while others of this process wait passes the lease on to the next one at once, with the new version
//! of the session, and does not wait for its code. The versions are saved behind, several as one: when nobody waits any
//! more, when others have waited for long enough, and a millisecond after the oldest. A commit returns when its version,
//! or a later one, is stored.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    future::Future,
    sync::Arc,
    time::Duration,
};

use session_core::{
    CommitError, CommitId, Committed, Revision, SessionKey, StoreTime, Stored, Write,
};
use session_lock::{Clock, Ender, Heir, Held, KeepAlive, Lease, LossCause, Moment};
use tokio::sync::{Notify, oneshot};

use crate::{
    lines::Lines,
    sync::{Mutex, MutexGuard, PoisonError, Runtime},
};

/// A store whose guards follow each other under one lease.
pub(crate) trait Follows: Send + Sync + 'static {
    fn cohorts(&self) -> &Cohorts;

    fn lines(&self) -> &Lines;

    fn clock(&self) -> &dyn Clock;

    fn time(&self) -> StoreTime;

    /// Writes a new version, and keeps the lock.
    fn save(&self, held: &Held<SessionKey>, write: Write) -> impl Future<Output = Outcome> + Send;

    /// Writes a new version, and gives the lock back.
    fn commit_alone(
        &self,
        lease: Lease<SessionKey>,
        write: Write,
    ) -> impl Future<Output = Outcome> + Send;

    fn release_alone(
        &self,
        lease: Lease<SessionKey>,
    ) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Nobody knows whether a version is stored.
    fn unknown(&self) -> CommitError;
}

/// All cohorts of a process.
#[derive(Default)]
pub(crate) struct Cohorts {
    // A std mutex: held for a few instructions, never across an await.
    cohorts: Mutex<HashMap<Held<SessionKey>, Cohort>>,
}

pub(crate) type Outcome = Result<Committed, CommitError>;
type Told = oneshot::Sender<Outcome>;

/// Guards under one lease.
struct Cohort {
    since: Moment,
    /// How often the lease was passed on.
    passed: u32,
    /// What the next guard is shown.
    newest: Stored,
    /// What stands on the server: its commit ID, and its revision if it was saved here.
    saved: (CommitId, Option<Revision>),
    unsaved: Option<Unsaved>,
    /// Who waits for the save that is under way.
    saving: Vec<Told>,
    /// Whether what is unsaved is to be saved at once.
    hurry: bool,
    /// The lease, when no guard is to follow; and who waits for its end, if nothing has to be saved.
    back: Option<(Lease<SessionKey>, Vec<Told>)>,
    /// Why nobody may go on from here: what was shown to the guard is not stored.
    failed: Option<CommitError>,
    /// For whoever works under the lease then.
    lease: Ender<SessionKey>,
    changed: Arc<Notify>,
}

struct Unsaved {
    write: Write,
    since: Moment,
    told: Vec<Told>,
}

/// A cohort has as many guards at most after its first, ...
const LONGEST: u32 = 16;
/// ... and passes its lease on for no longer than that: then other processes come first.
const LONGEST_SPAN: Duration = Duration::from_millis(10);
/// How long a version waits for others that are saved with it.
const BEHIND: Duration = Duration::from_millis(1);

/// What becomes of a lease that its holder does not need any more.
enum Joined<T> {
    /// Nobody follows: do it alone.
    Alone(T),
    /// It is seen to; the answer comes here.
    Together(oneshot::Receiver<Outcome>),
    Failed(CommitError),
}

impl<T> Joined<T> {
    /// What the guard was shown is not stored, and so it is not to go on from there.
    fn failed(cohort: Cohort, lease: Lease<SessionKey>) -> Self {
        // Without its heir it goes back to the server.
        drop(without_heir(lease));
        cohort
            .failed
            .map_or_else(|| Self::Failed(CommitError::Conflict), Self::Failed)
    }
}

/// Passes the lease of a guard on that is dropped.
struct Next<S>(Arc<S>);

impl<S: Follows> Heir<SessionKey> for Next<S> {
    fn inherit(&self, lease: Lease<SessionKey>) {
        let mut cohorts = self.0.cohorts().all();
        match cohorts.get_mut(lease.held()) {
            Some(cohort) if cohort.failed.is_none() => cohort.go_on(&self.0, lease, None),
            _ => drop(cohorts.remove(lease.held())),
        }
    }
}

impl Cohorts {
    #[cfg(test)]
    pub(crate) fn are_over(&self) -> bool {
        self.all().is_empty()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Held<SessionKey>, Cohort>> {
        self.cohorts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A guard commits.
pub(crate) async fn commit(
    store: &Arc<impl Follows>,
    lease: Lease<SessionKey>,
    write: Write,
) -> Outcome {
    match join(store, lease, write) {
        Joined::Alone((lease, write)) => store.commit_alone(lease, write).await,
        Joined::Together(answer) => told(&**store, answer).await,
        Joined::Failed(error) => Err(error),
    }
}

/// A guard gives its lease back, and has changed nothing.
pub(crate) async fn release(
    store: &Arc<impl Follows>,
    lease: Lease<SessionKey>,
) -> Result<(), CommitError> {
    match leave(store, lease) {
        Joined::Alone(lease) => store.release_alone(lease).await,
        Joined::Together(answer) => told(&**store, answer).await.map(drop),
        Joined::Failed(error) => Err(error),
    }
}

fn join<S: Follows>(
    store: &Arc<S>,
    lease: Lease<SessionKey>,
    write: Write,
) -> Joined<(Lease<SessionKey>, Write)> {
    let (held, follows) = (*lease.held(), may_follow(&**store, &lease, &write));
    let mut cohorts = store.cohorts().all();
    let cohort = match cohorts.entry(held) {
        Entry::Occupied(cohort) if cohort.get().failed.is_some() => {
            return Joined::failed(cohort.remove(), lease);
        }
        Entry::Occupied(cohort) => cohort.into_mut(),
        Entry::Vacant(place) => {
            let is_awaited = follows && store.lines().is_awaited(&held.resource);
            let (true, Some(runtime)) = (is_awaited, Runtime::current()) else {
                return Joined::Alone((lease, write));
            };
            let newest = shown(&**store, &write);
            let cohort = Cohort::new(lease.ender(), write.base, newest, store.clock().now());
            let task = Task {
                store: Arc::clone(store),
                held,
            };
            let changed = Arc::clone(&cohort.changed);
            runtime.spawn(async move { task.save_behind(&changed).await });
            place.insert(cohort)
        }
    };
    let (told, answer) = oneshot::channel();
    cohort.newest = shown(&**store, &write);
    cohort.add(write, told, store.clock().now());
    if follows {
        cohort.go_on(store, lease, None);
    } else {
        cohort.comes_back(lease, None);
    }
    Joined::Together(answer)
}

fn leave<S: Follows>(store: &Arc<S>, lease: Lease<SessionKey>) -> Joined<Lease<SessionKey>> {
    let mut cohorts = store.cohorts().all();
    let mut cohort = match cohorts.entry(*lease.held()) {
        Entry::Vacant(_) => return Joined::Alone(lease),
        Entry::Occupied(cohort) if cohort.get().failed.is_some() => {
            return Joined::failed(cohort.remove(), lease);
        }
        Entry::Occupied(cohort) => cohort,
    };
    let (told, answer) = oneshot::channel();
    // What it was shown is to be stored before it is told that all is well.
    let told = cohort.get_mut().wait_for_save(told);
    cohort.get_mut().go_on(store, lease, told);
    Joined::Together(answer)
}

/// Waits until what the guard was shown is stored, and ends the cohort.
///
/// # Errors
/// Why it is not stored. The lease is given back then.
pub(crate) async fn settled(
    store: &impl Follows,
    lease: Lease<SessionKey>,
) -> Result<Lease<SessionKey>, CommitError> {
    let held = *lease.held();
    let answer = {
        let mut cohorts = store.cohorts().all();
        let Some(cohort) = cohorts.get_mut(&held) else {
            return Ok(lease);
        };
        let (sender, answer) = oneshot::channel();
        cohort.hurry = true;
        cohort.changed.notify_one();
        match cohort.wait_for_save(sender) {
            None => Some(answer),
            Some(_nothing_to_save) => None,
        }
    };
    // Cancelled here, the lease goes to whoever is next.
    let settled = match answer {
        Some(answer) => told(store, answer).await.map(drop),
        None => Ok(()),
    };
    let mut cohorts = store.cohorts().all();
    let cohort = cohorts.remove(&held);
    drop(cohorts);
    let failed = cohort.and_then(|cohort| {
        cohort.changed.notify_one();
        cohort.failed
    });
    let lease = without_heir(lease);
    settled.and(failed.map_or(Ok(lease), Err))
}

/// The outcome of a save that was seen to by the cohort.
async fn told(store: &impl Follows, answer: oneshot::Receiver<Outcome>) -> Outcome {
    // Without an answer, its task has ended with its runtime.
    answer.await.unwrap_or_else(|_| Err(store.unknown()))
}

/// A version as the next guard sees it.
fn shown(store: &impl Follows, write: &Write) -> Stored {
    let read_at = store.time();
    Stored {
        time_to_live: write.header.time_to_live(read_at),
        header: write.header.clone(),
        body: write.body.clone(),
        read_at,
    }
}

/// Whether another guard may go on from this version, under this lease.
fn may_follow(store: &impl Follows, lease: &Lease<SessionKey>, write: &Write) -> bool {
    let life = KeepAlive {
        left: write.header.surely_left(store.time()),
        full: write.header.idle_timeout,
    };
    lease.is_valid() && lease.keeps_alive(life)
}

fn without_heir(mut lease: Lease<SessionKey>) -> Lease<SessionKey> {
    lease.set_heir(None);
    lease
}

impl Cohort {
    fn new(lease: Ender<SessionKey>, base: CommitId, newest: Stored, since: Moment) -> Self {
        Self {
            since,
            passed: 0,
            newest,
            saved: (base, None),
            unsaved: None,
            saving: Vec::new(),
            hurry: false,
            back: None,
            failed: None,
            lease,
            changed: Arc::default(),
        }
    }

    /// Nobody may go on from here: also whoever does so already is to know it.
    fn fail(&mut self, error: &CommitError) {
        self.failed.get_or_insert_with(|| error.clone());
        self.lease.end(match error {
            CommitError::LeaseLost { cause } => *cause,
            _ => LossCause::Gone,
        });
    }

    fn add(&mut self, write: Write, told: Told, now: Moment) {
        let former = self.unsaved.take();
        let (since, mut all) =
            former.map_or((now, Vec::new()), |former| (former.since, former.told));
        all.push(told);
        self.unsaved = Some(Unsaved {
            write,
            since,
            told: all,
        });
        self.changed.notify_one();
    }

    /// Tells the outcome of the save of what is shown now; gives it back if that is stored.
    fn wait_for_save(&mut self, told: Told) -> Option<Told> {
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.told.push(told);
        } else if !self.saving.is_empty() {
            self.saving.push(told);
        } else {
            return Some(told);
        }
        None
    }

    /// Passes the lease on, or takes it back. `told` waits for nothing but the end of its guard.
    fn go_on<S: Follows>(
        &mut self,
        store: &Arc<S>,
        mut lease: Lease<SessionKey>,
        told: Option<Told>,
    ) {
        let now = store.clock().now();
        let is_young = self.passed < LONGEST && now.saturating_since(self.since) < LONGEST_SPAN;
        if !is_young || !lease.is_valid() {
            return self.comes_back(lease, told);
        }
        let key = lease.held().resource;
        lease.set_heir(Some(Arc::new(Next(Arc::clone(store)))));
        match store.lines().pass_on(&key, lease, &self.newest) {
            Ok(()) => {
                self.passed += 1;
                let revision = self.saved.1.unwrap_or_default();
                let commit_id = self.saved.0;
                let committed = Committed {
                    revision,
                    commit_id,
                };
                tell(told.into_iter().collect(), &Ok(committed));
            }
            Err(lease) => self.comes_back(lease, told),
        }
    }

    fn comes_back(&mut self, lease: Lease<SessionKey>, told: Option<Told>) {
        self.back = Some((without_heir(lease), told.into_iter().collect()));
        self.changed.notify_one();
    }

    /// What its task has to do now.
    fn job(&mut self, now: Moment) -> Job {
        if self.failed.is_some() {
            return Job::Done;
        }
        if let Some((lease, told)) = self.back.take() {
            let unsaved = self.unsaved.take();
            let unsaved = unsaved.map(|unsaved| self.based(unsaved));
            return Job::End(lease, unsaved, (told, self.saved.0));
        }
        let hurry = self.hurry;
        let is_due = |unsaved: &mut Unsaved| hurry || now >= unsaved.since + BEHIND;
        if let Some(unsaved) = self.unsaved.take_if(is_due) {
            let (write, told) = self.based(unsaved);
            self.saving = told;
            return Job::Save(write);
        }
        let unsaved = self.unsaved.as_ref();
        Job::Wait(unsaved.map(|unsaved| unsaved.since + BEHIND))
    }

    /// The newest version, as one that replaces what stands on the server.
    fn based(&self, unsaved: Unsaved) -> (Write, Vec<Told>) {
        let mut write = unsaved.write;
        let (base, revision) = self.saved;
        write.base = base;
        if let Some(revision) = revision {
            write.header.revision = revision;
        }
        (write, unsaved.told)
    }
}

enum Job {
    Wait(Option<Moment>),
    Save(Write),
    /// With whoever waits for nothing but the end, and the version that stands.
    End(
        Lease<SessionKey>,
        Option<(Write, Vec<Told>)>,
        (Vec<Told>, CommitId),
    ),
    Done,
}

/// The task of one cohort: saves behind its guards.
struct Task<S: Follows> {
    store: Arc<S>,
    held: Held<SessionKey>,
}

impl<S: Follows> Task<S> {
    async fn save_behind(&self, changed: &Notify) {
        let clock = self.store.clock();
        loop {
            let job = {
                let mut cohorts = self.store.cohorts().all();
                let cohort = cohorts.get_mut(&self.held);
                cohort.map_or(Job::Done, |cohort| cohort.job(clock.now()))
            };
            match job {
                Job::Wait(None) => changed.notified().await,
                Job::Wait(Some(until)) => tokio::select! {
                    biased;
                    () = changed.notified() => {}
                    () = clock.sleep_until(until) => {}
                },
                Job::Save(write) => {
                    let commit_id = write.header.commit_id;
                    let saved = self.store.save(&self.held, write).await;
                    self.saved(commit_id, &saved);
                }
                Job::End(lease, unsaved, told) => return self.end(lease, unsaved, told).await,
                Job::Done => return,
            }
        }
    }

    fn saved(&self, commit_id: CommitId, outcome: &Outcome) {
        let mut cohorts = self.store.cohorts().all();
        let Some(cohort) = cohorts.get_mut(&self.held) else {
            return;
        };
        let mut told = std::mem::take(&mut cohort.saving);
        match outcome {
            Ok(committed) => cohort.saved = (commit_id, Some(committed.revision)),
            Err(error) => {
                told.extend(
                    cohort
                        .unsaved
                        .take()
                        .into_iter()
                        .flat_map(|unsaved| unsaved.told),
                );
                cohort.fail(error);
                if let Some((lease, waiting)) = cohort.back.take() {
                    told.extend(waiting);
                    drop(lease);
                    cohorts.remove(&self.held);
                }
            }
        }
        drop(cohorts);
        tell(told, outcome);
    }

    /// Nobody follows: what is unsaved is stored, and the lock is free.
    async fn end(
        &self,
        lease: Lease<SessionKey>,
        unsaved: Option<(Write, Vec<Told>)>,
        (mut told, commit_id): (Vec<Told>, CommitId),
    ) {
        let outcome = match unsaved {
            Some((write, waiting)) => {
                told.extend(waiting);
                self.store.commit_alone(lease, write).await
            }
            None => {
                let revision = Revision::default();
                let released = self.store.release_alone(lease).await;
                released.map(|()| Committed {
                    revision,
                    commit_id,
                })
            }
        };
        self.store.cohorts().all().remove(&self.held);
        tell(told, &outcome);
    }
}

impl<S: Follows> Drop for Task<S> {
    /// If it ends with its runtime, nobody goes on from what is not stored.
    fn drop(&mut self) {
        let mut cohorts = self.store.cohorts().all();
        let Entry::Occupied(mut cohort) = cohorts.entry(self.held) else {
            return;
        };
        let left = cohort.get_mut();
        left.fail(&self.store.unknown());
        left.saving.clear();
        left.unsaved = None;
        if left.back.is_some() {
            cohort.remove();
        }
    }
}

fn tell(told: Vec<Told>, outcome: &Outcome) {
    for told in told {
        told.send(outcome.clone()).ok();
    }
}

impl fmt::Debug for Cohorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cohorts")
            .field("cohorts", &self.all().len())
            .finish_non_exhaustive()
    }
}

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use session_core::{
    AcquireError, CommitError, Granted, LockRequest, SessionKey, StoreTime, Stored, Write,
};
use session_lock::{
    Clock, Drift, Held, KeepAlive, Keeper, Lease, LeaseBackend, LeaseTerms, LossCause, OwnerValue,
    Renewal, Ttl,
};
use session_testkit::FakeClock;
use shuttle::future::{spawn, yield_now};

use super::server::{LONG, Looked, Server, unreachable};
use crate::{
    cohort::{Cohorts, Follows, Outcome},
    lines::{Lines, Place, Queued},
    under_lease,
    waiting::{self, Grants},
};

/// One process: its line, its cohorts and its leases.
pub(super) struct Process {
    pub(super) number: usize,
    pub(super) server: Arc<Server>,
    clock: FakeClock,
    lines: Arc<Lines>,
    cohorts: Cohorts,
    keeper: Keeper<SessionKey>,
    stopped: AtomicBool,
}

impl Process {
    /// With the task that leaves queues.
    pub(super) fn start(number: usize, server: &Arc<Server>, clock: &FakeClock) -> Arc<Self> {
        let process = Arc::new(Self {
            number,
            server: Arc::clone(server),
            clock: clock.clone(),
            lines: Arc::default(),
            cohorts: Cohorts::default(),
            keeper: Keeper::new(Arc::new(NoTask), Arc::new(clock.clone())),
            stopped: AtomicBool::new(false),
        });
        let leaving = Arc::clone(&process);
        spawn(async move {
            while !leaving.stopped.load(Ordering::Relaxed) {
                for (_, queued) in leaving.lines.take_left() {
                    leaving.server.leave(&queued).await;
                }
                leaving.lines.changed.notified().await;
            }
        });
        process
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.lines.changed.notify_one();
    }

    /// Whether nobody waits, and nothing is left of any cohort: also no task. It is known to the world and to the task
    /// that leaves queues then.
    pub(super) fn is_quiet(self: &Arc<Self>) -> bool {
        let is_awaited = self.lines.is_awaited(&self.server.key);
        !is_awaited && self.cohorts.are_over() && Arc::strong_count(self) == 2
    }

    /// Takes the lock, as the stores do.
    pub(super) async fn lock(self: &Arc<Self>) -> Result<Granted, AcquireError> {
        let terms = LeaseTerms {
            ttl: Ttl::new(self.server.ttl).unwrap(),
            drift: Drift::default(),
            longest_hold: LONG,
        };
        let request = LockRequest {
            terms,
            wait: LONG,
            max_waiters: usize::MAX,
        };
        waiting::lock(&Asked(self, terms), &self.lines, &self.server.key, &request).await
    }

    /// The server has granted the lock. What becomes of the lease is seen to, as the keeper would.
    fn granted(&self, owner: OwnerValue, terms: LeaseTerms, stored: Stored) -> Granted {
        let pending = self.keeper.ask(self.server.key, owner, terms);
        let life = KeepAlive {
            left: LONG,
            full: LONG,
        };
        let lease = pending.granted(Some(life));
        let (server, lost) = (Arc::clone(&self.server), lease.lost());
        spawn(async move {
            match lost.await {
                LossCause::Expired => server.runs_out(owner),
                LossCause::Released => server.free(owner),
                _ => server.free_after(owner),
            };
        });
        Granted { lease, stored }
    }
}

/// The lock, as one who wants it asks for it.
struct Asked<'a>(&'a Arc<Process>, LeaseTerms);

impl Grants for Asked<'_> {
    fn clock(&self) -> &dyn Clock {
        &self.0.clock
    }

    async fn try_lock(&self) -> Result<Option<Granted>, AcquireError> {
        let owner = OwnerValue::random();
        let unanswered = Unanswered(Arc::clone(&self.0.server), Some(owner));
        let taken = self.0.server.try_lock(owner).await;
        unanswered.answered();
        Ok(taken.map(|stored| self.0.granted(owner, self.1, stored)))
    }

    async fn check(&self) -> Result<(), AcquireError> {
        Ok(())
    }

    fn queued(&self) -> Queued {
        Queued::new("a channel", Duration::from_secs(1))
    }

    async fn look(&self, place: &Place, queued: &Queued) -> Result<Option<Granted>, AcquireError> {
        match self.0.server.look(queued, &self.0.lines).await {
            Looked::Waits(ahead) => {
                // Nobody looks by itself: a message that is missed is missed for ever.
                place.waits(StoreTime::default(), ahead, self.0.clock.now() + LONG);
                Ok(None)
            }
            Looked::Taken(stored) => {
                place.is_served();
                let unanswered = Unanswered(Arc::clone(&self.0.server), Some(queued.owner));
                yield_now().await;
                unanswered.answered();
                Ok(Some(self.0.granted(queued.owner, self.1, stored)))
            }
        }
    }
}

/// A lock that was asked for: given back if nobody waits for the answer any more.
struct Unanswered(Arc<Server>, Option<OwnerValue>);

impl Unanswered {
    fn answered(mut self) {
        self.1 = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let (Some(owner), false) = (self.1, std::thread::panicking()) {
            let server = Arc::clone(&self.0);
            spawn(async move {
                server.release(owner).await;
            });
        }
    }
}

impl Follows for Process {
    fn cohorts(&self) -> &Cohorts {
        &self.cohorts
    }

    fn lines(&self) -> &Lines {
        &self.lines
    }

    fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    fn time(&self) -> StoreTime {
        StoreTime::default()
    }

    async fn save(&self, held: &Held<SessionKey>, write: Write) -> Outcome {
        self.server.save(held, write).await
    }

    async fn commit_alone(&self, lease: Lease<SessionKey>, write: Write) -> Outcome {
        let owner = lease.held().owner;
        let saved = self.server.save(lease.held(), write).await;
        if !matches!(saved, Err(CommitError::Unknown(_) | CommitError::Store(_))) {
            self.server.free(owner);
        }
        under_lease::written(lease, saved)
    }

    async fn release_alone(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        let was_held = self.server.release(lease.held().owner).await;
        lease.finish();
        let cause = LossCause::Gone;
        was_held
            .then_some(())
            .ok_or(CommitError::LeaseLost { cause })
    }

    fn unknown(&self) -> CommitError {
        CommitError::Unknown(unreachable())
    }
}

/// There is no tokio runtime here, so the keeper has no task.
struct NoTask;

#[async_trait]
impl LeaseBackend<SessionKey> for NoTask {
    async fn renew(&self, _leases: &[(Held<SessionKey>, LeaseTerms)]) -> Vec<Renewal> {
        unreachable!("nothing is renewed without a task")
    }

    async fn release(&self, _leases: &[Held<SessionKey>]) {
        unreachable!("nothing is given back without a task")
    }
}

use std::{fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use session_core::{AcquireError, Fault, Lines, LockRequest, Locker, SessionKey, StoreError};
use session_lock::{
    Clock, FencingToken, Held, Keeper, Lease, LeaseBackend, LeaseTerms, LossCause, OwnerValue,
    Renewal, SystemClock, random_bytes,
};

use self::listener::Listener;
use crate::{
    Postgres,
    migrations::{self, SchemaError},
    number::{key_bytes, ms, token_number, unsigned},
};

mod listener; // hearing that it is one's turn

/// Locks in PostgreSQL, for those who have no Redis: a lease row for each session, with a fencing token and a queue.
///
/// With [`PostgresRecords`](crate::PostgresRecords) it makes a primary: [`Composed`](session_core::Composed). Cheap to
/// clone; clones share everything.
///
/// # Waiting
/// Nobody holds a connection while it waits. In a process the first who wants a lock asks for it, the others stand in
/// line behind; between processes, the one that has waited longest is handed the lock in the step that frees it, and is
/// told by `NOTIFY`, over one connection that listens for the whole process. Messages can be lost, so whoever waits also
/// looks: when the lock runs out, and once a second. Over a pool ([`Postgres::from_pool`]) nothing is heard: then it looks
/// every 50 ms.
///
/// # Tokens
/// The row keeps the last token; each grant has a larger one. A row that nobody has used for a day is removed by
/// [`clean_up`](Self::clean_up), and the clock of the database (milliseconds × 1,024) stands in for it, as on the nodes of
/// a [`Redlock`](session_lock::Redlock): so one can change from one locker to the other.
///
/// # Limits
/// A lock that is acquired and given back costs the database two commits, a hand-over one more.
#[derive(Clone)]
pub struct PostgresLocker {
    inner: Arc<Inner>,
}

struct Inner {
    locks: Arc<Locks>,
    keeper: Keeper<SessionKey>,
    lines: Lines,
    listener: Listener,
    clock: Arc<dyn Clock>,
    /// This process, among those that wait.
    process: i64,
}

const WAIT: &str = "wait for a session";
// How long a lock stands that was handed over to a process that may be gone. As on Redis.
const OFFER: Duration = Duration::from_secs(1);
// Whoever waits looks as often: a message may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_WITHOUT_LISTENING: Duration = Duration::from_millis(50);
// A place in the queue is kept for three looks.
const PLACE_KEPT: Duration = Duration::from_secs(3);
const SHORTEST_LOOK: Duration = Duration::from_millis(5);

impl PostgresLocker {
    /// On that database.
    ///
    /// # Errors
    /// [`SchemaError`] when the database does not answer, is too old, or does not have the tables of this release.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn new(postgres: &Postgres) -> Result<Self, SchemaError> {
        migrations::check(postgres).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let locks = Arc::new(Locks(postgres.clone()));
        let process = i64::from_be_bytes(random_bytes());
        let inner = Inner {
            keeper: Keeper::new(
                Arc::clone(&locks) as Arc<dyn LeaseBackend<SessionKey>>,
                Arc::clone(&clock),
            ),
            listener: Listener::new(postgres, process),
            lines: Lines::default(),
            locks,
            clock,
            process,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Removes locks that nobody has held for a day, and places of processes that are gone; how many locks.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    ///
    /// # Cancel safety
    /// Cancelled, some rows are removed.
    pub async fn clean_up(&self) -> Result<u64, StoreError> {
        let postgres = &self.inner.locks.0;
        let waiters = include_str!("../../sql/waiters_sweep.sql");
        postgres.remove("forget who waited", waiters).await?;
        let locks = include_str!("../../sql/locks_sweep.sql");
        postgres.remove("forget unused locks", locks).await
    }

    /// [`clean_up`](Self::clean_up) for ever, with that time between: to be spawned. What fails is logged and tried
    /// again the next time.
    ///
    /// # Cancel safety
    /// As [`clean_up`](Self::clean_up).
    pub fn clean_up_every(&self, interval: Duration) -> impl Future<Output = ()> + Send + 'static {
        let locker = self.clone();
        async move {
            loop {
                if let Err(error) = locker.clean_up().await {
                    tracing::warn!(%error, "could not remove unused locks");
                }
                tokio::time::sleep(interval).await;
            }
        }
    }
}

/// What was said to whoever asked for a lock.
enum Asked {
    Granted(Lease<SessionKey>),
    /// Others have it, or come first. The lock stands for that long if nobody gives it back.
    Wait(Duration, Queued),
    Taken,
}

/// A place in the queue of a lock. Dropping it gives it up, and passes on a lock that was handed over meanwhile.
struct Queued {
    inner: Arc<Inner>,
    held: Held<SessionKey>,
    terms: LeaseTerms,
    left: bool,
}

impl Queued {
    /// The place is taken by somebody else, or there is none any more.
    fn forget(mut self) {
        self.left = true;
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if !self.left {
            let Held { resource, owner } = self.held;
            drop(self.inner.keeper.ask(resource, owner, self.terms));
        }
    }
}

/// How a lock is asked for.
#[derive(Clone, Copy)]
enum How {
    /// Once, without waiting for others.
    Try,
    /// In the queue.
    Queue,
}

impl Inner {
    /// Asks the database, in a task of its own: a question that nobody waits for any more is answered all the same, and
    /// what it was granted goes back behind it. Given back at once, it could be granted after that.
    async fn ask(
        self: &Arc<Self>,
        held: Held<SessionKey>,
        terms: LeaseTerms,
        floor: FencingToken,
        how: How,
    ) -> Result<Asked, StoreError> {
        let inner = Arc::clone(self);
        let asked = tokio::spawn(async move {
            // Now is the moment that validity counts from.
            let pending = inner.keeper.ask(held.resource, held.owner, terms);
            let (token, left) = match how {
                How::Try => (inner.locks.take(&held, terms, floor).await?, Duration::ZERO),
                How::Queue => {
                    inner
                        .locks
                        .claim(&held, terms, floor, inner.process)
                        .await?
                }
            };
            if token.is_some() {
                return Ok(Asked::Granted(pending.granted_with_token(None, token)));
            }
            pending.refused();
            Ok(match how {
                How::Try => Asked::Taken,
                How::Queue => {
                    let inner = Arc::clone(&inner);
                    let queued = Queued {
                        inner,
                        held,
                        terms,
                        left: false,
                    };
                    Asked::Wait(left, queued)
                }
            })
        });
        // It fails only with its runtime.
        asked
            .await
            .unwrap_or_else(|_ended| Err(self.locks.0.error(WAIT, Fault::Unreachable)))
    }

    /// The first in line asks until it has the lock.
    async fn ask_until(
        self: &Arc<Self>,
        held: Held<SessionKey>,
        terms: LeaseTerms,
        floor: FencingToken,
        until: session_lock::Moment,
    ) -> Result<Option<Lease<SessionKey>>, StoreError> {
        // Before the first question: what is told from now on is not missed.
        let watch = self.listener.watch(&held.resource);
        let mut place: Option<Queued> = None;
        loop {
            let left = match self.ask(held, terms, floor, How::Queue).await? {
                Asked::Granted(lease) => {
                    if let Some(place) = place {
                        place.forget();
                    }
                    return Ok(Some(lease));
                }
                Asked::Wait(left, queued) => {
                    if let Some(before) = place.replace(queued) {
                        before.forget();
                    }
                    left
                }
                Asked::Taken => Duration::ZERO,
            };
            let now = self.clock.now();
            if now >= until {
                return Ok(None);
            }
            let look = left.clamp(SHORTEST_LOOK, self.look_every());
            tokio::select! {
                biased;
                () = watch.told() => {}
                () = self.clock.sleep_until((now + look).min(until)) => {}
            }
        }
    }

    const fn look_every(&self) -> Duration {
        if self.listener.hears() {
            LOOK_EVERY
        } else {
            LOOK_WITHOUT_LISTENING
        }
    }
}

#[async_trait]
impl Locker for PostgresLocker {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.clock)
    }

    async fn lock(
        &self,
        key: &SessionKey,
        request: &LockRequest,
        floor: FencingToken,
    ) -> Result<Lease<SessionKey>, AcquireError> {
        let Inner { clock, lines, .. } = &*self.inner;
        let (start, terms) = (clock.now(), request.terms);
        let held = Held {
            resource: *key,
            owner: OwnerValue::random(),
        };
        let refused = |ahead| AcquireError::Held {
            waited: clock.now().saturating_since(start),
            ahead,
        };
        // Whoever only tries does not stand in line behind those who wait.
        if request.wait.is_zero() {
            return match self.inner.ask(held, terms, floor, How::Try).await? {
                Asked::Granted(lease) => Ok(lease),
                _ => Err(refused(lines.waiting(key))),
            };
        }
        let until = start + request.wait;
        let place = lines.join(key, request.max_waiters);
        let place = place.map_err(|full| AcquireError::Busy {
            waiting: full.waiting,
        })?;
        let ahead = place.ahead();
        let _turn = tokio::select! {
            biased;
            turn = place.turn() => turn,
            () = clock.sleep_until(until) => return Err(refused(ahead)),
        };
        let granted = self.inner.ask_until(held, terms, floor, until).await?;
        granted.ok_or_else(|| refused(ahead))
    }

    async fn release(&self, lease: Lease<SessionKey>) {
        match self.inner.locks.give_back(lease.held()).await {
            Ok(()) => lease.finish(),
            // Dropping it tries once more, in the background.
            Err(error) => tracing::debug!(%error, "could not give a lock back"),
        }
    }

    async fn drained(&self) {
        self.inner.keeper.drained().await;
    }
}

impl fmt::Debug for PostgresLocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLocker")
            .field("postgres", &self.inner.locks.0)
            .finish_non_exhaustive()
    }
}

/// The rows of locks.
struct Locks(Postgres);

impl Locks {
    /// Locks what nobody holds or waits for.
    async fn take(
        &self,
        held: &Held<SessionKey>,
        terms: LeaseTerms,
        floor: FencingToken,
    ) -> Result<Option<FencingToken>, StoreError> {
        let sql = include_str!("../../sql/lock_try.sql");
        let (key, owner) = (key_bytes(&held.resource), &held.owner.as_bytes()[..]);
        let (ttl, floor) = (ms(terms.ttl.get()), token_number(floor));
        let rows = self
            .0
            .query("lock a session", sql, &[&key, &owner, &ttl, &floor])
            .await?;
        Ok(rows.first().map(|row| FencingToken(unsigned(row.get(0)))))
    }

    /// Waits in the queue for what others hold, or takes it: the token, and how long the lock stands else.
    async fn claim(
        &self,
        held: &Held<SessionKey>,
        terms: LeaseTerms,
        floor: FencingToken,
        process: i64,
    ) -> Result<(Option<FencingToken>, Duration), StoreError> {
        let (key, owner) = (key_bytes(&held.resource), &held.owner.as_bytes()[..]);
        let (ttl, floor, kept) = (ms(terms.ttl.get()), token_number(floor), ms(PLACE_KEPT));
        let rows = self
            .0
            .together(
                WAIT,
                &[
                    (include_str!("../../sql/lock_hold.sql"), &[&key]),
                    (
                        include_str!("../../sql/lock_queue_up.sql"),
                        &[&key, &process, &owner, &kept],
                    ),
                    (
                        include_str!("../../sql/lock_claim.sql"),
                        &[&key, &owner, &ttl, &floor, &process],
                    ),
                ],
            )
            .await
            .map_err(|error| error.error)?
            .pop();
        let row = rows.as_ref().and_then(|rows| rows.first());
        let (token, left): (Option<i64>, i64) =
            row.map_or((None, 0), |row| (row.get(0), row.get(1)));
        let token = token.map(|token| FencingToken(unsigned(token)));
        Ok((token, Duration::from_millis(unsigned(left))))
    }

    /// Leaves the queue, and frees the lock or passes it on.
    async fn give_back(&self, held: &Held<SessionKey>) -> Result<(), StoreError> {
        let (key, owner) = (key_bytes(&held.resource), &held.owner.as_bytes()[..]);
        let given_back = self
            .0
            .together(
                "give a lock back",
                &[
                    (include_str!("../../sql/lock_hold.sql"), &[&key]),
                    (include_str!("../../sql/lock_leave.sql"), &[&key, &owner]),
                    (
                        include_str!("../../sql/lock_release.sql"),
                        &[&key, &owner, &ms(OFFER)],
                    ),
                ],
            )
            .await;
        given_back.map_err(|error| error.error)?;
        Ok(())
    }
}

#[async_trait]
impl LeaseBackend<SessionKey> for Locks {
    async fn renew(&self, leases: &[(Held<SessionKey>, LeaseTerms)]) -> Vec<Renewal> {
        let sql = include_str!("../../sql/locks_renew.sql");
        let held = leases.iter().map(|(held, _)| held);
        let keys: Vec<_> = held.clone().map(|held| key_bytes(&held.resource)).collect();
        let owners: Vec<_> = held.map(|held| &held.owner.as_bytes()[..]).collect();
        let ttls: Vec<_> = leases
            .iter()
            .map(|(_, terms)| ms(terms.ttl.get()))
            .collect();
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&keys, &owners, &ttls];
        match self.0.query("renew leases", sql, &params).await {
            Ok(rows) if rows.len() == leases.len() => {
                let renewal = |row: &tokio_postgres::Row| match (row.get(0), row.get(1)) {
                    (true, _) => Renewal::Extended,
                    (false, true) => Renewal::Lost(LossCause::Stolen),
                    (false, false) => Renewal::Lost(LossCause::Gone),
                };
                rows.iter().map(renewal).collect()
            }
            Ok(_) => vec![Renewal::Unknown; leases.len()],
            Err(error) => {
                tracing::debug!(%error, "could not renew leases");
                vec![Renewal::Unknown; leases.len()]
            }
        }
    }

    async fn release(&self, leases: &[Held<SessionKey>]) {
        for held in leases {
            if let Err(error) = self.give_back(held).await {
                tracing::debug!(%error, "could not give a lock back; its TTL frees it");
            }
        }
    }
}

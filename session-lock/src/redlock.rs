use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    AcquireError, Clock, FencingToken, Held, Keeper, LeaseTerms, LockNode, NodeRequest, OwnerValue,
    RedlockBuilder, RedlockLease, Resource, ShutdownTimedOut, WithError,
    clock::by,
    config::{Dice, Settings},
    line::Lines,
    nodes::Nodes,
    refusal::{Reason, Refusal},
    renewing::Backend,
    round::{self, Attempt, EndOfAttempt},
    waiting::Waiting,
};

/// Locks that are spread over independent nodes: one is held by whoever a quorum of nodes grants it to.
///
/// Cheap to clone; clones share everything.
/// Source: "Distributed Locks with Redis" (redis.io/topics/distlock).
#[derive(Clone)]
pub struct Redlock {
    inner: Arc<Inner>,
}

struct Inner {
    nodes: Arc<Nodes>,
    keeper: Keeper<Resource>,
    lines: Lines,
    closed: watch::Sender<bool>,
}

/// How a lock is asked for.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct AcquireOptions {
    wait: Option<Duration>,
    floor: FencingToken,
    terms: Option<LeaseTerms>,
}

impl AcquireOptions {
    /// How long to wait while others hold the lock or too few nodes answer. Zero tries once. Default: the wait timeout of
    /// the lock.
    pub const fn wait_at_most(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// The fencing token has to be larger than this: for a store that has seen larger ones than the nodes remember.
    pub const fn floor(mut self, floor: FencingToken) -> Self {
        self.floor = floor;
        self
    }

    /// What the lease is to last. Default: the settings of the lock. The TTL must not be longer than the longest one
    /// ([`RedlockBuilder::longest_ttl`]), which is how long nodes wait that have lost their data.
    pub const fn terms(mut self, terms: LeaseTerms) -> Self {
        self.terms = Some(terms);
        self
    }
}

impl Redlock {
    /// A lock on `nodes`, with settings to be chosen. One node gives a lock on one server. An odd number is best: four
    /// nodes need three and bear the loss of one, as three do.
    pub fn builder(nodes: Vec<Arc<dyn LockNode>>) -> RedlockBuilder {
        RedlockBuilder::new(nodes)
    }

    pub(crate) fn assemble(
        nodes: Vec<Arc<dyn LockNode>>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        dice: Arc<dyn Dice>,
    ) -> Self {
        let nodes = Arc::new(Nodes::new(nodes, settings, Arc::clone(&clock), dice));
        let keeper = Keeper::new(Arc::new(Backend(Arc::clone(&nodes))), clock);
        Self {
            inner: Arc::new(Inner {
                nodes,
                keeper,
                lines: Lines::default(),
                closed: watch::Sender::new(false),
            }),
        }
    }

    /// Acquires the lock; waits while others hold it or too few nodes answer, at most for the wait timeout (5 s).
    ///
    /// # Errors
    /// [`AcquireError`]. Nothing is held then.
    ///
    /// # Cancel safety
    /// Cancelled, the lock is given back on every node that granted it or may still do so.
    pub async fn acquire(
        &self,
        resource: impl TryInto<Resource, Error: Into<AcquireError>>,
    ) -> Result<RedlockLease, AcquireError> {
        self.acquire_with(resource, AcquireOptions::default()).await
    }

    /// Tries once to acquire the lock, without waiting for others. If several try at the same moment, it can happen that
    /// nobody gets it.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(
        &self,
        resource: impl TryInto<Resource, Error: Into<AcquireError>>,
    ) -> Result<RedlockLease, AcquireError> {
        self.acquire_timeout(resource, Duration::ZERO).await
    }

    /// Acquires the lock; waits at most for `wait`, and then for the answers of an attempt that has begun.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_timeout(
        &self,
        resource: impl TryInto<Resource, Error: Into<AcquireError>>,
        wait: Duration,
    ) -> Result<RedlockLease, AcquireError> {
        let options = AcquireOptions::default().wait_at_most(wait);
        self.acquire_with(resource, options).await
    }

    /// Acquires the lock as `options` say.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_with(
        &self,
        resource: impl TryInto<Resource, Error: Into<AcquireError>>,
        options: AcquireOptions,
    ) -> Result<RedlockLease, AcquireError> {
        let resource = resource.try_into().map_err(Into::into)?;
        let wait = options
            .wait
            .unwrap_or(self.inner.nodes.settings.wait_timeout);
        let terms = options.terms.unwrap_or(self.inner.nodes.settings.terms);
        let longest = self.longest_ttl();
        if terms.ttl.get() > longest {
            let ttl = terms.ttl.get();
            return Err(AcquireError::TtlTooLong { ttl, longest });
        }
        self.inner
            .acquire(resource, wait, options.floor, terms)
            .await
    }

    /// Acquires several locks, always in the same order, so that two callers never wait for each other. All or none. The
    /// leases come in the order of `resources`; the wait timeout is for all together.
    ///
    /// # Errors
    /// [`AcquireError`] of the first lock that could not be acquired; [`AcquireError::Duplicate`] if one is named twice.
    ///
    /// # Cancel safety
    /// Cancelled, all are given back.
    pub async fn acquire_all<R>(
        &self,
        resources: impl IntoIterator<Item = R>,
    ) -> Result<Vec<RedlockLease>, AcquireError>
    where
        R: TryInto<Resource, Error: Into<AcquireError>>,
    {
        let resources = resources
            .into_iter()
            .map(|name| name.try_into().map_err(Into::into));
        let resources: Vec<Resource> = resources.collect::<Result<_, _>>()?;
        self.inner.acquire_all(&resources).await
    }

    /// Acquires the lock, runs `body`, and gives the lock back, also if the body fails, panics or is cancelled.
    ///
    /// # Errors
    /// [`WithError`], by the step that failed. [`WithError::Release`] with
    /// [`ReleaseError::Lost`](crate::ReleaseError::Lost) says that the lock was lost while the body ran: others may have
    /// run at the same time.
    ///
    /// # Cancel safety
    /// Cancelled, the lock is given back in the background.
    pub async fn with<T, E>(
        &self,
        resource: impl TryInto<Resource, Error: Into<AcquireError>>,
        body: impl AsyncFnOnce(&RedlockLease) -> Result<T, E>,
    ) -> Result<T, WithError<E>> {
        let lease = self.acquire(resource).await.map_err(WithError::Acquire)?;
        let value = body(&lease).await.map_err(WithError::Body)?;
        lease.release().await.map_err(WithError::Release)?;
        Ok(value)
    }

    /// The clock that leases are counted by.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.nodes.clock)
    }

    /// The longest TTL that a lease may have: [`RedlockBuilder::longest_ttl`].
    pub fn longest_ttl(&self) -> Duration {
        self.inner.nodes.settings.longest_ttl.get()
    }

    /// Grants no more locks, ends the waiting for them, and waits until every lease is back and every node has been
    /// told, for at most `limit`.
    ///
    /// # Errors
    /// [`ShutdownTimedOut`] when leases are still out after `limit`. They end with their TTL.
    ///
    /// # Cancel safety
    /// Cancelled, the lock stays shut down.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), ShutdownTimedOut> {
        self.inner.closed.send_replace(true);
        let clock = &*self.inner.nodes.clock;
        let drained = async {
            while self.outstanding() > 0 {
                self.inner.keeper.drained().await;
                self.inner.nodes.reaper.drained().await;
            }
        };
        by(clock, clock.now() + limit, drained)
            .await
            .ok_or(ShutdownTimedOut { limit })
    }

    /// The number of leases that are held and of calls to nodes that are still on their way in the background.
    pub fn outstanding(&self) -> usize {
        self.inner.keeper.outstanding() + self.inner.nodes.reaper.outstanding()
    }
}

impl Inner {
    async fn acquire(
        &self,
        resource: Resource,
        wait: Duration,
        floor: FencingToken,
        terms: LeaseTerms,
    ) -> Result<RedlockLease, AcquireError> {
        self.check_open()?;
        let clock = &*self.nodes.clock;
        let started = clock.now();
        let deadline = started + wait;
        let waited = || clock.now().saturating_since(started);
        // Whoever only tries does not stand in line behind those who wait.
        let place = if wait.is_zero() {
            None
        } else {
            let place = self.lines.join(&resource, self.nodes.settings.max_waiters);
            Some(place.map_err(|full| AcquireError::Busy {
                waiting: full.waiting,
            })?)
        };
        if let Some(place) = place.as_ref().filter(|place| !place.is_first())
            && by(clock, deadline, self.while_open(place.turn()))
                .await
                .transpose()?
                .is_none()
        {
            return Err(AcquireError::Held {
                waited: waited(),
                retry_after: None,
            });
        }
        let mut floor = floor;
        let mut waiting = Waiting::new();
        let mut new_nodes_used = false;
        loop {
            waiting.forget_what_was_heard();
            let refusal = match self.attempt(&resource, floor, terms).await {
                Ok(lease) => {
                    // Shut down while it asked: the lease goes back.
                    self.check_open()?;
                    return Ok(lease);
                }
                Err(refusal) => refusal,
            };
            floor = floor.max(refusal.highest_fence());
            let reason = refusal.reason();
            if reason == Reason::AllNew && !new_nodes_used {
                new_nodes_used = true;
                if self.nodes.use_first().await {
                    continue;
                }
            }
            self.nodes.seek_admissions(&refusal.answers);
            let gives_up = clock.now() >= deadline || !refusal.may_pass();
            if !gives_up {
                let pause = waiting.pause(&self.nodes, &resource, &refusal, deadline);
                self.while_open(pause).await?;
            }
            if gives_up || clock.now() >= deadline {
                return Err(refusal.into_error(&self.nodes, &resource, waited()));
            }
        }
    }

    /// Asks all nodes once.
    async fn attempt(
        &self,
        resource: &Resource,
        floor: FencingToken,
        terms: LeaseTerms,
    ) -> Result<RedlockLease, Refusal> {
        let settings = &self.nodes.settings;
        let _busy = self.nodes.reaper.busy();
        let held = Held {
            resource: resource.clone(),
            owner: OwnerValue::random(),
        };
        // Before the first byte is sent.
        let sent_at = self.nodes.clock.now();
        let attempt = Attempt::new(NodeRequest {
            held: held.clone(),
            ttl: terms.ttl,
            floor: floor.0,
            clock_floor: settings.clock_floor,
        });
        let token = round::ask_all(&self.nodes, &attempt, sent_at).await?;
        let mut pending = self.keeper.ask(held.resource, held.owner, terms);
        pending.count_from(sent_at);
        let lease = pending.granted_with_token(None, Some(token));
        let end = EndOfAttempt(attempt);
        let lease = RedlockLease::new(end, lease, token, Arc::clone(&self.nodes));
        // The answers, or this process, may have taken longer than the lock lives.
        if lease.is_valid() {
            Ok(lease)
        } else {
            Err(Refusal::too_late(&self.nodes))
        }
    }

    async fn acquire_all(&self, resources: &[Resource]) -> Result<Vec<RedlockLease>, AcquireError> {
        let mut order: Vec<usize> = (0..resources.len()).collect();
        order.sort_unstable_by_key(|at| &resources[*at]);
        if let Some(pair) = order
            .windows(2)
            .find(|pair| resources[pair[0]] == resources[pair[1]])
        {
            let resource = resources[pair[0]].clone();
            return Err(AcquireError::Duplicate { resource });
        }
        let clock = &*self.nodes.clock;
        let deadline = clock.now() + self.nodes.settings.wait_timeout;
        let mut leases = Vec::with_capacity(resources.len());
        for at in order {
            let left = deadline.saturating_since(clock.now());
            let (resource, any) = (resources[at].clone(), FencingToken::default());
            let lease = self.acquire(resource, left, any, self.nodes.settings.terms);
            leases.push((at, lease.await?));
        }
        leases.sort_unstable_by_key(|(at, _)| *at);
        Ok(leases.into_iter().map(|(_, lease)| lease).collect())
    }

    fn check_open(&self) -> Result<(), AcquireError> {
        if *self.closed.borrow() {
            Err(AcquireError::ShutDown)
        } else {
            Ok(())
        }
    }

    async fn while_open<T>(&self, work: impl Future<Output = T>) -> Result<T, AcquireError> {
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => Err(AcquireError::ShutDown),
            value = work => Ok(value),
        }
    }
}

impl fmt::Debug for Redlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redlock")
            .field("nodes", &self.inner.nodes)
            .finish_non_exhaustive()
    }
}

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use session_lock::{Clock, LeaseTerms};

use crate::{
    AcquireError, BadRecord, Bucket, Codec, CommitError, CommitReport, ConfigError, DestroyError,
    Error, Event, Header, InvalidUserId, LockRequest, LoginError, LoginTicket, Observer,
    PrimaryStore, Promise, ReadError, Recent, RecordError, RecordKind, SecondaryPolicy,
    SecondaryReport, SecondaryStore, SessionData, SessionGuard, SessionId, SessionKey,
    SessionLimit, Snapshot, StoreError, StoreTime, Stored, Timeouts, TouchAfter, Unlocked, UserId,
    UserSessions, WhenFull, WithError, WriteThrough,
    bases::Bases,
    data::own,
    event::Observers,
    held,
    lifetime::Settings,
    measure,
    seal::{IdHash, Seal},
    snapshot::Loaded,
    store::unsupported,
    update::{self, Turns},
    write_through::{Done, Named, Plan, in_order, written},
};

/// The way to all sessions of a service. Cheap to clone; clones share everything.
///
/// ```
/// # use session_core::{MemoryStore, Sessions};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
/// let sessions = Sessions::new(MemoryStore::new());
/// let (id, ()) = sessions.with_new(async |session| Ok::<_, session_core::Error>(session.insert("visits", 1)?)).await?;
///
/// let visits = sessions
///     .with(&id, async |session| -> session_core::Result<u32> {
///         let visits = session.get("visits")?.unwrap_or(0) + 1;
///         session.insert("visits", visits)?;
///         Ok(visits) // Ok commits; Err, a panic or cancellation changes nothing
///     })
///     .await?;
/// assert_eq!(visits, 2);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn PrimaryStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) seal: Seal,
    pub(crate) id_hash: IdHash,
    pub(crate) observers: Observers,
    pub(crate) turns: Turns,
    pub(crate) bases: Bases,
    /// Where commits go beside the store, if anywhere.
    pub(crate) through: Option<Arc<Plan>>,
    terms: LeaseTerms,
    closed: AtomicBool,
}

impl Sessions {
    /// Sessions in `store` with the default settings.
    #[expect(
        clippy::missing_panics_doc,
        reason = "the defaults are tested to be in their ranges"
    )]
    pub fn new(store: impl PrimaryStore) -> Self {
        Self::builder(store)
            .build()
            .expect("the defaults are in their ranges")
    }

    /// Sessions in `store` with other settings.
    pub fn builder(store: impl PrimaryStore) -> SessionsBuilder {
        SessionsBuilder {
            store: Arc::new(store),
            settings: Settings::default(),
            codec: None,
            seal: Seal::default(),
            id_hash: IdHash::default(),
            observers: Observers::default(),
            secondaries: Vec::new(),
        }
    }

    /// A new session. Its ID is made here and now; it is stored by the first commit with values.
    ///
    /// # Panics
    /// When the operating system gives no random bytes, which no safe program can go on from.
    pub fn create(&self) -> SessionGuard {
        SessionGuard::new(Arc::clone(&self.inner))
    }

    /// Runs `body` on a new session and commits it. Returns its ID and what the body returned. If the body writes
    /// no value, nothing is stored and the ID names nothing.
    ///
    /// # Errors
    /// [`WithError::Body`] with the body's own error; nothing is stored then. [`WithError::Commit`].
    ///
    /// # Cancel safety
    /// As [`SessionGuard::commit`].
    pub async fn with_new<T, E>(
        &self,
        body: impl AsyncFnOnce(&mut SessionGuard) -> Result<T, E>,
    ) -> Result<(SessionId, T), WithError<E>> {
        // A login in the body gives the session another ID than it was made with.
        run(self.create(), body).await
    }

    /// Locks a session: `sessions.lock(&id).await`, or `sessions.lock(&id).wait_at_most(SECOND).await`.
    pub fn lock<'a>(&'a self, id: &'a SessionId) -> LockBuilder<'a> {
        LockBuilder {
            sessions: self,
            id,
            wait: self.inner.settings.wait_timeout,
        }
    }

    /// Locks several sessions, always in the same order, so that two callers never wait for each other. All or none.
    /// The guards come in the order of `ids`.
    ///
    /// # Errors
    /// [`AcquireError`] of the first session that could not be locked; [`AcquireError::AlreadyHeld`] if one is named
    /// twice.
    ///
    /// # Cancel safety
    /// Cancelled, all are given back.
    pub async fn lock_all(&self, ids: &[&SessionId]) -> Result<Vec<SessionGuard>, AcquireError> {
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_unstable_by_key(|&at| ids[at].key());
        if order.windows(2).any(|pair| ids[pair[0]] == ids[pair[1]]) {
            return Err(AcquireError::AlreadyHeld);
        }
        let deadline = self.inner.clock.now() + self.inner.settings.wait_timeout;
        let mut guards = Vec::with_capacity(ids.len());
        for at in order {
            let left = deadline.saturating_since(self.inner.clock.now());
            guards.push((at, self.lock(ids[at]).wait_at_most(left).await?));
        }
        guards.sort_unstable_by_key(|(at, _)| *at);
        Ok(guards.into_iter().map(|(_, guard)| guard).collect())
    }

    /// Locks a session, runs `body` on it, and commits if the body returns `Ok`. On `Err`, a panic, or cancellation
    /// before the commit is sent, nothing is changed.
    ///
    /// Inside of the body, in the same task, a second lock of the same session is [`AcquireError::AlreadyHeld`].
    ///
    /// # Errors
    /// [`WithError`], by the step that failed.
    ///
    /// # Cancel safety
    /// Cancelled before the commit is sent, nothing is changed; after that as [`SessionGuard::commit`].
    pub async fn with<T, E>(
        &self,
        id: &SessionId,
        body: impl AsyncFnOnce(&mut SessionGuard) -> Result<T, E>,
    ) -> Result<T, WithError<E>> {
        let session = self
            .inner
            .lock(id, self.inner.settings.wait_timeout)
            .await
            .map_err(WithError::Acquire)?;
        let (_id, value) = run(session, body).await?;
        Ok(value)
    }

    /// [`with`](Self::with) for frameworks that need to name the body's future.
    ///
    /// # Errors
    /// As [`with`](Self::with).
    pub async fn with_boxed<T, E>(
        &self,
        id: &SessionId,
        body: impl for<'a> FnOnce(&'a mut SessionGuard) -> BoxedBody<'a, T, E> + Send,
    ) -> Result<T, WithError<E>>
    where
        T: Send,
        E: Send,
    {
        let mut session = self
            .inner
            .lock(id, self.inner.settings.wait_timeout)
            .await
            .map_err(WithError::Acquire)?;
        let value = held::holding(*id.key(), body(&mut session))
            .await
            .map_err(WithError::Body)?;
        session.commit().await.map_err(WithError::Commit)?;
        Ok(value)
    }

    /// Reads a session without locking it; `None` if there is none. Counts as a use of it.
    ///
    /// With a store that caches reads, it is the session as it was at most so long ago as that store was told to allow;
    /// [`latest`](Self::latest) is not.
    ///
    /// # Errors
    /// [`ReadError`] for a fault; it is never mistaken for "no session".
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn snapshot(&self, id: &SessionId) -> Result<Option<Snapshot>, ReadError> {
        let read = async { Ok(self.inner.load_recent(id).await?.map(Snapshot::new)) };
        measure::read(read).await
    }

    /// As [`snapshot`](Self::snapshot), and always asks the store: for decisions that must not rest on what was.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn latest(&self, id: &SessionId) -> Result<Option<Snapshot>, ReadError> {
        let read = async {
            let loaded = self.inner.load(id, TouchAfter::TenthOfIdle).await?;
            Ok(loaded.map(Snapshot::new))
        };
        measure::read(read).await
    }

    /// Changes a session by a short synchronous function, in as few flights as the store can: optimistically if
    /// nobody holds the lock, else under it. The same promises as [`with`](Self::with).
    ///
    /// The function may run more than once, each time on a fresh copy, and first on the version that this process has
    /// written last; only the last run is stored or decides. So it should do nothing but change the session.
    ///
    /// # Errors
    /// As [`with`](Self::with).
    ///
    /// # Cancel safety
    /// As [`SessionGuard::commit`].
    pub async fn update<T, E>(
        &self,
        id: &SessionId,
        change: impl FnMut(&mut SessionData) -> Result<T, E> + Send,
    ) -> Result<T, WithError<E>>
    where
        T: Send,
        E: Send,
    {
        measure::update(update::update(self, id, change)).await
    }

    /// Reading and writing without any lock, as sanic-cookies allows. Changes made at the same time are lost; that
    /// is logged as a warning, once for each place in the code that calls this.
    #[track_caller]
    pub fn unlocked(&self) -> Unlocked<'_> {
        Unlocked::new(self)
    }

    /// Ends a session, for everybody and at once, whoever holds its lock. An unknown session is not an error.
    /// Secondaries hear of it later, also those that are required.
    ///
    /// # Errors
    /// [`DestroyError`]; the session may live on. Ending it again is safe.
    ///
    /// # Cancel safety
    /// Cancelled, the session may or may not be ended.
    #[doc(alias = "delete")]
    pub async fn destroy(&self, id: &SessionId) -> Result<(), DestroyError> {
        let mut key = self.inner.id_hash.session(id);
        // The session may have another ID by now, and be given a further one meanwhile: it is that one that is to end.
        for _ in 0..MOST_FOLLOWED {
            match self.inner.store.destroy(&key).await? {
                None => {
                    self.inner.observers.tell(|| Event::Destroyed {
                        key: key.fingerprint(),
                    });
                    self.inner.look(key.bucket());
                    return Ok(());
                }
                Some(alias) => key = self.inner.target(&key, alias)?,
            }
        }
        Err(RecordError::new(id.key(), BadRecord::Unreadable).into())
    }

    /// Begins a login of that user, before the credentials are checked. A login with this ticket is refused if all
    /// sessions of the user are revoked in between, as after a change of the password.
    ///
    /// # Errors
    /// [`LoginError::Disabled`], [`LoginError::InvalidUserId`], [`LoginError::Store`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn begin_login<I>(&self, user: I) -> Result<LoginTicket, LoginError>
    where
        I: TryInto<UserId>,
        InvalidUserId: From<I::Error>,
    {
        self.inner.check_open(LoginError::ShutDown)?;
        let user: UserId = user.try_into().map_err(InvalidUserId::from)?;
        let standing = self
            .inner
            .store
            .standing(&self.inner.id_hash.user(&user))
            .await?;
        if standing.disabled {
            return Err(LoginError::Disabled);
        }
        Ok(standing.ticket)
    }

    /// All sessions of a user: to list them and to end them.
    ///
    /// # Errors
    /// [`InvalidUserId`] when the ID is empty or too long.
    pub fn user<I>(&self, user: I) -> Result<UserSessions, InvalidUserId>
    where
        I: TryInto<UserId>,
        InvalidUserId: From<I::Error>,
    {
        let user: UserId = user.try_into()?;
        Ok(UserSessions::new(Arc::clone(&self.inner), user))
    }

    /// Ends every session of every user, and anonymous ones too, and every login that has begun; those that are stored
    /// later live. Takes time in proportion to the number of sessions.
    ///
    /// # Errors
    /// [`StoreError`]; some sessions may live on. Doing it again is safe.
    ///
    /// # Cancel safety
    /// Cancelled, some sessions may live on.
    pub async fn revoke_everything(&self) -> Result<(), StoreError> {
        self.inner.store.revoke_everything().await?;
        self.inner.observers.tell(|| Event::RevokedEverything);
        Ok(())
    }

    /// The secondaries that commits are written through to; `None` if there are none.
    pub fn write_through(&self) -> Option<WriteThrough> {
        self.inner.through.clone().map(WriteThrough::new)
    }

    /// Asks the store whether it can be used, for health checks.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.inner.store.ping().await
    }

    /// Grants no more locks and reads nothing more, and waits until every guard is back, for at most `limit`.
    ///
    /// # Errors
    /// [`ShutdownTimedOut`] when guards are still out after `limit`. Their locks free themselves with their leases.
    ///
    /// # Cancel safety
    /// Cancelled, the sessions stay shut down.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), ShutdownTimedOut> {
        self.inner.closed.store(true, Ordering::Release);
        let clock = &self.inner.clock;
        tokio::select! {
            biased;
            () = self.inner.store.drained() => Ok(()),
            () = clock.sleep_until(clock.now() + limit) => Err(ShutdownTimedOut { limit }),
        }
    }

    pub(crate) const fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

/// The future of a body given to [`Sessions::with_boxed`].
pub type BoxedBody<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Runs a body and commits; the ID that the session has after the body, and what the body returned.
async fn run<T, E>(
    mut session: SessionGuard,
    body: impl AsyncFnOnce(&mut SessionGuard) -> Result<T, E>,
) -> Result<(SessionId, T), WithError<E>> {
    let key = *session.id().key();
    let value = held::holding(key, body(&mut session))
        .await
        .map_err(WithError::Body)?;
    let id = session.id().clone();
    let committed = session.commit().await.map_err(|error| match error {
        // It is stored: whoever made it needs its ID.
        CommitError::SecondaryFailed { mut report } => {
            report.id.get_or_insert_with(|| id.clone());
            CommitError::SecondaryFailed { report }
        }
        error => error,
    });
    committed.map_err(WithError::Commit)?;
    Ok((id, value))
}

// An alias leads to a session, and to an alias only if that session was given a further ID since the first one was read.
// That it happens so often in a row means that somebody else has written it.
const MOST_FOLLOWED: usize = 8;

impl Inner {
    pub(crate) fn check_open<E>(&self, shut_down: E) -> Result<(), E> {
        if self.closed.load(Ordering::Acquire) {
            Err(shut_down)
        } else {
            Ok(())
        }
    }

    /// A store that knows no users would store a login and forget whose it is.
    pub(crate) fn check_users(&self) -> Result<(), StoreError> {
        if self.store.capabilities().has(Promise::Users) {
            Ok(())
        } else {
            Err(unsupported("log in"))
        }
    }

    pub(crate) async fn load(
        &self,
        id: &SessionId,
        touch_after: TouchAfter,
    ) -> Result<Option<Loaded>, ReadError> {
        self.check_open(ReadError::ShutDown)?;
        let loaded = self.load_key(self.id_hash.session(id), touch_after).await;
        let loaded = self.observers.check(loaded)?;
        if touch_after == TouchAfter::TenthOfIdle {
            self.read(loaded.as_ref());
        }
        Ok(loaded)
    }

    /// A session was read, which counts as a use.
    fn read(&self, loaded: Option<&Loaded>) {
        if self.through.is_some()
            && let Some(loaded) = loaded
        {
            let now = loaded.life.now();
            self.seen(&loaded.header, loaded.life.remaining().idle, now);
        }
    }

    /// A session was used that had `left` to live: secondaries hear of it as often as the store is told.
    pub(crate) fn seen(&self, header: &Header, left: Duration, now: StoreTime) {
        if let Some(plan) = &self.through
            && header.kind == RecordKind::Live
            && TouchAfter::TenthOfIdle.is_due(left, header.time_to_live(now))
        {
            plan.seen(header.handle, now.after(header.time_to_live(now)));
        }
    }

    /// What a write has come to that was stored as it is under this header, for those who are to have it too.
    pub(crate) fn wrote(
        &self,
        key: SessionKey,
        header: &Header,
        data: SessionData,
    ) -> Option<Done> {
        self.through.as_ref()?;
        let now = self.store.time();
        Some(Done::Wrote(written(key, header.clone(), data, now)))
    }

    /// Hands on what a commit has done, and ends its report.
    pub(crate) async fn followed(
        &self,
        report: CommitReport,
        done: impl FnOnce() -> Done,
    ) -> Result<CommitReport, CommitError> {
        let done = self.through.is_some().then(done);
        self.followed_by(report, done).await
    }

    /// As [`followed`](Self::followed).
    pub(crate) async fn followed_by(
        &self,
        report: CommitReport,
        done: Option<Done>,
    ) -> Result<CommitReport, CommitError> {
        let (Some(plan), Some(done)) = (&self.through, done) else {
            return Ok(report);
        };
        // Boxed, because most services have no secondaries.
        let secondaries = Box::pin(plan.follow(done)).await;
        let report = CommitReport {
            secondaries,
            ..report
        };
        if report.secondaries.iter().any(SecondaryReport::has_failed) {
            let report = Box::new(report);
            return Err(CommitError::SecondaryFailed { report });
        }
        Ok(report)
    }

    /// Something has changed in a bucket that nobody here knows by its handle.
    pub(crate) fn look(&self, bucket: Bucket) {
        if let Some(plan) = &self.through {
            plan.look(bucket.number());
        }
    }

    /// As [`load`](Self::load), and may show what this process has read before.
    pub(crate) async fn load_recent(&self, id: &SessionId) -> Result<Option<Loaded>, ReadError> {
        self.check_open(ReadError::ShutDown)?;
        let (key, touch_after) = (self.id_hash.session(id), TouchAfter::TenthOfIdle);
        let recent = async {
            match self.store.load_recent(&key, touch_after).await? {
                None => Ok(None),
                Some(recent) if recent.stored.header.kind != RecordKind::Alias => {
                    Ok(Some(self.decode(&key, recent)?))
                }
                Some(alias) => {
                    let target = self.target(&key, alias)?;
                    match self.store.load_recent(&target, touch_after).await? {
                        Some(recent) if recent.stored.header.kind != RecordKind::Alias => {
                            self.decode_rotated(&target, recent).map(Some)
                        }
                        // The alias may point elsewhere by now.
                        _ => Box::pin(self.load_key(key, touch_after)).await,
                    }
                }
            }
        };
        let loaded = self.observers.check(recent.await)?;
        self.read(loaded.as_ref());
        Ok(loaded)
    }

    async fn load_key(
        &self,
        key: SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Loaded>, ReadError> {
        let Some(stored) = self.store.load(&key, touch_after).await? else {
            return Ok(None);
        };
        if stored.header.kind == RecordKind::Alias {
            return Box::pin(self.follow(&key, stored, touch_after)).await;
        }
        Ok(Some(self.decode(&key, stored)?))
    }

    /// Reads the session that an alias points to.
    async fn follow(
        &self,
        key: &SessionKey,
        mut alias: Stored,
        touch_after: TouchAfter,
    ) -> Result<Option<Loaded>, ReadError> {
        for _ in 0..MOST_FOLLOWED {
            let target = self.target(key, alias)?;
            let Some(stored) = self.store.load(&target, touch_after).await? else {
                return Ok(None);
            };
            if stored.header.kind != RecordKind::Alias {
                return self.decode_rotated(&target, stored).map(Some);
            }
            // The session was given a further ID meanwhile, and both aliases point there now.
            match self.store.load(key, TouchAfter::Never).await? {
                Some(again) if again.header.kind == RecordKind::Alias => alias = again,
                _ => return Ok(None),
            }
        }
        Err(RecordError::new(key, BadRecord::Unreadable).into())
    }

    /// A session that was read through an ID that it had before.
    fn decode_rotated(
        &self,
        key: &SessionKey,
        recent: impl Into<Recent>,
    ) -> Result<Loaded, ReadError> {
        Ok(Loaded {
            rotated: true,
            ..self.decode(key, recent)?
        })
    }

    /// The session that an alias points to.
    fn target(
        &self,
        key: &SessionKey,
        alias: impl Into<Recent>,
    ) -> Result<SessionKey, RecordError> {
        let pointer = self.decode(key, alias)?.data;
        let target = pointer.own(own::TARGET).ok().flatten();
        target
            .and_then(|(digest, bucket)| SessionKey::from_parts(digest, bucket))
            .ok_or(RecordError::new(key, BadRecord::Unreadable))
    }

    pub(crate) fn decode(
        &self,
        key: &SessionKey,
        recent: impl Into<Recent>,
    ) -> Result<Loaded, RecordError> {
        let (limit, clock) = (self.settings.max_record, &self.clock);
        Loaded::decode(key, recent.into(), &self.seal, limit, clock)
    }

    pub(crate) const fn lock_request(&self, wait: Duration) -> LockRequest {
        LockRequest {
            terms: self.terms,
            wait,
            max_waiters: self.settings.max_waiters,
        }
    }

    async fn lock(
        self: &Arc<Self>,
        id: &SessionId,
        wait: Duration,
    ) -> Result<SessionGuard, AcquireError> {
        self.check_open(AcquireError::ShutDown)?;
        if held::is_held(id.key()) {
            return Err(AcquireError::AlreadyHeld);
        }
        let (key, request) = (self.id_hash.session(id), self.lock_request(wait));
        let granted = self
            .observers
            .check(self.store.lock(&key, &request).await)?;
        // Shut down while it waited: the lease goes back.
        self.check_open(AcquireError::ShutDown)?;
        let loaded = self.decode(&key, granted.stored);
        let loaded = self.observers.check(loaded.map_err(AcquireError::from))?;
        Ok(SessionGuard::locked(
            Arc::clone(self),
            id.clone(),
            granted.lease,
            loaded,
        ))
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("store", &self.inner.store)
            .finish_non_exhaustive()
    }
}

/// A lock that is being asked for. Await it for the [`SessionGuard`].
///
/// # Errors
/// [`AcquireError`].
///
/// # Cancel safety
/// Dropped before it is ready, the lock is given back in case it was granted.
#[derive(Debug)]
#[must_use = "does nothing unless awaited"]
pub struct LockBuilder<'a> {
    sessions: &'a Sessions,
    id: &'a SessionId,
    wait: Duration,
}

impl LockBuilder<'_> {
    /// How long to wait while others hold the session. Zero tries once. Default: the store's wait timeout, 5 s.
    pub const fn wait_at_most(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

impl<'a> IntoFuture for LockBuilder<'a> {
    type Output = Result<SessionGuard, AcquireError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let inner = &self.sessions.inner;
        Box::pin(measure::lock(&inner.clock, inner.lock(self.id, self.wait)))
    }
}

/// Settings of [`Sessions`]. All have defaults; each is checked by [`build`](Self::build).
#[derive(Clone)]
#[must_use]
pub struct SessionsBuilder {
    store: Arc<dyn PrimaryStore>,
    settings: Settings,
    codec: Option<Codec>,
    seal: Seal,
    id_hash: IdHash,
    observers: Observers,
    secondaries: Vec<Named>,
}

impl SessionsBuilder {
    /// When sessions end by themselves. Default: 30 min unused, 12 h in all.
    pub const fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.settings.timeouts = timeouts;
        self
    }

    /// How long a lock outlives a holder that died. Renewed at a third of it while the holder lives.
    /// Range 100 ms to 60 s; default 10 s.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// How long a guard is kept alive at most. From the lease to 24 h; default 60 s.
    pub const fn longest_hold(mut self, limit: Duration) -> Self {
        self.settings.longest_hold = limit;
        self
    }

    /// How long a lock waits while others hold the session. At most 1 h; default 5 s.
    #[doc(alias = "lock_timeout")]
    pub const fn wait_timeout(mut self, limit: Duration) -> Self {
        self.settings.wait_timeout = limit;
        self
    }

    /// How many callers of this process may wait for one session; one more is [`AcquireError::Busy`].
    /// At least 1; default 64.
    pub const fn max_waiters(mut self, count: usize) -> Self {
        self.settings.max_waiters = count;
        self
    }

    /// How many bytes the values of one session take at most, encoded. 64 bytes to 64 MiB; default 1 MiB.
    pub const fn max_record(mut self, bytes: usize) -> Self {
        self.settings.max_record = bytes;
        self
    }

    /// How many bytes of sessions are kept in this process so that the next [`Sessions::update`] need not read: one flight
    /// instead of two, as long as nobody else writes that session. They are kept as they are stored, sealed if records
    /// are. Default: 4 MiB; 0: nothing is kept.
    pub const fn update_memory(mut self, bytes: u64) -> Self {
        self.settings.update_memory = bytes;
        self
    }

    /// Whether [`Sessions::unlocked`] logs a warning. Default: it does.
    pub const fn warn_unlocked(mut self, warn: bool) -> Self {
        self.settings.warn_unlocked = warn;
        self
    }

    /// How long readers with the old ID of a session still see it, or what it was before a login.
    /// 1 ms to 5 min; default 10 s.
    pub const fn grace(mut self, span: Duration) -> Self {
        self.settings.grace = span;
        self
    }

    /// After which time [`SessionGuard::regenerate_if_due`] gives a session another ID. Default: never.
    pub const fn regenerate_every(mut self, span: Duration) -> Self {
        self.settings.regenerate_every = Some(span);
        self
    }

    /// How many sessions one user may have, and what happens to one more. At least 1; default 100, the oldest is ended.
    /// Source: ASVS 5.0, 7.1.2.
    pub const fn sessions_per_user(mut self, max: u32, when_full: WhenFull) -> Self {
        self.settings.user_limit = SessionLimit { max, when_full };
        self
    }

    /// How values are encoded. Default: MessagePack. Records of either codec are read; a session moves to this one with
    /// its next commit. What JSON cannot hold: [`Codec`]. A store that shares its records with others has a codec of its
    /// own, and takes no other.
    pub const fn codec(mut self, codec: Codec) -> Self {
        self.codec = Some(codec);
        self
    }

    /// Seals the values of every session before they leave the process, and refuses records that are not sealed.
    /// Default: they are stored as they are. What that promises, and how to begin: [`SealingKeys`](crate::SealingKeys).
    #[cfg(feature = "seal")]
    #[doc(alias = "encrypt")]
    pub fn seal(mut self, keys: crate::SealingKeys) -> Self {
        self.seal = Seal::with(keys);
        self
    }

    /// Makes the names under which stores know sessions and users with a key: whoever can read and guess, but does not
    /// have it, cannot even tell whether an ID or a user is known. Default: plain SHA-256.
    ///
    /// All services that share sessions need the same one, and with another one no session is found any more. It may be
    /// a key that seals records too.
    #[cfg(feature = "seal")]
    pub fn hash_ids(mut self, key: &crate::SealingKey) -> Self {
        self.id_hash = IdHash::with(key);
        self
    }

    /// Who is told what happens to sessions. Default: nobody.
    #[doc(alias = "audit")]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers = Observers::one(observer);
        self
    }

    /// Writes every commit through to `store` too, which this service knows by `name`: 1 to 32 of `a-z`, `0-9` and `-`.
    /// Sessions are then opened by [`open`](Self::open). At most 16.
    ///
    /// All processes that share the sessions name the same secondaries.
    ///
    /// ```
    /// # use session_core::{MemorySecondary, MemoryStore, SecondaryPolicy, Sessions};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// let sessions = Sessions::builder(MemoryStore::new())
    ///     .secondary("analytics", MemorySecondary::new(), SecondaryPolicy::eventual().only(["cart"]))
    ///     .open()
    ///     .await?;
    /// # drop(sessions); Ok(()) }
    /// ```
    pub fn secondary(
        mut self,
        name: &str,
        store: impl SecondaryStore,
        policy: SecondaryPolicy,
    ) -> Self {
        self.secondaries.push(Named {
            name: name.into(),
            store: Arc::new(store),
            policy,
        });
        self
    }

    /// The sessions, written through to the secondaries that were named.
    ///
    /// # Errors
    /// [`Error::Config`] as [`build`](Self::build), and for names of secondaries that are none, are there twice, or a
    /// secondary that is the primary; [`Error::Store`] when the store notes no writes, or other processes write through to
    /// other secondaries.
    ///
    /// # Cancel safety
    /// Cancelled, the list of secondaries may stand with the store.
    pub async fn open(mut self) -> Result<Sessions, Error> {
        self.secondaries = in_order(&*self.store, self.secondaries)?;
        if !self.secondaries.is_empty() {
            let names: Vec<&str> = self.secondaries.iter().map(|one| &*one.name).collect();
            self.store.open_outbox(&names).await?;
        }
        Ok(self.build()?)
    }

    /// The sessions. Those that are written through are opened by [`open`](Self::open), for the first time in a process.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting is out of its range, the records are shared with others who cannot read them so, or
    /// the store is written through to other secondaries than were named.
    pub fn build(self) -> Result<Sessions, ConfigError> {
        let Self {
            store,
            settings,
            codec,
            seal,
            id_hash,
            observers,
            secondaries,
        } = self;
        let seal = match store.shared_codec() {
            None => seal.in_codec(codec.unwrap_or_default()),
            Some(shared) if seal.has_keys() => {
                let found = "sealing keys".to_owned();
                return Err(ConfigError::new("seal", found, no_other(shared)));
            }
            Some(shared) if id_hash.has_key() => {
                let found = "a key".to_owned();
                return Err(ConfigError::new("hash of IDs", found, no_other(shared)));
            }
            Some(shared) if codec.is_some_and(|codec| codec != shared) => {
                let found = format!("{codec:?}");
                return Err(ConfigError::new("codec", found, no_other(shared)));
            }
            Some(shared) => seal.in_codec(shared),
        };
        let terms = settings.check()?;
        let secondaries = in_order(&*store, secondaries)?;
        let named: Vec<_> = secondaries.iter().map(|one| one.name.to_string()).collect();
        let known = store.secondaries();
        if named != known {
            let found = format!("{named:?}, where the store is written through to {known:?}");
            let allowed = "the same for all who share the sessions, and opened by `open`";
            return Err(ConfigError::new("secondaries", found, allowed));
        }
        let through = store.outbox().filter(|_| !named.is_empty()).map(|outbox| {
            let (seal, observers) = (seal.clone(), observers.clone());
            Plan::new(
                &store,
                outbox,
                secondaries,
                seal,
                settings.max_record,
                observers,
            )
        });
        // What others have left is delivered also by a process that writes nothing.
        if let Some(plan) = &through {
            plan.ensure_running();
        }
        observers.watch_expiry(&*store);
        let clock = store.clock();
        let inner = Inner {
            store,
            clock,
            settings,
            seal,
            id_hash,
            observers,
            turns: Turns::default(),
            bases: Bases::new(settings.update_memory),
            through,
            terms,
            closed: AtomicBool::new(false),
        };
        Ok(Sessions {
            inner: Arc::new(inner),
        })
    }
}

/// What is allowed where records are shared.
const fn no_other(shared: Codec) -> &'static str {
    match shared {
        Codec::MessagePack => "plain MessagePack, because the records are shared with others",
        Codec::Json => "plain JSON, because the records are shared with others",
    }
}

impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("settings", &self.settings)
            .field("codec", &self.codec)
            .field("seal", &self.seal)
            .finish_non_exhaustive()
    }
}

/// Guards were still out when the time for a shutdown was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("guards were still held after {limit:?}")]
#[non_exhaustive]
pub struct ShutdownTimedOut {
    /// The limit that was given.
    pub limit: Duration,
}

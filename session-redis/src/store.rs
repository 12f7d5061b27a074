use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, Value};
use session_core::{
    AcquireError, Attempt, BadRecord, Capabilities, CommitError, Committed, Creation, DestroyError,
    Error, ExpiryNotice, Fault, Granted, Header, Listed, LockRequest, Outbox, PrimaryStore,
    Promise, ReadError, Recent, RecordError, RecordKind, Revision, Revocation, Rotation,
    SessionKey, Standing, StoreError, StoreTime, Stored, TouchAfter, UserKey, Write, identity,
    secondary_names,
};
use session_lock::{
    Clock, Held, KeepAlive, Keeper, Lease, OwnerValue, Pending,
    link::{Call, CallError, Entry, Routine, is_wrong_type},
};

use crate::{
    cached::{self, CacheStatistics, CachedReads},
    cohort::{self, Cohorts, Follows},
    contended::{self, Contended},
    delivery::{Delivered, Server, Undelivered},
    expiry,
    keys::{Keys, Prefix},
    leases::Leases,
    lines::Lines,
    outbox::{self, RedisOutbox},
    scripts::Code,
    server_time::millis,
    under_lease,
    users::First,
    waiters::{Ears, Waiters},
    way::Way,
    write::{self, Encoded, Flight},
};

/// Sessions on one Redis or Valkey, 6.2 or newer. Cheap to clone.
///
/// A lock and its session stand in the same slot, and the server checks the lock in the very step of each write.
/// Uncontended, a locked change takes two flights, a read takes one.
///
/// It is also a [`RevocationList`](session_core::RevocationList), for sessions that travel in a cookie, and a
/// [`UseCounter`](session_core::UseCounter), for limits.
#[derive(Clone)]
pub struct RedisStore {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) server: Arc<Server>,
    pub(crate) prefix: Prefix,
    keeper: Keeper<SessionKey>,
    pub(crate) waiters: Waiters,
    ears: Ears,
    pub(crate) cohorts: Cohorts,
    pub(crate) cached: Option<Arc<CachedReads>>,
    /// What waits for secondaries, once there are any.
    pub(crate) outbox: OnceLock<Arc<RedisOutbox>>,
    /// The secondaries that stood in the server's list at first.
    registered: Vec<String>,
    process: u64,
    attempts: AtomicU32,
}

impl RedisStore {
    /// A store on a server that was checked.
    pub(crate) fn new(
        server: Server,
        prefix: Prefix,
        ears: Ears,
        cached: Option<CachedReads>,
        registered: Vec<String>,
    ) -> Self {
        let process = getrandom::u64().expect("the operating system gives random bytes");
        let server = Arc::new(server);
        let leases = Leases {
            server: Arc::clone(&server),
            prefix: prefix.clone(),
        };
        let keeper = Keeper::new(Arc::new(leases), Arc::clone(&server.clock));
        let waiters = Waiters::new(Arc::clone(&server), ears.clone(), prefix.clone(), process);
        Self {
            inner: Arc::new(Inner {
                server,
                prefix,
                keeper,
                waiters,
                ears,
                cohorts: Cohorts::default(),
                cached: cached.map(Arc::new),
                outbox: OnceLock::new(),
                registered,
                process,
                attempts: AtomicU32::new(0),
            }),
        }
    }
}

impl RedisStore {
    /// What the cache of reads has done; `None` if reads are not cached.
    pub fn cache_statistics(&self) -> Option<CacheStatistics> {
        self.inner.cached.as_deref().map(CachedReads::statistics)
    }

    /// Makes these the secondaries that sessions are written through to; none: they are not written through any more.
    ///
    /// A process learns of it when it connects: until then it notes its writes for the secondaries that it knows. So stop
    /// all processes, or start all of them anew and then call [`note_all`](session_core::WriteThrough::note_all) for each
    /// secondary that is new. What waits for a secondary that is left out stays on the server under
    /// `prefix:{bucket}:outbox:name`, until somebody deletes it.
    ///
    /// # Errors
    /// [`Error::Config`] when a name is none; [`Error::Store`].
    ///
    /// # Cancel safety
    /// Cancelled, it may or may not be done.
    pub async fn dangerous_replace_secondaries(&self, names: &[&str]) -> Result<(), Error> {
        let names = secondary_names(names)?;
        let (server, prefix) = (&self.inner.server, &self.inner.prefix);
        Ok(outbox::replace(server, prefix, &names).await?)
    }

    /// The Redis key of a session's record: for tests that damage it.
    #[doc(hidden)]
    pub fn record_key(&self, key: &SessionKey) -> String {
        self.inner.prefix.keys(key).record().to_owned()
    }
}

impl Inner {
    pub(crate) const fn ears(&self) -> &Ears {
        &self.ears
    }

    /// Another server is the master now.
    pub(crate) fn renew(&self) {
        if let Way::Server(link) = &self.server.way {
            link.renew();
        }
        if let Some(cached) = &self.cached {
            cached.renew();
        }
    }

    pub(crate) fn next_attempt(&self) -> Attempt {
        Attempt {
            process: self.process,
            number: self.attempts.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Asks for the lock once, and for the record in the same flight. `None`: somebody else holds it.
    async fn try_lock(
        &self,
        key: &SessionKey,
        keys: &Keys,
        request: &LockRequest,
    ) -> Result<Option<Granted>, AcquireError> {
        let mut tries = 0;
        loop {
            // A new owner value for each try: a copy that arrives late must not be taken for this one.
            let owner = OwnerValue::random();
            let pending = self.keeper.ask(*key, owner, request.terms);
            let call = || {
                let mut set = Cmd::with_capacity(6, keys.lock().len() + 48);
                set.arg("SET").arg(keys.lock()).arg(owner.as_bytes());
                set.arg("NX").arg("PX").arg(request.terms.ttl.as_millis());
                let mut call = Call::with_capacity(1);
                call.add(set);
                call.read(keys.record())
            };
            let mut values = match self.server.call(&call).await {
                Ok(values) => values,
                Err(error) => {
                    if !error.sent {
                        pending.refused();
                    }
                    tries += 1;
                    if error.fault == Fault::Unreachable && error.sent && tries < 2 {
                        continue;
                    }
                    return Err(self.server.failed("lock a session", error).into());
                }
            };
            if values.is_empty() {
                return Err(self.server.protocol("lock a session").into());
            }
            let answer = values.remove(0);
            let record = self.surely("lock a session", keys, values.pop()).await?;
            return match answer {
                // Dropping `pending` releases behind it on the same connection whatever cannot be used.
                Value::Okay => match self.stored(key, record, None)? {
                    Some(stored) => granted(pending, stored).map(Some),
                    None => Err(AcquireError::NoSession),
                },
                Value::Nil => {
                    pending.refused();
                    match self.stored(key, record, None)? {
                        Some(stored) if stored.header.kind == RecordKind::Live => Ok(None),
                        Some(_) => Err(AcquireError::Rotated),
                        None => Err(AcquireError::NoSession),
                    }
                }
                Value::ServerError(error) => {
                    pending.refused();
                    Err(self.server.fault("lock a session", &error).into())
                }
                _ => Err(self.server.protocol("lock a session").into()),
            };
        }
    }

    /// The text of a record, or what stands there instead: asked for once more if that cannot be told, because many were
    /// read together.
    async fn surely(
        &self,
        action: &'static str,
        keys: &Keys,
        record: Option<Value>,
    ) -> Result<Option<Value>, StoreError> {
        match &record {
            Some(Value::Array(nothing)) if nothing.is_empty() => {
                let again = || Call::default().read(keys.record());
                // Boxed, because it is rare and would make every future larger.
                let answers = Box::pin(self.server.way.alone(&again)).await;
                let answers = answers.map_err(|error| self.server.failed(action, error));
                Ok(answers?.pop())
            }
            _ => Ok(record),
        }
    }

    /// What can be read in a record: a session, an alias, a frozen copy. `left`: how long it stands yet; of a session that
    /// is locked, its full time, for holding it is using it.
    fn stored(
        &self,
        key: &SessionKey,
        record: Option<Value>,
        left: Option<Duration>,
    ) -> Result<Option<Stored>, ReadError> {
        let bad = |fault| RecordError::new(key, fault);
        let record = match record {
            Some(Value::Nil) => return Ok(None),
            Some(Value::BulkString(record)) => record,
            Some(Value::ServerError(error)) if is_wrong_type(&error) => {
                return Err(bad(BadRecord::WrongType).into());
            }
            Some(Value::ServerError(error)) => {
                return Err(self.server.fault("read a session", &error).into());
            }
            _ => return Err(self.server.protocol("read a session").into()),
        };
        let (header, body) = Header::decode(&record).map_err(bad)?;
        if header.kind == RecordKind::Tombstone {
            return Ok(None);
        }
        let read_at = self.server.time.now();
        let time_to_live = left.unwrap_or_else(|| header.time_to_live(read_at));
        Ok(Some(Stored {
            header,
            body: Bytes::from(record).slice(body..),
            time_to_live,
            read_at,
        }))
    }

    /// Counts as a use of a session.
    pub(crate) fn touch(
        self: &Arc<Self>,
        key: &SessionKey,
    ) -> impl Future<Output = Result<(), CallError>> + Send + use<> {
        let (inner, keys) = (Arc::clone(self), self.prefix.keys(key));
        async move {
            let keys = [keys.record().as_bytes()];
            let touch = Entry::new(&inner.server.scripts.touch, &keys, &[]);
            inner.server.run(&|| touch.clone().into()).await.map(drop)
        }
    }

    /// Reads a session from the server.
    pub(crate) async fn load(
        self: &Arc<Self>,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        let keys = self.prefix.keys(key);
        let answers = self.server.ask(&|| read(&keys)).await;
        let answers = answers.map_err(|error| self.server.failed("read a session", error))?;
        self.answered(key, &keys, answers, touch_after).await
    }

    /// What a call by [`read`] was answered.
    pub(crate) async fn answered(
        self: &Arc<Self>,
        key: &SessionKey,
        keys: &Keys,
        answers: Vec<Value>,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        let Ok([left, record]) = <[Value; 2]>::try_from(answers) else {
            return Err(self.server.protocol("read a session").into());
        };
        let left = match left {
            Value::Int(TTL_NO_KEY) => return Ok(None),
            // It stands for ever if somebody else has taken its TTL away.
            Value::Int(left) => u64::try_from(left).ok().map(Duration::from_millis),
            Value::ServerError(error) => {
                return Err(self.server.fault("read a session", &error).into());
            }
            _ => return Err(self.server.protocol("read a session").into()),
        };
        let record = self.surely("read a session", keys, Some(record)).await?;
        let stored = self.stored(key, record, left)?;
        if stored
            .as_ref()
            .is_some_and(|stored| is_to_be_touched(stored, touch_after))
        {
            // Unanswered, the next use touches again.
            tokio::spawn(self.touch(key));
        }
        Ok(stored)
    }

    /// What is known of a session is forgotten when this is dropped.
    fn writing(&self, key: &SessionKey) -> Writing<'_> {
        Writing(self.cached.as_deref(), *key)
    }

    /// After writes to sessions that are not known by name.
    async fn caught_up(&self) {
        if let Some(cached) = &self.cached {
            // Boxed, because most stores do not cache.
            Box::pin(cached.catch_up()).await;
        }
    }

    /// Writes a new version of a session that stands.
    async fn write(
        &self,
        action: &'static str,
        script: &Arc<Routine>,
        key: &SessionKey,
        owner: Option<&OwnerValue>,
        write: Write,
    ) -> Result<Delivered, Undelivered> {
        let (keys, attempt) = (self.prefix.keys(key), self.next_attempt());
        let base = identity(RecordKind::Live, write.base);
        let args = [owner.map(|owner| &owner.as_bytes()[..]), Some(&base[..])];
        let args: Vec<&[u8]> = args.into_iter().flatten().collect();
        let record = Encoded::version(write, attempt, self.server.time.now());
        let stage = write::stage(&self.prefix, key, attempt);
        let flight = Flight::new(script, &keys.all(), &args, record, stage);
        self.server.deliver(action, || flight.call()).await
    }

    async fn save_by(
        &self,
        script: &Arc<Routine>,
        held: &Held<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let (key, owner, action) = (&held.resource, Some(&held.owner), "commit a session");
        let commit_id = write.header.commit_id;
        let delivered = self.write(action, script, key, owner, write).await;
        write::outcome(key, delivered, || self.server.protocol(action))
            .map(write::as_version(commit_id))
    }

    /// Ends a session; only under the lock, if an owner is given.
    pub(crate) async fn destroy(
        &self,
        key: &SessionKey,
        owner: Option<&OwnerValue>,
        aliases: Aliases,
    ) -> Result<Delivered, Undelivered> {
        let keys = self.prefix.keys(key);
        let owner = owner.map_or(&[][..], |owner| owner.as_bytes());
        let ttl_ms = millis(TOMBSTONE_TTL).to_string();
        let aliases: &[u8] = match aliases {
            Aliases::End => b"1",
            Aliases::Keep => b"0",
        };
        let args = [owner, ttl_ms.as_bytes(), aliases];
        let destroy = Entry::new(&self.server.scripts.destroy, &keys.all(), &args);
        let deliver = self
            .server
            .deliver("end a session", || destroy.clone().into());
        deliver.await
    }
}

impl Follows for Inner {
    fn cohorts(&self) -> &Cohorts {
        &self.cohorts
    }

    fn lines(&self) -> &Lines {
        self.waiters.lines()
    }

    fn clock(&self) -> &dyn Clock {
        &*self.server.clock
    }

    fn time(&self) -> StoreTime {
        self.server.time.now()
    }

    async fn save(&self, held: &Held<SessionKey>, write: Write) -> Result<Committed, CommitError> {
        self.save_by(&self.server.scripts.save, held, write).await
    }

    async fn commit_alone(
        &self,
        lease: Lease<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let (script, held) = (&self.server.scripts.commit, *lease.held());
        let committed = self.save_by(script, &held, write).await;
        under_lease::written(lease, committed)
    }

    async fn release_alone(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        let keys = self.prefix.keys(&lease.held().resource);
        let args: [&[u8]; 1] = [lease.held().owner.as_bytes()];
        let release = Entry::new(&self.server.scripts.release, &keys.all(), &args);
        under_lease::release(&self.server, lease, release).await
    }

    fn unknown(&self) -> CommitError {
        let node = self.server.way.node().to_owned();
        let error = StoreError::new("commit a session", node, Fault::Unreachable);
        CommitError::Unknown(error)
    }
}

impl Contended for RedisStore {
    fn server(&self) -> &Server {
        &self.inner.server
    }

    fn waiters(&self) -> &Waiters {
        &self.inner.waiters
    }

    async fn try_lock(
        &self,
        key: &SessionKey,
        keys: &Keys,
        request: &LockRequest,
    ) -> Result<Option<Granted>, AcquireError> {
        self.inner.try_lock(key, keys, request).await
    }

    async fn check(&self, key: &SessionKey) -> Result<(), AcquireError> {
        match self.load(key, TouchAfter::Never).await? {
            Some(stored) if stored.header.kind == RecordKind::Live => Ok(()),
            Some(_) => Err(AcquireError::Rotated),
            None => Err(AcquireError::NoSession),
        }
    }

    fn keeper(&self) -> &Keeper<SessionKey> {
        &self.inner.keeper
    }

    fn wait(&self, keys: &Keys, args: &[&[u8]]) -> Entry {
        Entry::new(&self.inner.server.scripts.wait, &keys.all(), args)
    }

    async fn load_locked(
        &self,
        key: &SessionKey,
        keys: &Keys,
        taken: Pending<'_, SessionKey>,
        more: Option<Value>,
    ) -> Result<Granted, AcquireError> {
        let record = match more {
            Some(Value::BulkString(record)) => Some(Value::BulkString(record)),
            _ => {
                let server = &self.inner.server;
                let call = || Call::default().read(keys.record());
                let answers = server.ask(&call).await;
                let answers = answers.map_err(|error| server.failed("lock a session", error));
                let record = answers?.pop();
                self.inner.surely("lock a session", keys, record).await?
            }
        };
        let stored = self.inner.stored(key, record, None)?;
        granted(taken, stored.ok_or(AcquireError::NoSession)?)
    }
}

/// A session under the lock that was taken for it. What cannot be used is given back.
fn granted(taken: Pending<'_, SessionKey>, stored: Stored) -> Result<Granted, AcquireError> {
    if stored.header.kind != RecordKind::Live {
        return Err(AcquireError::Rotated);
    }
    let lease = taken.granted(Some(KeepAlive {
        left: stored.header.surely_left(stored.read_at),
        full: stored.header.idle_timeout,
    }));
    Ok(Granted { lease, stored })
}

/// Whether reading a session is to count as a use of it.
pub(crate) fn is_to_be_touched(stored: &Stored, touch_after: TouchAfter) -> bool {
    let full = stored.header.time_to_live(stored.read_at);
    stored.header.kind == RecordKind::Live && touch_after.is_due(stored.time_to_live, full)
}

/// A session is being written.
struct Writing<'a>(Option<&'a CachedReads>, SessionKey);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if let Some(cached) = self.0 {
            cached.forget(&self.1);
        }
    }
}

/// Asks for a record, and how long it stands yet.
pub(crate) fn read(keys: &Keys) -> Call {
    let mut left = Cmd::with_capacity(2, 4 + keys.record().len());
    left.arg("PTTL").arg(keys.record());
    let mut call = Call::with_capacity(1);
    call.add(left);
    call.read(keys.record())
}

/// What is to become of an alias that is ended.
#[derive(Clone, Copy)]
pub(crate) enum Aliases {
    End,
    Keep,
}

// What PTTL answers when there is no such key.
const TTL_NO_KEY: i64 = -2;
pub(crate) const TOMBSTONE_TTL: Duration = Duration::from_secs(5 * 60);

#[async_trait]
impl PrimaryStore for RedisStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
            .with(Promise::NoLostUpdate)
            .with(Promise::AcrossProcesses)
            .with(Promise::LateHolderWritesNothing)
            .with(Promise::ExactlyOnceCommit)
            .with(Promise::LogoutIsFinal)
            .with(Promise::BothClocks)
            .with(Promise::SurvivesRestart)
            .with(Promise::OptimisticUpdate)
            .with(Promise::Rotation)
            .with(Promise::Users)
    }

    fn place(&self) -> Option<String> {
        self.inner.server.place(&self.inner.prefix)
    }

    async fn open_outbox(&self, secondaries: &[&str]) -> Result<(), StoreError> {
        let inner = &self.inner;
        outbox::register(&inner.server, &inner.prefix, secondaries).await?;
        let names: Vec<String> = secondaries
            .iter()
            .map(|name| outbox::waiting(name))
            .collect();
        inner.server.scripts.note_in(&names);
        inner
            .outbox
            .get_or_init(|| Arc::new(RedisOutbox::new(inner, secondaries)));
        Ok(())
    }

    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        let outbox = self.inner.outbox.get()?;
        Some(Arc::clone(outbox) as _)
    }

    fn secondaries(&self) -> Vec<String> {
        match self.inner.outbox.get() {
            Some(outbox) => outbox.names().to_vec(),
            None => self.inner.registered.clone(),
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.server.clock)
    }

    fn time(&self) -> StoreTime {
        self.inner.server.time.now()
    }

    fn on_expiry(&self, notice: ExpiryNotice) {
        if matches!(self.inner.ears, Ears::None) {
            tracing::warn!(
                "nothing is heard here of sessions that run out: over a pool, or a cluster before 7.0"
            );
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::warn!("without a runtime nothing is heard of sessions that run out");
            return;
        };
        let store = Arc::downgrade(&self.inner);
        match &self.inner.ears {
            Ears::None => {}
            Ears::Server(finder) => {
                runtime.spawn(expiry::watch(store, Arc::clone(finder), notice));
            }
            Ears::Cluster(cluster) => {
                runtime.spawn(expiry::watch_all(store, Arc::clone(cluster), notice));
            }
        }
    }

    async fn lock(&self, key: &SessionKey, request: &LockRequest) -> Result<Granted, AcquireError> {
        let keys = self.inner.prefix.keys(key);
        contended::lock(self, key, &keys, request).await
    }

    async fn commit(
        &self,
        lease: Lease<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let _writing = self.inner.writing(&lease.held().resource);
        cohort::commit(&self.inner, lease, write).await
    }

    async fn end(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        let _writing = self.inner.writing(&lease.held().resource);
        let lease = cohort::settled(&*self.inner, lease).await?;
        let (inner, held) = (&*self.inner, *lease.held());
        let delivered = inner
            .destroy(&held.resource, Some(&held.owner), Aliases::Keep)
            .await;
        under_lease::ended(&inner.server, lease, delivered)
    }

    async fn release(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        let _writing = self.inner.writing(&lease.held().resource);
        cohort::release(&self.inner, lease).await
    }

    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        self.inner.load(key, touch_after).await
    }

    async fn load_recent(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Recent>, ReadError> {
        match &self.inner.cached {
            Some(cached) => cached::load(&self.inner, cached, key, touch_after).await,
            None => Ok(self.inner.load(key, touch_after).await?.map(Recent::from)),
        }
    }

    async fn create(&self, key: &SessionKey, creation: Creation) -> Result<Committed, CommitError> {
        let inner = &*self.inner;
        let (keys, attempt) = (inner.prefix.keys(key), inner.next_attempt());
        let Creation {
            mut header,
            body,
            timeouts,
            login,
        } = creation;
        if let Some(login) = login {
            let first = First {
                header,
                body,
                timeouts,
                at_least: Revision::default(),
            };
            let entered = inner.enter(key, first, &login).await;
            // It may have ended sessions of the user.
            inner.caught_up().await;
            return entered;
        }
        header.idle_timeout = timeouts.idle();
        let commit_id = header.commit_id;
        let absolute = millis(timeouts.absolute()).to_string();
        let record = Encoded::first(header, body, attempt);
        let args = [absolute.as_bytes()];
        let stage = write::stage(&inner.prefix, key, attempt);
        let create = &inner.server.scripts.create;
        let flight = Flight::new(create, &[keys.record().as_bytes()], &args, record, stage);
        let deliver = inner
            .server
            .deliver("store a new session", || flight.call());
        let delivered = deliver.await;
        write::outcome(key, delivered, || {
            inner.server.protocol("store a new session")
        })
        .map(write::as_version(commit_id))
    }

    async fn update(
        &self,
        key: &SessionKey,
        write: Write,
        _request: &LockRequest,
    ) -> Result<Committed, CommitError> {
        let inner = &*self.inner;
        let _writing = inner.writing(key);
        let script = &inner.server.scripts.update;
        let commit_id = write.header.commit_id;
        let delivered = inner
            .write("update a session", script, key, None, write)
            .await;
        write::outcome(key, delivered, || inner.server.protocol("update a session"))
            .map(write::as_version(commit_id))
    }

    async fn destroy(&self, key: &SessionKey) -> Result<Option<Stored>, DestroyError> {
        let inner = &*self.inner;
        let _writing = inner.writing(key);
        loop {
            let delivered = inner
                .destroy(key, None, Aliases::Keep)
                .await
                .map_err(|undelivered| undelivered.error)?;
            return match delivered.answer.code {
                Code::Done | Code::Ended | Code::NoRecord => Ok(None),
                Code::Rotated => match self.load(key, TouchAfter::Never).await {
                    // It ran out at this very moment, and so it is over.
                    Ok(None) => Ok(None),
                    Ok(Some(stored)) if stored.header.kind == RecordKind::Alias => Ok(Some(stored)),
                    Ok(Some(_)) => continue,
                    Err(ReadError::Record(error)) => Err(error.into()),
                    Err(ReadError::Store(error)) => Err(error.into()),
                    Err(_) => Err(inner.server.protocol("end a session").into()),
                },
                Code::WrongType => Err(RecordError::new(key, BadRecord::WrongType).into()),
                Code::Unreadable => Err(RecordError::new(key, BadRecord::Unreadable).into()),
                _ => Err(inner.server.protocol("end a session").into()),
            };
        }
    }

    async fn rotate(
        &self,
        lease: Lease<SessionKey>,
        rotation: Rotation,
    ) -> Result<Committed, CommitError> {
        let lease = cohort::settled(&*self.inner, lease).await?;
        let rotated = Inner::rotate(&self.inner, lease.held(), rotation).await;
        // Others of this process need not wait for what follows.
        let rotated = under_lease::written(lease, rotated);
        // Its earlier IDs, and other sessions of a user who logs in, are written too.
        self.inner.caught_up().await;
        rotated
    }

    async fn standing(&self, user: &UserKey) -> Result<Standing, StoreError> {
        self.inner.standing(user, false).await
    }

    async fn list(&self, user: &UserKey) -> Result<Vec<Listed>, StoreError> {
        self.inner.list(user).await
    }

    async fn revoke(&self, user: &UserKey, which: Revocation) -> Result<u64, StoreError> {
        let revoked = self.inner.revoke(user, which).await;
        self.inner.caught_up().await;
        revoked
    }

    async fn enable(&self, user: &UserKey) -> Result<(), StoreError> {
        self.inner.standing(user, true).await.map(drop)
    }

    async fn revoke_everything(&self) -> Result<(), StoreError> {
        let revoked = self.inner.revoke_everything().await;
        self.inner.caught_up().await;
        revoked
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.server.ping().await
    }

    async fn drained(&self) {
        self.inner.keeper.drained().await;
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("node", &self.inner.server.way.node())
            .finish_non_exhaustive()
    }
}

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Client, Cmd, Value};
use session_core::{
    AcquireError, Attempt, BadRecord, Capabilities, CommitError, Committed, Creation, DestroyError,
    ExpiryNotice, Fault, Granted, Header, Listed, LockRequest, PrimaryStore, Promise, ReadError,
    RecordError, RecordKind, Revision, Revocation, Rotation, SessionKey, Standing, StoreError,
    StoreTime, Stored, TouchAfter, UserKey, Write, identity,
};
use session_lock::{
    Clock, Held, KeepAlive, Keeper, Lease, OwnerValue, Pending,
    link::{Call, Entry, Routine, is_wrong_type},
};

use crate::{
    cohort::{Cohorts, Joined},
    delivery::{Delivered, Server, Undelivered},
    expiry,
    keys::{Keys, Prefix},
    leases::Leases,
    scripts::Code,
    server_time::millis,
    under_lease,
    users::First,
    waiters::Waiters,
    waiting::{self, Contended},
    write::{self, Encoded, Flight},
};

/// Sessions on one Redis or Valkey, 6.2 or newer. Cheap to clone.
///
/// A lock and its session stand in the same slot, and the server checks the lock in the very step of each write.
/// Uncontended, a locked change takes two flights, a read takes one.
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) server: Arc<Server>,
    pub(crate) prefix: Prefix,
    keeper: Keeper<SessionKey>,
    pub(crate) waiters: Waiters,
    pub(crate) cohorts: Cohorts,
    process: u64,
    attempts: AtomicU32,
}

impl RedisStore {
    /// A store on a server that was checked.
    pub(crate) fn new(server: Server, prefix: Prefix, client: Option<Client>) -> Self {
        let process = getrandom::u64().expect("the operating system gives random bytes");
        let server = Arc::new(server);
        let leases = Leases {
            server: Arc::clone(&server),
            prefix: prefix.clone(),
        };
        let keeper = Keeper::new(Arc::new(leases), Arc::clone(&server.clock));
        let waiters = Waiters::new(
            Arc::clone(&server),
            client,
            prefix.channel(process),
            prefix.clone(),
        );
        Self {
            inner: Arc::new(Inner {
                server,
                prefix,
                keeper,
                waiters,
                cohorts: Cohorts::default(),
                process,
                attempts: AtomicU32::new(0),
            }),
        }
    }
}

impl RedisStore {
    /// The Redis key of a session's record: for tests that damage it.
    #[doc(hidden)]
    pub fn record_key(&self, key: &SessionKey) -> String {
        self.inner.prefix.keys(key).record().to_owned()
    }
}

impl Inner {
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
                let again = Call::default().read(keys.record()).alone();
                // Boxed, because it is rare and would make every future larger.
                let answers = Box::pin(self.server.link.call(&again)).await;
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

    /// Sends a touch without waiting for the answer.
    fn touch_behind(self: &Arc<Self>, keys: Keys) {
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            let keys = [keys.record().as_bytes()];
            let touch = Entry::new(&inner.server.scripts.touch, &keys, &[]);
            // Unanswered, the next use touches again.
            inner.server.run(&|| touch.clone().into()).await.ok();
        });
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

    /// Writes a new version, and gives the lock back.
    pub(crate) async fn commit_alone(
        &self,
        lease: Lease<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let (script, held) = (&self.server.scripts.commit, *lease.held());
        let committed = self.save_by(script, &held, write).await;
        under_lease::written(lease, committed)
    }

    /// Writes a new version, and keeps the lock.
    pub(crate) async fn save(
        &self,
        held: &Held<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        self.save_by(&self.server.scripts.save, held, write).await
    }

    async fn save_by(
        &self,
        script: &Arc<Routine>,
        held: &Held<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let (key, owner, action) = (&held.resource, Some(&held.owner), "commit a session");
        let delivered = self.write(action, script, key, owner, write).await;
        write::outcome(key, delivered, || self.server.protocol(action))
    }

    pub(crate) async fn release_alone(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        let keys = self.prefix.keys(&lease.held().resource);
        let args: [&[u8]; 1] = [lease.held().owner.as_bytes()];
        let release = Entry::new(&self.server.scripts.release, &keys.all(), &args);
        under_lease::release(&self.server, lease, release).await
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

/// Asks for a record, and how long it stands yet.
fn read(keys: &Keys) -> Call {
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

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.server.clock)
    }

    fn time(&self) -> StoreTime {
        self.inner.server.time.now()
    }

    fn on_expiry(&self, notice: ExpiryNotice) {
        let Some(client) = self.inner.waiters.client() else {
            tracing::warn!("a connection pool cannot hear of sessions that run out");
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::warn!("without a runtime nothing is heard of sessions that run out");
            return;
        };
        let store = Arc::downgrade(&self.inner);
        runtime.spawn(expiry::watch(store, client.clone(), notice));
    }

    async fn lock(&self, key: &SessionKey, request: &LockRequest) -> Result<Granted, AcquireError> {
        let keys = self.inner.prefix.keys(key);
        waiting::lock(self, key, &keys, request).await
    }

    async fn commit(
        &self,
        lease: Lease<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        match self.inner.join(lease, write) {
            Joined::Alone((lease, write)) => self.inner.commit_alone(lease, write).await,
            Joined::Together(answer) => self.inner.told(answer).await,
            Joined::Failed(error) => Err(error),
        }
    }

    async fn end(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        let lease = self.inner.settled(lease).await?;
        let (inner, held) = (&*self.inner, *lease.held());
        let delivered = inner
            .destroy(&held.resource, Some(&held.owner), Aliases::Keep)
            .await;
        under_lease::ended(&inner.server, lease, delivered)
    }

    async fn release(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        match self.inner.leave(lease) {
            Joined::Alone(lease) => self.inner.release_alone(lease).await,
            Joined::Together(answer) => self.inner.told(answer).await.map(drop),
            Joined::Failed(error) => Err(error),
        }
    }

    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        let inner = &self.inner;
        let keys = inner.prefix.keys(key);
        let call = || read(&keys);
        let answers = inner.server.ask(&call).await;
        let answers = answers.map_err(|error| inner.server.failed("read a session", error))?;
        let Ok([left, record]) = <[Value; 2]>::try_from(answers) else {
            return Err(inner.server.protocol("read a session").into());
        };
        let left = match left {
            Value::Int(TTL_NO_KEY) => return Ok(None),
            // It stands for ever if somebody else has taken its TTL away.
            Value::Int(left) => u64::try_from(left).ok().map(Duration::from_millis),
            Value::ServerError(error) => {
                return Err(inner.server.fault("read a session", &error).into());
            }
            _ => return Err(inner.server.protocol("read a session").into()),
        };
        let record = inner.surely("read a session", &keys, Some(record)).await?;
        let stored = inner.stored(key, record, left)?;
        if let Some(stored) = &stored
            && stored.header.kind == RecordKind::Live
            && touch_after.is_due(
                stored.time_to_live,
                stored.header.time_to_live(stored.read_at),
            )
        {
            inner.touch_behind(keys);
        }
        Ok(stored)
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
            return inner.enter(key, first, &login).await;
        }
        header.idle_timeout = timeouts.idle();
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
    }

    async fn update(
        &self,
        key: &SessionKey,
        write: Write,
        _request: &LockRequest,
    ) -> Result<Committed, CommitError> {
        let inner = &*self.inner;
        let script = &inner.server.scripts.update;
        let delivered = inner
            .write("update a session", script, key, None, write)
            .await;
        write::outcome(key, delivered, || inner.server.protocol("update a session"))
    }

    async fn destroy(&self, key: &SessionKey) -> Result<Option<Stored>, DestroyError> {
        let inner = &*self.inner;
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
        let lease = self.inner.settled(lease).await?;
        let rotated = Inner::rotate(&self.inner, lease.held(), rotation).await;
        under_lease::written(lease, rotated)
    }

    async fn standing(&self, user: &UserKey) -> Result<Standing, StoreError> {
        self.inner.standing(user, false).await
    }

    async fn list(&self, user: &UserKey) -> Result<Vec<Listed>, StoreError> {
        self.inner.list(user).await
    }

    async fn revoke(&self, user: &UserKey, which: Revocation) -> Result<u64, StoreError> {
        self.inner.revoke(user, which).await
    }

    async fn enable(&self, user: &UserKey) -> Result<(), StoreError> {
        self.inner.standing(user, true).await.map(drop)
    }

    async fn revoke_everything(&self) -> Result<(), StoreError> {
        self.inner.revoke_everything().await
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
            .field("node", &self.inner.server.link.node())
            .finish_non_exhaustive()
    }
}

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
use redis::{Client, Pipeline, Value};
use session_core::{
    AcquireError, Attempt, BadRecord, Capabilities, CommitError, Committed, Creation, DestroyError,
    Fault, Granted, Header, LockRequest, PrimaryStore, Promise, ReadError, RecordError, RecordKind,
    SessionKey, StoreError, Stored, TouchAfter, Write, identity,
};
use session_lock::{Clock, KeepAlive, Keeper, Lease, LossCause, OwnerValue};

use crate::{
    delivery::{Delivered, Server, Undelivered},
    error::{is_wrong_type, server_error},
    keys::{Keys, Prefix},
    leases::Leases,
    scripts::{Code, Script},
    server_time::millis,
    waiters::{LineFull, Waiters, queue_ttl_ms},
    write::{self, Encoded},
};

/// Sessions on one Redis or Valkey, 6.2 or newer. Cheap to clone.
///
/// A lock and its session stand in the same slot, and the server checks the lock in the very step of each write.
/// Uncontended, a locked change takes two flights, a read takes one.
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

struct Inner {
    server: Arc<Server>,
    prefix: Prefix,
    keeper: Keeper<SessionKey>,
    waiters: Waiters,
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
        self.inner.prefix.keys(key).record
    }
}

impl Inner {
    fn next_attempt(&self) -> Attempt {
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
            let mut pipeline = Pipeline::with_capacity(3);
            let ttl_ms = request.terms.ttl.as_millis();
            pipeline
                .cmd("SET")
                .arg(&keys.lock)
                .arg(owner.as_bytes())
                .arg("NX")
                .arg("PX")
                .arg(ttl_ms);
            read(&mut pipeline, keys);
            let mut values = match self.server.call(&pipeline).await {
                Ok(values) => values,
                Err(error) => {
                    if !error.sent {
                        pending.refused();
                    }
                    tries += 1;
                    if error.fault == Fault::Unreachable && error.sent && tries < 2 {
                        continue;
                    }
                    return Err(error
                        .into_store_error("lock a session", self.server.link.node())
                        .into());
                }
            };
            if values.is_empty() {
                return Err(self.protocol("lock a session").into());
            }
            let (answer, record) = (values.remove(0), values);
            return match answer {
                // Dropping `pending` releases behind it on the same connection whatever cannot be used.
                Value::Okay => match self.stored(key, record)? {
                    Some(stored) => {
                        let lease = pending.granted(Some(KeepAlive {
                            left: stored.time_to_live,
                            full: stored.header.idle_timeout,
                        }));
                        Ok(Some(Granted { lease, stored }))
                    }
                    None => Err(AcquireError::NoSession),
                },
                Value::Nil => {
                    pending.refused();
                    self.stored(key, record)?
                        .map_or(Err(AcquireError::NoSession), |_| Ok(None))
                }
                Value::ServerError(error) => {
                    pending.refused();
                    Err(self.server_fault("lock a session", &error).into())
                }
                _ => Err(self.protocol("lock a session").into()),
            };
        }
    }

    /// Puts this process into the server's queue, if it listens. `None`: the lock is free now; else how long it is
    /// held unless renewed.
    async fn queue_up(
        &self,
        key: &SessionKey,
        keys: &Keys,
    ) -> Result<Option<Duration>, AcquireError> {
        let channel = self.waiters.channel_for(key);
        let mut pipeline = Pipeline::new();
        let ttl_ms = queue_ttl_ms().to_string();
        let args = [channel.as_bytes(), ttl_ms.as_bytes()];
        self.server
            .scripts
            .wait
            .call(&mut pipeline, &write::all(keys), &args);
        let answer = self.server.run(&pipeline).await;
        let answer = answer.map_err(|error| {
            error.into_store_error("wait for a session", self.server.link.node())
        })?;
        match answer.code {
            Code::Done => Ok(Some(
                u64::try_from(answer.extra).map_or(Duration::MAX / 2, Duration::from_millis),
            )),
            Code::Nothing => Ok(None),
            Code::NoRecord | Code::Ended => Err(AcquireError::NoSession),
            Code::WrongType => Err(RecordError::new(key, BadRecord::WrongType).into()),
            Code::ForeignLock => Err(RecordError::new(key, BadRecord::ForeignLock).into()),
            _ => Err(RecordError::new(key, BadRecord::Unreadable).into()),
        }
    }

    /// The live session in the answers to [`read`].
    fn stored(&self, key: &SessionKey, answers: Vec<Value>) -> Result<Option<Stored>, ReadError> {
        let bad = |fault| RecordError::new(key, fault);
        let Ok([record, ttl]) = <[Value; 2]>::try_from(answers) else {
            return Err(self.protocol("read a session").into());
        };
        let (record, ttl) = match (record, ttl) {
            (Value::Nil, _) => return Ok(None),
            (Value::BulkString(record), Value::Int(ttl)) => (record, ttl),
            (Value::ServerError(error), _) if is_wrong_type(&error) => {
                return Err(bad(BadRecord::WrongType).into());
            }
            (Value::ServerError(error), _) | (_, Value::ServerError(error)) => {
                return Err(self.server_fault("read a session", &error).into());
            }
            _ => return Err(self.protocol("read a session").into()),
        };
        let (header, body) = Header::decode(&record).map_err(bad)?;
        // The record may have run out between the two commands.
        if header.kind != RecordKind::Live || ttl == TTL_NO_KEY {
            return Ok(None);
        }
        let read_at = self.server.time.now();
        let time_to_live =
            u64::try_from(ttl).map_or_else(|_| header.time_to_live(read_at), Duration::from_millis);
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
            let mut pipeline = Pipeline::new();
            inner
                .server
                .scripts
                .touch
                .call(&mut pipeline, &[&keys.record], &[]);
            // Unanswered, the next use touches again.
            inner.server.run(&pipeline).await.ok();
        });
    }

    /// Writes a new version of a session that stands.
    async fn write(
        &self,
        action: &'static str,
        script: &Script,
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
        let pipeline = write::flight(script, &write::all(&keys), &args, &record, stage);
        self.server.deliver(action, &pipeline).await
    }

    /// Ends a session; only under the lock, if an owner is given.
    async fn destroy(
        &self,
        key: &SessionKey,
        owner: Option<&OwnerValue>,
    ) -> Result<Delivered, Undelivered> {
        let keys = self.prefix.keys(key);
        let owner = owner.map_or(&[][..], |owner| owner.as_bytes());
        let ttl_ms = millis(TOMBSTONE_TTL).to_string();
        let mut pipeline = Pipeline::new();
        self.server.scripts.destroy.call(
            &mut pipeline,
            &write::all(&keys),
            &[owner, ttl_ms.as_bytes()],
        );
        self.server.deliver("end a session", &pipeline).await
    }

    fn server_fault(&self, action: &'static str, error: &redis::ServerError) -> StoreError {
        StoreError::new(
            action,
            self.server.link.node().to_owned(),
            server_error(error),
        )
        .with_source(redis::RedisError::from(error.clone()))
    }

    fn protocol(&self, action: &'static str) -> StoreError {
        StoreError::new(action, self.server.link.node().to_owned(), Fault::Protocol)
    }
}

/// Adds the reading of a record to a flight.
fn read(pipeline: &mut Pipeline, keys: &Keys) {
    pipeline.cmd("GET").arg(&keys.record);
    pipeline.cmd("PTTL").arg(&keys.record);
}

// What PTTL answers when there is no such key.
const TTL_NO_KEY: i64 = -2;
const TOMBSTONE_TTL: Duration = Duration::from_secs(5 * 60);

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
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.server.clock)
    }

    async fn lock(&self, key: &SessionKey, request: &LockRequest) -> Result<Granted, AcquireError> {
        let inner = &*self.inner;
        let (keys, clock) = (inner.prefix.keys(key), &inner.server.clock);
        let start = clock.now();
        let deadline = start + request.wait;
        let held = || AcquireError::Held {
            waited: clock.now().saturating_since(start),
        };
        let place = inner.waiters.join(key, request.max_waiters);
        let place = place.map_err(|LineFull { waiting }| AcquireError::Busy { waiting })?;
        if request.wait.is_zero() && !place.is_first() {
            // Nobody goes ahead of those who wait; but there may be nothing left to wait for.
            let lives = self.load(key, TouchAfter::Never).await?.is_some();
            return Err(if lives {
                held()
            } else {
                AcquireError::NoSession
            });
        }
        let mut look = if place.is_first() { start } else { deadline };
        loop {
            if look > clock.now() {
                tokio::select! {
                    biased;
                    () = place.turn() => {}
                    () = clock.sleep_until(look.min(deadline)) => {}
                }
                if clock.now() >= deadline {
                    return Err(held());
                }
            }
            if let Some(granted) = inner.try_lock(key, &keys, request).await? {
                return Ok(granted);
            }
            if request.wait.is_zero() {
                return Err(held());
            }
            let left = inner.queue_up(key, &keys).await?.unwrap_or_default();
            look = clock.now() + inner.waiters.look_after(left);
        }
    }

    async fn commit(
        &self,
        lease: Lease<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let (inner, held) = (&*self.inner, *lease.held());
        let script = &inner.server.scripts.commit;
        let delivered = inner
            .write(
                "commit a session",
                script,
                &held.resource,
                Some(&held.owner),
                write,
            )
            .await;
        let answered = delivered.is_ok();
        let committed = write::outcome(&held.resource, delivered, || {
            inner.protocol("commit a session")
        });
        let committed = committed.map_err(|error| match error {
            CommitError::LeaseLost { .. } => late(&lease),
            error => error,
        });
        if answered {
            // Whatever the answer: the script left no lock of ours.
            lease.finish();
        }
        committed
    }

    async fn end(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        let (inner, held) = (&*self.inner, *lease.held());
        let delivered = inner.destroy(&held.resource, Some(&held.owner)).await;
        if let Ok(Delivered { answer, .. }) = &delivered
            && matches!(answer.code, Code::Done | Code::Ended | Code::NoRecord)
        {
            // Over in any case: ended now, or before, or run out.
            lease.finish();
            return Ok(());
        }
        let ended = write::outcome(&held.resource, delivered, || {
            inner.protocol("end a session")
        });
        ended.map(drop).map_err(|error| match error {
            CommitError::LeaseLost { .. } => late(&lease),
            error => error,
        })
    }

    async fn release(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        let (inner, held) = (&*self.inner, *lease.held());
        let keys = inner.prefix.keys(&held.resource);
        let mut pipeline = Pipeline::new();
        inner.server.scripts.release.call(
            &mut pipeline,
            &write::all(&keys),
            &[held.owner.as_bytes()],
        );
        match inner.server.run(&pipeline).await {
            Ok(answer) => {
                let result = if answer.code == Code::Done {
                    Ok(())
                } else {
                    Err(late(&lease))
                };
                lease.finish();
                result
            }
            Err(error) => Err(error
                .into_store_error("release a session", inner.server.link.node())
                .into()),
        }
    }

    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        let inner = &self.inner;
        let keys = inner.prefix.keys(key);
        let mut pipeline = Pipeline::with_capacity(2);
        read(&mut pipeline, &keys);
        let mut answers = inner.server.call(&pipeline).await;
        if answers
            .as_ref()
            .is_err_and(|error| error.sent && error.fault == Fault::Unreachable)
        {
            // The connection was broken, perhaps since long ago: once more over a new one.
            answers = inner.server.call(&pipeline).await;
        }
        let answers = answers
            .map_err(|error| error.into_store_error("read a session", inner.server.link.node()))?;
        let stored = inner.stored(key, answers)?;
        if let Some(stored) = &stored
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
        } = creation;
        header.idle_timeout = timeouts.idle();
        let absolute = millis(timeouts.absolute()).to_string();
        let record = Encoded::first(header, &body, attempt);
        let args = [absolute.as_bytes()];
        let stage = write::stage(&inner.prefix, key, attempt);
        let pipeline = write::flight(
            &inner.server.scripts.create,
            &[&keys.record],
            &args,
            &record,
            stage,
        );
        let delivered = inner.server.deliver("store a new session", &pipeline).await;
        write::outcome(key, delivered, || inner.protocol("store a new session"))
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
        write::outcome(key, delivered, || inner.protocol("update a session"))
    }

    async fn destroy(&self, key: &SessionKey) -> Result<(), DestroyError> {
        let inner = &*self.inner;
        let delivered = inner
            .destroy(key, None)
            .await
            .map_err(|undelivered| undelivered.error)?;
        match delivered.answer.code {
            Code::Done | Code::Ended | Code::NoRecord => Ok(()),
            Code::WrongType => Err(RecordError::new(key, BadRecord::WrongType).into()),
            Code::Unreadable => Err(RecordError::new(key, BadRecord::Unreadable).into()),
            _ => Err(inner.protocol("end a session").into()),
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let inner = &*self.inner;
        let mut pipeline = Pipeline::new();
        pipeline.cmd("PING");
        let answers = inner.server.call(&pipeline).await;
        let answers =
            answers.map_err(|error| error.into_store_error("ping", inner.server.link.node()))?;
        match &answers[..] {
            [Value::ServerError(error)] => Err(inner.server_fault("ping", error)),
            _ => Ok(()),
        }
    }

    async fn drained(&self) {
        self.inner.keeper.drained().await;
    }
}

fn late(lease: &Lease<SessionKey>) -> CommitError {
    CommitError::LeaseLost {
        cause: lease.loss().unwrap_or(LossCause::Gone),
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("node", &self.inner.server.link.node())
            .finish_non_exhaustive()
    }
}

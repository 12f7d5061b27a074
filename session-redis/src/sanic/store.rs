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
use redis::Value;
use session_core::{
    AcquireError, Attempt, BadRecord, Bucket, Capabilities, Codec, CommitError, CommitId,
    Committed, Creation, DestroyError, Digest, Fault, Granted, HEADER_MAX, Header, LockRequest,
    PrimaryStore, Promise, ReadError, RecordError, RecordKind, Revision, SessionHandle, SessionId,
    SessionKey, StoreError, StoreTime, Stored, TouchAfter, Write, identity,
};
use session_lock::{
    Clock, KeepAlive, Keeper, Lease, OwnerValue, Pending,
    link::{CallError, Entry, Routine, is_wrong_type},
};
use sha2::Digest as _;

use super::{
    format::{LONGEST, as_ujson, own_expiry},
    leases::Leases,
    scripts::Scripts,
};
use crate::{
    contended::{self, Contended},
    delivery::{Delivered, Server, Undelivered},
    keys::{Keys, Prefix},
    scripts::Code,
    server_time::millis,
    under_lease,
    waiters::{Ears, Waiters},
    write,
};

/// Sessions that Rust services share with Python services that use sanic-cookies, on one Redis or Valkey: for the time
/// in which a system moves from one to the other. Cheap to clone.
///
/// It reads and writes the very records of sanic-cookies' interface `Aioredis`: JSON under `session:` and the ID. Lock,
/// version and tombstone stand under keys beside them, of which sanic-cookies knows nothing. The Python services stay as
/// they are, and their sessions go on.
///
/// ```no_run
/// # use session_core::{SessionGuard, SessionId, Sessions, Timeouts};
/// # use session_redis::SanicStore;
/// # use std::time::Duration;
/// # async fn request(cookie: &str) -> session_core::Result<()> {
/// const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
///
/// let store = SanicStore::connect("redis://127.0.0.1").await?;
/// let sessions = Sessions::builder(store)
///     .timeouts(Timeouts::new(MONTH, MONTH)?) // as sanic-cookies has them
///     .build()?;
///
/// let id = SessionId::from_hex(cookie)?; // instead of `cookie.parse()`
/// let visit = async |session: &mut SessionGuard| -> session_core::Result<()> {
///     Ok(session.modify("visits", |visits: &mut u64| *visits += 1)?)
/// };
/// sessions.with(&id, visit).await?;
/// # Ok(()) }
/// ```
///
/// # What holds
/// | Promise | Between Rust services | With a Python service that writes |
/// |---|---|---|
/// | no lost update | yes | no: sanic-cookies locks nothing outside of its process. A commit over what Python has written since the session was loaded is refused: [`CommitError::Conflict`]. But Python writes the whole session over whatever has been committed since Python loaded it |
/// | a late holder writes nothing | yes | yes |
/// | a commit counts once | yes | yes |
/// | logout is final | yes | no: a Python request that is under way brings the record back, for Python. Rust services never see it again, and the first one that looks deletes it |
/// | both timeouts | yes | in part: each write of Python gives the session its full time again. Rust services keep the absolute end of a session that began in one, or that one has changed |
/// | no unknown ID is adopted | yes | yes |
/// | survives a restart of the process | yes | yes |
/// | new IDs, sessions of a user | no: refused as [`Fault::Unsuitable`] | by Python's own login |
/// | IDs hashed at rest, records sealed | no | no: sanic-cookies could not find or read them |
///
/// [`capabilities`](PrimaryStore::capabilities) names what holds whatever Python does; the first row, as it says, between
/// guards.
///
/// # Timeouts
/// A write of Python gives a session `expiry` seconds, or as many as `_override_expiry` in its map says; reading does not
/// move that. So it is here with what Python has written. What was written here has the timeouts of
/// [`Sessions`](session_core::Sessions), or the `_override_expiry` in its map; every use moves its idle end. For a
/// session that Python began and no Rust service has changed yet, the absolute end is ten years away.
///
/// # Details
/// - IDs are sanic-cookies': 32 hex digits, read by [`SessionId::from_hex`]. New ones have 128 random bits, six more than
///   those of Python. They stand in Redis as they are: whoever reads it can use them.
/// - The handle of a session that Python began is made from its ID by a hash, and so it is the same for all.
/// - Values are JSON: [`Codec::Json`] says what that cannot hold. Names that begin with `_`, and `current_user`, are
///   sanic-cookies' own. A session in which Python has put `NaN` is an error here, and is left as it is.
/// - A session without any values does not stand in Python. Here it may; Python then takes it for none.
/// - Records go through Lua whole, also large ones: 2 µs for each KiB.
/// - All keys of a session are in one slot of a cluster, each session in a slot of its own.
#[derive(Clone)]
pub struct SanicStore {
    inner: Arc<Inner>,
}

struct Inner {
    server: Arc<Server>,
    scripts: Arc<Scripts>,
    prefix: Prefix,
    keeper: Keeper<SessionKey>,
    waiters: Waiters,
    process: u64,
    attempts: AtomicU32,
    expiry: Duration,
    /// How long heads and tombstones live at least: longer than a record that Python writes now.
    head_ttl_ms: Arc<str>,
}

/// How long a request of Python takes at most.
const LATEST: Duration = Duration::from_secs(5 * 60);

impl SanicStore {
    pub(super) fn new(
        server: Arc<Server>,
        scripts: Scripts,
        prefix: Prefix,
        ears: Ears,
        expiry: Duration,
    ) -> Self {
        let process = getrandom::u64().expect("the operating system gives random bytes");
        let scripts = Arc::new(scripts);
        let head_ttl_ms: Arc<str> = millis(expiry + LATEST).to_string().into();
        let leases = Leases {
            server: Arc::clone(&server),
            scripts: Arc::clone(&scripts),
            prefix: prefix.clone(),
            head_ttl_ms: Arc::clone(&head_ttl_ms),
        };
        let keeper = Keeper::new(Arc::new(leases), Arc::clone(&server.clock));
        let waiters = Waiters::new(Arc::clone(&server), ears, prefix.clone(), process);
        Self {
            inner: Arc::new(Inner {
                server,
                scripts,
                prefix,
                keeper,
                waiters,
                process,
                attempts: AtomicU32::new(0),
                expiry,
                head_ttl_ms,
            }),
        }
    }

    /// The Redis keys of a session, for tests: record and head.
    #[doc(hidden)]
    pub fn record_keys(&self, key: &SessionKey) -> [String; 2] {
        let keys = self.inner.prefix.keys(key);
        let [record, .., head] = keys.shared();
        [record, head].map(|key| String::from_utf8_lossy(key).into_owned())
    }
}

/// What was found where a session may be.
enum Found {
    /// The session, and whether its last version was written here.
    Live(Stored, bool),
    /// The session, locked by somebody else.
    Held,
    Nothing,
}

impl Inner {
    fn next_attempt(&self) -> Attempt {
        Attempt {
            process: self.process,
            number: self.attempts.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The keys of a session; `None` for IDs that sanic-cookies does not know.
    fn keys(&self, key: &SessionKey) -> Option<Keys> {
        key.hex().map(|_| self.prefix.keys(key))
    }

    /// Reads a session, and takes its lock if an owner is given.
    async fn find(
        &self,
        key: &SessionKey,
        keys: &Keys,
        lock: Option<(&OwnerValue, &LockRequest)>,
    ) -> Result<Result<Found, ReadError>, CallError> {
        let (owner, ttl_ms) = match lock {
            Some((owner, request)) => (&owner.as_bytes()[..], request.terms.ttl.as_millis()),
            None => (&[][..], 0),
        };
        let (ttl_ms, longest_ms) = (ttl_ms.to_string(), millis(LONGEST).to_string());
        let args = [
            owner,
            ttl_ms.as_bytes(),
            &self.first_head(key),
            longest_ms.as_bytes(),
            self.head_ttl_ms.as_bytes(),
        ];
        let load = Entry::new(&self.scripts.load, &keys.shared(), &args);
        let call = || load.clone().into();
        let mut answers = match lock {
            Some(_) => self.server.call(&call).await?,
            None => self.server.ask(&call).await?,
        };
        Ok(self.found(key, answers.pop()))
    }

    fn found(&self, key: &SessionKey, answer: Option<Value>) -> Result<Found, ReadError> {
        let bad = |fault| ReadError::from(RecordError::new(key, fault));
        let parts = match answer {
            Some(Value::Array(parts)) => parts,
            Some(Value::ServerError(error)) if is_wrong_type(&error) => {
                return Err(bad(BadRecord::WrongType));
            }
            Some(Value::ServerError(error)) => {
                return Err(self.server.fault("read a session", &error).into());
            }
            _ => return Err(self.server.protocol("read a session").into()),
        };
        let mut parts = parts.into_iter();
        let (code, now, left) = (parts.next(), parts.next(), parts.next());
        let (Some(Value::Int(code)), Some(Value::Int(now)), Some(Value::Int(left))) =
            (code, now, left)
        else {
            return Err(self.server.protocol("read a session").into());
        };
        let now = StoreTime::from_millis(now.unsigned_abs());
        self.server.time.heard(now);
        match (code, parts.next(), parts.next(), parts.next()) {
            (1, Some(Value::BulkString(head)), Some(Value::BulkString(raw)), Some(ours)) => {
                let (mut header, _) = Header::decode(&head).map_err(bad)?;
                let ours = ours == Value::Int(1);
                if !ours {
                    header.idle_timeout = own_expiry(&raw).unwrap_or(self.expiry);
                }
                let left = u64::try_from(left).ok().map(Duration::from_millis);
                let stored = Stored {
                    time_to_live: left.unwrap_or_else(|| header.time_to_live(now)),
                    header,
                    body: Bytes::from(raw),
                    read_at: now,
                };
                Ok(Found::Live(stored, ours))
            }
            (0, ..) => Ok(Found::Held),
            (-1 | -2 | -7, ..) => Ok(Found::Nothing),
            (-5, ..) => Err(bad(BadRecord::WrongType)),
            (-6, Some(Value::BulkString(head)), ..) => {
                let fault = Header::decode(&head).err();
                Err(bad(fault.unwrap_or(BadRecord::Unreadable)))
            }
            _ => Err(self.server.protocol("read a session").into()),
        }
    }

    /// The head of a session that Python began.
    fn first_head(&self, key: &SessionKey) -> Vec<u8> {
        encoded(&Header {
            kind: RecordKind::Live,
            commit_id: CommitId::random(),
            revision: Revision::default(),
            created: StoreTime::default(),
            absolute_end: StoreTime::default(),
            idle_timeout: self.expiry,
            handle: handle(key),
            user_tag: 0,
            flags: Header::JSON,
            digest: Digest::default(),
        })
    }

    /// Asks for the lock once. `None`: somebody else holds it.
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
            let found = match self.find(key, keys, Some((&owner, request))).await {
                Ok(found) => found,
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
            // Dropping `pending` releases whatever cannot be used.
            return match found? {
                Found::Live(stored, _) => Ok(Some(granted(pending, stored))),
                Found::Held => {
                    pending.refused();
                    Ok(None)
                }
                Found::Nothing => {
                    pending.refused();
                    Err(AcquireError::NoSession)
                }
            };
        }
    }

    /// Sends a touch without waiting for the answer.
    fn touch_behind(self: &Arc<Self>, keys: Keys) {
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            let args = [inner.head_ttl_ms.as_bytes()];
            let touch = Entry::new(&inner.scripts.touch, &keys.shared(), &args);
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
    ) -> Result<Committed, CommitError> {
        let Some(keys) = self.keys(key) else {
            return Err(CommitError::Expired);
        };
        let base = identity(RecordKind::Live, write.base);
        let commit_id = write.header.commit_id;
        let (head, raw) = self.version(write.header, &write.body);
        let args = [
            owner.map(|owner| &owner.as_bytes()[..]),
            Some(&base[..]),
            Some(&head),
            Some(&raw),
            Some(self.head_ttl_ms.as_bytes()),
        ];
        let args: Vec<&[u8]> = args.into_iter().flatten().collect();
        let entry = Entry::new(script, &keys.shared(), &args);
        let delivered = self.deliver(action, &entry).await;
        write::outcome(key, delivered, || self.server.protocol(action))
            .map(write::as_version(commit_id))
    }

    /// Head and JSON of a version, as they are stored.
    fn version(&self, mut header: Header, body: &Bytes) -> (Vec<u8>, Bytes) {
        if let Some(expiry) = own_expiry(body) {
            header.idle_timeout = expiry;
        }
        header.digest.note(self.next_attempt());
        (encoded(&header), as_ujson(body))
    }

    /// Ends a session; only under the lock, if an owner is given.
    async fn destroy(
        &self,
        key: &SessionKey,
        keys: &Keys,
        owner: Option<&OwnerValue>,
    ) -> Result<Delivered, Undelivered> {
        let owner = owner.map_or(&[][..], |owner| owner.as_bytes());
        let args = [owner, &self.first_head(key), self.head_ttl_ms.as_bytes()];
        let destroy = Entry::new(&self.scripts.destroy, &keys.shared(), &args);
        self.deliver("end a session", &destroy).await
    }

    async fn deliver(&self, action: &'static str, entry: &Entry) -> Result<Delivered, Undelivered> {
        let deliver = self.server.deliver(action, || entry.clone().into());
        deliver.await
    }
}

fn granted(taken: Pending<'_, SessionKey>, stored: Stored) -> Granted {
    let lease = taken.granted(Some(KeepAlive {
        left: stored.time_to_live,
        full: stored.header.idle_timeout,
    }));
    Granted { lease, stored }
}

fn encoded(header: &Header) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEADER_MAX);
    header.encode(&mut head);
    head
}

/// The handle of a session that Python began: one way from its ID, and the same for everybody.
fn handle(key: &SessionKey) -> SessionHandle {
    let mut hash = sha2::Sha256::new();
    hash.update(b"latchkey handle of a shared session");
    hash.update(key.digest());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    // A UUID of version 8. Source: RFC 9562, 5.8.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    SessionHandle::from_bytes(bytes)
}

#[async_trait]
impl PrimaryStore for SanicStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
            .with(Promise::NoLostUpdate)
            .with(Promise::AcrossProcesses)
            .with(Promise::LateHolderWritesNothing)
            .with(Promise::ExactlyOnceCommit)
            .with(Promise::SurvivesRestart)
            .with(Promise::OptimisticUpdate)
    }

    fn shared_codec(&self) -> Option<Codec> {
        Some(Codec::Json)
    }

    fn new_id(&self) -> SessionId {
        SessionId::random_hex()
    }

    fn new_id_in(&self, _bucket: Bucket) -> SessionId {
        SessionId::random_hex()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.server.clock)
    }

    async fn lock(&self, key: &SessionKey, request: &LockRequest) -> Result<Granted, AcquireError> {
        let inner = &*self.inner;
        let keys = inner.keys(key).ok_or(AcquireError::NoSession)?;
        contended::lock(self, key, &keys, request).await
    }

    async fn commit(
        &self,
        lease: Lease<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let (inner, held) = (&*self.inner, *lease.held());
        let script = &inner.scripts.commit;
        let (key, owner) = (&held.resource, Some(&held.owner));
        let written = inner.write("commit a session", script, key, owner, write);
        let committed = written.await;
        under_lease::written(lease, committed)
    }

    async fn end(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        let (inner, held) = (&*self.inner, *lease.held());
        let keys = inner.prefix.keys(&held.resource);
        let destroy = inner.destroy(&held.resource, &keys, Some(&held.owner));
        let delivered = destroy.await;
        under_lease::ended(&inner.server, lease, delivered)
    }

    async fn release(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        let (inner, held) = (&*self.inner, *lease.held());
        let keys = inner.prefix.keys(&held.resource);
        let args = [&held.owner.as_bytes()[..], inner.head_ttl_ms.as_bytes()];
        let release = Entry::new(&inner.scripts.release, &keys.shared(), &args);
        under_lease::release(&inner.server, lease, release).await
    }

    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        let inner = &self.inner;
        let Some(keys) = inner.keys(key) else {
            return Ok(None);
        };
        let found = inner.find(key, &keys, None).await;
        let found = found.map_err(|error| inner.server.failed("read a session", error))?;
        let Found::Live(stored, ours) = found? else {
            return Ok(None);
        };
        let full = stored.header.time_to_live(stored.read_at);
        if ours && touch_after.is_due(stored.time_to_live, full) {
            inner.touch_behind(keys);
        }
        Ok(Some(stored))
    }

    async fn create(&self, key: &SessionKey, creation: Creation) -> Result<Committed, CommitError> {
        let inner = &*self.inner;
        let action = "store a new session";
        let unsuitable = |fault: &str| {
            let node = inner.server.way.node().to_owned();
            StoreError::new(action, node, Fault::Unsuitable(fault.to_owned()))
        };
        let keys = inner.keys(key);
        let keys = keys.ok_or_else(|| unsuitable("sanic-cookies knows no IDs of this form"))?;
        if creation.login.is_some() {
            return Err(unsuitable("the store does not know users").into());
        }
        let (mut header, timeouts) = (creation.header, creation.timeouts);
        header.idle_timeout = timeouts.idle();
        let commit_id = header.commit_id;
        let (head, raw) = inner.version(header, &creation.body);
        let absolute = millis(timeouts.absolute()).to_string();
        let args = [
            absolute.as_bytes(),
            &head,
            &raw,
            inner.head_ttl_ms.as_bytes(),
        ];
        let create = Entry::new(&inner.scripts.create, &keys.shared(), &args);
        let delivered = inner.deliver(action, &create).await;
        write::outcome(key, delivered, || inner.server.protocol(action))
            .map(write::as_version(commit_id))
    }

    async fn update(
        &self,
        key: &SessionKey,
        write: Write,
        _request: &LockRequest,
    ) -> Result<Committed, CommitError> {
        let script = &self.inner.scripts.update;
        let written = self
            .inner
            .write("update a session", script, key, None, write);
        written.await
    }

    async fn destroy(&self, key: &SessionKey) -> Result<Option<Stored>, DestroyError> {
        let inner = &*self.inner;
        let Some(keys) = inner.keys(key) else {
            return Ok(None);
        };
        let delivered = inner.destroy(key, &keys, None).await;
        let delivered = delivered.map_err(|undelivered| undelivered.error)?;
        match delivered.answer.code {
            Code::Done | Code::Ended | Code::NoRecord | Code::Expired => Ok(None),
            Code::WrongType => Err(RecordError::new(key, BadRecord::WrongType).into()),
            Code::Unreadable => Err(RecordError::new(key, BadRecord::Unreadable).into()),
            _ => Err(inner.server.protocol("end a session").into()),
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.server.ping().await
    }

    async fn drained(&self) {
        self.inner.keeper.drained().await;
    }
}

impl Contended for SanicStore {
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
        let found = self.load(key, TouchAfter::Never).await?;
        found.map(drop).ok_or(AcquireError::NoSession)
    }

    fn keeper(&self) -> &Keeper<SessionKey> {
        &self.inner.keeper
    }

    fn wait(&self, keys: &Keys, args: &[&[u8]]) -> Entry {
        Entry::new(&self.inner.scripts.wait, &keys.shared(), args)
    }

    async fn load_locked(
        &self,
        key: &SessionKey,
        keys: &Keys,
        taken: Pending<'_, SessionKey>,
        _more: Option<Value>,
    ) -> Result<Granted, AcquireError> {
        let found = self.inner.find(key, keys, None).await;
        match found.map_err(|error| self.inner.server.failed("lock a session", error))?? {
            Found::Live(stored, _) => Ok(granted(taken, stored)),
            Found::Held | Found::Nothing => Err(AcquireError::NoSession),
        }
    }
}

impl fmt::Debug for SanicStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SanicStore")
            .field("node", &self.inner.server.way.node())
            .finish_non_exhaustive()
    }
}

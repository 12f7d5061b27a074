use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use session_lock::{Clock, FencingToken, Lease, LeaseTerms};

use crate::{
    AcquireError, Bucket, Codec, CommitError, CommitId, DestroyError, Fault, Header, Listed,
    Outbox, ReadError, Recent, Revision, Revocation, Rotation, SessionId, SessionKey, Standing,
    StoreError, StoreTime, Timeouts, UserEntry, UserKey,
};

/// A stored record, as a store read it.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Stored {
    /// The decoded header.
    pub header: Header,
    /// The encoded body.
    pub body: Bytes,
    /// How long the record stands if nobody uses it.
    pub time_to_live: Duration,
    /// When it was read, by the store's clock.
    pub read_at: StoreTime,
}

/// A new version of a session that stands already.
#[derive(Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the core builds it, stores take it apart"
)]
pub struct Write {
    /// The version that the writer has seen and replaces.
    pub base: CommitId,
    /// The header of the new version. The store sets its revision and may note the attempt in its digest; a seal is
    /// bound to the rest.
    pub header: Header,
    /// The encoded body.
    pub body: Bytes,
}

/// A session that is stored for the first time.
#[derive(Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the core builds it, stores take it apart"
)]
pub struct Creation {
    /// Its header. The store sets creation, absolute end and revision by its own clock, and may note the attempt in its
    /// digest; a seal is bound to the rest.
    pub header: Header,
    /// The encoded body.
    pub body: Bytes,
    /// How long it lives.
    pub timeouts: Timeouts,
    /// The login that it begins with, if it does.
    pub login: Option<UserEntry>,
}

// The body is a secret.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("kind", &self.header.kind)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write")
            .field("kind", &self.header.kind)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Creation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Creation")
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// A write that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Committed {
    /// The revision that it was given.
    pub revision: Revision,
    /// Which version stands under that revision: this one, or a later one of the same process that was stored in its place.
    pub commit_id: CommitId,
}

/// A session that is locked and loaded.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Granted {
    /// The lease. Dropping it gives the lock back.
    pub lease: Lease<SessionKey>,
    /// What was loaded under it: live.
    pub stored: Stored,
}

/// How a lock is asked for.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the core builds it, stores take it apart"
)]
pub struct LockRequest {
    /// What the lease is to last.
    pub terms: LeaseTerms,
    /// How long to wait while others hold the lock; zero tries once.
    pub wait: Duration,
    /// How many callers may wait for one session in this process.
    pub max_waiters: usize,
}

/// The primary interface: the copy of a session that lock holders read and write. Lock and record are one here:
/// the store checks in the same step as each write that the writer still holds the lock.
///
/// # Contract
/// 1. `load` of an unknown, expired or ended session is `Ok(None)`; `Err` means a fault. An alias and a frozen copy are
///    loaded as what they are, until their grace is over.
/// 2. `lock` grants one lease of a session at a time, in the order in which this process asked; a session that does
///    not live is [`AcquireError::NoSession`] at once, also while somebody holds its lock.
/// 3. `commit` writes only under the lease it is given and over the version named as base, all or nothing, and gives
///    the lease back in the same step. Refused, it changes nothing of the record.
/// 4. `commit` never creates: where no live record stands, it fails with [`CommitError::Destroyed`] or
///    [`CommitError::Expired`].
/// 5. An error other than [`CommitError::Unknown`] is final: nothing of that write is stored later.
/// 6. `create` writes only where no record stands.
/// 7. `update` writes without a lease: only while nobody holds the lock, and over the base alone.
/// 8. `destroy` ends a session for all, at once, whoever holds its lock. Of an unknown session it succeeds and
///    stores nothing.
/// 9. A use moves the idle end, never past the absolute end: commit, release, touch, renewal.
/// 10. Every future may be dropped at any await: what it locked is given back, what it wrote is whole.
/// 11. A record that cannot be read is an error and is left as it is.
/// 12. `rotate` stores the session under its new ID and changes what stands under the old one in one step, or does
///     neither. Nothing can be written through the old ID from then on: [`CommitError::Rotated`],
///     [`AcquireError::Rotated`]. On servers that share nothing it may be two steps, of which the first one leaves the
///     old ID readable. An alias leads to the session itself, never to another alias, and only until its own end.
/// 13. A login and a rotation of a user's session are refused if that session, or all of the user's, were ended
///     before; ending them ends whatever they have made.
/// 14. `list` names every live session of a user and no other; `revoke` ends each of those it is told to.
/// 15. `load_recent` answers what `load` would have answered at most so long ago as the user of the store has allowed,
///     and not before a write that this process knows to be done.
/// 16. With an open outbox, each write notes its session there in the same step: also the end of a session, and a new ID.
#[doc(alias = "master")]
#[async_trait]
pub trait PrimaryStore: fmt::Debug + Send + Sync + 'static {
    /// Which promises the store keeps.
    fn capabilities(&self) -> Capabilities;

    /// Where it stands: a name that is equal for two stores in one place, also for a secondary. `None`: nowhere else.
    fn place(&self) -> Option<String> {
        None
    }

    /// From now on, notes each write for these secondaries, in that order. Needed for sessions that are written through.
    /// Another list than the one that other processes have opened is refused.
    async fn open_outbox(&self, _secondaries: &[&str]) -> Result<(), StoreError> {
        Err(notes_nothing())
    }

    /// What [`open_outbox`](Self::open_outbox) has opened.
    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        None
    }

    /// The secondaries that the sessions of the store are written through to, as far as it knows.
    fn secondaries(&self) -> Vec<String> {
        Vec::new()
    }

    /// The codec that others expect who read and write the same records. They have no sealing keys either. `None`: the
    /// records are ours alone.
    fn shared_codec(&self) -> Option<Codec> {
        None
    }

    /// A fresh ID for a session in this store.
    fn new_id(&self) -> SessionId {
        SessionId::random()
    }

    /// A fresh ID in that bucket, for a store that has buckets.
    fn new_id_in(&self, bucket: Bucket) -> SessionId {
        SessionId::random_in(bucket)
    }

    /// The clock that leases are counted by.
    fn clock(&self) -> Arc<dyn Clock>;

    /// The store's time, as far as it is known here without asking.
    fn time(&self) -> StoreTime {
        StoreTime::default().after(self.clock().unix_time())
    }

    /// Tells `notice` of sessions that run out, as far as the store learns of it. Best effort.
    fn on_expiry(&self, notice: ExpiryNotice) {
        drop(notice);
    }

    /// Locks a live session and loads it.
    async fn lock(&self, key: &SessionKey, request: &LockRequest) -> Result<Granted, AcquireError>;

    /// Writes a new version under the lease, and gives the lease back.
    async fn commit(
        &self,
        lease: Lease<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError>;

    /// Ends the session under the lease.
    async fn end(&self, lease: Lease<SessionKey>) -> Result<(), CommitError>;

    /// Gives the lease back unused, and counts as a use of the session.
    async fn release(&self, lease: Lease<SessionKey>) -> Result<(), CommitError>;

    /// Reads a live session. If its time to live has shrunk by at least `touch_after`, it counts as used; that is
    /// sent without waiting for it.
    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError>;

    /// As [`load`](Self::load), and may answer what this process has read before.
    async fn load_recent(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Recent>, ReadError> {
        Ok(self.load(key, touch_after).await?.map(Recent::from))
    }

    /// Stores a session for the first time.
    async fn create(&self, key: &SessionKey, creation: Creation) -> Result<Committed, CommitError>;

    /// Writes a new version without a lease, if nobody holds the lock and the base still stands. `request` is for
    /// stores that have to take the lock for it.
    async fn update(
        &self,
        key: &SessionKey,
        write: Write,
        request: &LockRequest,
    ) -> Result<Committed, CommitError>;

    /// Ends a session. Of an alias it ends nothing and returns it: the session has another ID by now.
    async fn destroy(&self, key: &SessionKey) -> Result<Option<Stored>, DestroyError>;

    /// Lets a session go on under another ID, and gives the lease back. Needed for [`Promise::Rotation`].
    async fn rotate(
        &self,
        lease: Lease<SessionKey>,
        rotation: Rotation,
    ) -> Result<Committed, CommitError> {
        drop((lease, rotation));
        Err(unsupported("change the ID of a session").into())
    }

    /// What a login of that user is held against that begins now. This and all that follows is needed for
    /// [`Promise::Users`].
    async fn standing(&self, _user: &UserKey) -> Result<Standing, StoreError> {
        Err(unsupported("begin a login"))
    }

    /// The live sessions of a user, in no particular order.
    async fn list(&self, _user: &UserKey) -> Result<Vec<Listed>, StoreError> {
        Err(unsupported("list a user's sessions"))
    }

    /// Ends sessions of a user; how many.
    async fn revoke(&self, _user: &UserKey, _which: Revocation) -> Result<u64, StoreError> {
        Err(unsupported("revoke a user's sessions"))
    }

    /// Accepts logins of a user again.
    async fn enable(&self, _user: &UserKey) -> Result<(), StoreError> {
        Err(unsupported("enable a user"))
    }

    /// Ends every session that was stored before, and every login that began before.
    async fn revoke_everything(&self) -> Result<(), StoreError> {
        Err(unsupported("revoke all sessions"))
    }

    /// Asks the server whether it can be used.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Waits until every lease is given back.
    async fn drained(&self);
}

pub(crate) fn unsupported(action: &'static str) -> StoreError {
    let fault = Fault::Unsuitable("the store does not know users or new IDs".to_owned());
    StoreError::new(action, "this store", fault)
}

fn notes_nothing() -> StoreError {
    let fault = Fault::Unsuitable("the store notes no writes for secondaries".to_owned());
    StoreError::new("write through", "this store", fault)
}

/// Is told of sessions that have run out.
pub type ExpiryNotice = Arc<dyn Fn(&SessionKey) + Send + Sync>;

/// When a read counts as a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TouchAfter {
    /// When a tenth of the idle timeout has passed since the last use.
    TenthOfIdle,
    /// Never.
    Never,
}

impl TouchAfter {
    /// Whether a session with `time_to_live` left of `full` is to be touched.
    pub fn is_due(self, time_to_live: Duration, full: Duration) -> bool {
        match self {
            Self::TenthOfIdle => full.saturating_sub(time_to_live) >= full / 10,
            Self::Never => false,
        }
    }
}

/// A store of records without locks: with a [`Locker`] it becomes a primary, [`Composed`](crate::Composed).
///
/// # Contract
/// 1. `load_locked` registers the token: from then on a write under a smaller one is refused.
///    It refuses a token that is not larger than the registered one. An alias and a frozen copy are loaded as what they
///    are, and register nothing.
/// 2. `commit`, `touch_locked`, `end` and `rotate` write only under the registered token; `commit` and `rotate` only over the base. All
///    or nothing; they never create where nothing stood.
/// 3. `create` writes only where no record stands.
/// 4. `destroy` ends a session whatever token is registered. Of an alias it ends nothing and returns it.
/// 5. Times are the store's own.
/// 6. Users, and sessions under new IDs: as clauses 12 to 14 of [`PrimaryStore`].
/// 7. With an open outbox, each write notes its session there in the same step, also the end of a session.
#[async_trait]
pub trait RecordStore: fmt::Debug + Send + Sync + 'static {
    /// Which promises the store can keep under a locker.
    fn capabilities(&self) -> Capabilities;

    /// Where the records stand; see [`PrimaryStore::place`].
    fn place(&self) -> Option<String> {
        None
    }

    /// See [`PrimaryStore::open_outbox`].
    async fn open_outbox(&self, _secondaries: &[&str]) -> Result<(), StoreError> {
        Err(notes_nothing())
    }

    /// See [`PrimaryStore::outbox`].
    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        None
    }

    /// See [`PrimaryStore::secondaries`].
    fn secondaries(&self) -> Vec<String> {
        Vec::new()
    }

    /// Reads a live session; with the time of touching it.
    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError>;

    /// Reads a live session for the holder of `token`, and registers the token.
    async fn load_locked(
        &self,
        key: &SessionKey,
        token: FencingToken,
    ) -> Result<LoadLocked, ReadError>;

    /// Writes a new version under the registered token.
    async fn commit(
        &self,
        key: &SessionKey,
        token: FencingToken,
        write: Write,
    ) -> Result<Committed, CommitError>;

    /// Stores a session for the first time.
    async fn create(&self, key: &SessionKey, creation: Creation) -> Result<Committed, CommitError>;

    /// Counts as a use of the session, if it lives.
    async fn touch(&self, key: &SessionKey) -> Result<(), StoreError>;

    /// Counts as a use by the holder of the registered token, and tells what became of a session that does not live.
    async fn touch_locked(&self, key: &SessionKey, token: FencingToken) -> Result<(), CommitError>;

    /// Ends the session under the registered token.
    async fn end(&self, key: &SessionKey, token: FencingToken) -> Result<(), CommitError>;

    /// Ends a session. Of an alias it ends nothing and returns it.
    async fn destroy(&self, key: &SessionKey) -> Result<Option<Stored>, DestroyError>;

    /// Lets a session go on under another ID, under the registered token. Needed for [`Promise::Rotation`].
    async fn rotate(
        &self,
        _key: &SessionKey,
        _token: FencingToken,
        _rotation: Rotation,
    ) -> Result<Committed, CommitError> {
        Err(unsupported("change the ID of a session").into())
    }

    /// What a login of that user is held against that begins now. This and all that follows is needed for
    /// [`Promise::Users`].
    async fn standing(&self, _user: &UserKey) -> Result<Standing, StoreError> {
        Err(unsupported("begin a login"))
    }

    /// The live sessions of a user, in no particular order.
    async fn list(&self, _user: &UserKey) -> Result<Vec<Listed>, StoreError> {
        Err(unsupported("list a user's sessions"))
    }

    /// Ends sessions of a user; how many.
    async fn revoke(&self, _user: &UserKey, _which: Revocation) -> Result<u64, StoreError> {
        Err(unsupported("revoke a user's sessions"))
    }

    /// Accepts logins of a user again.
    async fn enable(&self, _user: &UserKey) -> Result<(), StoreError> {
        Err(unsupported("enable a user"))
    }

    /// Ends every session that was stored before, and every login that began before.
    async fn revoke_everything(&self) -> Result<(), StoreError> {
        Err(unsupported("revoke all sessions"))
    }

    /// Asks the server whether it can be used.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// What a record store found for the holder of a lock.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "stores build it")]
pub enum LoadLocked {
    /// What stands there: the session, an alias or a frozen copy; or that there is none.
    Loaded(Option<Stored>),
    /// A larger token is registered: the lock's server has forgotten how far it was. Ask it for more than this.
    Behind(FencingToken),
}

/// Where a composed primary gets its locks from.
///
/// # Contract
/// 1. One lease of a key at a time; it carries a fencing token larger than every earlier one and than `floor`.
/// 2. Waiting is bounded by the request, and first come, first served in this process.
/// 3. A cancelled `lock` leaves nothing locked for longer than the TTL.
#[async_trait]
pub trait Locker: fmt::Debug + Send + Sync + 'static {
    /// The clock that leases are counted by.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Locks a key.
    async fn lock(
        &self,
        key: &SessionKey,
        request: &LockRequest,
        floor: FencingToken,
    ) -> Result<Lease<SessionKey>, AcquireError>;

    /// Gives a lease back and waits for the answer.
    async fn release(&self, lease: Lease<SessionKey>);

    /// Waits until every lease is given back.
    async fn drained(&self);
}

/// Which promises a store keeps. Each has its tests in the conformance suites; a suite tests what a store claims.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(u16);

/// One promise of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u16)]
pub enum Promise {
    /// Guards on one session are serialised across tasks of one process.
    NoLostUpdate = 1,
    /// ... and across processes and machines.
    AcrossProcesses = 1 << 1,
    /// A holder whose lease is lost writes nothing: checked by the store.
    LateHolderWritesNothing = 1 << 2,
    /// A lost reply is resolved by asking again, never by writing twice.
    ExactlyOnceCommit = 1 << 3,
    /// After destroy nothing brings the session back.
    LogoutIsFinal = 1 << 4,
    /// Idle and absolute timeout are kept, by the store's time.
    BothClocks = 1 << 5,
    /// Sessions survive a restart of this process.
    SurvivesRestart = 1 << 6,
    /// `update` writes without a lock in one step.
    OptimisticUpdate = 1 << 7,
    /// A session can be given another ID, and nobody who knows only the old one gets into it by a login.
    Rotation = 1 << 8,
    /// The sessions of a user are listed and revoked, completely.
    Users = 1 << 9,
}

impl Capabilities {
    /// No promise at all.
    pub const NONE: Self = Self(0);

    /// These promises too.
    #[must_use]
    pub const fn with(self, promise: Promise) -> Self {
        Self(self.0 | promise as u16)
    }

    /// Without this promise.
    #[must_use]
    pub const fn without(self, promise: Promise) -> Self {
        Self(self.0 & !(promise as u16))
    }

    /// Whether the store makes this promise.
    pub const fn has(self, promise: Promise) -> bool {
        self.0 & promise as u16 != 0
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(ALL_PROMISES.iter().filter(|promise| self.has(**promise)))
            .finish()
    }
}

const ALL_PROMISES: [Promise; 10] = [
    Promise::NoLostUpdate,
    Promise::AcrossProcesses,
    Promise::LateHolderWritesNothing,
    Promise::ExactlyOnceCommit,
    Promise::LogoutIsFinal,
    Promise::BothClocks,
    Promise::SurvivesRestart,
    Promise::OptimisticUpdate,
    Promise::Rotation,
    Promise::Users,
];

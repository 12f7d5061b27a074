use std::{fmt, sync::Arc};

use async_trait::async_trait;
use session_lock::{
    Clock, FencingToken, Held, KeepAlive, Keeper, Lease, LeaseBackend, LeaseTerms, LossCause,
    Renewal, SystemClock,
};

use super::{
    outbox::MemoryOutbox,
    store::{self, MEMORY_PROMISES},
    table::{Shard, Table, TableSettings},
    waiting,
};
use crate::{
    Capabilities, CommitError, Committed, Creation, DestroyError, Listed, LoadLocked, LockRequest,
    Locker, Outbox, Promise, ReadError, RecordStore, Revocation, Rotation, SessionKey, Standing,
    StoreError, Stored, TouchAfter, UserKey, Write,
};

/// Records in memory, without locks: the store half of a [`Composed`](crate::Composed).
#[derive(Clone)]
pub struct MemoryRecords(Arc<Table>);

impl MemoryRecords {
    /// An empty store.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store on another clock; for tests.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Table::new(clock, TableSettings::default())))
    }
}

impl Default for MemoryRecords {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRecords")
            .field("len", &self.0.len())
            .finish()
    }
}

#[async_trait]
impl RecordStore for MemoryRecords {
    fn capabilities(&self) -> Capabilities {
        MEMORY_PROMISES.with(Promise::Rotation).with(Promise::Users)
    }

    async fn open_outbox(&self, secondaries: &[&str]) -> Result<(), StoreError> {
        self.0.notes().open(secondaries)
    }

    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        MemoryOutbox::of(&self.0)
    }

    fn secondaries(&self) -> Vec<String> {
        self.0.notes().names()
    }

    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        Ok(store::load(&self.0, key, touch_after))
    }

    async fn load_locked(
        &self,
        key: &SessionKey,
        token: FencingToken,
    ) -> Result<LoadLocked, ReadError> {
        let mut shard = self.0.shard(key);
        match shard.records.fence(key, token.0, self.0.time()) {
            Ok(()) => Ok(LoadLocked::Loaded(shard.records.get(key, self.0.time()))),
            Err(registered) => Ok(LoadLocked::Behind(FencingToken(registered))),
        }
    }

    async fn commit(
        &self,
        key: &SessionKey,
        token: FencingToken,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let mut shard = self.0.shard(key);
        shard.records.check_live(key, self.0.time())?;
        check_fence(&shard, key, token)?;
        shard.records.write(key, write, self.0.time())
    }

    async fn create(&self, key: &SessionKey, creation: Creation) -> Result<Committed, CommitError> {
        self.0.create(key, creation)
    }

    async fn touch(&self, key: &SessionKey) -> Result<(), StoreError> {
        self.0.shard(key).records.touch(key, self.0.time());
        Ok(())
    }

    async fn touch_locked(&self, key: &SessionKey, token: FencingToken) -> Result<(), CommitError> {
        let mut shard = self.0.shard(key);
        shard.records.check_live(key, self.0.time())?;
        check_fence(&shard, key, token)?;
        shard.records.touch(key, self.0.time());
        Ok(())
    }

    async fn end(&self, key: &SessionKey, token: FencingToken) -> Result<(), CommitError> {
        let mut shard = self.0.shard(key);
        shard.records.check_live(key, self.0.time())?;
        check_fence(&shard, key, token)?;
        self.0.finish(&mut shard, key);
        Ok(())
    }

    async fn destroy(&self, key: &SessionKey) -> Result<Option<Stored>, DestroyError> {
        Ok(self.0.destroy(key))
    }

    async fn rotate(
        &self,
        key: &SessionKey,
        token: FencingToken,
        rotation: Rotation,
    ) -> Result<Committed, CommitError> {
        let may_write = |shard: &Shard| check_fence(shard, key, token);
        self.0
            .with_room(|whole| whole.rotate(*key, rotation, may_write))
    }

    async fn standing(&self, user: &UserKey) -> Result<Standing, StoreError> {
        Ok(self.0.users().standing(user, self.0.time()))
    }

    async fn list(&self, user: &UserKey) -> Result<Vec<Listed>, StoreError> {
        Ok(self.0.whole().list(user))
    }

    async fn revoke(&self, user: &UserKey, which: Revocation) -> Result<u64, StoreError> {
        Ok(self.0.whole().revoke(user, which))
    }

    async fn enable(&self, user: &UserKey) -> Result<(), StoreError> {
        self.0.users().enable(user);
        Ok(())
    }

    async fn revoke_everything(&self) -> Result<(), StoreError> {
        self.0.whole().revoke_everything();
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn check_fence(shard: &Shard, key: &SessionKey, token: FencingToken) -> Result<(), CommitError> {
    if shard.records.is_fenced_by(key, token.0) {
        return Ok(());
    }
    let cause = LossCause::Stolen;
    Err(CommitError::LeaseLost { cause })
}

/// Locks in memory, without records: the lock half of a [`Composed`](crate::Composed).
#[derive(Clone)]
pub struct MemoryLocker {
    table: Arc<Table>,
    keeper: Arc<Keeper<SessionKey>>,
}

impl MemoryLocker {
    /// A locker that holds nothing yet.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// A locker on another clock; for tests.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let table = Arc::new(Table::new(Arc::clone(&clock), TableSettings::default()));
        let keeper = Arc::new(Keeper::new(Arc::new(LocksAlone(Arc::clone(&table))), clock));
        Self { table, keeper }
    }
}

impl Default for MemoryLocker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryLocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLocker").finish_non_exhaustive()
    }
}

#[async_trait]
impl Locker for MemoryLocker {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(self.table.clock())
    }

    async fn lock(
        &self,
        key: &SessionKey,
        request: &LockRequest,
        floor: FencingToken,
    ) -> Result<Lease<SessionKey>, crate::AcquireError> {
        let forever = KeepAlive {
            left: std::time::Duration::MAX,
            full: std::time::Duration::MAX,
        };
        let token = || {
            Some(FencingToken(
                self.table.shard(key).locks.next_token(floor.0),
            ))
        };
        waiting::lock(
            &self.table,
            &self.keeper,
            key,
            request,
            || Ok(forever),
            token,
        )
        .await
    }

    async fn release(&self, lease: Lease<SessionKey>) {
        self.table
            .shard(&lease.held().resource)
            .locks
            .release(lease.held(), self.table.now());
        lease.finish();
    }

    async fn drained(&self) {
        self.keeper.drained().await;
    }
}

struct LocksAlone(Arc<Table>);

#[async_trait]
impl LeaseBackend<SessionKey> for LocksAlone {
    async fn renew(&self, leases: &[(Held<SessionKey>, LeaseTerms)]) -> Vec<Renewal> {
        let renew = |(held, terms): &(Held<SessionKey>, LeaseTerms)| {
            self.0
                .shard(&held.resource)
                .locks
                .renew(held, terms.ttl.get(), self.0.now())
        };
        leases.iter().map(renew).collect()
    }

    async fn release(&self, leases: &[Held<SessionKey>]) {
        for held in leases {
            self.0
                .shard(&held.resource)
                .locks
                .release(held, self.0.now());
        }
    }
}

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use session_lock::{
    Clock, FencingToken, Held, KeepAlive, Keeper, Lease, LeaseBackend, LeaseTerms, Renewal,
    SystemClock,
};

use super::{
    store::{self, MEMORY_PROMISES},
    table::{Table, TableSettings},
    waiting,
};
use crate::{
    Capabilities, CommitError, Committed, Creation, DestroyError, LoadLocked, LockRequest, Locker,
    ReadError, RecordStore, SessionKey, StoreError, Stored, TouchAfter, Write,
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
        MEMORY_PROMISES
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
            Ok(()) => Ok(LoadLocked::Loaded(
                shard.records.live_copy(key, self.0.time()),
            )),
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
        if !shard.records.is_fenced_by(key, token.0) {
            return Err(CommitError::LeaseLost {
                cause: session_lock::LossCause::Stolen,
            });
        }
        shard.records.write(key, write, self.0.time())
    }

    async fn create(&self, key: &SessionKey, creation: Creation) -> Result<Committed, CommitError> {
        self.0.create(key, creation)
    }

    async fn touch(&self, key: &SessionKey) -> Result<(), StoreError> {
        self.0.shard(key).records.touch(key, self.0.time());
        Ok(())
    }

    async fn destroy(&self, key: &SessionKey) -> Result<(), DestroyError> {
        self.0.shard(key).records.end(key, self.0.time());
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
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

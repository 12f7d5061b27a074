use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use session_lock::{
    Clock, Held, KeepAlive, Keeper, Lease, LeaseBackend, LeaseTerms, LossCause, Renewal,
    SystemClock,
};

use super::{
    outbox::MemoryOutbox,
    table::{Shard, Table, TableSettings},
    waiting,
};
use crate::{
    AcquireError, Capabilities, CommitError, Committed, ConfigError, Creation, DestroyError,
    ExpiryNotice, Granted, Listed, LockRequest, Outbox, PrimaryStore, Promise, ReadError,
    RecordKind, Revocation, Rotation, SessionKey, Standing, StoreError, StoreTime, Stored,
    TouchAfter, UserKey, Write,
};

/// Sessions in the memory of this process: all promises but to survive it and to reach other processes.
///
/// Expired sessions are refused at once and cleaned up every 60 s. Holds at most a million sessions, or as many as
/// [`MemoryStoreBuilder::max_sessions`] says; a new one beyond that is refused as [`Fault::Full`](crate::Fault).
#[derive(Clone)]
pub struct MemoryStore {
    table: Arc<Table>,
    keeper: Arc<Keeper<SessionKey>>,
}

impl MemoryStore {
    /// An empty store with the defaults.
    pub fn new() -> Self {
        Self::on(Arc::new(SystemClock), TableSettings::default())
    }

    /// A store with other settings.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder {
            settings: TableSettings::default(),
            clock: Arc::new(SystemClock),
        }
    }

    /// The number of records in memory, ended and expired ones that were not yet cleaned up included.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn on(clock: Arc<dyn Clock>, settings: TableSettings) -> Self {
        let table = Arc::new(Table::new(Arc::clone(&clock), settings));
        let keeper = Arc::new(Keeper::new(Arc::new(Locks(Arc::clone(&table))), clock));
        Self { table, keeper }
    }

    /// Whether the holder of the lease may act: the session lives, and the lock is still its own.
    fn check(&self, shard: &Shard, lease: &Lease<SessionKey>) -> Result<(), CommitError> {
        let held = lease.held();
        shard
            .records
            .check_live(&held.resource, self.table.time())?;
        if shard.locks.holds(held, self.table.now()) {
            Ok(())
        } else {
            Err(CommitError::LeaseLost {
                cause: lease.loss().unwrap_or(LossCause::Gone),
            })
        }
    }

    /// The session, if it can be locked.
    fn lockable(&self, key: &SessionKey) -> Result<Stored, AcquireError> {
        let stored = self.table.shard(key).records.get(key, self.table.time());
        match stored.ok_or(AcquireError::NoSession)? {
            stored if stored.header.kind == RecordKind::Live => Ok(stored),
            _ => Err(AcquireError::Rotated),
        }
    }

    /// Ends the lease in the table and here: one step for the write and the release.
    fn leave(&self, lease: Lease<SessionKey>) {
        self.table
            .shard(&lease.held().resource)
            .locks
            .release(lease.held(), self.table.now());
        lease.finish();
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Settings of a [`MemoryStore`].
#[derive(Clone)]
#[must_use]
pub struct MemoryStoreBuilder {
    settings: TableSettings,
    clock: Arc<dyn Clock>,
}

impl MemoryStoreBuilder {
    /// How many sessions the store holds at most, ended ones for five minutes included. Default 1,000,000; at least 1.
    pub const fn max_sessions(mut self, count: usize) -> Self {
        self.settings.max_sessions = count;
        self
    }

    /// How often expired sessions are removed from memory. Default 60 s; at least 1 ms.
    pub const fn cleanup_every(mut self, interval: Duration) -> Self {
        self.settings.cleanup = Some(interval);
        self
    }

    /// Never cleans up by itself: expired sessions are still refused, but stay in memory until room is needed.
    pub const fn without_cleanup(mut self) -> Self {
        self.settings.cleanup = None;
        self
    }

    /// Where the store takes its time from; for tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The store.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting is out of its range.
    pub fn build(self) -> Result<MemoryStore, ConfigError> {
        self.settings.check()?;
        Ok(MemoryStore::on(self.clock, self.settings))
    }
}

impl fmt::Debug for MemoryStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStoreBuilder").finish_non_exhaustive()
    }
}

#[async_trait]
impl PrimaryStore for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        MEMORY_PROMISES
            .with(Promise::OptimisticUpdate)
            .with(Promise::Rotation)
            .with(Promise::Users)
    }

    async fn open_outbox(&self, secondaries: &[&str]) -> Result<(), StoreError> {
        self.table.notes().open(secondaries)
    }

    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        MemoryOutbox::of(&self.table)
    }

    fn secondaries(&self) -> Vec<String> {
        self.table.notes().names()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(self.table.clock())
    }

    fn time(&self) -> StoreTime {
        self.table.time()
    }

    fn on_expiry(&self, notice: ExpiryNotice) {
        self.table.on_expiry(notice);
    }

    async fn lock(&self, key: &SessionKey, request: &LockRequest) -> Result<Granted, AcquireError> {
        let life = || {
            let stored = self.lockable(key)?;
            Ok(KeepAlive {
                left: stored.time_to_live,
                full: stored.header.idle_timeout,
            })
        };
        let lease = waiting::lock(&self.table, &self.keeper, key, request, life, || None).await?;
        // Read under the lock: the version that was there when we began to wait is history.
        let stored = self.lockable(key)?;
        Ok(Granted { lease, stored })
    }

    async fn commit(
        &self,
        lease: Lease<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let held = *lease.held();
        let committed = {
            let mut shard = self.table.shard(&held.resource);
            match self.check(&shard, &lease) {
                Ok(()) => shard
                    .records
                    .write(&held.resource, write, self.table.time()),
                Err(error) => Err(error),
            }
        };
        self.leave(lease);
        committed
    }

    async fn end(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        let held = *lease.held();
        let mut shard = self.table.shard(&held.resource);
        let checked = self.check(&shard, &lease);
        if checked.is_ok() {
            self.table.finish(&mut shard, &held.resource);
        }
        drop(shard);
        self.leave(lease);
        checked
    }

    async fn release(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        let held = *lease.held();
        let mut shard = self.table.shard(&held.resource);
        let checked = self.check(&shard, &lease);
        if checked.is_ok() {
            shard.records.touch(&held.resource, self.table.time());
        }
        drop(shard);
        self.leave(lease);
        checked
    }

    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        Ok(load(&self.table, key, touch_after))
    }

    async fn create(&self, key: &SessionKey, creation: Creation) -> Result<Committed, CommitError> {
        self.table.create(key, creation)
    }

    async fn update(
        &self,
        key: &SessionKey,
        write: Write,
        _request: &LockRequest,
    ) -> Result<Committed, CommitError> {
        let mut shard = self.table.shard(key);
        if shard.locks.is_locked(key, self.table.now()) {
            return Err(CommitError::LockHeld);
        }
        shard.records.write(key, write, self.table.time())
    }

    async fn destroy(&self, key: &SessionKey) -> Result<Option<Stored>, DestroyError> {
        Ok(self.table.destroy(key))
    }

    async fn rotate(
        &self,
        lease: Lease<SessionKey>,
        rotation: Rotation,
    ) -> Result<Committed, CommitError> {
        let (held, now) = (*lease.held(), self.table.now());
        let may_write = |shard: &Shard| {
            if shard.locks.holds(&held, now) {
                return Ok(());
            }
            let cause = lease.loss().unwrap_or(LossCause::Gone);
            Err(CommitError::LeaseLost { cause })
        };
        let rotated = self
            .table
            .with_room(|whole| whole.rotate(held.resource, rotation, may_write));
        self.leave(lease);
        rotated
    }

    async fn standing(&self, user: &UserKey) -> Result<Standing, StoreError> {
        Ok(self.table.users().standing(user, self.table.time()))
    }

    async fn list(&self, user: &UserKey) -> Result<Vec<Listed>, StoreError> {
        Ok(self.table.whole().list(user))
    }

    async fn revoke(&self, user: &UserKey, which: Revocation) -> Result<u64, StoreError> {
        Ok(self.table.whole().revoke(user, which))
    }

    async fn enable(&self, user: &UserKey) -> Result<(), StoreError> {
        self.table.users().enable(user);
        Ok(())
    }

    async fn revoke_everything(&self) -> Result<(), StoreError> {
        self.table.whole().revoke_everything();
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn drained(&self) {
        self.keeper.drained().await;
    }
}

pub(super) const MEMORY_PROMISES: Capabilities = Capabilities::NONE
    .with(Promise::NoLostUpdate)
    .with(Promise::LateHolderWritesNothing)
    .with(Promise::ExactlyOnceCommit)
    .with(Promise::LogoutIsFinal)
    .with(Promise::BothClocks);

pub(super) fn load(table: &Table, key: &SessionKey, touch_after: TouchAfter) -> Option<Stored> {
    let mut shard = table.shard(key);
    let now = table.time();
    let stored = shard.records.get(key, now)?;
    if stored.header.kind == RecordKind::Live
        && touch_after.is_due(stored.time_to_live, stored.header.time_to_live(now))
    {
        shard.records.touch(key, now);
    }
    Some(stored)
}

/// What the keeper needs: renewal that also keeps the session alive, and release.
struct Locks(Arc<Table>);

#[async_trait]
impl LeaseBackend<SessionKey> for Locks {
    async fn renew(&self, leases: &[(Held<SessionKey>, LeaseTerms)]) -> Vec<Renewal> {
        let renew = |(held, terms): &(Held<SessionKey>, LeaseTerms)| {
            let mut shard = self.0.shard(&held.resource);
            let renewal = shard.locks.renew(held, terms.ttl.get(), self.0.now());
            if renewal == Renewal::Extended {
                shard.records.touch(&held.resource, self.0.time());
            }
            renewal
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

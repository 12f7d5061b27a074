use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use session_lock::{Clock, Moment};

use super::{
    locks::LockTable,
    outbox::Notes,
    records::RecordTable,
    users::{UserTable, Whole},
};
use crate::{
    CommitError, Committed, ConfigError, Creation, ExpiryNotice, Fault, RecordKind, SessionKey,
    StoreError, StoreTime, Stored,
};

/// Locks and records of one memory, in shards, with the time and the clean-up.
pub(super) struct Table {
    shards: Vec<Mutex<Shard>>,
    // Locked after all shards that are.
    users: Mutex<UserTable>,
    clock: Arc<dyn Clock>,
    origin: Moment,
    origin_time: StoreTime,
    settings: TableSettings,
    /// Records in all shards, and places reserved for records that are being created.
    taken: AtomicUsize,
    /// When a full table was last swept to make room, in the store's milliseconds.
    swept_ms: AtomicU64,
    sweeping: AtomicBool,
    expiry_notices: Mutex<Vec<ExpiryNotice>>,
    notes: Arc<Notes>,
}

pub(super) struct Shard {
    pub(super) locks: LockTable,
    pub(super) records: RecordTable,
}

#[derive(Clone, Copy)]
pub(super) struct TableSettings {
    pub(super) max_sessions: usize,
    pub(super) cleanup: Option<Duration>,
}

impl Default for TableSettings {
    fn default() -> Self {
        Self {
            max_sessions: 1_000_000,
            cleanup: Some(Duration::from_secs(60)),
        }
    }
}

impl TableSettings {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.max_sessions == 0 {
            return Err(ConfigError::new(
                "cap on sessions",
                "0".to_owned(),
                "at least 1",
            ));
        }
        if self
            .cleanup
            .is_some_and(|interval| interval < Duration::from_millis(1))
        {
            return Err(ConfigError::new(
                "clean-up interval",
                format!("{:?}", self.cleanup),
                "at least 1 ms",
            ));
        }
        Ok(())
    }
}

const SHARDS: usize = 16;

impl Table {
    pub(super) fn new(clock: Arc<dyn Clock>, settings: TableSettings) -> Self {
        let unix_ms = u64::try_from(clock.unix_time().as_millis()).unwrap_or_default();
        let notes = Arc::new(Notes::default());
        let shard = |_| {
            Mutex::new(Shard {
                locks: LockTable::default(),
                records: RecordTable::noting(Arc::clone(&notes)),
            })
        };
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            users: Mutex::default(),
            origin: clock.now(),
            origin_time: StoreTime::from_millis(unix_ms),
            clock,
            settings,
            taken: AtomicUsize::new(0),
            swept_ms: AtomicU64::new(0),
            sweeping: AtomicBool::new(false),
            expiry_notices: Mutex::default(),
            notes,
        }
    }

    /// What belongs to `key`, for as long as the guard lives. Never held across an await.
    pub(super) fn shard(&self, key: &SessionKey) -> MutexGuard<'_, Shard> {
        lock(&self.shards[shard_of(key)])
    }

    /// What is known of users, for as long as the guard lives. Asked for after a shard, never before.
    pub(super) fn users(&self) -> MutexGuard<'_, UserTable> {
        lock(&self.users)
    }

    /// Everything, for steps that touch several sessions.
    pub(super) fn whole(&self) -> Whole<'_> {
        Whole {
            shards: self.shards.iter().map(lock).collect(),
            users: self.users(),
            now: self.now(),
            time: self.time(),
        }
    }

    /// Lets `step` store one record more, if there is room.
    pub(super) fn with_room<T>(
        self: &Arc<Self>,
        step: impl FnOnce(&mut Whole<'_>) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        let place = self.reserve()?;
        let done = step(&mut self.whole())?;
        place.fill();
        Ok(done)
    }

    pub(super) fn notes(&self) -> &Notes {
        &self.notes
    }

    pub(super) const fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The store's time. It goes on from where it was at the start: a step of the wall clock moves nothing.
    pub(super) fn time(&self) -> StoreTime {
        self.origin_time
            .after(self.now().saturating_since(self.origin))
    }

    /// Number of records, ended and expired ones that were not yet cleaned up included.
    pub(super) fn len(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    /// Stores a session for the first time, if there is room.
    pub(super) fn create(
        self: &Arc<Self>,
        key: &SessionKey,
        creation: Creation,
    ) -> Result<Committed, CommitError> {
        self.ensure_cleanup();
        if let Some(login) = creation.login.clone() {
            return self.with_room(|whole| whole.create(key, creation, &login));
        }
        let place = self.reserve()?;
        let mut shard = self.shard(key);
        // One whose time is up may stand there; then nothing is added.
        let adds = !shard.records.contains(key);
        let committed = shard.records.create(key, creation, self.time())?;
        if adds {
            place.fill();
        }
        Ok(committed)
    }

    /// Ends a session whoever holds its lock. Of an alias it ends nothing and returns it.
    pub(super) fn destroy(&self, key: &SessionKey) -> Option<Stored> {
        let mut shard = self.shard(key);
        let standing = shard.records.get(key, self.time());
        if let Some(stored) = standing
            && stored.header.kind == RecordKind::Alias
        {
            return Some(stored);
        }
        self.finish(&mut shard, key);
        None
    }

    /// Ends a session, and what its user's list says of it.
    pub(super) fn finish(&self, shard: &mut Shard, key: &SessionKey) {
        shard.locks.free(key);
        if let Some(ended) = shard.records.end(key, self.time()) {
            self.users().forget(key, &ended);
        }
    }

    pub(super) fn sweep(&self) {
        let expired = self.whole().sweep();
        self.taken.fetch_sub(expired.len(), Ordering::AcqRel);
        let notices = lock(&self.expiry_notices).clone();
        for (key, header) in &expired {
            if header.kind == RecordKind::Live {
                notices.iter().for_each(|notice| notice(key));
            }
        }
    }

    pub(super) fn on_expiry(&self, notice: ExpiryNotice) {
        lock(&self.expiry_notices).push(notice);
    }

    fn reserve(&self) -> Result<Place<'_>, StoreError> {
        if self.take_place() || self.sweep_and_take_place() {
            return Ok(Place {
                taken: &self.taken,
                filled: false,
            });
        }
        Err(StoreError::new(
            "store a new session",
            "memory",
            Fault::Full,
        ))
    }

    fn take_place(&self) -> bool {
        let take = |taken| (taken < self.settings.max_sessions).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .is_ok()
    }

    fn sweep_and_take_place(&self) -> bool {
        if self.may_sweep_for_room() {
            self.sweep();
        }
        self.take_place()
    }

    /// Once a second at most: or whoever fills the store would make each new session cost a walk through all.
    fn may_sweep_for_room(&self) -> bool {
        let now = self.time().as_millis();
        let due = |last: u64| (now >= last.saturating_add(1_000)).then_some(now);
        self.swept_ms
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, due)
            .is_ok()
    }

    /// Starts the clean-up task if there is to be one, there is a runtime, and it does not run yet.
    pub(super) fn ensure_cleanup(self: &Arc<Self>) {
        let Some(interval) = self.settings.cleanup else {
            return;
        };
        if self.sweeping.load(Ordering::Acquire) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.sweeping.swap(true, Ordering::AcqRel) {
            let sweeping = Sweeping(Arc::downgrade(self));
            let clock = Arc::clone(&self.clock);
            runtime.spawn(async move { sweeping.run(&*clock, interval).await });
        }
    }
}

fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn shard_of(key: &SessionKey) -> usize {
    usize::from(key.digest()[0]) % SHARDS
}

/// Room for one record, given up again unless it is filled.
struct Place<'a> {
    taken: &'a AtomicUsize,
    filled: bool,
}

impl Place<'_> {
    fn fill(mut self) {
        self.filled = true;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.filled {
            self.taken.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The clean-up task: ends with the table, and says so if it ends with its runtime.
struct Sweeping(Weak<Table>);

impl Sweeping {
    async fn run(&self, clock: &dyn Clock, interval: Duration) {
        loop {
            clock.sleep_until(clock.now() + interval).await;
            match self.0.upgrade() {
                Some(table) => table.sweep(),
                None => return,
            }
        }
    }
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        if let Some(table) = self.0.upgrade() {
            table.sweeping.store(false, Ordering::Release);
        }
    }
}

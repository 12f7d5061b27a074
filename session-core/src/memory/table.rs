use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use session_lock::{Clock, Moment};

use super::{locks::LockTable, records::RecordTable};
use crate::{ConfigError, Fault, SessionKey, StoreError, StoreTime};

/// Locks and records of one memory, in shards, with the time and the clean-up.
pub(super) struct Table {
    shards: Vec<Mutex<Shard>>,
    clock: Arc<dyn Clock>,
    origin: Moment,
    origin_time: StoreTime,
    settings: TableSettings,
    sweeping: AtomicBool,
}

#[derive(Default)]
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
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            origin: clock.now(),
            origin_time: StoreTime::from_millis(unix_ms),
            clock,
            settings,
            sweeping: AtomicBool::new(false),
        }
    }

    /// What belongs to `key`, for as long as the guard lives. Never held across an await.
    pub(super) fn shard(&self, key: &SessionKey) -> MutexGuard<'_, Shard> {
        lock(&self.shards[usize::from(key.digest()[0]) % SHARDS])
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
        self.shards
            .iter()
            .map(|shard| lock(shard).records.len())
            .sum()
    }

    /// Makes sure that one more session fits, and that somebody cleans up.
    pub(super) fn make_room(self: &Arc<Self>, key: &SessionKey) -> Result<(), StoreError> {
        self.ensure_cleanup();
        let share = self.settings.max_sessions.div_ceil(SHARDS);
        let mut shard = self.shard(key);
        if shard.records.len() >= share {
            shard.records.sweep(self.time());
        }
        if shard.records.len() >= share {
            return Err(StoreError::new(
                "store a new session",
                "memory",
                Fault::Full,
            ));
        }
        Ok(())
    }

    pub(super) fn sweep(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.records.sweep(self.time());
            shard.locks.sweep(self.now());
        }
    }

    /// Starts the clean-up task if there is to be one, there is a runtime, and it does not run yet.
    fn ensure_cleanup(self: &Arc<Self>) {
        let Some(interval) = self.settings.cleanup else {
            return;
        };
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

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
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

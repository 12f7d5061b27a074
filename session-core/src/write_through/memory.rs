use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use session_lock::{Clock, SystemClock};

use super::{Applied, Change, Row, SecondaryStore, Version};
use crate::{SessionHandle, StoreError, StoreTime};

/// A secondary in the memory of this process. Clones share it.
///
/// What has ended or run out is forgotten a day later, while other changes come in.
#[derive(Clone)]
pub struct MemorySecondary {
    table: Arc<Mutex<Table>>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Table {
    rows: HashMap<SessionHandle, Known>,
    cleaned: StoreTime,
}

struct Known {
    version: Version,
    row: Option<Row>,
    /// From when on nobody needs to know of it.
    forget: StoreTime,
}

const KEPT: Duration = Duration::from_secs(24 * 3600);
const CLEANED_EVERY: Duration = Duration::from_secs(60);

impl MemorySecondary {
    /// An empty one.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty one on another clock; for tests.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            table: Arc::default(),
            clock,
        }
    }

    /// All sessions that are known and live, in no particular order.
    pub fn rows(&self) -> Vec<(SessionHandle, Row)> {
        let now = self.now();
        let table = self.table();
        let rows = table
            .rows
            .iter()
            .map(|(handle, known)| (handle, &known.row));
        rows.filter_map(|(handle, row)| Some((*handle, live(row.as_ref()?, now)?)))
            .collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> StoreTime {
        StoreTime::default().after(self.clock.unix_time())
    }
}

fn live(row: &Row, now: StoreTime) -> Option<Row> {
    let end = row.idle_end.min(row.absolute_end);
    (end > now).then(|| row.clone())
}

impl Table {
    fn clean(&mut self, now: StoreTime) {
        if now.saturating_since(self.cleaned) >= CLEANED_EVERY {
            self.cleaned = now;
            self.rows.retain(|_, known| known.forget > now);
        }
    }
}

#[async_trait]
impl SecondaryStore for MemorySecondary {
    async fn apply(&self, change: &Change) -> Result<Applied, StoreError> {
        let now = self.now();
        let mut table = self.table();
        table.clean(now);
        let known = table.rows.get(&change.session);
        if known.is_some_and(|known| known.version >= change.version) {
            return Ok(Applied::Known);
        }
        let end = change.row.as_ref().map_or(now, |row| row.absolute_end);
        let known = Known {
            version: change.version,
            row: change.row.clone(),
            forget: end.max(now).after(KEPT),
        };
        table.rows.insert(change.session, known);
        Ok(Applied::Changed)
    }

    async fn seen(&self, session: SessionHandle, idle_end: StoreTime) -> Result<(), StoreError> {
        let mut table = self.table();
        if let Some(row) = table
            .rows
            .get_mut(&session)
            .and_then(|known| known.row.as_mut())
        {
            row.idle_end = row.idle_end.max(idle_end.min(row.absolute_end));
        }
        Ok(())
    }

    async fn load(&self, session: SessionHandle) -> Result<Option<Row>, StoreError> {
        let (now, table) = (self.now(), self.table());
        let known = table.rows.get(&session);
        Ok(known.and_then(|known| live(known.row.as_ref()?, now)))
    }
}

impl Default for MemorySecondary {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemorySecondary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySecondary")
            .field("sessions", &self.table().rows.len())
            .finish_non_exhaustive()
    }
}

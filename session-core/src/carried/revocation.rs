use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use session_lock::{Clock, Moment, SystemClock};

use crate::{SessionHandle, StoreError};

/// Which carried sessions were ended before their time.
///
/// # Contract
/// 1. After `revoke` of a handle, `is_revoked` of it is true in every process that uses the list, for at least `keep`.
/// 2. `is_revoked` of any other handle is false. `Err` means a fault, and says nothing of the session.
/// 3. An entry is gone some time after `keep`: the list does not grow for ever.
#[async_trait]
pub trait RevocationList: fmt::Debug + Send + Sync + 'static {
    /// Notes that the session was ended. `keep`: how long it might have lived, which is to the same moment whoever asks.
    async fn revoke(&self, session: &SessionHandle, keep: Duration) -> Result<(), StoreError>;

    /// Whether the session was ended.
    async fn is_revoked(&self, session: &SessionHandle) -> Result<bool, StoreError>;
}

/// A revocation list in the memory of this process: it lives and dies with it, and other processes do not see it.
/// Clones share everything.
#[derive(Clone)]
pub struct MemoryRevocationList {
    entries: Arc<Mutex<Entries>>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Entries {
    ends: HashMap<SessionHandle, Moment>,
    by_end: BTreeSet<(Moment, SessionHandle)>,
}

impl MemoryRevocationList {
    /// An empty list.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty list by that clock, for tests.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            entries: Arc::default(),
            clock,
        }
    }

    /// The number of sessions in the list.
    pub fn len(&self) -> usize {
        self.entries().ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn forget_what_ended(&mut self, now: Moment) {
        while let Some((end, session)) = self.by_end.first().copied()
            && end < now
        {
            self.by_end.pop_first();
            self.ends.remove(&session);
        }
    }

    fn keep(&mut self, session: SessionHandle, end: Moment) {
        let earlier = self.ends.get(&session).copied();
        if earlier.is_some_and(|earlier| earlier >= end) {
            return;
        }
        if let Some(earlier) = earlier {
            self.by_end.remove(&(earlier, session));
        }
        self.ends.insert(session, end);
        self.by_end.insert((end, session));
    }
}

#[async_trait]
impl RevocationList for MemoryRevocationList {
    async fn revoke(&self, session: &SessionHandle, keep: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut entries = self.entries();
        entries.forget_what_ended(now);
        entries.keep(*session, now + keep);
        Ok(())
    }

    async fn is_revoked(&self, session: &SessionHandle) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let end = self.entries().ends.get(session).copied();
        Ok(end.is_some_and(|end| now <= end))
    }
}

impl Default for MemoryRevocationList {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryRevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRevocationList")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use session_lock::{Clock, Moment, SystemClock};

use super::{Allowance, CountedName, Limit, UseCounter, uses::Uses};
use crate::StoreError;

/// Counts in the memory of this process: other replicas count apart. Clones share everything.
#[derive(Clone)]
pub struct MemoryUseCounter {
    entries: Arc<Mutex<Entries>>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Entries {
    by_name: HashMap<CountedName, (Uses, Moment)>,
    by_end: BTreeSet<(Moment, CountedName)>,
}

impl MemoryUseCounter {
    /// Nothing is counted yet.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// By that clock, for tests.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            entries: Arc::default(),
            clock,
        }
    }

    /// How many names it remembers.
    pub fn len(&self) -> usize {
        self.entries().by_name.len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn forget_what_ended(&mut self, now: Moment) {
        while let Some((end, name)) = self.by_end.first().copied()
            && end <= now
        {
            self.by_end.pop_first();
            self.by_name.remove(&name);
        }
    }

    fn get(&self, name: &CountedName) -> Option<Uses> {
        self.by_name.get(name).map(|(uses, _)| *uses)
    }

    fn put(&mut self, name: CountedName, uses: Uses, limit: &Limit) {
        let end = uses.forgotten(limit);
        if let Some((_, before)) = self.by_name.insert(name, (uses, end)) {
            self.by_end.remove(&(before, name));
        }
        self.by_end.insert((end, name));
    }

    fn remove(&mut self, name: &CountedName) {
        if let Some((_, end)) = self.by_name.remove(name) {
            self.by_end.remove(&(end, *name));
        }
    }
}

#[async_trait]
impl UseCounter for MemoryUseCounter {
    async fn take(&self, name: &CountedName, limit: &Limit) -> Result<Allowance, StoreError> {
        let now = self.clock.now();
        let mut entries = self.entries();
        entries.forget_what_ended(now);
        let uses = Uses::at(entries.get(name), now, limit);
        match uses.answer(now, limit) {
            Allowance::Granted { left } => {
                entries.put(*name, uses.taken(), limit);
                Ok(Allowance::Granted { left: left - 1 })
            }
            refused => Ok(refused),
        }
    }

    async fn give_back(&self, name: &CountedName, limit: &Limit) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut entries = self.entries();
        entries.forget_what_ended(now);
        if let Some(uses) = entries.get(name)
            && uses.is_open(now)
        {
            entries.put(*name, uses.given_back(), limit);
        }
        Ok(())
    }

    async fn look(&self, name: &CountedName, limit: &Limit) -> Result<Allowance, StoreError> {
        let now = self.clock.now();
        let mut entries = self.entries();
        entries.forget_what_ended(now);
        Ok(Uses::at(entries.get(name), now, limit).answer(now, limit))
    }

    async fn forget(&self, name: &CountedName) -> Result<(), StoreError> {
        self.entries().remove(name);
        Ok(())
    }
}

impl Default for MemoryUseCounter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryUseCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryUseCounter")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

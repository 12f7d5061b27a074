//! What waits for secondaries, in memory: as long as this process lives.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;

use super::table::Table;
use crate::{
    Backlog, Fault, Found, Header, Outbox, OutboxEntry, PendingEntry, RecordKind, SessionKey,
    StoreError, StoreTime, Version,
};

/// The notes of a store: none, until they are opened.
#[derive(Default)]
pub(super) struct Notes(OnceLock<Open>);

struct Open {
    names: Vec<String>,
    // Locked after a shard, never before.
    lists: Mutex<Vec<List>>,
}

#[derive(Default)]
struct List {
    entries: HashMap<SessionKey, OutboxEntry>,
    in_order: BTreeSet<(Version, SessionKey)>,
    aside: HashMap<SessionKey, OutboxEntry>,
}

impl Notes {
    pub(super) fn open(&self, names: &[&str]) -> Result<(), StoreError> {
        let open = self.0.get_or_init(|| Open {
            names: names.iter().map(ToString::to_string).collect(),
            lists: Mutex::new(names.iter().map(|_| List::default()).collect()),
        });
        if open.names == names {
            return Ok(());
        }
        let found = format!("the store is written through to {:?} already", open.names);
        let fault = Fault::Unsuitable(found);
        Err(StoreError::new("write through", "memory", fault))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0
            .get()
            .map(|open| open.names.clone())
            .unwrap_or_default()
    }

    pub(super) fn are_open(&self) -> bool {
        self.0.get().is_some()
    }

    /// A version of a session is stored under that key.
    pub(super) fn stored(&self, key: &SessionKey, header: &Header) {
        self.note(key, header, Version::stored(header.revision));
    }

    /// The session that had that header has ended.
    pub(super) fn ended(&self, key: &SessionKey, header: &Header, now: StoreTime) {
        self.note(key, header, Version::ended(header.revision.next(now)));
    }

    /// The session under that key goes on under another one.
    pub(super) fn moved(&self, key: &SessionKey) {
        for list in self.lists().iter_mut().flat_map(|lists| lists.iter_mut()) {
            list.remove(key);
        }
    }

    fn note(&self, key: &SessionKey, header: &Header, version: Version) {
        let entry = OutboxEntry {
            key: *key,
            session: header.handle,
            version,
        };
        for list in self.lists().iter_mut().flat_map(|lists| lists.iter_mut()) {
            list.note(entry);
        }
    }

    fn lists(&self) -> Option<MutexGuard<'_, Vec<List>>> {
        let lists = &self.0.get()?.lists;
        Some(lists.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with<T>(&self, secondary: usize, work: impl FnOnce(&mut List) -> T) -> Option<T> {
        self.lists()?.get_mut(secondary).map(work)
    }
}

impl List {
    fn note(&mut self, entry: OutboxEntry) {
        let known = self.entries.get(&entry.key).map(|known| known.version);
        if known.is_none_or(|known| known < entry.version) {
            self.remove(&entry.key);
            self.in_order.insert((entry.version, entry.key));
            self.entries.insert(entry.key, entry);
        }
    }

    fn remove(&mut self, key: &SessionKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.in_order.remove(&(entry.version, entry.key));
        }
    }

    fn remove_if_unchanged(&mut self, entry: &OutboxEntry) -> bool {
        let is_unchanged = self.entries.get(&entry.key) == Some(entry);
        if is_unchanged {
            self.remove(&entry.key);
        }
        is_unchanged
    }
}

/// The outbox of a store in memory.
#[derive(Clone)]
pub(super) struct MemoryOutbox(pub(super) Weak<Table>);

impl MemoryOutbox {
    pub(super) fn of(table: &Arc<Table>) -> Option<Arc<dyn Outbox>> {
        let is_open = table.notes().are_open();
        is_open.then(|| Arc::new(Self(Arc::downgrade(table))) as _)
    }

    fn table(&self) -> Result<Arc<Table>, StoreError> {
        self.0.upgrade().ok_or_else(|| {
            let fault = Fault::Unsuitable("the store is gone".to_owned());
            StoreError::new("read the outbox", "memory", fault)
        })
    }

    fn with<T: Default>(
        &self,
        secondary: usize,
        work: impl FnOnce(&mut List) -> T,
    ) -> Result<T, StoreError> {
        let table = self.table()?;
        Ok(table.notes().with(secondary, work).unwrap_or_default())
    }
}

#[async_trait]
impl Outbox for MemoryOutbox {
    fn parts(&self) -> Vec<RangeInclusive<u16>> {
        vec![0..=0x0fff]
    }

    async fn claim(
        &self,
        _part: &RangeInclusive<u16>,
        _deliverer: u64,
        _span: Duration,
    ) -> Result<bool, StoreError> {
        // There is no other process, and two deliverers of this one harm nothing.
        Ok(true)
    }

    async fn pending(
        &self,
        secondary: usize,
        part: &RangeInclusive<u16>,
        until: StoreTime,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, StoreError> {
        let table = self.table()?;
        let is_due = |(version, key): &&(Version, SessionKey)| {
            version.revision().0 <= until.as_millis() && part.contains(&key.bucket().number())
        };
        let keys: Vec<_> = self.with(secondary, |list| {
            let due = list.in_order.iter().filter(is_due).take(limit);
            due.map(|(_, key)| *key).collect()
        })?;
        let look = |key: SessionKey| {
            // Whoever writes holds the shard while it notes.
            let shard = table.shard(&key);
            let entry = self.with(secondary, |list| list.entries.get(&key).copied());
            let entry = entry.ok()??;
            let found = match shard.records.get(&key, table.time()) {
                None => Found::Nothing,
                Some(stored) => match stored.header.kind {
                    RecordKind::Live => Found::Live(stored),
                    RecordKind::Frozen => Found::Frozen,
                    RecordKind::Alias => Found::Moved,
                    RecordKind::Tombstone => Found::Nothing,
                },
            };
            Some(PendingEntry { entry, found })
        };
        Ok(keys.into_iter().filter_map(look).collect())
    }

    async fn delivered(&self, secondary: usize, entries: &[OutboxEntry]) -> Result<(), StoreError> {
        self.with(secondary, |list| {
            for entry in entries {
                list.remove_if_unchanged(entry);
            }
        })
    }

    async fn set_aside(&self, secondary: usize, entry: &OutboxEntry) -> Result<(), StoreError> {
        self.with(secondary, |list| {
            if list.remove_if_unchanged(entry) {
                list.aside.insert(entry.key, *entry);
            }
        })
    }

    async fn retry(&self, secondary: usize) -> Result<u64, StoreError> {
        self.with(secondary, |list| {
            let aside = std::mem::take(&mut list.aside);
            let count = aside.len() as u64;
            aside.into_values().for_each(|entry| list.note(entry));
            count
        })
    }

    async fn note_all(&self, secondary: usize) -> Result<u64, StoreError> {
        let table = self.table()?;
        let mut count = 0;
        for (key, header) in table.whole().live(table.time()) {
            let entry = OutboxEntry {
                key,
                session: header.handle,
                version: Version::stored(header.revision),
            };
            // One that has ended since is noted already, under a later version.
            self.with(secondary, |list| list.note(entry))?;
            count += 1;
        }
        Ok(count)
    }

    async fn backlog(&self, secondary: usize) -> Result<Backlog, StoreError> {
        self.with(secondary, |list| Backlog {
            sessions: list.entries.len() as u64,
            oldest: list
                .in_order
                .first()
                .map(|(version, _)| StoreTime::from_millis(version.revision().0)),
            set_aside: list.aside.len() as u64,
        })
    }
}

impl fmt::Debug for MemoryOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryOutbox").finish_non_exhaustive()
    }
}

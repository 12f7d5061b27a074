//! Records in memory: the same rules that a server's scripts apply.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;

use super::outbox::Notes;
use crate::{
    CommitError, CommitId, Committed, Creation, Header, Pointer, RecordKind, Revision, SessionKey,
    StoreTime, Stored, Write,
};

/// The records of a store. Pure state: the caller brings the time and the mutual exclusion.
#[derive(Default)]
pub(super) struct RecordTable {
    records: HashMap<SessionKey, Record>,
    notes: Arc<Notes>,
}

struct Record {
    header: Header,
    body: Bytes,
    expires: StoreTime,
    fence: u64,
}

pub(super) const TOMBSTONE_TTL: Duration = Duration::from_secs(5 * 60);

impl RecordTable {
    /// No records yet; what is written is noted there.
    pub(super) fn noting(notes: Arc<Notes>) -> Self {
        Self {
            records: HashMap::new(),
            notes,
        }
    }

    /// What stands in the place and can be read: live, frozen, or an alias.
    pub(super) fn get(&self, key: &SessionKey, now: StoreTime) -> Option<Stored> {
        let record = self.records.get(key)?;
        if record.expires <= now || record.header.kind == RecordKind::Tombstone {
            return None;
        }
        Some(Stored {
            header: record.header.clone(),
            body: record.body.clone(),
            time_to_live: record.expires.saturating_since(now),
            read_at: now,
        })
    }

    /// A live session that has not expired.
    pub(super) fn live_copy(&self, key: &SessionKey, now: StoreTime) -> Option<Stored> {
        let stored = self.get(key, now)?;
        (stored.header.kind == RecordKind::Live).then_some(stored)
    }

    pub(super) fn create(
        &mut self,
        key: &SessionKey,
        creation: Creation,
        now: StoreTime,
    ) -> Result<Committed, CommitError> {
        if self
            .records
            .get(key)
            .is_some_and(|record| record.expires > now)
        {
            return Err(CommitError::Conflict);
        }
        let mut header = creation.header;
        header.created = now;
        header.absolute_end = now.after(creation.timeouts.absolute());
        header.idle_timeout = creation.timeouts.idle();
        header.revision = Revision::default().next(now);
        Ok(self.put(key, header, creation.body, 0, now))
    }

    pub(super) fn write(
        &mut self,
        key: &SessionKey,
        write: Write,
        now: StoreTime,
    ) -> Result<Committed, CommitError> {
        let record = self.live(key, now)?;
        if record.header.commit_id != write.base {
            return Err(CommitError::Conflict);
        }
        let mut header = write.header;
        header.revision = record.header.revision.next(now);
        if header.time_to_live(now).is_zero() {
            let record = self.live_mut(key, now)?;
            record.expires = now;
            record.body = Bytes::new();
            return Err(CommitError::Expired);
        }
        let fence = record.fence;
        Ok(self.put(key, header, write.body, fence, now))
    }

    /// Moves the idle end, upwards only and never past the absolute end.
    pub(super) fn touch(&mut self, key: &SessionKey, now: StoreTime) {
        if let Ok(record) = self.live_mut(key, now) {
            record.expires = record
                .expires
                .max(now.after(record.header.time_to_live(now)));
        }
    }

    /// Leaves a tombstone where a record stands, so that late writers learn what became of it. Returns the header of a
    /// session that lived until then.
    pub(super) fn end(&mut self, key: &SessionKey, now: StoreTime) -> Option<Header> {
        let ended = self.leave_nothing(key, now)?;
        self.notes.ended(key, &ended, now);
        Some(ended)
    }

    /// As [`end`](Self::end), of a session that goes on elsewhere.
    pub(super) fn leave_nothing(&mut self, key: &SessionKey, now: StoreTime) -> Option<Header> {
        let record = self.records.get_mut(key)?;
        if record.expires <= now || record.header.kind == RecordKind::Tombstone {
            return None;
        }
        let ended = record.header.clone();
        record.header.kind = RecordKind::Tombstone;
        record.header.commit_id = CommitId::random();
        record.body = Bytes::new();
        record.expires = now.after(TOMBSTONE_TTL);
        (ended.kind == RecordKind::Live).then_some(ended)
    }

    /// Makes a read-only copy for the time of the grace of what stands in the place.
    pub(super) fn freeze(&mut self, key: &SessionKey, grace: Duration, now: StoreTime) {
        if let Ok(record) = self.live_mut(key, now) {
            record.header.kind = RecordKind::Frozen;
            record.expires = record.expires.min(now.after(grace));
        }
    }

    /// The session that stood there goes on elsewhere.
    pub(super) fn has_moved(&self, key: &SessionKey) {
        self.notes.moved(key);
    }

    /// Puts an alias in the place of a session, for the time of the grace.
    pub(super) fn point(&mut self, pointer: Pointer, grace: Duration, now: StoreTime) {
        if let Ok(record) = self.live_mut(&pointer.key, now) {
            record.expires = record.expires.min(now.after(grace));
            record.header = pointer.header;
            record.body = pointer.body;
        }
    }

    /// Lets an alias point elsewhere, until its own end.
    pub(super) fn repoint(&mut self, pointer: Pointer, now: StoreTime) {
        if self.is_alias(&pointer.key, now)
            && let Some(record) = self.records.get_mut(&pointer.key)
        {
            record.header = pointer.header;
            record.body = pointer.body;
        }
    }

    pub(super) fn end_alias(&mut self, key: &SessionKey, now: StoreTime) {
        if self.is_alias(key, now) {
            self.end(key, now);
        }
    }

    fn is_alias(&self, key: &SessionKey, now: StoreTime) -> bool {
        let stored = self.get(key, now);
        stored.is_some_and(|stored| stored.header.kind == RecordKind::Alias)
    }

    /// Stores what goes on under a new ID.
    pub(super) fn enter(&mut self, key: &SessionKey, header: Header, body: Bytes, now: StoreTime) {
        self.put(key, header, body, 0, now);
    }

    /// Why a session that does not live takes no write.
    pub(super) fn check_live(&self, key: &SessionKey, now: StoreTime) -> Result<(), CommitError> {
        self.live(key, now).map(|_| ())
    }

    /// Whether a record stands in the place, be it one whose time is up.
    pub(super) fn contains(&self, key: &SessionKey) -> bool {
        self.records.contains_key(key)
    }

    /// Registers the token of a lock's holder; the registered one if that is not smaller. An equal one is of another
    /// grant too: the lock's server has lost its data and begun anew.
    pub(super) fn fence(
        &mut self,
        key: &SessionKey,
        token: u64,
        now: StoreTime,
    ) -> Result<(), u64> {
        match self.live_mut(key, now) {
            Ok(record) if record.fence >= token => Err(record.fence),
            Ok(record) => {
                record.fence = token;
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    pub(super) fn is_fenced_by(&self, key: &SessionKey, token: u64) -> bool {
        self.records
            .get(key)
            .is_none_or(|record| record.fence == token)
    }

    /// Forgets what has expired; what that was.
    pub(super) fn sweep(&mut self, now: StoreTime) -> Vec<(SessionKey, Header)> {
        let expired = self.records.extract_if(|_, record| record.expires <= now);
        expired.map(|(key, record)| (key, record.header)).collect()
    }

    /// What lives.
    pub(super) fn all_live(&self, now: StoreTime) -> Vec<(SessionKey, Header)> {
        let records = self.records.iter();
        records
            .filter(|(key, _)| self.live(key, now).is_ok())
            .map(|(key, record)| (*key, record.header.clone()))
            .collect()
    }

    /// The keys of all that can be read.
    pub(super) fn all_readable(&self, now: StoreTime) -> Vec<SessionKey> {
        let keys = self.records.keys();
        keys.filter(|key| self.get(key, now).is_some())
            .copied()
            .collect()
    }

    fn put(
        &mut self,
        key: &SessionKey,
        header: Header,
        body: Bytes,
        fence: u64,
        now: StoreTime,
    ) -> Committed {
        self.notes.stored(key, &header);
        let (revision, commit_id) = (header.revision, header.commit_id);
        let expires = now.after(header.time_to_live(now));
        self.records.insert(
            *key,
            Record {
                header,
                body,
                expires,
                fence,
            },
        );
        Committed {
            revision,
            commit_id,
        }
    }

    fn live(&self, key: &SessionKey, now: StoreTime) -> Result<&Record, CommitError> {
        let record = self
            .records
            .get(key)
            .filter(|record| record.expires > now)
            .ok_or(CommitError::Expired)?;
        match record.header.kind {
            RecordKind::Live => Ok(record),
            RecordKind::Frozen | RecordKind::Alias => Err(CommitError::Rotated),
            RecordKind::Tombstone => Err(CommitError::Destroyed),
        }
    }

    fn live_mut(&mut self, key: &SessionKey, now: StoreTime) -> Result<&mut Record, CommitError> {
        self.live(key, now)?;
        self.records.get_mut(key).ok_or(CommitError::Expired)
    }
}

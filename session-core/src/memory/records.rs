//! Records in memory: the same rules that a server's scripts apply.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;

use crate::{
    CommitError, CommitId, Committed, Creation, Header, RecordKind, Revision, SessionKey,
    StoreTime, Stored, Write,
};

/// The records of a store. Pure state: the caller brings the time and the mutual exclusion.
#[derive(Default)]
pub(super) struct RecordTable {
    records: HashMap<SessionKey, Record>,
}

struct Record {
    header: Header,
    body: Bytes,
    expires: StoreTime,
    fence: u64,
}

pub(super) const TOMBSTONE_TTL: Duration = Duration::from_secs(5 * 60);

impl RecordTable {
    /// A live session that has not expired.
    pub(super) fn get(&self, key: &SessionKey, now: StoreTime) -> Option<Stored> {
        self.live(key, now).ok().map(|record| Stored {
            header: record.header.clone(),
            body: record.body.clone(),
            time_to_live: record.expires.saturating_since(now),
            read_at: now,
        })
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

    /// Leaves a tombstone where a record stands, so that late writers learn what became of it.
    pub(super) fn destroy(&mut self, key: &SessionKey, now: StoreTime) {
        if let Ok(record) = self.live_mut(key, now) {
            record.header.kind = RecordKind::Tombstone;
            record.header.commit_id = CommitId::random();
            record.body = Bytes::new();
            record.expires = now.after(TOMBSTONE_TTL);
        }
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

    /// Forgets what has expired; how many that were.
    pub(super) fn sweep(&mut self, now: StoreTime) -> usize {
        let before = self.records.len();
        self.records.retain(|_, record| record.expires > now);
        before - self.records.len()
    }

    fn put(
        &mut self,
        key: &SessionKey,
        header: Header,
        body: Bytes,
        fence: u64,
        now: StoreTime,
    ) -> Committed {
        let revision = header.revision;
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
        Committed { revision }
    }

    fn live(&self, key: &SessionKey, now: StoreTime) -> Result<&Record, CommitError> {
        let record = self
            .records
            .get(key)
            .filter(|record| record.expires > now)
            .ok_or(CommitError::Expired)?;
        match record.header.kind {
            RecordKind::Live => Ok(record),
            _ => Err(CommitError::Destroyed),
        }
    }

    fn live_mut(&mut self, key: &SessionKey, now: StoreTime) -> Result<&mut Record, CommitError> {
        self.live(key, now)?;
        self.records.get_mut(key).ok_or(CommitError::Expired)
    }
}

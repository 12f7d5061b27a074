use bytes::Bytes;
use session_core::{
    BadRecord, FILLED_AT_CREATION, HEADER_MAX, Header, RecordKind, Revision, SessionKey, StoreTime,
    Stored, UserKey,
};
use session_lock::FencingToken;
use tokio_postgres::Row;

use crate::number::unsigned;

/// What stands in a row: as the statements return it that read one.
pub(super) struct Found {
    pub(super) header: Header,
    pub(super) body: Bytes,
    pub(super) expires: StoreTime,
    pub(super) fence: FencingToken,
    pub(super) now: StoreTime,
}

impl Found {
    pub(super) fn read(row: &Row) -> Result<Self, BadRecord> {
        let (head, body): (&[u8], &[u8]) = (row.get(0), row.get(1));
        let mut record = Vec::with_capacity(HEADER_MAX);
        for number in 2..5 {
            record.extend(unsigned(row.get(number)).to_be_bytes());
        }
        record.extend_from_slice(head);
        let (header, end) = Header::decode(&record)?;
        if end < record.len() {
            return Err(BadRecord::Unreadable);
        }
        Ok(Self {
            header,
            body: Bytes::copy_from_slice(body),
            expires: StoreTime::from_millis(unsigned(row.get(5))),
            fence: FencingToken(unsigned(row.get(6))),
            now: StoreTime::from_millis(unsigned(row.get(7))),
        })
    }

    /// Whether its time is up.
    pub(super) fn is_over(&self) -> bool {
        self.expires <= self.now
    }

    /// What readers are shown of it.
    pub(super) fn into_stored(self) -> Option<Stored> {
        if self.is_over() || self.header.kind == RecordKind::Tombstone {
            return None;
        }
        Some(Stored {
            time_to_live: self.expires.saturating_since(self.now),
            header: self.header,
            body: self.body,
            read_at: self.now,
        })
    }
}

/// The encoded header without what stands in columns.
pub(super) fn head(header: &Header) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(HEADER_MAX);
    header.encode(&mut encoded);
    encoded.split_off(FILLED_AT_CREATION)
}

/// The key of a row.
pub(super) fn key_of(bytes: &[u8]) -> Option<SessionKey> {
    let (digest, bucket) = bytes.split_last_chunk::<2>()?;
    SessionKey::from_parts(digest.try_into().ok()?, u16::from_be_bytes(*bucket))
}

pub(super) fn user_bytes(user: &UserKey) -> Vec<u8> {
    let (tag, bucket) = (user.tag().to_be_bytes(), user.bucket().number());
    [&tag[..], &bucket.to_be_bytes()].concat()
}

pub(super) fn revision(row: &Row) -> Revision {
    Revision(unsigned(row.get(0)))
}

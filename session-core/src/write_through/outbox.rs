use std::{fmt, ops::RangeInclusive, time::Duration};

use async_trait::async_trait;

use crate::{
    BadRecord, HEADER_MAX, SessionHandle, SessionKey, StoreError, StoreTime, Stored, Version,
};

/// Where a primary notes which sessions have changed and were not delivered yet. It holds no contents: one entry for each
/// changed session and secondary, however often the session changes.
///
/// Secondaries are named by their place in the list that the outbox was opened with.
///
/// # Contract
/// 1. Every write that the primary has stored since the outbox was opened stands in it for each secondary, noted in the
///    step of the write itself, until it is `delivered`. Entries that stand for nothing are allowed.
/// 2. `pending` reads entries and what stands under their keys in one step, the oldest first in each bucket. It ends
///    before `limit` entries only if there are no more, or behind more than [`PendingEntry::BYTES_AT_ONCE`] of records.
/// 3. `delivered` removes an entry only if nothing newer was noted for its session meanwhile.
/// 4. `claim` gives a range of buckets to one deliverer at a time, for the time given; to the same one again at any time.
/// 5. `set_aside` takes an entry out of the way unless something newer was noted; `retry` puts all of those back.
#[async_trait]
pub trait Outbox: fmt::Debug + Send + Sync + 'static {
    /// The ranges of buckets, from 0 to 4,095 in all, that deliverers share among themselves.
    fn parts(&self) -> Vec<RangeInclusive<u16>>;

    /// Takes or keeps a range; whether `deliverer` has it now.
    async fn claim(
        &self,
        part: &RangeInclusive<u16>,
        deliverer: u64,
        span: Duration,
    ) -> Result<bool, StoreError>;

    /// At most `limit` entries of a range for one secondary that were noted up to `until`.
    async fn pending(
        &self,
        secondary: usize,
        part: &RangeInclusive<u16>,
        until: StoreTime,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, StoreError>;

    /// These were delivered, or need not be.
    async fn delivered(&self, secondary: usize, entries: &[OutboxEntry]) -> Result<(), StoreError>;

    /// This one cannot be delivered.
    async fn set_aside(&self, secondary: usize, entry: &OutboxEntry) -> Result<(), StoreError>;

    /// What was set aside is to be tried again; how many entries.
    async fn retry(&self, secondary: usize) -> Result<u64, StoreError>;

    /// Notes every session that lives, for a secondary that is new; how many.
    async fn note_all(&self, secondary: usize) -> Result<u64, StoreError>;

    /// How much is waiting.
    async fn backlog(&self, secondary: usize) -> Result<Backlog, StoreError>;
}

/// A session that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct OutboxEntry {
    /// The key under which it was written.
    pub key: SessionKey,
    /// Its public name.
    pub session: SessionHandle,
    /// The newest version that was noted.
    pub version: Version,
}

/// An entry, and what stands under its key.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct PendingEntry {
    /// The entry.
    pub entry: OutboxEntry,
    /// What stands there.
    pub found: Found,
}

impl PendingEntry {
    /// Behind so many bytes of records, a page of them may end.
    pub const BYTES_AT_ONCE: usize = 256 << 10;

    pub(super) fn bytes(&self) -> usize {
        match &self.found {
            Found::Live(stored) => HEADER_MAX + stored.body.len(),
            _ => 0,
        }
    }
}

/// What stands under the key of an entry.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "stores have to tell them apart")]
pub enum Found {
    /// The session.
    Live(Stored),
    /// A copy that is only read: the session is on its way to another key, or lost on it.
    Frozen,
    /// The session has another key, and its change was noted there.
    Moved,
    /// Nothing that lives.
    Nothing,
    /// Something that cannot be read.
    Unusable(BadRecord),
}

/// How much of an outbox waits for one secondary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Backlog {
    /// How many sessions have changes that were not delivered.
    pub sessions: u64,
    /// When the oldest of these was noted, by the primary's clock.
    pub oldest: Option<StoreTime>,
    /// How many sessions were set aside.
    pub set_aside: u64,
}

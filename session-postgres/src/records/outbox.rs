//! What waits for secondaries, in tables beside the records: noted in the transactions that write.

use std::{ops::RangeInclusive, time::Duration};

use async_trait::async_trait;
use session_core::{
    Backlog, Fault, Found, Outbox, OutboxEntry, PendingEntry, RecordKind, SessionHandle,
    SessionKey, StoreError, StoreTime, Version,
};
use tokio_postgres::{Row, types::ToSql};

use super::row::{self, key_of};
use crate::{
    Postgres,
    number::{key_bytes, ms, signed, unsigned},
    postgres::{CallError, Transaction},
};

/// The outbox of a store, for these secondaries.
#[derive(Debug)]
pub(super) struct PostgresOutbox {
    postgres: Postgres,
    names: Vec<String>,
}

const BUCKETS: u16 = 4096;
/// A process that has a part asks for it every second, so there are few.
const PARTS: u16 = 4;
/// Some milliseconds of the server's time.
const NOTED_AT_ONCE: i64 = 1_000;
// What waits for a secondary that is left out may be a lot.
const LONG: Duration = Duration::from_secs(600);
const READ: &str = "read the outbox";
const WRITE: &str = "change the outbox";

impl PostgresOutbox {
    /// Makes these the secondaries of all processes, if there are none; else they have to be these.
    pub(super) async fn open(postgres: &Postgres, names: &[&str]) -> Result<Self, StoreError> {
        let action = "register secondaries";
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let sql = include_str!("../../sql/outbox_register.sql");
        let rows = postgres.query(action, sql, &[&names]).await?;
        let known: Vec<String> = rows.first().map_or_else(Vec::new, |row| row.get(0));
        if known == names {
            let postgres = postgres.clone();
            return Ok(Self { postgres, names });
        }
        let found = format!(
            "the sessions are written through to {known:?}, not to {names:?}; all processes have to name the same \
             secondaries, and `PostgresRecords::dangerous_replace_secondaries` changes the list"
        );
        Err(postgres.error(action, Fault::Unsuitable(found)))
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    async fn query(
        &self,
        action: &'static str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        self.postgres.query(action, sql, params).await
    }
}

/// The secondaries of all processes.
pub(super) async fn registered(postgres: &Postgres) -> Result<Vec<String>, StoreError> {
    let sql = include_str!("../../sql/outbox_list.sql");
    let rows = postgres
        .query("read the list of secondaries", sql, &[])
        .await?;
    Ok(rows.first().map_or_else(Vec::new, |row| row.get(0)))
}

/// Makes these the secondaries of all processes, whatever they were.
pub(super) async fn replace(postgres: &Postgres, names: &[&str]) -> Result<(), StoreError> {
    let sql = include_str!("../../sql/outbox_replace.sql");
    let patient = postgres.clone().call_timeout(LONG);
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let action = "replace the list of secondaries";
    patient.query(action, sql, &[&names]).await?;
    Ok(())
}

/// What a statement does to the session under its first parameter.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Effect {
    /// Nothing that secondaries have to know.
    Use,
    Write,
    End,
}

/// Executes a statement on one session, and notes what it does, if `notes` say so.
pub(super) async fn execute(
    notes: Notes,
    postgres: &Postgres,
    action: &'static str,
    effect: Effect,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, CallError> {
    let (own, key) = ((sql, params), &params[..1]);
    let (statements, at) = match effect {
        _ if notes == Notes::None => return postgres.call(action, sql, params).await,
        Effect::Use => return postgres.call(action, sql, params).await,
        Effect::Write => ([own, (NOTE, key)], 0),
        Effect::End => ([(NOTE_END, key), own], 1),
    };
    let mut answers = postgres.together(action, &statements).await?;
    Ok(answers.swap_remove(at))
}

/// Whether what is written is noted for secondaries.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Notes {
    None,
    Kept,
}

const NOTE: &str = include_str!("../../sql/outbox_note.sql");
const NOTE_END: &str = include_str!("../../sql/outbox_note_end.sql");

impl Notes {
    /// A session was written under a key.
    pub(super) async fn written(
        self,
        transaction: &Transaction<'_>,
        key: &SessionKey,
    ) -> Result<(), CallError> {
        self.note(transaction, NOTE, key).await
    }

    /// A session is about to be ended that stands under a key.
    pub(super) async fn ends(
        self,
        transaction: &Transaction<'_>,
        key: &SessionKey,
    ) -> Result<(), CallError> {
        self.note(transaction, NOTE_END, key).await
    }

    /// The session that stood under a key goes on under another one.
    pub(super) async fn moved(
        self,
        transaction: &Transaction<'_>,
        key: &SessionKey,
    ) -> Result<(), CallError> {
        let sql = include_str!("../../sql/outbox_move.sql");
        self.note(transaction, sql, key).await
    }

    async fn note(
        self,
        transaction: &Transaction<'_>,
        sql: &str,
        key: &SessionKey,
    ) -> Result<(), CallError> {
        if self == Self::Kept {
            transaction.query(sql, &[&key_bytes(key)]).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Outbox for PostgresOutbox {
    fn parts(&self) -> Vec<RangeInclusive<u16>> {
        let size = BUCKETS / PARTS;
        let firsts = (0..PARTS).map(|part| part * size);
        firsts.map(|first| first..=first + size - 1).collect()
    }

    async fn claim(
        &self,
        part: &RangeInclusive<u16>,
        deliverer: u64,
        span: Duration,
    ) -> Result<bool, StoreError> {
        let sql = include_str!("../../sql/outbox_claim.sql");
        let deliverer = i64::from_be_bytes(deliverer.to_be_bytes());
        let (part, span) = (i32::from(*part.start()), ms(span));
        let rows = self.query(WRITE, sql, &[&part, &deliverer, &span]).await?;
        Ok(!rows.is_empty())
    }

    async fn pending(
        &self,
        secondary: usize,
        part: &RangeInclusive<u16>,
        until: StoreTime,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, StoreError> {
        // An end counts as the revision that it came after.
        let until = signed(until.as_millis().saturating_mul(2).saturating_add(1));
        let (first, last) = (i32::from(*part.start()), i32::from(*part.end()));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let bytes = i64::try_from(PendingEntry::BYTES_AT_ONCE).unwrap_or(i64::MAX);
        let params: [&(dyn ToSql + Sync); 6] = [
            &self.names[secondary],
            &first,
            &last,
            &until,
            &limit,
            &bytes,
        ];
        let sql = include_str!("../../sql/outbox_pending.sql");
        let rows = self.query(READ, sql, &params).await?;
        // The schema takes no other keys.
        Ok(rows.iter().filter_map(pending).collect())
    }

    async fn delivered(&self, secondary: usize, entries: &[OutboxEntry]) -> Result<(), StoreError> {
        let sql = include_str!("../../sql/outbox_delivered.sql");
        let keys: Vec<_> = entries.iter().map(|entry| key_bytes(&entry.key)).collect();
        let versions: Vec<_> = entries.iter().map(version).collect();
        let params: [&(dyn ToSql + Sync); 3] = [&self.names[secondary], &keys, &versions];
        self.query(WRITE, sql, &params).await.map(drop)
    }

    async fn set_aside(&self, secondary: usize, entry: &OutboxEntry) -> Result<(), StoreError> {
        let sql = include_str!("../../sql/outbox_set_aside.sql");
        let (key, version) = (key_bytes(&entry.key), version(entry));
        let params: [&(dyn ToSql + Sync); 3] = [&self.names[secondary], &key, &version];
        self.query(WRITE, sql, &params).await.map(drop)
    }

    async fn retry(&self, secondary: usize) -> Result<u64, StoreError> {
        let sql = include_str!("../../sql/outbox_retry.sql");
        let rows = self.query(WRITE, sql, &[&self.names[secondary]]).await?;
        Ok(rows.first().map_or(0, |row| unsigned(row.get(0))))
    }

    async fn note_all(&self, secondary: usize) -> Result<u64, StoreError> {
        let sql = include_str!("../../sql/outbox_note_all.sql");
        let (mut last, mut count) = (Some(Vec::<u8>::new()), 0);
        while let Some(behind) = last {
            let params: [&(dyn ToSql + Sync); 3] =
                [&self.names[secondary], &behind, &NOTED_AT_ONCE];
            let rows = self.query(WRITE, sql, &params).await?;
            let noted = rows.first().map_or(0, |row| unsigned(row.get(0)));
            last = rows.first().and_then(|row| row.get(1));
            count += noted;
        }
        Ok(count)
    }

    async fn backlog(&self, secondary: usize) -> Result<Backlog, StoreError> {
        let sql = include_str!("../../sql/outbox_backlog.sql");
        let rows = self.query(READ, sql, &[&self.names[secondary]]).await?;
        let Some(row) = rows.first() else {
            return Ok(Backlog::default());
        };
        let oldest: Option<i64> = row.get(1);
        let noted = |version| Version::from_number(unsigned(version)).revision().0;
        Ok(Backlog {
            sessions: unsigned(row.get(0)),
            oldest: oldest.map(|version| StoreTime::from_millis(noted(version))),
            set_aside: unsigned(row.get(2)),
        })
    }
}

fn version(entry: &OutboxEntry) -> i64 {
    signed(entry.version.number())
}

fn pending(row: &Row) -> Option<PendingEntry> {
    let session: &[u8] = row.get(9);
    Some(PendingEntry {
        entry: OutboxEntry {
            key: key_of(row.get(8))?,
            session: SessionHandle::from_bytes(session.try_into().ok()?),
            version: Version::from_number(unsigned(row.get(10))),
        },
        found: found(row),
    })
}

/// What stands under the key of an entry.
fn found(row: &Row) -> Found {
    if row.get::<_, Option<&[u8]>>(0).is_none() {
        return Found::Nothing;
    }
    let found = match row::Found::read(row) {
        Ok(found) => found,
        Err(fault) => return Found::Unusable(fault),
    };
    let Some(stored) = found.into_stored() else {
        return Found::Nothing;
    };
    match stored.header.kind {
        RecordKind::Live => Found::Live(stored),
        RecordKind::Frozen => Found::Frozen,
        RecordKind::Alias => Found::Moved,
        _ => Found::Nothing,
    }
}

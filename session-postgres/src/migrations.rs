//! The tables of Latchkey: made, taken back, looked at. Everything else in a database is left alone.
//!
//! ```no_run
//! # use session_postgres::{Postgres, migrations};
//! # async fn deploy() -> Result<(), Box<dyn std::error::Error>> {
//! let postgres = Postgres::connect("postgresql://owner@db.example/app").await?;
//! migrations::up(&postgres).await?;
//! # Ok(()) }
//! ```
//!
//! The tables are made in the first schema of the connection's search path. Whoever makes them needs the right to do so;
//! services need only to read and write them. Several may migrate at once: one does it, the others wait for that.

use std::{fmt::Write as _, time::Duration};

use session_core::StoreError;
use tokio_postgres::types::ToSql;

use crate::{
    Postgres,
    fault::MIGRATE,
    postgres::{CallError, Transaction},
};

/// One step of the schema.
struct Migration {
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

macro_rules! migration {
    ($name:literal) => {
        Migration {
            name: $name,
            up: include_str!(concat!("../migrations/", $name, ".up.sql")),
            down: include_str!(concat!("../migrations/", $name, ".down.sql")),
        }
    };
}

/// The first one is version 1.
const MIGRATIONS: &[Migration] = &[
    migration!("0001_records"),
    migration!("0002_users"),
    migration!("0003_locks"),
    migration!("0004_secondary"),
    migration!("0005_outbox"),
];

const OLDEST: u32 = 13;
// Another migrator may be at work, and tables may be large.
const LIMIT: Duration = Duration::from_secs(600);
// "latchkey", as a number: no other program locks it.
const LOCK: i64 = 0x6c61_7463_686b_6579;

/// How far the schema of a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The version that the database has; zero for none.
    pub found: u32,
    /// The version that this release works with.
    pub needed: u32,
}

impl Status {
    /// Whether the tables are those of this release.
    pub const fn is_current(&self) -> bool {
        self.found == self.needed
    }
}

/// The tables are not those that are needed, or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The database is too old.
    #[error("the database is PostgreSQL {found}, needed is {OLDEST} or newer")]
    TooOld {
        /// Its version.
        found: u32,
    },
    /// The tables are not there, or those of an older release.
    #[error("the schema has version {found}, needed is {needed}: {MIGRATE}")]
    Behind {
        /// Its version; zero for no tables at all.
        found: u32,
        /// The version that this release works with.
        needed: u32,
    },
    /// The tables are those of a newer release.
    #[error(
        "the schema has version {found}, this release knows up to {needed}: use a newer release"
    )]
    Ahead {
        /// Its version.
        found: u32,
        /// The version that this release works with.
        needed: u32,
    },
    /// The database did not answer, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes what is missing, in one transaction: all of it or nothing. The version that the database had before.
///
/// # Errors
/// [`SchemaError`] when the database is too old, its tables are those of a newer release, or it refuses.
///
/// # Cancel safety
/// Cancelled, everything is made, or nothing.
pub async fn up(postgres: &Postgres) -> Result<Status, SchemaError> {
    let postgres = postgres.clone().call_timeout(LIMIT);
    check_server(&postgres).await?;
    let transaction = begin(&postgres, "make the tables").await?;
    let found = version(&transaction).await?;
    if found > needed() {
        transaction.roll_back().await;
        return Err(ahead(found));
    }
    for (number, migration) in numbered().filter(|(number, _)| *number > found) {
        transaction.run(migration.up).await.map_err(store)?;
        let note = include_str!("../sql/migrations_note.sql");
        let params: [&(dyn ToSql + Sync); 2] = [&signed(number), &migration.name];
        transaction.query(note, &params).await.map_err(store)?;
    }
    transaction.commit().await.map_err(store)?;
    Ok(status_of(found))
}

/// Takes the newest version back, **with all that its tables hold**. The version that the database had before; zero:
/// there was nothing to take back.
///
/// # Errors
/// As [`up`].
///
/// # Cancel safety
/// Cancelled, it is taken back whole or not at all.
pub async fn down(postgres: &Postgres) -> Result<Status, SchemaError> {
    let postgres = postgres.clone().call_timeout(LIMIT);
    check_server(&postgres).await?;
    let transaction = begin(&postgres, "take tables back").await?;
    let found = version(&transaction).await?;
    if found > needed() {
        transaction.roll_back().await;
        return Err(ahead(found));
    }
    if let Some((number, migration)) = numbered().find(|(number, _)| *number == found) {
        transaction.run(migration.down).await.map_err(store)?;
        let forget = include_str!("../sql/migrations_forget.sql");
        let number = signed(number);
        transaction.query(forget, &[&number]).await.map_err(store)?;
    }
    transaction.commit().await.map_err(store)?;
    Ok(status_of(found))
}

/// How far the schema is. Changes nothing.
///
/// # Errors
/// [`SchemaError`] when the database is too old or does not answer.
///
/// # Cancel safety
/// Cancel safe.
pub async fn status(postgres: &Postgres) -> Result<Status, SchemaError> {
    check_server(postgres).await?;
    let action = "look at the tables";
    let exists = include_str!("../sql/migrations_exist.sql");
    let rows = postgres.query(action, exists, &[]).await?;
    if !rows.first().is_some_and(|row| row.get(0)) {
        return Ok(status_of(0));
    }
    let sql = include_str!("../sql/migrations_version.sql");
    let rows = postgres.query(action, sql, &[]).await?;
    Ok(status_of(
        rows.first().map_or(0, |row| unsigned(row.get(0))),
    ))
}

/// What [`up`] does on an empty database, to be run by hand: for those who let nobody else change a schema.
pub fn sql() -> String {
    let mut text = String::from("BEGIN;\n");
    // A string takes all that is written.
    let written = writeln!(text, "SELECT pg_advisory_xact_lock({LOCK});\n{TABLE};");
    debug_assert!(written.is_ok());
    for (number, migration) in numbered() {
        let written = writeln!(
            text,
            "\n{}\nINSERT INTO latchkey_migrations (version, name) VALUES ({number}, '{}');",
            migration.up.trim_end(),
            migration.name,
        );
        debug_assert!(written.is_ok());
    }
    text + "\nCOMMIT;\n"
}

const TABLE: &str = include_str!("../sql/migrations_table.sql").trim_ascii_end();

/// Whether the tables are there that this release needs.
pub(crate) async fn check(postgres: &Postgres) -> Result<(), SchemaError> {
    match status(postgres).await? {
        status if status.is_current() => Ok(()),
        Status { found, needed } if found < needed => Err(SchemaError::Behind { found, needed }),
        Status { found, .. } => Err(ahead(found)),
    }
}

async fn check_server(postgres: &Postgres) -> Result<(), SchemaError> {
    let sql = include_str!("../sql/server_version.sql");
    let rows = postgres.query("ask for the version", sql, &[]).await?;
    new_enough(rows.first().map_or(0, |row| row.get(0)))
}

/// `version` as the server counts: 130004 for 13.4.
fn new_enough(version: i32) -> Result<(), SchemaError> {
    let found = unsigned(version) / 10_000;
    if found < OLDEST {
        return Err(SchemaError::TooOld { found });
    }
    Ok(())
}

/// Begins a transaction in which nobody else migrates, and the table of versions is there.
async fn begin<'a>(
    postgres: &'a Postgres,
    action: &'static str,
) -> Result<Transaction<'a>, SchemaError> {
    let transaction = postgres.begin(action).await.map_err(store)?;
    let lock = include_str!("../sql/migrations_lock.sql");
    transaction.query(lock, &[&LOCK]).await.map_err(store)?;
    transaction.run(TABLE).await.map_err(store)?;
    Ok(transaction)
}

async fn version(transaction: &Transaction<'_>) -> Result<u32, SchemaError> {
    let sql = include_str!("../sql/migrations_version.sql");
    let rows = transaction.query(sql, &[]).await.map_err(store)?;
    Ok(rows.first().map_or(0, |row| unsigned(row.get(0))))
}

fn numbered() -> impl Iterator<Item = (u32, &'static Migration)> {
    (1..).zip(MIGRATIONS)
}

fn needed() -> u32 {
    numbered().map(|(number, _)| number).max().unwrap_or(0)
}

fn status_of(found: u32) -> Status {
    let needed = needed();
    Status { found, needed }
}

fn ahead(found: u32) -> SchemaError {
    let needed = needed();
    SchemaError::Ahead { found, needed }
}

fn store(error: CallError) -> SchemaError {
    error.error.into()
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_before_13_are_too_old() {
        for (version, found) in [(120_022, 12), (90_624, 9), (0, 0)] {
            let refused = new_enough(version);
            assert!(matches!(refused, Err(SchemaError::TooOld { found: is }) if is == found));
        }
        for version in [130_000, 150_018, 180_001] {
            new_enough(version).unwrap();
        }
    }
}

use std::time::Duration;

use session_core::{
    BadRecord, CommitId, Creation, Header, RecordKind, RecordStore, Revision, SessionHandle,
    SessionId, StoreTime, Timeouts, TouchAfter,
};
use session_postgres::{PostgresRecords, migrations::SchemaError};
use session_testkit::records::RecordsFixture;

use crate::{schema::Schema, support::TestResult};

/// With or without an outbox.
pub(crate) struct Records<const NOTING: bool> {
    store: PostgresRecords,
}

impl<const NOTING: bool> RecordsFixture for Records<NOTING> {
    type Store = PostgresRecords;

    async fn fresh() -> Self {
        let schema = Schema::new().await.expect("a server can be had");
        let schema = schema.expect("these tests are not left out one by one");
        let postgres = schema.postgres().await.expect("the server is there");
        let store = PostgresRecords::new(&postgres).await;
        let store = store.expect("the tables are there");
        if NOTING {
            let opened = store.open_outbox(&["mirror"]).await;
            opened.expect("nobody has opened another one");
        }
        Self { store }
    }

    fn store(&self) -> PostgresRecords {
        self.store.clone()
    }
}

mod on_postgresql {
    session_testkit::record_store_suite!(super::Records<false>);
}

mod noting_its_writes {
    session_testkit::record_store_suite!(super::Records<true>);
}

pub(crate) fn header() -> Header {
    Header {
        kind: RecordKind::Live,
        commit_id: CommitId::random(),
        revision: Revision::default(),
        created: StoreTime::default(),
        absolute_end: StoreTime::default(),
        idle_timeout: Duration::ZERO,
        handle: SessionHandle::random(),
        user_tag: 0,
        flags: 0,
        digest: session_core::Digest::default(),
    }
}

async fn create(records: &PostgresRecords, idle_ms: u64) -> TestResult<SessionId> {
    let id = SessionId::random();
    let absolute = Duration::from_secs(600);
    let creation = Creation {
        header: header(),
        body: b"\x80"[..].into(),
        timeouts: Timeouts::new(Duration::from_millis(idle_ms), absolute)?,
        login: None,
    };
    records.create(id.key(), creation).await?;
    Ok(id)
}

#[tokio::test]
async fn clean_up_removes_what_has_expired_and_nothing_else() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let records = PostgresRecords::new(&schema.postgres().await?).await?;
    let living = create(&records, 600_000).await?;
    for _ in 0..3 {
        create(&records, 1).await?;
    }
    // More than one step of it.
    let many = "INSERT INTO latchkey_records (key, head, body, revision, created_ms, \
        absolute_end_ms, idle_ms, expires_ms) \
        SELECT decode(lpad(to_hex(n), 68, '0'), 'hex'), 'x', '', 1, 1, 1, 1, 1 \
        FROM generate_series(1, 2500) AS n";
    schema.client.batch_execute(many).await?;
    let ended = create(&records, 600_000).await?;
    records.destroy(ended.key()).await?;
    let mut removed = 0;
    // The three live for a millisecond.
    while removed < 2_503 {
        removed += records.clean_up().await?;
    }
    assert_eq!(removed, 2_503);
    assert_eq!(schema.count("latchkey_records").await?, 2);
    let read = records.load(living.key(), TouchAfter::Never).await?;
    assert!(read.is_some());
    Ok(())
}

#[tokio::test]
async fn two_who_clean_up_do_not_wait_for_each_other_or_for_a_session_in_use() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let records = PostgresRecords::new(&schema.postgres().await?).await?;
    for _ in 0..2 {
        create(&records, 1).await?;
    }
    let hold = "BEGIN; SELECT 1 FROM latchkey_records ORDER BY key LIMIT 1 FOR UPDATE";
    schema.client.batch_execute(hold).await?;
    while records.clean_up().await? == 0 {}
    schema.client.batch_execute("COMMIT").await?;
    assert_eq!(schema.count("latchkey_records").await?, 1);
    assert_eq!(records.clean_up().await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_record_larger_than_its_limits_is_refused_by_the_schema() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let row = |key: &str, head: &str, expires: i64| {
        format!(
            "INSERT INTO latchkey_records (key, head, body, revision, created_ms, absolute_end_ms, \
            idle_ms, expires_ms) VALUES ({key}, {head}, '', 1, 1, 10, 1, {expires})"
        )
    };
    let (key, live) = ("decode(repeat('00', 34), 'hex')", "'\\x4c4b014c00'::bytea");
    for refused in [
        row("'short'", live, 5),
        row(key, "decode(repeat('00', 143), 'hex')", 5),
        // A session that would outlive its absolute end.
        row(key, live, 11),
        row(key, live, -1),
    ] {
        let error = schema.client.batch_execute(&refused).await.unwrap_err();
        let code = error.code().ok_or("the database refuses")?;
        assert_eq!(*code, tokio_postgres::error::SqlState::CHECK_VIOLATION);
    }
    schema.client.batch_execute(&row(key, live, 10)).await?;
    Ok(())
}

#[tokio::test]
async fn missing_tables_are_an_error_that_names_the_migration() -> TestResult {
    let Some(schema) = Schema::empty().await? else {
        return Ok(());
    };
    let postgres = schema.postgres().await?;
    let error = PostgresRecords::new(&postgres).await.unwrap_err();
    assert!(matches!(error, SchemaError::Behind { found: 0, .. }));
    assert!(error.to_string().contains("--example migrate"), "{error}");

    // They vanish later.
    session_postgres::migrations::up(&postgres).await?;
    let records = PostgresRecords::new(&postgres).await?;
    let id = create(&records, 60_000).await?;
    schema
        .client
        .batch_execute("DROP TABLE latchkey_records")
        .await?;
    let error = records.load(id.key(), TouchAfter::Never).await.unwrap_err();
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("--example migrate"), "{error}");
    Ok(())
}

#[tokio::test]
async fn what_is_stored_names_neither_the_id_nor_its_text() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let records = PostgresRecords::new(&schema.postgres().await?).await?;
    let id = create(&records, 60_000).await?;
    let sql = "SELECT record::text FROM latchkey_records AS record";
    let row: String = schema.client.query_one(sql, &[]).await?.get(0);
    let hex = |text: &str| {
        text.bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    assert!(!row.contains(id.expose()) && !row.contains(&hex(id.expose())));
    let shown = format!("{records:?}");
    assert!(!shown.contains(id.expose()), "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_row_that_is_no_record_is_left_as_it_is() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let records = PostgresRecords::new(&schema.postgres().await?).await?;
    let id = SessionId::random();
    schema.plant(id.key(), b"not a record").await?;
    for _ in 0..2 {
        let read = records.load(id.key(), TouchAfter::Never).await;
        let error = match read {
            Err(session_core::ReadError::Record(error)) => error,
            other => return Err(format!("{other:?}").into()),
        };
        assert_eq!(error.fault, BadRecord::Foreign);
        records.touch(id.key()).await?;
        records.destroy(id.key()).await.unwrap_err();
    }
    Ok(())
}

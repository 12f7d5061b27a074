use std::time::Duration;

use session_core::{
    BadRecord, CommitError, CommitId, Composed, Creation, Header, LoadLocked, LoginError,
    RecordKind, RecordStore, Revision, SessionHandle, SessionId, Sessions, StoreTime, Timeouts,
    TouchAfter, Write,
};
use session_lock::FencingToken;
use session_postgres::{PostgresLocker, PostgresRecords, migrations::SchemaError};
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
    // In the same five minutes, mostly.
    let soon = create(&records, 60_000).await?;
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
    assert_eq!(schema.count("latchkey_records").await?, 3);
    for id in [living, soon] {
        let read = records.load(id.key(), TouchAfter::Never).await?;
        assert!(read.is_some());
    }
    Ok(())
}

/// A ticket for a login lives for a day: until then, what was revoked has to be known.
#[tokio::test]
async fn clean_up_forgets_users_of_long_ago_who_have_no_sessions_and_are_not_disabled() -> TestResult
{
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let postgres = schema.postgres().await?;
    let records = PostgresRecords::new(&postgres).await?;
    let locker = PostgresLocker::new(&postgres).await?;
    let sessions = Sessions::new(Composed::new(records.clone(), locker));
    let log_in = async |user: &str| -> TestResult<SessionId> {
        let mut session = sessions.create();
        let id = session.login(user, &())?;
        session.commit().await?;
        Ok(id)
    };
    let gone = log_in("gone").await?;
    let here = log_in("here").await?;
    let before = log_in("lately").await?;
    sessions.user("disabled")?.disable().await?;
    for over in [gone, before] {
        sessions.destroy(&over).await?;
    }
    let age = "UPDATE latchkey_users SET changed_ms = changed_ms - 91000000";
    schema.client.batch_execute(age).await?;
    sessions.destroy(&log_in("lately").await?).await?;
    records.clean_up().await?;
    assert_eq!(schema.count("latchkey_users").await?, 3);
    assert!(sessions.begin_login("disabled").await.is_err());
    assert_eq!(sessions.user("here")?.list().await?.len(), 1);
    assert!(sessions.snapshot(&here).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn revoking_the_sessions_of_a_disabled_user_enables_nobody() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let postgres = schema.postgres().await?;
    let records = PostgresRecords::new(&postgres).await?;
    let locker = PostgresLocker::new(&postgres).await?;
    let sessions = Sessions::new(Composed::new(records, locker));
    let ada = sessions.user("ada")?;
    ada.disable().await?;
    ada.revoke_all().await?;
    let refused = sessions.begin_login("ada").await;
    assert!(matches!(refused, Err(LoginError::Disabled)), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn what_has_ended_leaves_no_contents() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let postgres = schema.postgres().await?;
    let records = PostgresRecords::new(&postgres).await?;
    let locker = PostgresLocker::new(&postgres).await?;
    let sessions = Sessions::new(Composed::new(records, locker));
    let log_in = async || -> TestResult<SessionId> {
        let mut session = sessions.create();
        session.insert("secret", "value")?;
        let id = session.login("ada", &())?;
        session.commit().await?;
        Ok(id)
    };
    let left = "SELECT FROM latchkey_records WHERE body <> '' OR user_key IS NOT NULL";
    for way in 0..4 {
        let id = log_in().await?;
        match way {
            0 => sessions.destroy(&id).await?,
            1 => {
                let mut guard = sessions.lock(&id).await?;
                guard.destroy();
                guard.commit().await?;
            }
            2 => assert_eq!(sessions.user("ada")?.revoke_all().await?, 1),
            _ => sessions.revoke_everything().await?,
        }
        let rows = schema.client.query(left, &[]).await?;
        assert!(rows.is_empty(), "ended in way {way}");
    }
    Ok(())
}

#[tokio::test]
async fn revisions_grow_though_the_clock_has_gone_back() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let records = PostgresRecords::new(&schema.postgres().await?).await?;
    let id = create(&records, 600_000).await?;
    let ahead = "UPDATE latchkey_records SET revision = revision + 3600000 RETURNING revision";
    let ahead: i64 = schema.client.query_one(ahead, &[]).await?.get(0);
    let LoadLocked::Loaded(Some(loaded)) = records.load_locked(id.key(), FencingToken(1)).await?
    else {
        return Err("it lives".into());
    };
    let write = Write {
        base: loaded.header.commit_id,
        header: Header {
            commit_id: CommitId::random(),
            ..loaded.header
        },
        body: loaded.body,
    };
    let committed = records.commit(id.key(), FencingToken(1), write).await?;
    assert_eq!(committed.revision, Revision(u64::try_from(ahead)? + 1));
    Ok(())
}

/// Its holder has said that it ends at a time that is over.
#[tokio::test]
async fn a_commit_that_leaves_no_time_ends_the_session() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let records = PostgresRecords::new(&schema.postgres().await?).await?;
    records.open_outbox(&["mirror"]).await?;
    let id = create(&records, 600_000).await?;
    let (late, token) = (FencingToken(1), FencingToken(2));
    records.load_locked(id.key(), late).await?;
    let LoadLocked::Loaded(Some(loaded)) = records.load_locked(id.key(), token).await? else {
        return Err("it lives".into());
    };
    let write = |base: CommitId| Write {
        base,
        header: Header {
            commit_id: CommitId::random(),
            absolute_end: StoreTime::from_millis(1),
            ..loaded.header.clone()
        },
        body: b"\x80"[..].into(),
    };
    let base = loaded.header.commit_id;
    // Whoever may not write ends nothing.
    let refused = records.commit(id.key(), late, write(base)).await;
    assert!(
        matches!(refused, Err(CommitError::LeaseLost { .. })),
        "{refused:?}"
    );
    let refused = records
        .commit(id.key(), token, write(CommitId::random()))
        .await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    assert!(records.load(id.key(), TouchAfter::Never).await?.is_some());

    let over = records.commit(id.key(), token, write(base)).await;
    assert!(matches!(over, Err(CommitError::Expired)), "{over:?}");
    assert!(records.load(id.key(), TouchAfter::Never).await?.is_none());
    let left = "SELECT body FROM latchkey_records";
    let body: Vec<u8> = schema.client.query_one(left, &[]).await?.get(0);
    assert_eq!(body, b"");
    let outbox = records.outbox().ok_or("it is open")?;
    let noted = outbox.pending(0, &(0..=0x0fff), StoreTime::MAX, 10).await?;
    assert!(
        noted.len() == 1 && noted[0].entry.version.is_end(),
        "{noted:?}"
    );
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

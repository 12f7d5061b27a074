//! Holders that are stopped beyond their lease, and answers that are lost.

use std::time::Duration;

use session_core::{
    CommitError, CommitId, Composed, Creation, Error, LoadLocked, RecordStore, SessionId, Sessions,
    Timeouts, TouchAfter, Write,
};
use session_lock::FencingToken;
use session_postgres::{Postgres, PostgresLocker, PostgresRecords};
use session_testkit::servers::PostgresServer;

use crate::{
    records::header,
    schema::Schema,
    support::{TestResult, connect},
};

async fn sessions(schema: &Schema) -> TestResult<Sessions> {
    let postgres = schema.postgres().await?;
    let records = PostgresRecords::new(&postgres).await?;
    let locker = PostgresLocker::new(&postgres).await?;
    let sessions = Sessions::builder(Composed::new(records, locker));
    Ok(sessions.lease(Duration::from_secs(60)).build()?)
}

// The lease of the one who is stopped runs out on the server; it does not know, and nobody has written since.
#[tokio::test]
async fn whoever_was_stopped_is_refused_as_soon_as_the_next_one_has_loaded() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let (here, there) = (sessions(&schema).await?, sessions(&schema).await?);
    let new = here.with_new(async |session| Ok::<_, Error>(session.insert("name", "Ada")?));
    let (id, ()) = new.await?;
    let mut stopped = here.lock(&id).await?;
    stopped.insert("name", "Eve")?;
    let run_out = "UPDATE latchkey_locks SET until_ms = 0";
    schema.client.batch_execute(run_out).await?;
    let mut next = there.lock(&id).await?;
    assert!(
        stopped.lease_remaining() > Duration::ZERO,
        "both think that they hold it"
    );
    let refused = stopped.commit().await;
    assert!(
        matches!(refused, Err(CommitError::LeaseLost { .. })),
        "{refused:?}"
    );
    assert_eq!(next.get::<String>("name")?.as_deref(), Some("Ada"));
    next.insert("name", "Bob")?;
    next.commit().await?;
    let read = here.snapshot(&id).await?.ok_or("it lives")?;
    assert_eq!(read.get::<String>("name")?.as_deref(), Some("Bob"));
    Ok(())
}

// A row that somebody holds makes the statement wait beyond its time: its connection is closed, and it is executed later.
#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_stored_once_and_known_to_be() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let postgres = Postgres::connect(&schema.url).await?;
    let records = PostgresRecords::new(&postgres.call_timeout(Duration::from_millis(500))).await?;
    let records = records.resolve_timeout(Duration::from_secs(60));
    let id = SessionId::random();
    let creation = Creation {
        header: header(),
        body: b"\x80"[..].into(),
        timeouts: Timeouts::default(),
        login: None,
    };
    let created = records.create(id.key(), creation).await?;
    let token = FencingToken(7);
    let LoadLocked::Loaded(Some(seen)) = records.load_locked(id.key(), token).await? else {
        return Err("it is there".into());
    };
    let hold = "BEGIN; SELECT 1 FROM latchkey_records FOR UPDATE";
    schema.client.batch_execute(hold).await?;
    let write = Write {
        base: seen.header.commit_id,
        header: session_core::Header {
            commit_id: CommitId::random(),
            ..seen.header.clone()
        },
        body: b"\x81\xa1a\x01"[..].into(),
    };
    let commit = tokio::spawn({
        let (records, key, write) = (records.clone(), *id.key(), write.clone());
        async move { records.commit(&key, token, write).await }
    });
    // Several copies of it wait for the row, each on a connection that is closed already.
    let waiting = "SELECT count(*) FROM pg_stat_activity \
        WHERE wait_event_type = 'Lock' AND query LIKE '-- record_commit%'";
    // Over another connection: a transaction sees the same activity until its end.
    let watcher = connect(&schema.url).await?;
    let waiting = async || -> TestResult<i64> { Ok(watcher.query_one(waiting, &[]).await?.get(0)) };
    while waiting().await? < 3 {
        tokio::task::yield_now().await;
    }
    schema.client.batch_execute("COMMIT").await?;
    let committed = commit.await??;
    assert!(committed.revision > created.revision);
    let read = records.load(id.key(), TouchAfter::Never).await?;
    let read = read.ok_or("it lives")?;
    assert_eq!(
        (read.body, read.header.commit_id),
        (write.body, write.header.commit_id)
    );
    while waiting().await? > 0 {
        tokio::task::yield_now().await;
    }
    let read = records.load(id.key(), TouchAfter::Never).await?;
    let read = read.ok_or("it lives")?;
    assert_eq!(read.header.revision, committed.revision, "stored twice");
    Ok(())
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash_of_the_database() -> TestResult {
    if PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    let schema = Schema::on(&server).await?;
    let sessions = sessions(&schema).await?;
    let new = sessions.with_new(async |session| Ok::<_, Error>(session.insert("n", 1)?));
    let (id, ()) = new.await?;
    let mut held = sessions.lock(&id).await?;
    held.insert("n", 2)?;
    server.kill().await?;
    server.restart().await?;
    // The lock was not forgotten, nor was the token.
    held.commit().await?;
    let read = loop {
        match sessions.snapshot(&id).await {
            Ok(read) => break read.ok_or("it lives")?,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    };
    assert_eq!(read.get::<u64>("n")?, Some(2));
    Ok(())
}

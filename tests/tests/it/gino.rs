//! The session table that a Rust service shares with a Python service that uses sanic-cookies.

use std::time::Duration;

use latchkey::{
    CommitError, SessionData, SessionId,
    postgres::{GinoSessions, Postgres},
};
use latchkey_tests::{
    TestResult,
    foreign::{Library, TableService},
};
use serde_json::json;
use session_testkit::servers::PostgresServer;
use tokio_postgres::NoTls;

/// As sanic-cookies documents it.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS sessions
    (
        created_at timestamp without time zone NOT NULL,
        expires_at timestamp without time zone,
        sid character varying,
        val character varying,
        CONSTRAINT sessions_pkey PRIMARY KEY (sid)
    )";

fn add_one(session: &mut SessionData) -> latchkey::Result<u32> {
    Ok(session.modify("n", |n: &mut u32| {
        *n += 1;
        *n
    })?)
}

#[tokio::test]
async fn a_session_of_either_is_one_of_both() -> TestResult {
    if Library::are_skipped()? || PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
    drop(tokio::spawn(connection));
    client.batch_execute(TABLE).await?;
    let mut python = TableService::gino(&server.url()).await?;
    let postgres = Postgres::connect(&server.url()).await?;
    let rust = GinoSessions::new(&postgres.call_timeout(Duration::from_secs(20))).await?;
    let read = |sid: &str| json!({"do": "read", "sid": sid});

    // Begun by Python.
    let sid = python.ask(&json!({"do": "new"})).await?;
    let sid = sid.as_str().ok_or("no ID")?;
    let values = json!({"n": 1, "path": "/é 😀", "cart": {"items": ["tea", 1.5, null]}});
    let write = json!({"do": "write", "sid": sid, "expiry": 600, "values": values});
    python.ask(&write).await?;
    let id = SessionId::from_hex(sid)?;
    let session = rust.load(&id).await?.ok_or("no session")?;
    assert_eq!(session.get::<String>("path")?.as_deref(), Some("/é 😀"));
    assert_eq!(rust.update(&id, add_one).await?, Some(2));
    let mut expected = values;
    expected["n"] = json!(2);
    assert_eq!(python.ask(&read(sid)).await?, expected);

    // Python's write is not overwritten by what was loaded before it.
    let mut session = rust.load(&id).await?.ok_or("no session")?;
    add_one(&mut session)?;
    let write = json!({"do": "write", "sid": sid, "expiry": 600, "values": {"n": 10}});
    python.ask(&write).await?;
    let refused = rust.commit(session).await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    assert_eq!(rust.update(&id, add_one).await?, Some(11));

    python.ask(&json!({"do": "delete", "sid": sid})).await?;
    assert!(rust.load(&id).await?.is_none());

    // Begun by Rust.
    let mut session = rust.create();
    session.insert("foo", "bar")?;
    let id = session.id().clone();
    rust.commit(session).await?;
    assert_eq!(python.ask(&read(id.expose())).await?, json!({"foo": "bar"}));
    assert!(rust.destroy(&id).await?);
    assert!(python.ask(&read(id.expose())).await?.is_null());
    Ok(())
}

#[tokio::test]
async fn a_session_ends_for_both_at_the_same_time() -> TestResult {
    if Library::are_skipped()? || PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
    drop(tokio::spawn(connection));
    client.batch_execute(TABLE).await?;
    let mut python = TableService::gino(&server.url()).await?;
    let postgres = Postgres::connect(&server.url()).await?;
    let rust = GinoSessions::new(&postgres.call_timeout(Duration::from_secs(20))).await?;
    for by_python in [true, false] {
        let id = SessionId::random_hex();
        for (expiry, lives) in [(-60, false), (60, true)] {
            let sid = id.expose();
            if by_python {
                let write =
                    json!({"do": "write", "sid": sid, "expiry": expiry, "values": {"n": 1}});
                python.ask(&write).await?;
            } else {
                let sql = "INSERT INTO sessions \
                    VALUES (now(), now() AT TIME ZONE 'UTC' + make_interval(secs => $2), $1, '{\"n\":1}') \
                    ON CONFLICT (sid) DO UPDATE SET expires_at = EXCLUDED.expires_at";
                client.execute(sql, &[&sid, &f64::from(expiry)]).await?;
            }
            assert_eq!(rust.load(&id).await?.is_some(), lives);
            let read = python.ask(&json!({"do": "read", "sid": sid})).await?;
            assert_eq!(!read.is_null(), lives);
        }
    }
    Ok(())
}

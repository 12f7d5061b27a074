use std::time::Duration;

use session_core::{Fault, StoreError};
use session_postgres::{PiccoloSessions, Postgres};
use session_testkit::servers::PostgresServer;

use crate::support::{TABLE, Table, TestResult};

const SHORT: Duration = Duration::from_millis(300);

/// An error with its causes.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn a_missing_table_and_one_of_another_form_are_named() -> TestResult {
    let Some(table) = Table::schema().await? else {
        return Ok(());
    };
    let postgres = Postgres::connect(&table.url).await?;
    let error = PiccoloSessions::new(&postgres, "UTC").await.unwrap_err();
    assert!(matches!(error.fault(), Fault::Unsuitable(_)) && !error.is_retryable());
    assert!(
        chain(&error).contains("\"sessions\" does not exist"),
        "{}",
        chain(&error)
    );

    let gino = "CREATE TABLE sessions (created_at timestamp, expires_at timestamp, sid varchar PRIMARY KEY, val varchar)";
    table.client.batch_execute(gino).await?;
    let error = PiccoloSessions::new(&postgres, "UTC").await.unwrap_err();
    assert!(matches!(error.fault(), Fault::Unsuitable(_)), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_unknown_zone_is_refused_at_once() -> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    let postgres = Postgres::connect(&table.url).await?;
    for zone in ["Europe/Nowhere", "'; DROP TABLE sessions"] {
        let error = PiccoloSessions::new(&postgres, zone).await.unwrap_err();
        let named = matches!(error.fault(), Fault::Unsuitable(what) if what.contains(zone));
        assert!(named, "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn an_address_that_is_wrong_or_dead_is_an_error_that_shows_no_password() {
    for url in [
        "nonsense",
        "postgresql://app:top-secret@/?port=x",
        "http://top-secret",
    ] {
        let error = Postgres::connect(url).await.unwrap_err();
        assert!(
            !error.is_retryable() && !chain(&error).contains("top-secret"),
            "{error}"
        );
    }
    let dead = "postgresql://app:top-secret@127.0.0.1:1/app";
    let error = Postgres::connect(dead).await.unwrap_err();
    assert_eq!(
        (error.fault(), error.node()),
        (&Fault::Unreachable, "127.0.0.1:1")
    );
    assert!(!chain(&error).contains("top-secret"), "{error}");
}

#[tokio::test]
async fn a_call_that_hangs_ends_in_time_and_nobody_waits_behind_it() -> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    for token in ["held", "free"] {
        table.insert(token, 600.0, 90_000.0).await?;
    }
    // On a busy machine calls are slow, and not lost.
    let postgres = Postgres::connect(&table.url).await?;
    let postgres = postgres.call_timeout(Duration::from_secs(20));
    let sessions = PiccoloSessions::new(&postgres, "UTC").await?;
    let short = PiccoloSessions::new(&postgres.call_timeout(SHORT), "UTC").await?;
    let hold = "BEGIN; SELECT 1 FROM sessions WHERE token = 'held' FOR UPDATE";
    table.client.batch_execute(hold).await?;
    let more = Some(Duration::from_secs(3_600));
    // More of them than the pool has connections.
    for _ in 0..20 {
        let error = short.get_user_id("held", more).await.unwrap_err();
        assert_eq!(*error.fault(), Fault::TimedOut(SHORT));
        assert!(error.is_retryable() && !chain(&error).contains("held"));
    }
    assert_eq!(sessions.get_user_id("free", more).await?, Some(7));
    table.client.batch_execute("COMMIT").await?;
    assert_eq!(sessions.get_user_id("held", more).await?, Some(7));
    Ok(())
}

#[tokio::test]
async fn a_database_that_restarts_is_used_again() -> TestResult {
    if PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    let table = Table::on(&server).await?;
    table.client.batch_execute(TABLE).await?;
    let sessions = table.sessions("UTC").await?;
    let token = sessions.create_session(7).await?;
    server.kill().await?;
    let error = sessions
        .get_user_id(token.expose(), None)
        .await
        .unwrap_err();
    assert!(error.is_retryable(), "{}", chain(&error));
    server.restart().await?;
    // The pool may still hold connections that do not know that they are broken.
    let mut answers = Vec::new();
    for _ in 0..20 {
        match sessions.get_user_id(token.expose(), None).await {
            Ok(user) => answers.push(user),
            Err(error) => assert!(error.is_retryable(), "{}", chain(&error)),
        }
    }
    assert!(answers.len() >= 4, "{answers:?}");
    assert!(answers.iter().all(|user| *user == Some(7)), "{answers:?}");
    Ok(())
}

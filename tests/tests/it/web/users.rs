use std::time::Duration;

use futures_util::future::{Either, select, try_join};
use http::StatusCode;
use latchkey_tests::{Replica, TestResult, Visitor};
use serde_json::json;
use session_testkit::servers::PostgresServer;
use tokio::time::sleep;
use tokio_postgres::NoTls;

use super::log_in;

#[tokio::test]
async fn users_stand_hashed_in_a_table_that_replicas_make_when_they_start() -> TestResult {
    if PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    let url = server.url();
    let arguments = ["--postgres", &url];
    // Both find no table.
    let started = try_join(Replica::start(&arguments), Replica::start(&arguments)).await?;
    for replica in [&started.0, &started.1, &Replica::start(&arguments).await?] {
        log_in(&Visitor::new(), replica).await?;
    }
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    let rows = client
        .query(
            "SELECT username, password_hash FROM shop_users ORDER BY username",
            &[],
        )
        .await?;
    let names: Vec<&str> = rows.iter().map(|row| row.get("username")).collect();
    assert_eq!(names, ["ada", "grace"]);
    for row in &rows {
        let hash: &str = row.get("password_hash");
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
    }
    client
        .execute("DELETE FROM shop_users WHERE username = 'ada'", &[])
        .await?;
    let credentials = json!({ "username": "ada", "password": "lovelace" });
    let answer = Visitor::new()
        .post(&started.0, "/api/login", &credentials)
        .await?;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    server.stop().await?;
    let answer = Visitor::new()
        .post(&started.0, "/api/login", &credentials)
        .await?;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["error"], "unavailable");
    Ok(())
}

/// Both would find no table, and one of them fail: PostgreSQL checks `IF NOT EXISTS` too early for that.
#[tokio::test]
async fn a_replica_makes_no_table_while_another_one_does() -> TestResult {
    if PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    let url = server.url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    client
        .batch_execute("SELECT pg_advisory_lock(7310581296483915)")
        .await?;
    let arguments = ["--postgres", &url];
    let replica = Box::pin(Replica::start(&arguments));
    let waits = Box::pin(async {
        let waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        while client.query_opt(waiting, &[]).await?.is_none() {
            sleep(Duration::from_millis(5)).await;
        }
        TestResult::Ok(())
    });
    let replica = match select(replica, waits).await {
        Either::Left(_) => panic!("it did not wait"),
        Either::Right((waits, replica)) => {
            waits?;
            replica
        }
    };
    // As a replica whose turn it is: this would wait for one that had begun before it waits.
    client.batch_execute("SET lock_timeout = '20s'").await?;
    client
        .batch_execute(include_str!(
            "../../../../examples/web/src/users/sql/begin_migrations.sql"
        ))
        .await?;
    client
        .batch_execute("SELECT pg_advisory_unlock(7310581296483915)")
        .await?;
    log_in(&Visitor::new(), &replica.await?).await
}

/// Up, down and up again: down leaves nothing behind.
#[tokio::test]
async fn the_table_of_users_goes_as_it_came() -> TestResult {
    if PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
    tokio::spawn(connection);
    for _ in 0..2 {
        client
            .batch_execute(include_str!(
                "../../../../examples/web/src/users/migrations/0001_users.up.sql"
            ))
            .await?;
        client
            .batch_execute(include_str!(
                "../../../../examples/web/src/users/migrations/0001_users.down.sql"
            ))
            .await?;
    }
    let left = client
        .query("SELECT 1 FROM pg_class WHERE relname LIKE 'shop%'", &[])
        .await?;
    assert!(left.is_empty());
    Ok(())
}

//! The session table that a Rust service shares with a Python service that uses piccolo_api.

use std::time::Duration;

use latchkey::postgres::{PiccoloSessions, Postgres};
use latchkey_tests::{
    TestResult,
    foreign::{Library, TableService},
};
use serde_json::json;
use session_testkit::servers::PostgresServer;

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn sessions_of_either_are_sessions_of_both_in_whichever_zone() -> TestResult {
    if Library::are_skipped()? || PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    for zone in ["UTC", "Asia/Tokyo", "America/New_York"] {
        let mut python = TableService::piccolo(&server.url(), zone).await?;
        if zone == "UTC" {
            python.ask(&json!({"do": "make table"})).await?;
        }
        let postgres = Postgres::connect(&server.url()).await?;
        let rust =
            PiccoloSessions::new(&postgres.call_timeout(Duration::from_secs(20)), zone).await?;
        for user in [7, 0] {
            let theirs = python.ask(&json!({"do": "create", "user": user})).await?;
            let theirs = theirs.as_str().ok_or("no token")?;
            let ours = rust.create_session(user).await?;
            assert_eq!(theirs.len(), ours.expose().len());
            for token in [theirs, ours.expose()] {
                for hours in [2, 3] {
                    assert_eq!(
                        rust.get_user_id(token, Some(HOUR * hours)).await?,
                        Some(user)
                    );
                }
                let more = json!({"do": "get", "token": token, "increase": 3_600});
                assert_eq!(python.ask(&more).await?, user);
                assert_eq!(rust.get_user_id(token, None).await?, Some(user));
            }

            rust.remove_session(theirs).await?;
            assert!(
                python
                    .ask(&json!({"do": "get", "token": theirs}))
                    .await?
                    .is_null()
            );
            let ours = ours.expose();
            python.ask(&json!({"do": "remove", "token": ours})).await?;
            assert_eq!(rust.get_user_id(ours, None).await?, None);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_session_that_has_ended_has_ended_for_both() -> TestResult {
    if Library::are_skipped()? || PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    let mut python = TableService::piccolo(&server.url(), "UTC").await?;
    python.ask(&json!({"do": "make table"})).await?;
    let postgres = Postgres::connect(&server.url()).await?;
    let here = PiccoloSessions::new(&postgres, "UTC").await?;
    // On a machine whose local time is eight hours earlier, so that its sessions have ended here.
    let elsewhere = PiccoloSessions::new(&postgres, "America/Los_Angeles").await?;
    let ended = elsewhere.create_session(7).await?;
    let lives = here.create_session(7).await?;
    for increase in [0, 3_600] {
        let get = |token| json!({"do": "get", "token": token, "increase": increase});
        assert!(python.ask(&get(ended.expose())).await?.is_null());
        assert_eq!(python.ask(&get(lives.expose())).await?, 7);
    }
    assert_eq!(here.get_user_id(ended.expose(), Some(HOUR)).await?, None);
    Ok(())
}

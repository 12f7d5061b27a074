//! The list of carried sessions that were ended.

use std::time::Duration;

use session_core::{Fault, RevocationList, SessionHandle};
use session_redis::RedisStore;
use session_testkit::servers::RedisServer;

use crate::support::{TestResult, fresh_prefix, shared};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_ended_session_is_seen_by_every_process_until_its_time_is_over() -> TestResult {
    let server = shared().await?;
    let prefix = fresh_prefix();
    let connect = async || {
        let builder = RedisStore::builder().prefix(&prefix);
        builder.connect(&server.url()).await
    };
    let (one, other) = (connect().await?, connect().await?);
    let (ended, lives) = (SessionHandle::random(), SessionHandle::random());
    assert!(!one.is_revoked(&ended).await?);
    one.revoke(&ended, MINUTE).await?;
    one.revoke(&ended, MINUTE).await?;
    assert!(other.is_revoked(&ended).await?);
    assert!(!other.is_revoked(&lives).await?);

    let key = crate::support::only_key(server, &prefix, "ended").await?;
    let redis::Value::Int(left_ms) = server.command(&["PTTL", &key]).await? else {
        return Err("no time to live".into());
    };
    assert!((50_000..=60_000).contains(&left_ms), "{left_ms}");
    server.command(&["DEL", &key]).await?;
    assert!(!other.is_revoked(&ended).await?);
    Ok(())
}

#[tokio::test]
async fn a_list_that_cannot_note_or_answer_is_a_fault() -> TestResult {
    let server = RedisServer::builder()
        .config("maxmemory", "8mb")
        .start()
        .await?;
    let store = RedisStore::builder()
        .call_timeout(Duration::from_millis(500))
        .connect(&server.url())
        .await?;
    let ended = SessionHandle::random();
    let filled = server.fill().await?;
    let error = store.revoke(&ended, MINUTE).await.unwrap_err();
    assert_eq!(*error.fault(), Fault::Full);
    assert!(!store.is_revoked(&ended).await?);
    server.drain(filled).await?;
    store.revoke(&ended, MINUTE).await?;
    assert!(store.is_revoked(&ended).await?);
    server.stop().await?;
    let error = store.is_revoked(&ended).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    Ok(())
}

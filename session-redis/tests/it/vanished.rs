//! What stands nowhere any more must not come back.

use session_core::{CommitError, Sessions};
use session_redis::RedisStore;

use crate::support::{
    TestResult, assert_all_keys_end, count, counter, fresh_prefix, only_key, shared, short_leases,
};

/// The first draft of the protocol wrote wherever it held the lock. A session was logged out, its tombstone ran out,
/// and then a commit that had been on its way all the time brought it back.
#[tokio::test]
async fn a_commit_after_the_tombstone_has_expired_brings_nothing_back() -> TestResult {
    let server = shared().await?;
    let prefix = fresh_prefix();
    let sessions = Sessions::new(
        RedisStore::builder()
            .prefix(&prefix)
            .connect(&server.url())
            .await?,
    );
    let id = counter(&sessions).await?;
    let mut session = sessions.lock(&id).await?;
    session.insert("n", 1)?;
    // As after logout and five minutes; only that the lock is still there, as on a server that was slow to delete it.
    let record = only_key(server, &prefix, "session").await?;
    server.command(&["DEL", &record]).await?;
    let error = session.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::Expired), "{error:?}");
    assert_eq!(count(&sessions, &id).await?, None);
    assert!(
        server.keys(&format!("{prefix}:*")).await?.is_empty(),
        "the refusal has freed the lock"
    );
    Ok(())
}

#[tokio::test]
async fn an_update_where_nothing_stands_brings_nothing_back() -> TestResult {
    let server = shared().await?;
    let prefix = fresh_prefix();
    let sessions = Sessions::new(
        RedisStore::builder()
            .prefix(&prefix)
            .connect(&server.url())
            .await?,
    );
    let id = counter(&sessions).await?;
    let mut session = sessions.unlocked().load(&id).await?.ok_or("gone")?;
    session.insert("n", 1)?;
    let record = only_key(server, &prefix, "session").await?;
    server.command(&["DEL", &record]).await?;
    let error = session.save().await.unwrap_err();
    assert!(matches!(error, CommitError::Expired), "{error:?}");
    assert!(server.keys(&format!("{prefix}:*")).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_lock_that_was_deleted_is_not_brought_back_by_renewal() -> TestResult {
    let server = shared().await?;
    let prefix = fresh_prefix();
    let store = RedisStore::builder()
        .prefix(&prefix)
        .connect(&server.url())
        .await?;
    let sessions = short_leases(store)?;
    let id = counter(&sessions).await?;
    let mut session = sessions.lock(&id).await?;
    session.insert("n", 1)?;
    let lock = only_key(server, &prefix, "lock").await?;
    server.command(&["DEL", &lock]).await?;
    assert_eq!(session.lost().await, session_lock::LossCause::Gone);
    assert!(server.keys(&format!("{prefix}:*:lock:*")).await?.is_empty());
    let error = session.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::LeaseLost { .. }), "{error:?}");
    assert_eq!(count(&sessions, &id).await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_lock_that_somebody_else_took_is_reported_stolen_and_left_alone() -> TestResult {
    let server = shared().await?;
    let prefix = fresh_prefix();
    let sessions = short_leases(
        RedisStore::builder()
            .prefix(&prefix)
            .connect(&server.url())
            .await?,
    )?;
    let id = counter(&sessions).await?;
    let session = sessions.lock(&id).await?;
    let lock = only_key(server, &prefix, "lock").await?;
    server
        .command(&["SET", &lock, "another owner", "PX", "60000"])
        .await?;
    assert_eq!(session.lost().await, session_lock::LossCause::Stolen);
    drop(session);
    sessions.shutdown(std::time::Duration::from_secs(5)).await?;
    assert_eq!(
        crate::support::get(server, &lock).await?.as_deref(),
        Some(&b"another owner"[..])
    );
    assert_all_keys_end(server, &prefix).await
}

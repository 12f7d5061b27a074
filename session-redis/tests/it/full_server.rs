//! A server without room.

use session_core::{AcquireError, CommitError, Fault, Sessions};
use session_redis::RedisStore;
use session_testkit::servers::RedisServer;

use crate::support::{TestResult, add_one, count, counter, fresh_prefix};

#[tokio::test]
async fn logout_works_on_a_full_server_and_commits_fail_whole() -> TestResult {
    let server = RedisServer::builder()
        .config("maxmemory", "8mb")
        .start()
        .await?;
    let prefix = fresh_prefix();
    let sessions = Sessions::new(
        RedisStore::builder()
            .prefix(&prefix)
            .connect(&server.url())
            .await?,
    );
    let (held, other) = (counter(&sessions).await?, counter(&sessions).await?);
    let mut session = sessions.lock(&held).await?;
    session.insert("n", 1)?;
    let mut ending = sessions.lock(&other).await?;
    ending.destroy();

    let filled = server.fill().await?;
    let error = session.commit().await.unwrap_err();
    assert!(
        matches!(&error, CommitError::Store(error) if *error.fault() == Fault::Full),
        "{error:?}"
    );
    assert_eq!(count(&sessions, &held).await?, Some(0));
    assert!(
        sessions.create().commit().await.is_ok(),
        "nothing to store needs no room"
    );
    let error = sessions.lock(&held).await.unwrap_err();
    assert!(
        matches!(&error, AcquireError::Store(error) if error.is_retryable()),
        "{error:?}"
    );

    ending.commit().await?;
    sessions.destroy(&held).await?;
    assert_eq!(count(&sessions, &held).await?, None);
    assert_eq!(count(&sessions, &other).await?, None);

    server.drain(filled).await?;
    let id = counter(&sessions).await?;
    add_one(&sessions, &id).await?;
    assert_eq!(count(&sessions, &id).await?, Some(1));
    Ok(())
}

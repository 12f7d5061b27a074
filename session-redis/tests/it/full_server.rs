//! A server without room.

use session_core::{AcquireError, CommitError, CommitReport, Fault, Login, Sessions};
use session_redis::RedisStore;
use session_testkit::servers::RedisServer;

use crate::{
    support::{TestResult, add_one, count, counter, fresh_prefix},
    users::support::logged_in,
};

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

#[tokio::test]
async fn revocation_works_on_a_full_server_and_new_ids_fail_whole() -> TestResult {
    let server = RedisServer::builder()
        .config("maxmemory", "8mb")
        .start()
        .await?;
    let sessions = Sessions::new(RedisStore::connect(&server.url()).await?);
    let (ada, bob) = (sessions.user("ada")?, sessions.user("bob")?);
    let mut guards = Vec::new();
    for user in ["ada", "ada", "ada", "ada", "bob"] {
        let id = logged_in(&sessions, Login::new(user)?).await?;
        guards.push(sessions.lock(&id).await?);
    }
    let handles: Vec<_> = guards.iter().map(|guard| guard.handle()).collect();
    let ids: Vec<_> = guards.iter().map(|guard| guard.id().clone()).collect();

    let filled = server.fill().await?;
    let mut rotated = guards.remove(0);
    let new = rotated.regenerate();
    for refused in [rotated.commit().await, late_login(&sessions).await] {
        let error = refused.unwrap_err();
        assert!(
            matches!(&error, CommitError::Store(error) if *error.fault() == Fault::Full),
            "{error:?}"
        );
    }
    assert!(sessions.snapshot(&new).await?.is_none());
    assert_eq!(count(&sessions, &ids[0]).await?, Some(0));
    assert_eq!(ada.list().await?.len(), 4);

    assert!(ada.revoke(handles[0]).await?);
    assert_eq!(ada.revoke_others(handles[1]).await?, 2);
    let ticket = sessions.begin_login("ada").await?;
    assert_eq!(ada.revoke_all().await?, 1);
    assert_eq!(bob.disable().await?, 1);
    for id in &ids {
        assert_eq!(count(&sessions, id).await?, None);
    }
    for guard in guards {
        let refused = guard.commit().await;
        assert!(refused.is_err(), "{refused:?}");
    }

    server.drain(filled).await?;
    let mut late = sessions.create();
    late.login_with(Login::new("ada")?.ticket(ticket), &())?;
    let refused = late.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Superseded)),
        "{refused:?}"
    );
    assert!(sessions.begin_login("bob").await.is_err());
    bob.enable().await?;
    logged_in(&sessions, Login::new("bob")?).await?;
    Ok(())
}

async fn late_login(sessions: &Sessions) -> Result<CommitReport, CommitError> {
    let mut session = sessions.create();
    session.login("ada", &()).expect("it can be marked");
    session.commit().await
}

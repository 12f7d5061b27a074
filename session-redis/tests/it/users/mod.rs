//! What only a real Redis can show of rotation and users.

mod crashes;
mod delivery;
mod failing_calls;
mod flights;
mod lists;
mod many;
pub(crate) mod support;

use std::time::Duration;

use session_core::{AcquireError, CommitError, Error, Login, Sessions, WhenFull};
use session_testkit::servers::RedisServer;

use crate::support::builder;

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

async fn sessions(server: &RedisServer) -> TestResult<Sessions> {
    Ok(Sessions::new(builder().connect(&server.url()).await?))
}

async fn all_of_it(server: &RedisServer) -> TestResult {
    let sessions = sessions(server).await?;
    let (old, ()) = sessions
        .with_new(async |session| Ok::<_, Error>(session.insert("n", 1)?))
        .await?;
    let mut guard = sessions.lock(&old).await?;
    let new = guard.regenerate();
    guard.insert("n", 2)?;
    let report = guard.commit().await?;
    assert_eq!(report.id.as_ref(), Some(&new));
    for id in [&old, &new] {
        let snapshot = sessions.snapshot(id).await?.ok_or("it is gone")?;
        assert_eq!(snapshot.get::<u8>("n")?, Some(2));
        assert_eq!(snapshot.is_rotated(), id == &old);
    }
    let refused = sessions.lock(&old).await;
    assert!(matches!(refused, Err(AcquireError::Rotated)), "{refused:?}");

    let ticket = sessions.begin_login("ada").await?;
    let mut guard = sessions.lock(&new).await?;
    guard.insert("n", 3)?;
    let login = Login::new("ada")?
        .label("browser", "Firefox")?
        .ticket(ticket);
    let ada = guard.login_with(login, &"Ada")?;
    guard.commit().await?;
    let frozen = sessions.snapshot(&new).await?.ok_or("it is gone")?;
    assert_eq!((frozen.get::<u8>("n")?, frozen.user_id()), (Some(2), None));
    let session = sessions.snapshot(&ada).await?.ok_or("it is gone")?;
    assert_eq!(session.get::<u8>("n")?, Some(3));
    assert_eq!(session.user::<String>()?.as_deref(), Some("Ada"));
    let user = sessions.user("ada")?;
    let listed = user.list().await?;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].handle, session.handle());
    assert_eq!(listed[0].labels["browser"], "Firefox");

    let mut guard = sessions.lock(&ada).await?;
    let ada = guard.regenerate();
    guard.commit().await?;
    assert_eq!(user.list().await?.len(), 1);
    assert_eq!(user.revoke_all().await?, 1);
    assert!(sessions.snapshot(&ada).await?.is_none());
    let mut late = sessions.create();
    late.login_with(Login::new("ada")?.ticket(ticket), &"Ada")?;
    let refused = late.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Superseded)),
        "{refused:?}"
    );
    assert_eq!(sessions.user("ada")?.list().await?, []);
    sessions.revoke_everything().await?;
    Ok(())
}

#[tokio::test]
async fn on_one_server() -> TestResult {
    all_of_it(RedisServer::builder().shared().await?).await
}

#[tokio::test]
async fn on_a_node_of_a_cluster() -> TestResult {
    all_of_it(RedisServer::builder().cluster().shared().await?).await
}

#[tokio::test]
async fn one_login_too_many_ends_the_oldest_session() -> TestResult {
    let server = RedisServer::builder().shared().await?;
    let store = builder().connect(&server.url()).await?;
    let sessions = Sessions::builder(store)
        .sessions_per_user(2, WhenFull::EndOldest)
        .build()?;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut guard = sessions.create();
        ids.push(guard.login(4711, &())?);
        guard.commit().await?;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    assert!(sessions.snapshot(&ids[0]).await?.is_none());
    assert!(sessions.snapshot(&ids[2]).await?.is_some());
    assert_eq!(sessions.user(4711)?.list().await?.len(), 2);
    Ok(())
}

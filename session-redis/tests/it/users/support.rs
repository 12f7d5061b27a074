use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
};

use session_core::{
    AcquireError, Bucket, CommitError, CommitReport, Error, Login, SessionGuard, SessionId,
    Sessions,
};

use session_testkit::servers::RedisServer;

use crate::support::{TestResult, counter, shared};

/// A server, and a node of a cluster.
pub(crate) async fn one_and_node() -> TestResult<[&'static RedisServer; 2]> {
    let node = RedisServer::builder().cluster().shared().await?;
    Ok([shared().await?, node])
}

/// A user that no other test knows.
pub(crate) fn fresh_user() -> String {
    static USERS: AtomicU32 = AtomicU32::new(0);
    format!("user {}", USERS.fetch_add(1, Ordering::Relaxed))
}

/// Another such user, in another slot than the first.
pub(crate) fn user_far_from(sessions: &Sessions, user: &str) -> TestResult<String> {
    let bucket = bucket_of(sessions, user)?;
    loop {
        let other = fresh_user();
        if bucket_of(sessions, &other)? != bucket {
            return Ok(other);
        }
    }
}

fn bucket_of(sessions: &Sessions, user: &str) -> TestResult<Bucket> {
    Ok(sessions.create().login(user, &())?.key().bucket())
}

/// A stored session of nobody in which `n` is zero, in another slot than those of the user.
pub(crate) async fn far_from(sessions: &Sessions, user: &str) -> TestResult<SessionId> {
    let bucket = bucket_of(sessions, user)?;
    loop {
        let id = counter(sessions).await?;
        if id.key().bucket() != bucket {
            return Ok(id);
        }
    }
}

/// A stored session of the user, in which `n` is zero.
pub(crate) async fn logged_in(sessions: &Sessions, login: Login) -> TestResult<SessionId> {
    let mut session = sessions.create();
    session.insert("n", 0)?;
    let id = session.login_with(login, &())?;
    session.commit().await?;
    Ok(id)
}

/// A session that is locked and has another value.
pub(crate) async fn changed(
    sessions: &Sessions,
    id: &SessionId,
    pad: usize,
) -> TestResult<SessionGuard> {
    let mut session = sessions.lock(id).await?;
    session.insert("n", 1)?;
    session.insert("pad", "x".repeat(pad))?;
    Ok(session)
}

/// Whether the ID can be locked, so that it is that of a session that lives.
pub(crate) async fn lives(sessions: &Sessions, id: &SessionId) -> TestResult<bool> {
    match sessions.lock(id).await {
        Ok(guard) => {
            guard.discard().await?;
            Ok(true)
        }
        Err(AcquireError::NoSession | AcquireError::Rotated) => Ok(false),
        Err(error) => Err(Error::from(error).into()),
    }
}

/// Asserts that the user's list names those of the sessions that live, and no other; how many.
pub(crate) async fn assert_listed(
    sessions: &Sessions,
    user: &str,
    ids: &[&SessionId],
) -> TestResult<usize> {
    let mut live = BTreeSet::new();
    for id in ids {
        if lives(sessions, id).await?
            && let Some(snapshot) = sessions.snapshot(id).await?
            && snapshot.user_id().is_some_and(|id| id.as_str() == user)
        {
            assert!(live.insert(snapshot.handle()), "one session under two IDs");
        }
    }
    let listed = sessions.user(user)?.list().await?;
    let listed: BTreeSet<_> = listed.iter().map(|session| session.handle).collect();
    assert_eq!(listed, live);
    Ok(live.len())
}

/// A report, or the error that says that nothing is stored.
pub(crate) fn stored(result: Result<CommitReport, CommitError>) -> TestResult<bool> {
    crate::faulty_scripts::definite(result)
}

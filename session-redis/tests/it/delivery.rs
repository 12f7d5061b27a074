//! Exactly-once: lost answers, late copies, restarts.

use std::time::Duration;

use session_core::{CommitError, Sessions};
use session_redis::RedisStore;
use session_testkit::servers::{Proxy, RedisServer};

use crate::support::{
    SHORT_LEASE, TestResult, add_one, assert_all_keys_end, count, counter, fresh_prefix, shared,
    short_leases,
};

const CALL: Duration = Duration::from_millis(200);

/// A session behind a proxy, and the same sessions seen past the proxy.
struct Behind {
    proxy: Proxy,
    prefix: String,
    through: Sessions,
    past: Sessions,
    id: session_core::SessionId,
}

impl Behind {
    async fn proxy(lease: Duration) -> TestResult<Self> {
        let server = shared().await?;
        let (proxy, prefix) = (Proxy::start(server).await?, fresh_prefix());
        let builder = RedisStore::builder().prefix(&prefix);
        let through = builder
            .clone()
            .call_timeout(CALL)
            .connect(&proxy.url())
            .await?;
        let through = Sessions::builder(through).lease(lease).build()?;
        let past = short_leases(builder.connect(&server.url()).await?)?;
        let id = counter(&past).await?;
        Ok(Self {
            proxy,
            prefix,
            through,
            past,
            id,
        })
    }

    async fn changed_guard(&self) -> TestResult<session_core::SessionGuard> {
        let mut session = self.through.lock(&self.id).await?;
        session.modify("n", |n: &mut u32| *n += 1)?;
        Ok(session)
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_stored_once() -> TestResult {
    let behind = Behind::proxy(Duration::from_secs(10)).await?;
    let session = behind.changed_guard().await?;
    behind.proxy.drop_replies();
    assert!(session.commit().await?.is_stored());
    assert_eq!(count(&behind.past, &behind.id).await?, Some(1));
    let commits = behind
        .proxy
        .requests()
        .iter()
        .filter(|request| request.name() == "EVALSHA")
        .count();
    assert_eq!(commits, 2, "asked again over another connection");
    Ok(())
}

#[tokio::test]
async fn an_update_whose_answer_was_lost_is_stored_once() -> TestResult {
    let behind = Behind::proxy(Duration::from_secs(10)).await?;
    // The read is answered before the write is sent, so only the write's answer is dropped.
    let mut runs = 0;
    let change = |data: &mut session_core::SessionData| {
        runs += 1;
        behind.proxy.drop_replies();
        data.modify("n", |n: &mut u32| *n += 1)
    };
    behind
        .through
        .update(&behind.id, change)
        .await
        .map_err(|error| format!("{error:?}"))?;
    assert_eq!((runs, count(&behind.past, &behind.id).await?), (1, Some(1)));
    Ok(())
}

#[tokio::test]
async fn a_session_whose_creation_was_not_answered_is_stored_once() -> TestResult {
    let behind = Behind::proxy(Duration::from_secs(10)).await?;
    behind.proxy.drop_replies();
    let id = counter(&behind.through).await?;
    assert_eq!(count(&behind.past, &id).await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_late_copy_of_a_stored_commit_changes_nothing() -> TestResult {
    let behind = Behind::proxy(Duration::from_secs(10)).await?;
    let session = behind.changed_guard().await?;
    behind.proxy.hold_requests();
    assert!(
        session.commit().await?.is_stored(),
        "the copy over the second connection is stored"
    );
    add_one(&behind.past, &behind.id).await?;
    let before = behind.past.lock(&behind.id).await?;
    behind.proxy.release_held().await;
    drop(before);
    assert_eq!(count(&behind.past, &behind.id).await?, Some(2));
    assert_all_keys_end(shared().await?, &behind.prefix).await
}

/// A commit was stuck in a connection until its lease was over and its caller had been told that it failed. Then the
/// connection came back to life.
#[tokio::test]
async fn a_late_copy_of_a_refused_commit_changes_nothing() -> TestResult {
    let lease = Duration::from_millis(150);
    let behind = Behind::proxy(lease).await?;
    let session = behind.changed_guard().await?;
    behind.proxy.hold_requests();
    // The call times out after the lease is over; asked again, the server says no.
    let error = session.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::LeaseLost { .. }), "{error:?}");
    assert_eq!(count(&behind.past, &behind.id).await?, Some(0));
    behind.proxy.release_held().await;
    assert_eq!(
        count(&behind.past, &behind.id).await?,
        Some(0),
        "delivered late, refused all the same"
    );
    add_one(&behind.past, &behind.id).await?;
    assert_eq!(count(&behind.past, &behind.id).await?, Some(1));
    Ok(())
}

#[tokio::test]
async fn a_commit_that_eight_others_have_pushed_out_of_the_digest_is_unknown() -> TestResult {
    let behind = Behind::proxy(Duration::from_secs(10)).await?;
    let server = shared().await?;
    let mut others = Vec::new();
    for _ in 0..8 {
        let store = RedisStore::builder()
            .prefix(&behind.prefix)
            .connect(&server.url())
            .await?;
        others.push(Sessions::new(store));
    }
    let session = behind.changed_guard().await?;
    behind.proxy.drop_replies();
    // Polled once, the commit is on its way; then it is not polled again before the others are done.
    let commit = session.commit();
    tokio::pin!(commit);
    let early = tokio::time::timeout(Duration::ZERO, commit.as_mut()).await;
    assert!(early.is_err());
    while count(&behind.past, &behind.id).await? != Some(1) {
        tokio::task::yield_now().await;
    }
    for other in &others {
        add_one(other, &behind.id).await?;
    }
    let error = commit.await.unwrap_err();
    assert!(error.is_unknown(), "{error:?}");
    assert_eq!(
        count(&behind.past, &behind.id).await?,
        Some(9),
        "stored once, and never again"
    );
    Ok(())
}

#[tokio::test]
async fn a_commit_that_seven_others_followed_is_still_known_to_be_stored() -> TestResult {
    let behind = Behind::proxy(Duration::from_secs(10)).await?;
    let server = shared().await?;
    let session = behind.changed_guard().await?;
    behind.proxy.drop_replies();
    let commit = session.commit();
    tokio::pin!(commit);
    assert!(
        tokio::time::timeout(Duration::ZERO, commit.as_mut())
            .await
            .is_err()
    );
    while count(&behind.past, &behind.id).await? != Some(1) {
        tokio::task::yield_now().await;
    }
    for _ in 0..7 {
        let store = RedisStore::builder()
            .prefix(&behind.prefix)
            .connect(&server.url())
            .await?;
        add_one(&Sessions::new(store), &behind.id).await?;
    }
    assert!(commit.await?.is_stored());
    assert_eq!(count(&behind.past, &behind.id).await?, Some(8));
    Ok(())
}

#[tokio::test]
async fn a_cut_link_fails_fast_and_works_again_when_it_is_healed() -> TestResult {
    let behind = Behind::proxy(SHORT_LEASE).await?;
    add_one(&behind.through, &behind.id).await?;
    behind.proxy.cut().await;
    let error = behind.through.lock(&behind.id).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert!(
        behind.through.snapshot(&behind.id).await.is_err(),
        "a fault is never \"no session\""
    );
    assert!(behind.through.ping().await.is_err());
    behind.proxy.heal().await?;
    add_one(&behind.through, &behind.id).await?;
    assert_eq!(count(&behind.past, &behind.id).await?, Some(2));
    Ok(())
}

#[tokio::test]
async fn a_commit_survives_the_restart_of_a_durable_server() -> TestResult {
    let server = RedisServer::builder().durable().start().await?;
    let sessions = Sessions::new(RedisStore::builder().connect(&server.url()).await?);
    let id = counter(&sessions).await?;
    let mut session = sessions.lock(&id).await?;
    session.insert("n", 5)?;
    server.kill().await?;
    server.restart().await?;
    assert!(session.commit().await?.is_stored());
    assert_eq!(count(&sessions, &id).await?, Some(5));
    Ok(())
}

#[tokio::test]
async fn flushed_scripts_and_killed_connections_are_not_noticed() -> TestResult {
    let server = RedisServer::start().await?;
    let sessions = Sessions::new(RedisStore::builder().connect(&server.url()).await?);
    let id = counter(&sessions).await?;
    for round in 1..=5 {
        server.flush_scripts().await?;
        add_one(&sessions, &id).await?;
        server.kill_clients().await?;
        add_one(&sessions, &id).await?;
        let mut session = sessions.lock(&id).await?;
        session.insert("round", round)?;
        server.kill_clients().await?;
        server.flush_scripts().await?;
        session.commit().await?;
    }
    assert_eq!(count(&sessions, &id).await?, Some(10));
    Ok(())
}

#[tokio::test]
async fn a_stopped_server_is_an_error_within_the_deadline() -> TestResult {
    let server = RedisServer::start().await?;
    let store = RedisStore::builder()
        .call_timeout(CALL)
        .resolve_timeout(CALL * 2)
        .connect(&server.url())
        .await?;
    let sessions = Sessions::new(store);
    let id = counter(&sessions).await?;
    let mut session = sessions.lock(&id).await?;
    session.insert("n", 1)?;
    server.pause().await?;
    let all = async {
        let error = session.commit().await.unwrap_err();
        assert!(error.is_unknown(), "sent, and never answered: {error:?}");
        assert!(sessions.lock(&id).await.is_err());
        assert!(sessions.snapshot(&id).await.is_err());
        assert!(sessions.destroy(&id).await.is_err());
        let error = RedisStore::builder()
            .call_timeout(CALL)
            .connect(&server.url())
            .await
            .unwrap_err();
        assert!(
            crate::support::chain(&error).contains("no answer within"),
            "{error}"
        );
    };
    // Five calls of at most two deadlines each, and a wide margin.
    tokio::time::timeout(CALL * 50, all).await?;
    server.resume().await?;
    Ok(())
}

//! Sessions on the master that sentinels name, while masters come and go.

use std::time::Duration;

use session_core::{SessionId, Sessions};
use session_redis::RedisStore;
use session_testkit::servers::{RedisServer, RedisService};
use tokio::time::{sleep, timeout};

use crate::support::{TestResult, add_one, chain, count, counter, fresh_prefix};

const PATIENCE: Duration = Duration::from_secs(60);

/// Adds one, as soon as there is a master.
async fn add_when_it_goes(sessions: &Sessions, id: &SessionId) -> TestResult {
    let add = async {
        while add_one(sessions, id).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    Ok(timeout(PATIENCE, add).await?)
}

/// Waits until all replicas have everything: what is not there dies with its master.
async fn replicated(server: &RedisServer, replicas: u64) -> TestResult {
    let mut wait = redis::cmd("WAIT");
    wait.arg(replicas).arg(20_000);
    let reached: u64 = wait.query_async(&mut server.connection().await?).await?;
    assert!(reached >= replicas, "{reached}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_becomes_master_is_followed() -> TestResult {
    let service = RedisService::start(2).await?;
    let store = RedisStore::builder().prefix(fresh_prefix());
    let store = store.cached_reads(Duration::from_millis(500));
    let sessions = Sessions::new(store.connect(&service.url()).await?);
    let id = counter(&sessions).await?;
    add_one(&sessions, &id).await?;
    assert_eq!(count(&sessions, &id).await?, Some(1));

    // One that dies.
    replicated(&service.servers()[0], 2).await?;
    service.servers()[0].kill().await?;
    let second = service.successor_of(0).await?;
    add_when_it_goes(&sessions, &id).await?;
    assert!(count(&sessions, &id).await? >= Some(2));

    // One that is told to go, and lives on as a replica: its connections are of no use any more.
    service.servers()[0].restart().await?;
    replicated(&service.servers()[second], 1).await?;
    let before = sessions
        .latest(&id)
        .await?
        .ok_or("it is gone")?
        .get::<u32>("n")?;
    // Refused until the sentinel has made sure that somebody can take over.
    let fail_over = ["SENTINEL", "FAILOVER", RedisService::NAME];
    let told = async {
        while service.sentinels()[0].command(&fail_over).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, told).await?;
    let third = service.successor_of(second).await?;
    assert_ne!(third, second);
    add_when_it_goes(&sessions, &id).await?;
    let after = sessions
        .latest(&id)
        .await?
        .ok_or("it is gone")?
        .get::<u32>("n")?;
    assert!(after > before, "{after:?}");

    // One that hangs, and comes back too late.
    replicated(&service.servers()[third], 1).await?;
    service.servers()[third].pause().await?;
    service.successor_of(third).await?;
    add_when_it_goes(&sessions, &id).await?;
    service.servers()[third].resume().await?;
    add_when_it_goes(&sessions, &id).await?;
    let last = sessions
        .latest(&id)
        .await?
        .ok_or("it is gone")?
        .get::<u32>("n")?;
    assert!(last >= after.map(|n| n + 2), "{last:?}");

    // Hand-over works where the sessions are now.
    let guard = sessions.lock(&id).await?;
    let waiting = tokio::spawn({
        let (sessions, id) = (sessions.clone(), id.clone());
        async move { add_one(&sessions, &id).await }
    });
    guard.discard().await?;
    timeout(PATIENCE, waiting).await???;
    Ok(())
}

#[tokio::test]
async fn what_sentinels_do_not_know_is_said() -> TestResult {
    let service = RedisService::start(0).await?;
    let sentinel = service.sentinels()[0].addr();
    let refused = RedisStore::connect(&format!("redis+sentinel://{sentinel}/other")).await;
    let refused = chain(&refused.expect_err("nobody knows it"));
    assert!(refused.contains("no service \"other\""), "{refused}");

    let server = service.servers()[0].addr();
    let refused = RedisStore::connect(&format!("redis+sentinel://{server}/shop")).await;
    let refused = chain(&refused.expect_err("it is a server"));
    assert!(refused.contains("is no sentinel"), "{refused}");

    // It is named, but not there.
    service.servers()[0].kill().await?;
    let refused = RedisStore::connect(&service.url()).await;
    let refused = chain(&refused.expect_err("it is down"));
    assert!(refused.contains("the master of \"shop\""), "{refused}");
    Ok(())
}

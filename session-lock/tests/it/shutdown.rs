//! Giving everything back at the end of a service.

use session_lock::{AcquireError, Clock as _, ShutdownTimedOut};
use session_testkit::{Act, Step, settle};

use crate::bench::{MS, Quorum, SECOND};

#[tokio::test]
async fn a_shutdown_waits_until_every_lease_is_back_on_every_node() {
    let quorum = Quorum::of(3);
    quorum.nodes[2].always(Step::Release, Act::Slow(100 * MS));
    let lease = quorum.lock.acquire("r").await.unwrap();
    let lock = quorum.lock.clone();
    let shutdown = tokio::spawn(async move { lock.shutdown(10 * SECOND).await });
    settle().await;
    assert!(!shutdown.is_finished());
    lease.release().await.unwrap();
    settle().await;
    assert!(!shutdown.is_finished());
    assert_eq!(quorum.held("r"), 1);
    quorum.clock.pass(100 * MS, MS).await;
    shutdown.await.unwrap().unwrap();
    assert_eq!(quorum.held("r"), 0);
}

#[tokio::test]
async fn a_shutdown_has_a_limit() {
    let quorum = Quorum::of(3);
    let _lease = quorum.lock.acquire("r").await.unwrap();
    let start = quorum.clock.now();
    let _ticking = quorum.ticking();
    let error = quorum.lock.shutdown(SECOND).await.unwrap_err();
    assert_eq!(error, ShutdownTimedOut { limit: SECOND });
    assert!(quorum.since(start) <= SECOND + MS);
}

#[tokio::test]
async fn after_a_shutdown_nothing_is_granted_and_nobody_waits() {
    let quorum = Quorum::of(3);
    let held = quorum.lock.acquire("r").await.unwrap();
    let waiters = [0, 1].map(|_| {
        let lock = quorum.lock.clone();
        tokio::spawn(async move { lock.acquire("r").await })
    });
    settle().await;
    drop(held);
    quorum.lock.shutdown(SECOND).await.unwrap();
    for waiter in waiters {
        let error = waiter.await.unwrap().unwrap_err();
        assert!(matches!(error, AcquireError::ShutDown), "{error:?}");
    }
    let error = quorum.lock.try_acquire("other").await.unwrap_err();
    assert!(matches!(error, AcquireError::ShutDown));
    assert!(!error.is_retryable());
    quorum.rest().await;
    assert_eq!(quorum.held("r") + quorum.held("other"), 0);
}

#[tokio::test]
async fn a_lock_that_is_granted_during_a_shutdown_goes_back() {
    let quorum = Quorum::of(3);
    quorum
        .nodes
        .iter()
        .for_each(|node| node.always(Step::Acquire, Act::Slow(10 * MS)));
    let lock = quorum.lock.clone();
    let acquiring = tokio::spawn(async move { lock.acquire("r").await.map(drop) });
    settle().await;
    let ticking = quorum.ticking();
    quorum.lock.shutdown(SECOND).await.unwrap();
    let error = acquiring.await.unwrap().unwrap_err();
    drop(ticking);
    assert!(matches!(error, AcquireError::ShutDown), "{error:?}");
    quorum.rest().await;
    assert_eq!(quorum.held("r"), 0);
}

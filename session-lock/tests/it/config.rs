//! Settings and names that are refused.

use std::{sync::Arc, time::Duration};

use session_lock::{
    AcquireError, ConfigError, LockNode, MemoryNode, Redlock, RedlockBuilder, Resource, SystemClock,
};

use crate::bench::{MS, SECOND};

fn nodes(names: &[&str]) -> Vec<Arc<dyn LockNode>> {
    let node = |name: &&str| Arc::new(MemoryNode::new(*name, Arc::new(SystemClock)));
    names
        .iter()
        .map(|name| node(name) as Arc<dyn LockNode>)
        .collect()
}

fn refused(settings: impl FnOnce(RedlockBuilder) -> RedlockBuilder) -> ConfigError {
    let builder = settings(Redlock::builder(nodes(&["a", "b", "c"])));
    builder.build().unwrap_err()
}

#[test]
fn a_lock_needs_nodes_and_each_of_them_once() {
    let error = Redlock::builder(Vec::new()).build().unwrap_err();
    assert_eq!(error, ConfigError::NoNodes);
    let error = Redlock::builder(nodes(&["a", "b", "a"]))
        .build()
        .unwrap_err();
    assert_eq!(
        error,
        ConfigError::DuplicateNode {
            node: "a".to_owned()
        }
    );
    assert_eq!(error.to_string(), "node a is given more than once");
}

#[test]
fn defaults_are_in_their_ranges_whatever_the_ttl() {
    for ttl in [10 * MS, 11 * MS, SECOND, 3_600 * SECOND] {
        let builder = Redlock::builder(nodes(&["a"])).ttl(ttl);
        builder.clone().without_renewal().build().unwrap();
        builder.longest_hold(ttl).build().unwrap();
    }
    Redlock::builder(nodes(&["a", "b"])).build().unwrap();
}

#[test]
fn settings_out_of_their_ranges_are_refused_by_name() {
    for ttl in [Duration::ZERO, 9 * MS, 3_601 * SECOND, Duration::MAX] {
        assert!(matches!(
            refused(|builder| builder.ttl(ttl)),
            ConfigError::Ttl(_)
        ));
    }
    let name = |error| match error {
        ConfigError::OutOfRange { setting, .. } => setting,
        other => panic!("{other}"),
    };
    let zero = Duration::ZERO;
    assert_eq!(
        name(refused(|builder| builder.node_timeout(zero))),
        "node timeout"
    );
    assert_eq!(
        name(refused(|builder| builder.node_timeout(9 * SECOND))),
        "node timeout"
    );
    assert_eq!(
        name(refused(|builder| builder.release_timeout(zero))),
        "release timeout"
    );
    assert_eq!(
        name(refused(|builder| builder.retry_pause(zero))),
        "retry pause"
    );
    assert_eq!(
        name(refused(|builder| builder.wait_timeout(Duration::MAX))),
        "wait timeout"
    );
    assert_eq!(
        name(refused(|builder| builder.longest_hold(SECOND))),
        "longest hold"
    );
    assert_eq!(
        name(refused(|builder| builder.longest_ttl(SECOND))),
        "longest TTL"
    );
    assert_eq!(
        refused(|builder| builder.max_waiters(0)),
        ConfigError::NoWaiters
    );
    let error = refused(|builder| builder.node_timeout(zero));
    assert_eq!(
        error.to_string(),
        "node timeout is 0ns, allowed are 1 ms to the TTL"
    );
}

#[tokio::test]
async fn names_that_are_empty_or_huge_are_refused() {
    let lock = Redlock::builder(nodes(&["a"])).build().unwrap();
    let huge = "x".repeat(Resource::MAX_LEN + 1);
    for name in ["", &huge] {
        for error in [
            lock.acquire(name).await.unwrap_err(),
            lock.acquire_all(["fine", name]).await.unwrap_err(),
        ] {
            assert!(matches!(error, AcquireError::Name(found) if found.found == name.len()));
            assert!(!error.is_retryable());
        }
    }
}

#[tokio::test]
async fn names_come_in_many_forms() {
    let lock = Redlock::builder(nodes(&["a"])).build().unwrap();
    let name = Resource::new("name").unwrap();
    lock.acquire("name").await.unwrap().release().await.unwrap();
    lock.acquire(String::from("name"))
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    lock.acquire(&b"name"[..])
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    lock.acquire(vec![0, 255])
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    lock.acquire(&name).await.unwrap().release().await.unwrap();
    lock.acquire(name).await.unwrap().release().await.unwrap();
}

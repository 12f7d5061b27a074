//! Leases that are dropped where nothing can be awaited.

use std::{sync::Arc, time::Duration};

use session_lock::{LockNode, MemoryNode, Redlock, RedlockLease, Resource, SystemClock};
use session_testkit::settle;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A lock on real time, and its nodes.
fn lock() -> (Redlock, Vec<MemoryNode>) {
    let node = |index| MemoryNode::new(format!("node-{index}"), Arc::new(SystemClock));
    let nodes: Vec<_> = (0..3).map(node).collect();
    let shared = nodes
        .iter()
        .cloned()
        .map(|node| Arc::new(node) as Arc<dyn LockNode>);
    (Redlock::builder(shared.collect()).build().unwrap(), nodes)
}

fn held(nodes: &[MemoryNode]) -> usize {
    let resource = Resource::new("r").unwrap();
    nodes
        .iter()
        .filter(|node| node.holder(&resource).is_some())
        .count()
}

async fn free(lock: &Redlock, nodes: &[MemoryNode]) {
    lock.shutdown(Duration::from_secs(10)).await.unwrap();
    assert_eq!(held(nodes), 0);
}

#[tokio::test]
async fn a_lease_dropped_on_a_plain_thread_is_given_back() {
    let (lock, nodes) = lock();
    let lease = lock.acquire("r").await.unwrap();
    std::thread::spawn(move || drop(lease)).join().unwrap();
    free(&lock, &nodes).await;
}

#[tokio::test]
async fn a_lease_dropped_while_unwinding_is_given_back() {
    let (lock, nodes) = lock();
    let panicking = tokio::spawn({
        let lock = lock.clone();
        async move {
            let body = async |lease: &RedlockLease| -> Result<(), ()> {
                assert!(!lease.is_valid(), "on purpose");
                Ok(())
            };
            lock.with("r", body).await.ok();
        }
    });
    assert!(panicking.await.unwrap_err().is_panic());
    free(&lock, &nodes).await;
}

#[test]
fn a_lease_dropped_after_its_runtime_harms_nothing_and_is_given_back_on_the_next() {
    let (lock, nodes) = lock();
    let first = runtime();
    let lease = first.block_on(lock.acquire("r")).unwrap();
    drop(first);
    drop(lease);
    assert_eq!(held(&nodes), 3);
    runtime().block_on(free(&lock, &nodes));
}

#[test]
fn a_lock_is_used_on_one_runtime_after_the_other() {
    let (lock, nodes) = lock();
    for _ in 0..3 {
        let lease = runtime().block_on(lock.acquire("r")).unwrap();
        runtime().block_on(lease.release()).unwrap();
    }
    runtime().block_on(free(&lock, &nodes));
}

#[tokio::test]
async fn a_release_that_was_never_awaited_is_done_all_the_same() {
    let (lock, nodes) = lock();
    let lease = lock.acquire("r").await.unwrap();
    drop(lease.release());
    free(&lock, &nodes).await;
}

#[tokio::test]
async fn a_lease_outlives_the_lock_it_came_from() {
    let (lock, nodes) = lock();
    let lease = lock.acquire("r").await.unwrap();
    drop(lock);
    lease.extend().await.unwrap();
    lease.release().await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), async {
        while held(&nodes) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

// A task in the background must not keep the nodes, and their connections, for ever.
#[tokio::test]
async fn nodes_are_let_go_when_lock_and_leases_are_gone() {
    for finish in [true, false] {
        let node: Arc<dyn LockNode> = Arc::new(MemoryNode::new("node", Arc::new(SystemClock)));
        let watched = Arc::downgrade(&node);
        let lock = Redlock::builder(vec![node]).build().unwrap();
        let lease = lock.acquire("r").await.unwrap();
        drop(lock);
        settle().await;
        assert!(watched.upgrade().is_some(), "a lease needs its nodes");
        if finish {
            lease.release().await.unwrap();
        } else {
            drop(lease);
        }
        settle().await;
        assert!(watched.upgrade().is_none(), "somebody still holds a node");
    }
}

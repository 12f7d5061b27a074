//! Several locks at once: all or none, and never a circle of waiters.

use session_lock::{AcquireError, Resource};
use session_testkit::settle;

use crate::bench::{Quorum, SECOND};

#[tokio::test]
async fn several_locks_come_in_the_order_in_which_they_were_named() {
    let quorum = Quorum::of(3);
    let leases = quorum.lock.acquire_all(["c", "a", "b"]).await.unwrap();
    let names: Vec<_> = leases
        .iter()
        .map(|lease| lease.held().resource.to_string())
        .collect();
    assert_eq!(names, ["c", "a", "b"]);
    assert!(
        quorum
            .lock
            .acquire_all(Vec::<Resource>::new())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn if_one_is_held_none_is_taken() {
    let quorum = Quorum::of(3);
    let _theirs = quorum.another().acquire("b").await.unwrap();
    let ticking = quorum.ticking();
    let error = quorum.lock.acquire_all(["c", "a", "b"]).await.unwrap_err();
    drop(ticking);
    assert!(matches!(error, AcquireError::Held { .. }), "{error:?}");
    quorum.rest().await;
    assert_eq!((quorum.held("a"), quorum.held("c")), (0, 0));
}

#[tokio::test]
async fn a_lock_that_is_named_twice_is_refused_before_anything_is_asked_for() {
    let quorum = Quorum::of(3);
    let error = quorum.lock.acquire_all(["b", "a", "b"]).await.unwrap_err();
    let AcquireError::Duplicate { resource } = error else {
        panic!("{error}");
    };
    assert_eq!(resource.to_string(), "b");
    settle().await;
    assert!(quorum.nodes.iter().all(|node| node.take_asked().is_empty()));
}

#[tokio::test]
async fn callers_who_name_the_same_locks_in_other_orders_never_block_each_other() {
    let quorum = Quorum::of(3);
    let orders = [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]];
    let tasks = orders.map(|order| {
        let lock = quorum.another();
        tokio::spawn(async move {
            for _ in 0..10 {
                for lease in lock.acquire_all(order).await.unwrap() {
                    lease.release().await.unwrap();
                }
            }
        })
    });
    let _ticking = quorum.ticking();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn cut_off_between_two_locks_the_first_is_given_back() {
    let quorum = Quorum::of(3);
    let _theirs = quorum.another().acquire("b").await.unwrap();
    let lock = quorum.lock.clone();
    let both = tokio::spawn(async move { lock.acquire_all(["a", "b"]).await.map(drop) });
    settle().await;
    assert_eq!(quorum.held("a"), 3);
    both.abort();
    quorum.clock.pass(SECOND, SECOND).await;
    quorum.rest().await;
    assert_eq!(quorum.held("a"), 0);
}

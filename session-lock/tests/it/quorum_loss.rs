//! Some nodes fail, hang or hold something else.

use session_lock::{AcquireError, Clock as _, Fault, Resource};
use session_testkit::{Act, Step};

use crate::bench::{MS, NO_TIME, NODE_TIMEOUT, Quorum, SECOND};

const TROUBLE: [Act; 4] = [Act::Fail, Act::LoseAnswer, Act::Slow(SECOND), Act::Hang];

#[tokio::test]
async fn two_of_five_nodes_may_fail_and_nobody_waits_for_them() {
    for act in TROUBLE {
        let quorum = Quorum::of(5);
        quorum.nodes[..2]
            .iter()
            .for_each(|node| node.always_all(act));
        let start = quorum.clock.now();
        let lease = quorum.lock.try_acquire("r").await.unwrap();
        assert!(lease.is_valid());
        lease.extend().await.unwrap();
        lease.release().await.unwrap();
        assert_eq!(quorum.since(start), NO_TIME, "{act:?} was waited for");
    }
}

#[tokio::test]
async fn three_of_five_nodes_that_fail_are_named_and_grants_are_given_back() {
    for act in TROUBLE {
        let quorum = Quorum::of(5);
        quorum.nodes[..3]
            .iter()
            .for_each(|node| node.always_all(act));
        let start = quorum.clock.now();
        let ticking = quorum.ticking();
        let error = quorum.lock.try_acquire("r").await.unwrap_err();
        drop(ticking);
        let AcquireError::NoQuorum {
            granted,
            required,
            faults,
        } = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!((*granted, *required), (2, 3));
        let mut names: Vec<_> = faults.iter().map(|fault| fault.node()).collect();
        names.sort_unstable();
        assert_eq!(names, ["node-0", "node-1", "node-2"]);
        assert!(error.is_retryable());
        assert!(quorum.since(start) <= NODE_TIMEOUT + MS);
        quorum.rest().await;
        quorum.nodes.iter().for_each(|node| node.resume());
        quorum.rest().await;
        assert_eq!(quorum.held("r"), 0, "{act:?}");
    }
}

#[tokio::test]
async fn an_error_of_a_missing_quorum_says_what_was_found_where() {
    let quorum = Quorum::of(3);
    quorum.nodes[1..]
        .iter()
        .for_each(|node| node.always(Step::Acquire, Act::Fail));
    let error = quorum.lock.try_acquire("r").await.unwrap_err().to_string();
    assert!(
        error.starts_with("1 of 2 required nodes granted the lock; node-"),
        "{error}"
    );
    assert!(
        error.contains("node-1: no connection") && error.contains("node-2: no"),
        "{error}"
    );
}

#[tokio::test]
async fn a_waiter_outlasts_a_missing_quorum() {
    let quorum = Quorum::of(3);
    for node in &quorum.nodes[..2] {
        node.next(Step::Acquire, [Act::Fail; 3]);
    }
    let _ticking = quorum.ticking();
    let start = quorum.clock.now();
    let lease = quorum.lock.acquire("r").await.unwrap();
    assert_eq!(quorum.held_by(&lease), 3);
    assert!(quorum.since(start) > 100 * MS, "it tried without a pause");
    assert!(quorum.since(start) < SECOND);
}

#[tokio::test]
async fn nodes_that_are_set_up_wrongly_are_not_waited_for() {
    let quorum = Quorum::of(3);
    for node in &quorum.nodes[..2] {
        node.always(Step::Acquire, Act::Refuse);
    }
    let start = quorum.clock.now();
    let error = quorum.lock.acquire("r").await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    let AcquireError::NoQuorum { faults, .. } = error else {
        panic!("{error}");
    };
    assert!(faults.iter().all(|fault| *fault.fault() == Fault::Denied));
    assert_eq!(quorum.since(start), NO_TIME);
}

#[tokio::test]
async fn an_even_number_of_nodes_bears_one_failure_less_than_half() {
    let quorum = Quorum::of(4);
    quorum.nodes[0].always_all(Act::Fail);
    let lease = quorum.lock.try_acquire("r").await.unwrap();
    lease.release().await.unwrap();
    quorum.nodes[1].always_all(Act::Fail);
    let error = quorum.lock.try_acquire("r").await.unwrap_err();
    let AcquireError::NoQuorum {
        granted: 2,
        required: 3,
        ..
    } = error
    else {
        panic!("{error}");
    };
}

#[tokio::test]
async fn something_that_is_no_lock_is_left_alone_and_named() {
    let quorum = Quorum::of(3);
    let name = Resource::new("r").unwrap();
    quorum.nodes[0].memory().put_foreign(&name);
    let lease = quorum.lock.acquire(&name).await.unwrap();
    lease.release().await.unwrap();
    quorum.nodes[1].memory().put_foreign(&name);
    let error = quorum.lock.acquire(&name).await.unwrap_err();
    assert!(!error.is_retryable());
    let AcquireError::WrongType { node, resource } = error else {
        panic!("{error}");
    };
    assert_eq!((node.as_str(), resource), ("node-0", name));
}

#[tokio::test]
async fn held_by_others_says_when_it_is_free_at_the_latest() {
    let quorum = Quorum::of(5);
    let _lease = quorum.another().acquire("r").await.unwrap();
    quorum.clock.advance(SECOND);
    let error = quorum.lock.try_acquire("r").await.unwrap_err();
    let AcquireError::Held {
        waited,
        retry_after,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(waited, NO_TIME);
    assert_eq!(retry_after, Some(crate::bench::TTL - SECOND));
}

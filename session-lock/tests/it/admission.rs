//! Nodes that are new or have lost their data.

use std::{sync::Arc, time::Duration};

use session_lock::{
    AcquireError, Admission, Admitted, Clock as _, Fault, FirstUse, LockNode as _, Redlock,
    RedlockBuilder, Ttl,
};
use session_testkit::{Act, FakeClock, ScriptedNode, Step, settle};

use crate::bench::{MS, NO_TIME, Quorum, SECOND, TTL, give_fence};

fn unused(count: usize, settings: impl FnOnce(RedlockBuilder) -> RedlockBuilder) -> Quorum {
    let clock = FakeClock::new();
    let node = |index| ScriptedNode::unused(format!("node-{index}"), Arc::new(clock.clone()));
    let nodes = (0..count).map(node).collect();
    Quorum::on(nodes, clock.clone(), settings)
}

/// What an attempt found where it found too few nodes.
async fn faults(lock: &Redlock) -> Vec<(String, Fault)> {
    let error = lock.try_acquire("r").await.unwrap_err();
    assert!(error.is_retryable());
    let AcquireError::NoQuorum { faults, .. } = error else {
        panic!("{error}");
    };
    let named = faults
        .iter()
        .map(|fault| (fault.node().to_owned(), fault.fault().clone()));
    named.collect()
}

fn admissions(quorum: &Quorum) -> usize {
    let asked = quorum.nodes.iter().map(|node| node.take_asked());
    asked.flatten().filter(|step| *step == Step::Admit).count()
}

#[tokio::test]
async fn nodes_that_are_all_new_are_used_at_once() {
    for count in [1, 3, 4] {
        let quorum = unused(count, |builder| builder);
        let start = quorum.clock.now();
        let lease = quorum.lock.try_acquire("r").await.unwrap();
        lease.release().await.unwrap();
        assert_eq!(quorum.since(start), NO_TIME);
        assert_eq!(admissions(&quorum), count);
        // Once is enough, for everybody.
        drop(quorum.another().try_acquire("r").await.unwrap());
        assert_eq!(admissions(&quorum), 0);
    }
}

#[tokio::test]
async fn many_callers_use_new_nodes_at_the_same_time() {
    let quorum = unused(3, |builder| builder);
    let lock = |index: usize| (quorum.another(), format!("r{index}"));
    let tasks = (0..10)
        .map(lock)
        .map(|(lock, name)| tokio::spawn(async move { lock.acquire(name).await.map(drop) }));
    let tasks: Vec<_> = tasks.collect();
    let _ticking = quorum.ticking();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn those_who_fear_that_all_nodes_lose_their_data_wait_the_longest_ttl() {
    for clock_floor in [true, false] {
        let quorum = unused(3, |builder| {
            builder
                .first_use(FirstUse::AfterLongestTtl)
                .clock_floor(clock_floor)
        });
        faults(&quorum.lock).await;
        settle().await;
        assert!(
            faults(&quorum.lock)
                .await
                .contains(&("node-0".to_owned(), Fault::NotAdmitted(Some(TTL))))
        );
        quorum.clock.pass(TTL - MS, SECOND).await;
        faults(&quorum.lock).await;
        quorum.clock.pass(TTL, SECOND).await;
        drop(quorum.lock.try_acquire("r").await.unwrap());
    }
}

// One of them may hold data, or be the one that all the others lost.
#[tokio::test]
async fn new_nodes_beside_a_dead_one_wait_the_longest_ttl() {
    let quorum = unused(3, |builder| builder);
    quorum.nodes[0].always_all(Act::Fail);
    faults(&quorum.lock).await;
    quorum.clock.pass(TTL - MS, SECOND).await;
    let found = faults(&quorum.lock).await;
    assert!(
        found.iter().any(|(node, fault)| node == "node-1"
            && matches!(fault, Fault::NotAdmitted(Some(left)) if *left <= SECOND)),
        "{found:?}"
    );
    quorum.clock.pass(TTL / 3, SECOND).await;
    drop(quorum.lock.try_acquire("r").await.unwrap());
}

#[tokio::test]
async fn a_node_that_lost_its_data_does_not_count_until_the_longest_ttl_has_passed() {
    let longest = 2 * TTL;
    let quorum = Quorum::with(3, |builder| builder.longest_ttl(longest));
    let holder = quorum.another().acquire("r").await.unwrap();
    settle().await;
    let lost = quorum.clock.now();
    quorum.nodes[0].restart_empty();
    // The lease stands on two nodes of three. The empty one may not help somebody else to a second quorum.
    quorum.nodes[1].always(Step::Acquire, Act::Fail);
    let found = faults(&quorum.lock).await;
    assert_eq!(
        found
            .iter()
            .map(|(node, _)| node.as_str())
            .collect::<Vec<_>>(),
        ["node-0", "node-1"]
    );
    quorum.nodes[1].always(Step::Acquire, Act::Ok);
    drop(holder);
    settle().await;
    // The two others make a quorum meanwhile.
    for _ in 0..10 {
        let lease = quorum.lock.acquire("r").await.unwrap();
        assert_eq!(quorum.held_by(&lease), 2);
        lease.release().await.unwrap();
        quorum.clock.pass(longest / 11, SECOND).await;
    }
    assert!(quorum.since(lost) < longest);
    quorum.clock.pass(longest / 2, SECOND).await;
    let lease = quorum.lock.acquire("r").await.unwrap();
    settle().await;
    assert_eq!(quorum.held_by(&lease), 3);
}

#[tokio::test]
async fn admission_is_asked_for_now_and_then_and_by_one_only() {
    let quorum = Quorum::of(3);
    quorum
        .lock
        .acquire("r")
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    quorum.nodes[0].restart_empty();
    quorum.nodes[0].always(Step::Admit, Act::Fail);
    for _ in 0..600 {
        quorum
            .lock
            .acquire("r")
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
        quorum.clock.pass(100 * MS, 100 * MS).await;
    }
    let asked = admissions(&quorum);
    assert!((40..70).contains(&asked), "asked {asked} times in a minute");
}

#[tokio::test]
async fn a_node_that_loses_its_data_twice_waits_twice() {
    let quorum = Quorum::of(3);
    for _ in 0..2 {
        quorum.nodes[0].restart_empty();
        quorum
            .lock
            .acquire("r")
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
        quorum.clock.pass(TTL / 2, SECOND).await;
    }
    quorum.clock.pass(TTL * 2 / 3, SECOND).await;
    let lease = quorum.lock.acquire("r").await.unwrap();
    settle().await;
    assert_eq!(
        quorum.held_by(&lease),
        2,
        "it counts half a TTL after its loss"
    );
    drop(lease);
    quorum.clock.pass(TTL, SECOND).await;
    let lease = quorum.lock.acquire("r").await.unwrap();
    settle().await;
    assert_eq!(quorum.held_by(&lease), 3);
}

/// Nodes without clock floor whose first has lost its data, the others at these fences.
async fn without_clock_floor(others: [u64; 2]) -> Quorum {
    let quorum = Quorum::with(3, |builder| builder.clock_floor(false));
    for (node, fence) in quorum.nodes[1..].iter().zip(others) {
        give_fence(node, "r", fence).await;
    }
    quorum.nodes[0].restart_empty();
    let trying = quorum.lock.try_acquire("other").await;
    drop(trying.unwrap());
    quorum
}

async fn counts(quorum: &Quorum) -> bool {
    let lease = quorum.lock.try_acquire("probe").await.unwrap();
    settle().await;
    quorum.held_by(&lease) == 3
}

#[tokio::test]
async fn without_clock_floor_a_node_comes_back_above_the_fences_of_the_others() {
    let quorum = without_clock_floor([70, 500]).await;
    quorum.clock.pass(TTL * 3 / 2, SECOND).await;
    assert!(counts(&quorum).await);
    // With the two that were behind.
    quorum.nodes[2].always(Step::Acquire, Act::Fail);
    let lease = quorum.lock.try_acquire("r").await.unwrap();
    assert!(lease.fencing_token().0 > 500, "{:?}", lease.fencing_token());
}

#[tokio::test]
async fn without_clock_floor_the_others_are_asked_when_the_wait_is_over() {
    let quorum = without_clock_floor([70, 500]).await;
    settle().await;
    // Granted with the help of the lost data: it reaches the other node while the new one waits.
    give_fence(&quorum.nodes[1], "r", 9_000).await;
    quorum.clock.pass(TTL * 3 / 2, SECOND).await;
    quorum.nodes[1].always(Step::Acquire, Act::Fail);
    let lease = quorum.lock.acquire("r").await.unwrap();
    assert!(
        lease.fencing_token().0 > 9_000,
        "{:?}",
        lease.fencing_token()
    );
}

// The request was on its way until the node had lost its data once more and waited again. The model check found that its
// floor was then taken for a new one, below tokens that were granted meanwhile.
#[tokio::test]
async fn without_clock_floor_a_late_request_does_not_admit_under_an_old_floor() {
    let quorum = without_clock_floor([70, 500]).await;
    settle().await;
    let node = quorum.nodes[0].clone();
    node.always(Step::Admit, Act::Hang);
    quorum.clock.pass(TTL * 3 / 2, SECOND).await;
    give_fence(&quorum.nodes[1], "r", 9_000).await;
    node.restart_empty();
    let begins = Admission {
        first_use: false,
        longest_ttl: Ttl::new(TTL).unwrap(),
        floor: None,
        wait: None,
    };
    node.memory().admit(&begins).await.unwrap();
    quorum.clock.pass(TTL, SECOND).await;
    node.resume();
    let admitted = node.memory().admit(&begins).await.unwrap();
    assert!(
        matches!(admitted, Admitted::In { left, .. } if left.is_zero()),
        "{admitted:?}"
    );
    quorum.clock.pass(Duration::from_secs(5), SECOND).await;
    quorum.nodes[1].always(Step::Acquire, Act::Fail);
    let lease = quorum.lock.acquire("r").await.unwrap();
    assert!(
        lease.fencing_token().0 > 9_000,
        "{:?}",
        lease.fencing_token()
    );
}

#[tokio::test]
async fn without_clock_floor_a_node_does_not_come_back_while_too_few_others_can_be_asked() {
    let quorum = without_clock_floor([70, 500]).await;
    quorum.nodes[2].always(Step::HighestFence, Act::Fail);
    quorum.clock.pass(TTL * 2, SECOND).await;
    assert!(!counts(&quorum).await);
    quorum.nodes[2].always(Step::HighestFence, Act::Ok);
    quorum.clock.pass(Duration::from_secs(3), SECOND).await;
    assert!(counts(&quorum).await);
}

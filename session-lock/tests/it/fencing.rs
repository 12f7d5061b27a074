//! Fencing tokens that grow whichever nodes granted the lock.

use session_lock::{AcquireOptions, Clock as _, FencingToken};
use session_testkit::{Act, Step};

use crate::bench::{MS, NODE_TIMEOUT, Quorum, SECOND, TTL, give_fence};

/// Three nodes without clock floor, with these fences.
async fn with_fences(fences: [u64; 3]) -> Quorum {
    let quorum = Quorum::with(3, |builder| builder.clock_floor(false));
    for (node, fence) in quorum.nodes.iter().zip(fences) {
        give_fence(node, "r", fence).await;
    }
    quorum
}

fn asked(quorum: &Quorum, step: Step) -> [usize; 3] {
    let count = |node: usize| {
        quorum.nodes[node]
            .take_asked()
            .iter()
            .filter(|asked| **asked == step)
            .count()
    };
    [count(0), count(1), count(2)]
}

#[tokio::test]
async fn equal_fences_need_one_flight() {
    let quorum = with_fences([7, 7, 7]).await;
    let lease = quorum.lock.acquire("r").await.unwrap();
    assert_eq!(lease.fencing_token(), FencingToken(8));
    assert_eq!(asked(&quorum, Step::Raise), [0, 0, 0]);
}

#[tokio::test]
async fn a_node_that_is_behind_is_raised() {
    let quorum = with_fences([7, 9, 1]).await;
    quorum.nodes[2].always(Step::Acquire, Act::Fail);
    let lease = quorum.lock.acquire("r").await.unwrap();
    assert_eq!(lease.fencing_token(), FencingToken(10));
    assert_eq!(asked(&quorum, Step::Raise), [1, 0, 0]);
    lease.release().await.unwrap();
    // The node that had given the largest fence is not needed for the next token.
    quorum.nodes[2].always(Step::Acquire, Act::Ok);
    quorum.nodes[1].always(Step::Acquire, Act::Fail);
    let lease = quorum.lock.acquire("r").await.unwrap();
    assert_eq!(lease.fencing_token(), FencingToken(11));
}

#[tokio::test]
async fn tokens_grow_whichever_node_is_missing() {
    let quorum = with_fences([3, 200, 40]).await;
    let mut last = FencingToken(0);
    for round in 0..30 {
        let missing = &quorum.nodes[round % 3];
        missing.always(Step::Acquire, Act::Fail);
        let lease = quorum.lock.acquire("r").await.unwrap();
        assert!(lease.fencing_token() > last);
        last = lease.fencing_token();
        lease.release().await.unwrap();
        quorum.rest().await;
        missing.always(Step::Acquire, Act::Ok);
    }
}

#[tokio::test]
async fn a_token_without_a_quorum_behind_it_is_not_handed_out() {
    for act in [Act::Fail, Act::LoseAnswer, Act::Hang] {
        let quorum = with_fences([7, 9, 1]).await;
        quorum.nodes[2].always(Step::Acquire, Act::Fail);
        quorum.nodes[0].always(Step::Raise, act);
        let ticking = quorum.ticking();
        quorum.lock.try_acquire("r").await.unwrap_err();
        drop(ticking);
        quorum.rest().await;
        assert_eq!(quorum.held("r"), 0);
    }
}

#[tokio::test]
async fn a_late_grant_makes_up_for_a_raise_that_fails() {
    let quorum = with_fences([7, 9, 1]).await;
    quorum.nodes[2].always(Step::Acquire, Act::Slow(10 * MS));
    quorum.nodes[0].always(Step::Raise, Act::Fail);
    let ticking = quorum.ticking();
    let lease = quorum.lock.try_acquire("r").await.unwrap();
    drop(ticking);
    assert_eq!(lease.fencing_token(), FencingToken(10));
}

#[tokio::test]
async fn the_next_attempt_asks_all_nodes_for_the_same_fence() {
    let quorum = with_fences([7, 9, 1]).await;
    quorum.nodes[2].next(Step::Acquire, [Act::Fail]);
    quorum.nodes[0].next(Step::Raise, [Act::Fail]);
    let _ticking = quorum.ticking();
    let lease = quorum.lock.acquire("r").await.unwrap();
    assert_eq!(lease.fencing_token(), FencingToken(11));
    assert_eq!(asked(&quorum, Step::Raise), [1, 0, 0]);
}

#[tokio::test]
async fn a_store_that_is_ahead_asks_for_a_larger_token() {
    let quorum = with_fences([7, 9, 1]).await;
    let options = AcquireOptions::default().floor(FencingToken(1_000));
    let lease = quorum.lock.acquire_with("r", options).await.unwrap();
    assert_eq!(lease.fencing_token(), FencingToken(1_001));
    lease.release().await.unwrap();
    let lease = quorum.lock.acquire("r").await.unwrap();
    assert_eq!(lease.fencing_token(), FencingToken(1_002));
}

#[tokio::test]
async fn a_clock_floor_takes_the_place_of_lost_fences() {
    let quorum = Quorum::of(3);
    let now = u64::try_from(quorum.clock.unix_time().as_millis()).unwrap();
    let lease = quorum.lock.acquire("r").await.unwrap();
    assert_eq!(lease.fencing_token(), FencingToken(now * 1024 + 1));
}

#[tokio::test]
async fn validity_counts_from_before_the_request_and_not_from_the_raise() {
    let quorum = with_fences([7, 9, 1]).await;
    quorum
        .nodes
        .iter()
        .for_each(|node| node.always(Step::Acquire, Act::Slow(10 * MS)));
    quorum
        .nodes
        .iter()
        .for_each(|node| node.always(Step::Raise, Act::Slow(10 * MS)));
    quorum.nodes[2].always(Step::Acquire, Act::Fail);
    let start = quorum.clock.now();
    let ticking = quorum.ticking();
    let lease = quorum.lock.try_acquire("r").await.unwrap();
    drop(ticking);
    assert!(quorum.since(start) >= 20 * MS);
    assert_eq!(lease.valid_until(), start + TTL - TTL / 100 - 2 * MS);
}

#[tokio::test]
async fn a_grant_that_comes_when_its_time_is_over_is_never_handed_out() {
    // At the first answer, and at the raise.
    for step in [Step::Acquire, Step::Raise] {
        let fences = with_fences([7, 9, 1]).await;
        let quorum = Quorum::on(fences.nodes, fences.clock, |builder| {
            builder
                .ttl(100 * MS)
                .longest_hold(SECOND)
                .node_timeout(NODE_TIMEOUT)
        });
        quorum.nodes[2].always(Step::Acquire, Act::Fail);
        quorum
            .nodes
            .iter()
            .for_each(|node| node.always(step, Act::Slow(MS)));
        let trying = tokio::spawn({
            let lock = quorum.lock.clone();
            async move { lock.try_acquire("r").await }
        });
        session_testkit::settle().await;
        // This process is paused for longer than the lock lives.
        quorum.clock.advance(98 * MS);
        session_testkit::settle().await;
        quorum.clock.advance(98 * MS);
        trying.await.unwrap().unwrap_err();
        quorum.rest().await;
        assert_eq!(quorum.held("r"), 0);
    }
}

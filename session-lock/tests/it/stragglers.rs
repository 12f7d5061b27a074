//! Nodes that answer when the caller has gone on: nothing is left behind on them.

use session_lock::Clock as _;
use session_testkit::{Act, Step, settle};

use crate::bench::{MS, Quorum, RELEASE_TIMEOUT, SECOND};

#[tokio::test]
async fn a_late_grant_belongs_to_the_lease_while_it_lives() {
    let quorum = Quorum::of(3);
    quorum.nodes[2].always(Step::Acquire, Act::Slow(200 * MS));
    let lease = quorum.lock.acquire("r").await.unwrap();
    assert_eq!(quorum.held_by(&lease), 2);
    quorum.clock.pass(SECOND, 10 * MS).await;
    assert_eq!(quorum.held_by(&lease), 3);
    lease.release().await.unwrap();
    quorum.rest().await;
    assert_eq!(quorum.held("r"), 0);
}

#[tokio::test]
async fn a_grant_that_comes_after_the_release_is_given_back() {
    let quorum = Quorum::of(3);
    quorum.nodes[2].always(Step::Acquire, Act::Slow(200 * MS));
    for drop_it in [false, true] {
        let lease = quorum.lock.acquire("r").await.unwrap();
        if drop_it {
            drop(lease);
        } else {
            lease.release().await.unwrap();
        }
        settle().await;
        assert_eq!(quorum.held("r"), 0);
        let resource = session_lock::Resource::new("r").unwrap();
        let start = quorum.clock.now();
        while quorum.nodes[2].holder(&resource).is_none() {
            quorum.clock.advance(MS);
            assert!(quorum.since(start) < SECOND, "the late grant never came");
        }
        quorum.rest().await;
        assert_eq!(quorum.held("r"), 0);
        assert!(quorum.since(start) < SECOND);
    }
}

#[tokio::test]
async fn a_late_grant_that_its_release_has_freed_is_not_given_back_once_more() {
    // What the node says to both is heard at once, or one after the other.
    for release in [200 * MS, 300 * MS] {
        let quorum = Quorum::of(3);
        quorum.nodes[2].next(Step::Acquire, [Act::Slow(200 * MS)]);
        quorum.nodes[2].next(Step::Release, [Act::Slow(release)]);
        let lease = quorum.lock.acquire("r").await.unwrap();
        quorum.nodes[2].take_asked();
        lease.release().await.unwrap();
        quorum.rest().await;
        assert_eq!(quorum.held("r"), 0);
        assert_eq!(quorum.nodes[2].take_asked(), [Step::Release]);
    }
}

#[tokio::test]
async fn a_late_grant_that_its_release_does_not_free_is_given_back() {
    // The release comes before the grant, is lost on its way, or nobody hears of it.
    for act in [Act::Ok, Act::Slow(100 * MS), Act::Fail, Act::Hang] {
        let quorum = Quorum::of(3);
        quorum.nodes[2].next(Step::Acquire, [Act::Slow(200 * MS)]);
        quorum.nodes[2].next(Step::Release, [act]);
        let lease = quorum.lock.acquire("r").await.unwrap();
        lease.release().await.unwrap();
        quorum.rest().await;
        assert_eq!(quorum.held("r"), 0, "{act:?}");
    }
}

#[tokio::test]
async fn a_grant_whose_answer_was_lost_is_given_back() {
    let quorum = Quorum::of(3);
    for node in &quorum.nodes[..2] {
        node.next(Step::Acquire, [Act::LoseAnswer]);
    }
    quorum.lock.try_acquire("r").await.unwrap_err();
    assert_eq!(quorum.held("r"), 3);
    quorum.rest().await;
    assert_eq!(quorum.held("r"), 0);
}

#[tokio::test]
async fn a_node_that_does_not_hear_of_a_release_is_told_again() {
    for act in [Act::Fail, Act::LoseAnswer, Act::Slow(300 * MS)] {
        let quorum = Quorum::of(3);
        quorum.nodes[0].next(Step::Release, [act; 3]);
        let lease = quorum.lock.acquire("r").await.unwrap();
        lease.release().await.unwrap();
        quorum.rest().await;
        assert_eq!(quorum.held("r"), 0, "{act:?}");
    }
}

#[tokio::test]
async fn a_dead_node_is_given_up_when_the_release_timeout_has_passed() {
    let quorum = Quorum::of(3);
    let lease = quorum.lock.acquire("r").await.unwrap();
    quorum.nodes[0].always_all(Act::Fail);
    let start = quorum.clock.now();
    quorum.nodes[0].take_asked();
    drop(lease);
    quorum.rest().await;
    assert!(quorum.since(start) >= RELEASE_TIMEOUT / 2);
    assert!(quorum.since(start) <= RELEASE_TIMEOUT * 3 / 2);
    assert_eq!(quorum.held("r"), 1);
    let asked = quorum.nodes[0].take_asked().len();
    assert!((3..30).contains(&asked), "asked {asked} times");
}

#[tokio::test]
async fn many_leases_that_end_together_are_freed_in_one_call_to_each_node() {
    let quorum = Quorum::of(3);
    let mut leases = Vec::new();
    for index in 0..50 {
        leases.push(quorum.lock.acquire(format!("r{index}")).await.unwrap());
    }
    quorum.rest_but(50).await;
    quorum.nodes.iter().for_each(|node| drop(node.take_asked()));
    drop(leases);
    quorum.rest().await;
    for node in &quorum.nodes {
        assert_eq!(node.take_asked(), [Step::Release]);
    }
}

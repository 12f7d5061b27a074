//! Leases that are extended, and leases that are lost: when that is told, and with which cause.

use std::{future::Future, pin::Pin, task::Poll, time::Duration};

use futures_util::poll;
use session_lock::{Clock as _, ExtendError, LossCause, RedlockLease, ReleaseError};
use session_testkit::{Act, Step, settle};

use crate::bench::{MS, NODE_TIMEOUT, Quorum, SECOND};

const TTL: Duration = Duration::from_secs(9);
const THIRD: Duration = Duration::from_secs(3);
/// What a lease of [`TTL`] is valid for: 1 % and 2 ms less.
const VALIDITY: Duration = Duration::from_millis(8_908);
const INSTANT: Duration = Duration::from_nanos(1);

fn of(count: usize) -> Quorum {
    Quorum::with(count, |builder| builder.ttl(TTL).longest_hold(60 * SECOND))
}

fn lost(lease: &RedlockLease) -> Pin<Box<dyn Future<Output = LossCause> + Send>> {
    Box::pin(lease.lost())
}

#[tokio::test]
async fn a_lease_is_renewed_by_a_quorum_while_it_lives() {
    let quorum = of(5);
    let lease = quorum.lock.acquire("r").await.unwrap();
    quorum.nodes[..2]
        .iter()
        .for_each(|node| node.always_all(Act::Fail));
    quorum.clock.pass(40 * SECOND, 100 * MS).await;
    assert!(lease.is_valid());
    assert_eq!(quorum.held_by(&lease), 3);
}

#[tokio::test]
async fn leases_that_are_due_together_are_renewed_in_one_call_to_each_node() {
    let quorum = of(3);
    let mut leases = Vec::new();
    for index in 0..20 {
        leases.push(quorum.lock.acquire(format!("r{index}")).await.unwrap());
    }
    settle().await;
    quorum.nodes.iter().for_each(|node| drop(node.take_asked()));
    quorum.clock.pass(THIRD, THIRD).await;
    for node in &quorum.nodes {
        assert_eq!(node.take_asked(), [Step::Extend]);
    }
    assert!(leases.iter().all(|lease| lease.remaining() == VALIDITY));
}

#[tokio::test]
async fn one_lost_lease_of_a_batch_does_not_harm_the_others() {
    let quorum = of(3);
    let [first, second] = [
        quorum.lock.acquire("a").await,
        quorum.lock.acquire("b").await,
    ];
    let (first, second) = (first.unwrap(), second.unwrap());
    for node in &quorum.nodes[..2] {
        free(node, &first).await;
    }
    quorum.clock.pass(THIRD, THIRD).await;
    assert_eq!(first.loss(), Some(LossCause::Gone));
    assert_eq!((second.loss(), second.remaining()), (None, VALIDITY));
}

async fn free(node: &session_testkit::ScriptedNode, lease: &RedlockLease) {
    use session_lock::LockNode as _;
    let freed = node
        .memory()
        .release(&[lease.held().clone()])
        .await
        .unwrap();
    assert_eq!(freed, [true]);
}

async fn steal(node: &session_testkit::ScriptedNode, lease: &RedlockLease) {
    use session_lock::{Held, LockNode as _, NodeRequest, OwnerValue, Ttl};
    free(node, lease).await;
    let request = NodeRequest {
        held: Held {
            resource: lease.held().resource.clone(),
            owner: OwnerValue::random(),
        },
        ttl: Ttl::new(Ttl::MAX).unwrap(),
        floor: 0,
        clock_floor: true,
    };
    node.memory().acquire(&request).await.unwrap();
}

#[tokio::test]
async fn a_lease_is_lost_only_when_a_quorum_is_out_of_reach() {
    let quorum = of(5);
    let lease = quorum.lock.acquire("r").await.unwrap();
    settle().await;
    free(&quorum.nodes[0], &lease).await;
    steal(&quorum.nodes[1], &lease).await;
    quorum.clock.pass(THIRD, THIRD).await;
    assert_eq!(lease.remaining(), VALIDITY);
    // Two said no, one fails: the other two and the one make a quorum, perhaps.
    quorum.nodes[2].always_all(Act::Fail);
    quorum.clock.pass(THIRD, THIRD).await;
    assert_eq!((lease.loss(), lease.remaining()), (None, VALIDITY - THIRD));
    quorum.nodes[2].always_all(Act::Ok);
    free(&quorum.nodes[2], &lease).await;
    quorum.clock.pass(THIRD, THIRD).await;
    assert_eq!(lease.loss(), Some(LossCause::QuorumLost));
}

#[tokio::test]
async fn lost_names_the_cause() {
    for cause in [LossCause::Stolen, LossCause::Gone, LossCause::NodeRestarted] {
        let quorum = of(3);
        let lease = quorum.lock.acquire("r").await.unwrap();
        settle().await;
        let mut lost = lost(&lease);
        for node in &quorum.nodes[..2] {
            match cause {
                LossCause::Stolen => steal(node, &lease).await,
                LossCause::Gone => free(node, &lease).await,
                _ => node.restart_empty(),
            }
        }
        quorum.clock.pass(THIRD - INSTANT, THIRD).await;
        assert_eq!(poll!(&mut lost), Poll::Pending);
        quorum.clock.pass(INSTANT, INSTANT).await;
        assert_eq!(poll!(&mut lost), Poll::Ready(cause));
        assert_eq!((lease.loss(), lease.is_valid()), (Some(cause), false));
        let error = lease.release().await.unwrap_err();
        assert!(
            matches!(error, ReleaseError::Lost { cause: found } if found == cause),
            "{error}"
        );
        quorum.rest().await;
        assert_eq!(
            quorum.held("r"),
            if cause == LossCause::Stolen { 2 } else { 0 }
        );
    }
}

#[tokio::test]
async fn lost_resolves_exactly_when_validity_ends_though_the_network_hangs() {
    let quorum = of(5);
    let lease = quorum.lock.acquire("r").await.unwrap();
    let mut lost = lost(&lease);
    quorum
        .nodes
        .iter()
        .for_each(|node| node.always_all(Act::Hang));
    quorum.clock.pass(VALIDITY - INSTANT, 100 * MS).await;
    assert_eq!(poll!(&mut lost), Poll::Pending);
    assert!(lease.is_valid());
    // In this order: the signal, then the end at the nodes, then the next holder.
    quorum.clock.pass(INSTANT, INSTANT).await;
    assert_eq!(poll!(&mut lost), Poll::Ready(LossCause::Expired));
    assert!(!lease.is_valid());
    assert_eq!(quorum.held("r"), 5);
    quorum.clock.pass(TTL - VALIDITY, MS).await;
    assert_eq!(quorum.held("r"), 0);
}

#[tokio::test]
async fn no_other_lease_is_granted_before_the_holder_was_told() {
    let quorum = of(5);
    let lease = quorum.lock.acquire("r").await.unwrap();
    let first = lease.fencing_token();
    let told = tokio::spawn(lease.lost());
    let other = quorum.another();
    let next = tokio::spawn(async move { other.acquire_timeout("r", 60 * SECOND).await });
    settle().await;
    // The holder's own way to the nodes hangs; the other's does not.
    for node in &quorum.nodes {
        node.always(Step::Extend, Act::Hang);
    }
    while !told.is_finished() {
        assert!(
            !next.is_finished(),
            "granted while the holder believed to hold it"
        );
        quorum.clock.pass(MS, MS).await;
    }
    assert_eq!(told.await.unwrap(), LossCause::Expired);
    let _ticking = quorum.ticking();
    assert!(next.await.unwrap().unwrap().fencing_token() > first);
}

#[tokio::test]
async fn a_process_that_was_paused_finds_its_lease_lost_when_it_wakes() {
    let quorum = of(3);
    let lease = quorum.lock.acquire("r").await.unwrap();
    let mut lost = lost(&lease);
    settle().await;
    quorum.clock.advance(TTL * 2);
    assert!(!lease.is_valid());
    assert_eq!(poll!(&mut lost), Poll::Ready(LossCause::Expired));
    assert!(matches!(
        lease.extend().await,
        Err(ExtendError::Lost {
            cause: LossCause::Expired
        })
    ));
}

#[tokio::test]
async fn extending_by_hand_counts_from_before_the_request_and_moves_the_longest_hold() {
    let quorum = of(3);
    let lease = quorum.lock.acquire("r").await.unwrap();
    for _ in 0..10 {
        quorum.clock.pass(30 * SECOND, SECOND).await;
        lease.extend().await.unwrap();
        assert_eq!(lease.remaining(), VALIDITY);
    }
    quorum.clock.pass(60 * SECOND, SECOND).await;
    assert_eq!(lease.loss(), Some(LossCause::HeldTooLong));
}

#[tokio::test]
async fn without_renewal_a_lease_ends_with_its_validity_unless_it_is_extended() {
    let quorum = Quorum::with(3, |builder| builder.ttl(TTL).without_renewal());
    let lease = quorum.lock.acquire("r").await.unwrap();
    quorum.clock.pass(SECOND, SECOND).await;
    lease.extend().await.unwrap();
    assert_eq!(lease.remaining(), VALIDITY);
    quorum.nodes.iter().for_each(|node| drop(node.take_asked()));
    quorum.clock.pass(VALIDITY - INSTANT, SECOND).await;
    assert!(lease.is_valid());
    quorum.clock.pass(INSTANT, INSTANT).await;
    assert_eq!(lease.loss(), Some(LossCause::Expired));
    for node in &quorum.nodes {
        assert_eq!(node.take_asked(), []);
    }
}

#[tokio::test]
async fn an_extension_that_too_few_nodes_answer_leaves_the_lease_as_it_was() {
    let quorum = of(3);
    let lease = quorum.lock.acquire("r").await.unwrap();
    settle().await;
    quorum.nodes[0].always(Step::Extend, Act::Fail);
    quorum.nodes[1].always(Step::Extend, Act::Hang);
    quorum.clock.advance(SECOND);
    let start = quorum.clock.now();
    let ticking = quorum.ticking();
    let error = lease.extend().await.unwrap_err();
    drop(ticking);
    assert!(error.is_retryable());
    let ExtendError::NoQuorum {
        extended: 1,
        required: 2,
        faults,
    } = error
    else {
        panic!("{error}");
    };
    let names: Vec<_> = faults.iter().map(|fault| fault.node()).collect();
    assert_eq!(names, ["node-0", "node-1"]);
    assert!(quorum.since(start) <= NODE_TIMEOUT + MS);
    assert!(lease.is_valid());
    assert!(lease.remaining() < VALIDITY - SECOND + MS);
}

#[tokio::test]
async fn an_extension_says_that_the_lease_is_lost() {
    let quorum = of(3);
    let lease = quorum.lock.acquire("r").await.unwrap();
    settle().await;
    let mut lost = lost(&lease);
    for node in &quorum.nodes {
        steal(node, &lease).await;
    }
    let error = lease.extend().await.unwrap_err();
    assert!(
        matches!(
            error,
            ExtendError::Lost {
                cause: LossCause::Stolen
            }
        ),
        "{error}"
    );
    assert_eq!(poll!(&mut lost), Poll::Ready(LossCause::Stolen));
}

#[tokio::test]
async fn a_release_says_that_the_lock_was_taken_away() {
    let quorum = of(3);
    let lease = quorum.lock.acquire("r").await.unwrap();
    settle().await;
    for node in &quorum.nodes[..2] {
        free(node, &lease).await;
    }
    let error = lease.release().await.unwrap_err();
    assert!(
        matches!(
            error,
            ReleaseError::Lost {
                cause: LossCause::QuorumLost
            }
        ),
        "{error}"
    );
    quorum.rest().await;
    assert_eq!(quorum.held("r"), 0);
}

#[tokio::test]
async fn a_release_that_too_few_nodes_confirm_says_so_and_goes_on() {
    let quorum = of(3);
    let lease = quorum.lock.acquire("r").await.unwrap();
    settle().await;
    for node in &quorum.nodes[..2] {
        node.next(Step::Release, [Act::Fail]);
    }
    let error = lease.release().await.unwrap_err();
    assert!(
        matches!(
            error,
            ReleaseError::NoQuorum {
                released: 1,
                required: 2,
                ..
            }
        ),
        "{error}"
    );
    quorum.rest().await;
    assert_eq!(quorum.held("r"), 0);
}

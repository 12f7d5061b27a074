use std::time::Duration;

use session_lock::{FencingToken, LockNode, NodeRequest};

use super::{
    LONG, NodeFixture, SHORT, acquire, admitted, first_use, grant, held, release, request, run_out,
};

/// Clause 2: after a release, after its time, and for the same holder.
pub async fn every_grant_has_a_larger_fence<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let mut fences = Vec::new();
    let released = request("printer", LONG);
    fences.push(grant(&node, &released).await);
    release(&node, &released.held).await;
    let expired = request("printer", SHORT);
    fences.push(grant(&node, &expired).await);
    run_out(fixture).await;
    let again = request("printer", LONG);
    fences.push(grant(&node, &again).await);
    fences.push(grant(&node, &again).await);
    assert!(fences.is_sorted_by(|one, next| one < next), "{fences:?}");
}

/// Clause 2: the clock counts only where no fence stands, so that nodes stay equal.
pub async fn a_fence_that_stands_grows_by_one<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let mut request = request("printer", LONG);
    request.clock_floor = true;
    let first = grant(&node, &request).await;
    fixture.pass(Duration::from_millis(20)).await;
    assert_eq!(grant(&node, &request).await, first + 1);
}

/// Clause 2.
pub async fn a_fence_is_larger_than_the_requested_floor<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    for clock_floor in [false, true] {
        let floor = FencingToken::MAX.0 / 2;
        let request = NodeRequest {
            floor,
            clock_floor,
            ..request(&format!("printer, {clock_floor}"), LONG)
        };
        assert_eq!(grant(&node, &request).await, floor + 1);
        let lower = NodeRequest {
            floor: 1,
            ..request
        };
        assert_eq!(grant(&node, &lower).await, floor + 2, "a smaller floor");
    }
}

/// Clause 2: in place of a fence that was lost or has run out.
pub async fn a_first_fence_starts_from_the_clock_if_allowed<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let zero = request("from zero", LONG);
    assert_eq!(grant(&node, &zero).await, 1);
    let clock = NodeRequest {
        clock_floor: true,
        ..request("from the clock", LONG)
    };
    let ticks = |span: Duration| u64::try_from(span.as_millis()).expect("it is before 2248") * 1024;
    let before = ticks(fixture.unix_time().await);
    let fence = grant(&node, &clock).await;
    let after = ticks(fixture.unix_time().await);
    assert!(
        (before + 1..=after + 1).contains(&fence),
        "{before} {fence} {after}"
    );
}

/// Each resource counts for itself.
pub async fn fences_of_two_resources_are_their_own<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    for expected in 1..5 {
        for name in ["printer", "scanner"] {
            let request = request(name, LONG);
            assert_eq!(grant(&node, &request).await, expected);
            release(&node, &request.held).await;
        }
    }
}

async fn raise(node: &impl LockNode, request: &NodeRequest, token: u64) -> bool {
    let raised = node.raise(&request.held, FencingToken(token)).await;
    raised.expect("the node is there")
}

/// Clause 5.
pub async fn raise_moves_the_fence_of_a_held_lock<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let request = request("printer", LONG);
    grant(&node, &request).await;
    assert!(raise(&node, &request, 1_000_000).await);
    assert_eq!(grant(&node, &request).await, 1_000_001);
}

/// Clause 5. A copy of a request can bring the lock back to an owner whose numbers others have been granted meanwhile.
pub async fn raise_never_moves_a_fence_down<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let mut request = request("printer", LONG);
    // Numbers that are in order only when they are compared as numbers.
    request.floor = 999;
    assert_eq!(grant(&node, &request).await, 1000);
    for smaller in [0, 998, 999] {
        assert!(!raise(&node, &request, smaller).await);
    }
    assert!(raise(&node, &request, 1000).await, "where it stands");
    request.floor = 0;
    assert_eq!(grant(&node, &request).await, 1001);
}

/// Clause 5: whoever has lost the lock must not move the fence beyond the next holder's token.
pub async fn raise_without_the_lock_changes_nothing<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let late = request("printer", SHORT);
    assert!(!raise(&node, &late, 1_000).await, "never held");
    grant(&node, &late).await;
    run_out(fixture).await;
    assert!(!raise(&node, &late, 1_000).await, "run out");
    let holder = request("printer", LONG);
    grant(&node, &holder).await;
    assert!(!raise(&node, &late, 1_000).await, "held by another");
    release(&node, &holder.held).await;
    assert!(!raise(&node, &holder, 1_000).await, "released");
    assert_eq!(grant(&node, &holder).await, 3);
}

/// Clause 14.
pub async fn the_highest_fence_is_no_smaller_than_any<F: NodeFixture>(fixture: &F) {
    let node = fixture.node();
    let highest = async || node.highest_fence().await.expect("the node is there");
    assert_eq!(highest().await, 0);
    first_use(&node, 40).await;
    assert_eq!(highest().await, 40, "the floor of the admission");
    for (name, floor) in [("printer", 999), ("scanner", 10_000), ("plotter", 50)] {
        let request = NodeRequest {
            floor,
            ..request(name, LONG)
        };
        grant(&node, &request).await;
        release(&node, &request.held).await;
    }
    assert_eq!(highest().await, 10_001);
}

/// Clause 15.
pub async fn no_fence_is_larger_than_the_largest_token<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let largest = FencingToken::MAX.0;
    for floor in [largest, u64::MAX] {
        let beyond = NodeRequest {
            floor,
            ..request("printer", LONG)
        };
        assert!(node.acquire(&beyond).await.is_err());
        assert!(!release(&node, &beyond.held).await, "it was granted");
    }
    let last = NodeRequest {
        floor: largest - 1,
        ..request("printer", LONG)
    };
    assert_eq!(grant(&node, &last).await, largest);
    release(&node, &last.held).await;
    let next = request("printer", LONG);
    assert!(node.acquire(&next).await.is_err(), "there is none left");
    assert!(!release(&node, &next.held).await, "it was granted");

    let other = request("scanner", LONG);
    assert_eq!(grant(&node, &other).await, 1);
    for token in [largest + 1, u64::MAX] {
        let raised = node.raise(&other.held, FencingToken(token)).await;
        assert!(raised.is_err());
    }
    assert_eq!(grant(&node, &other).await, 2);
    assert!(raise(&node, &other, largest).await);
    let nobody = held("scanner");
    let beyond = NodeRequest {
        held: nobody,
        ..other.clone()
    };
    release(&node, &other.held).await;
    assert!(node.acquire(&beyond).await.is_err());
    let free = acquire(&node, &request("plotter", LONG)).await;
    assert_eq!(free, session_lock::NodeAnswer::Granted { fence: 1 });
}

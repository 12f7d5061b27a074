use std::time::Duration;

use session_lock::{Admission, Admitted, Extension, FencingToken, LockNode, NodeAnswer};

use super::{
    LONG, NodeFixture, SHORT, acquire, admitted, first_use, grant, release, request, resource,
    run_out, ttl,
};
use crate::primary::ms;

async fn admit(node: &impl LockNode, admission: &Admission) -> Admitted {
    let admitted = node.admit(admission).await;
    admitted.expect("the node is there")
}

/// A request after a loss of data.
fn after_loss(longest: Duration, floor: Option<u64>) -> Admission {
    Admission {
        first_use: false,
        longest_ttl: ttl(longest),
        floor,
        wait: None,
    }
}

fn left(admitted: Admitted) -> Duration {
    match admitted {
        Admitted::In { left, .. } => left,
        Admitted::Yes => panic!("it is admitted"),
    }
}

fn wait(admitted: Admitted) -> u64 {
    match admitted {
        Admitted::In { wait, .. } => wait,
        Admitted::Yes => panic!("it is admitted"),
    }
}

/// Clause 4.
pub async fn a_node_that_is_not_admitted_grants_nothing<F: NodeFixture>(fixture: &F) {
    let node = fixture.node();
    let mut early = request("printer", LONG);
    early.floor = 1_000;
    assert_eq!(acquire(&node, &early).await, NodeAnswer::NotAdmitted);
    let raised = node.raise(&early.held, FencingToken(1_000)).await;
    assert!(!raised.expect("the node is there"));
    let extended = node.extend(&[(early.held.clone(), early.ttl)]).await;
    assert_eq!(extended.expect("the node is there"), [Extension::Gone]);
    assert!(!release(&node, &early.held).await);
    first_use(&node, 0).await;
    assert_eq!(grant(&node, &request("printer", LONG)).await, 1);
}

/// Clause 10.
pub async fn the_first_use_admits_at_once<F: NodeFixture>(fixture: &F) {
    let node = fixture.node();
    for _ in 0..2 {
        first_use(&node, 0).await;
        let again = admit(&node, &after_loss(LONG, Some(0))).await;
        assert_eq!(again, Admitted::Yes, "admitted is admitted");
    }
}

/// Clause 10: whoever asks without calling it the first use knows better.
pub async fn a_first_use_after_somebody_has_waited_waits_too<F: NodeFixture>(fixture: &F) {
    let node = fixture.node();
    left(admit(&node, &after_loss(SHORT, None)).await);
    let first_use = Admission {
        first_use: true,
        ..after_loss(SHORT, Some(0))
    };
    left(admit(&node, &first_use).await);
    run_out(fixture).await;
    assert_eq!(admit(&node, &first_use).await, Admitted::Yes);
}

/// Clause 10: whoever held something on the lost data holds it no longer then.
pub async fn admission_waits_for_the_longest_ttl<F: NodeFixture>(fixture: &F) {
    let node = fixture.node();
    let asked = after_loss(SHORT, Some(0));
    let wait = left(admit(&node, &asked).await);
    assert!(wait <= SHORT && wait > SHORT / 2, "{wait:?}");
    fixture.pass(SHORT / 3).await;
    assert_eq!(
        acquire(&node, &request("printer", LONG)).await,
        NodeAnswer::NotAdmitted
    );
    let less = left(admit(&node, &asked).await);
    assert!(less < wait, "it began anew: {less:?} after {wait:?}");
    // Somebody with longer leases has to wait for longer.
    let longer = left(admit(&node, &after_loss(LONG, Some(0))).await);
    assert!(longer > LONG / 2, "{longer:?}");
    fixture.pass(SHORT).await;
    assert_eq!(admit(&node, &asked).await, Admitted::Yes);
    grant(&node, &request("printer", LONG)).await;
}

/// Clause 10.
pub async fn admission_waits_anew_when_data_are_lost_meanwhile<F: NodeFixture>(fixture: &F) {
    let node = fixture.node();
    let asked = after_loss(SHORT * 3, Some(0));
    left(admit(&node, &asked).await);
    fixture.pass(SHORT * 2).await;
    fixture.lose_data().await;
    let wait = left(admit(&node, &asked).await);
    assert!(wait > SHORT * 2, "{wait:?}");
    fixture.pass(SHORT * 2).await;
    left(admit(&node, &asked).await);
    fixture.pass(SHORT + ms(100)).await;
    assert_eq!(admit(&node, &asked).await, Admitted::Yes);
}

/// Clause 10: what was granted with the help of the lost data may be on its way until the wait is over.
pub async fn admission_needs_a_floor<F: NodeFixture>(fixture: &F) {
    let node = fixture.node();
    let begins = after_loss(SHORT, None);
    left(admit(&node, &begins).await);
    run_out(fixture).await;
    assert_eq!(left(admit(&node, &begins).await), Duration::ZERO);
    let first_use = Admission {
        first_use: true,
        ..begins
    };
    left(admit(&node, &first_use).await);
    assert_eq!(
        acquire(&node, &request("printer", LONG)).await,
        NodeAnswer::NotAdmitted
    );
    let admission = after_loss(SHORT, Some(7));
    assert_eq!(admit(&node, &admission).await, Admitted::Yes);
    assert_eq!(grant(&node, &request("printer", LONG)).await, 8);
}

/// Clause 10: a request that was on its way while the data were lost once more brings a floor that is too low.
pub async fn admission_refuses_a_floor_from_another_wait<F: NodeFixture>(fixture: &F) {
    let node = fixture.node();
    let begins = after_loss(SHORT, None);
    let first = wait(admit(&node, &begins).await);
    run_out(fixture).await;
    assert_eq!(wait(admit(&node, &begins).await), first, "it is one wait");
    let late = Admission {
        wait: Some(first),
        ..after_loss(SHORT, Some(7))
    };
    assert_eq!(admit(&node, &late).await, Admitted::Yes);
    fixture.lose_data().await;
    // Before anybody has asked, and when the wait is over.
    let second = wait(admit(&node, &late).await);
    assert_ne!(first, second);
    run_out(fixture).await;
    assert_eq!(left(admit(&node, &late).await), Duration::ZERO);
    let next = request("printer", LONG);
    assert_eq!(acquire(&node, &next).await, NodeAnswer::NotAdmitted);
    let anew = Admission {
        wait: Some(second),
        ..after_loss(SHORT, Some(9))
    };
    assert_eq!(admit(&node, &anew).await, Admitted::Yes);
    assert_eq!(grant(&node, &next).await, 10);
}

/// Clause 11.
pub async fn fences_are_larger_than_every_floor_of_the_admission<F: NodeFixture>(fixture: &F) {
    let node = fixture.node();
    for floor in [10_000, 999] {
        left(admit(&node, &after_loss(SHORT, Some(floor))).await);
    }
    run_out(fixture).await;
    let admission = after_loss(SHORT, Some(9));
    assert_eq!(admit(&node, &admission).await, Admitted::Yes);
    let known = request("printer", LONG);
    assert_eq!(grant(&node, &known).await, 10_001);
    // Asked for by somebody who comes too late: it counts all the same, also where a fence stands already.
    let late = after_loss(SHORT, Some(20_000));
    assert_eq!(admit(&node, &late).await, Admitted::Yes);
    assert_eq!(grant(&node, &known).await, 20_001);
    assert_eq!(grant(&node, &request("scanner", LONG)).await, 20_001);
    let lower = after_loss(SHORT, Some(5));
    assert_eq!(admit(&node, &lower).await, Admitted::Yes);
    assert_eq!(grant(&node, &request("plotter", LONG)).await, 20_001);
    let beyond = after_loss(SHORT, Some(FencingToken::MAX.0 + 1));
    assert!(node.admit(&beyond).await.is_err());
    grant(&node, &request("copier", LONG)).await;
}

/// Clauses 4 and 10: everything is gone, and the node knows it.
pub async fn a_node_that_lost_its_data_is_not_admitted<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let holder = request("printer", LONG);
    grant(&node, &holder).await;
    fixture.lose_data().await;
    let next = request("printer", LONG);
    assert_eq!(acquire(&node, &next).await, NodeAnswer::NotAdmitted);
    let extended = node.extend(&[(holder.held.clone(), holder.ttl)]).await;
    assert_eq!(extended.expect("the node is there"), [Extension::Gone]);
    left(admit(&node, &after_loss(SHORT, Some(1))).await);
    run_out(fixture).await;
    assert_eq!(acquire(&node, &next).await, NodeAnswer::NotAdmitted);
    let admission = after_loss(SHORT, Some(1));
    assert_eq!(admit(&node, &admission).await, Admitted::Yes);
    assert_eq!(grant(&node, &next).await, 2);
    let watched = node.watch(&resource("printer")).await;
    assert_eq!(watched.is_some(), F::TELLS);
}

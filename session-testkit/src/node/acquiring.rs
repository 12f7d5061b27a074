use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use session_lock::{
    Extension, FencingToken, Held, LockNode, NodeAnswer, NodeRequest, OwnerValue, Resource,
};

use super::{LONG, NodeFixture, SHORT, acquire, admitted, grant, left, release, request, run_out};
use crate::cancel_after;

/// Clause 1.
pub async fn a_free_lock_is_granted_for_its_full_ttl<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    grant(&node, &request("printer", LONG)).await;
    let left = left(&node, "printer").await;
    assert!(left <= LONG && left > LONG / 2, "{left:?}");
}

/// Clause 1: a request that was repeated, because its answer was lost.
pub async fn a_lock_is_granted_again_to_the_same_owner<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let mut request = request("printer", SHORT);
    let first = grant(&node, &request).await;
    request.ttl = super::ttl(LONG);
    assert!(grant(&node, &request).await > first);
    assert!(left(&node, "printer").await > SHORT);
    assert!(release(&node, &request.held).await);
}

/// Clause 1.
pub async fn a_lock_that_ran_out_is_granted_to_the_next<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let first = request("printer", SHORT);
    grant(&node, &first).await;
    run_out(fixture).await;
    grant(&node, &request("printer", LONG)).await;
    assert!(
        !release(&node, &first.held).await,
        "it was not his any more"
    );
    assert!(left(&node, "printer").await > SHORT);
}

/// Clause 3.
pub async fn a_lock_under_another_owner_is_left_as_it_is<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let holder = request("printer", LONG / 2);
    let fence = grant(&node, &holder).await;
    let mut other = request("printer", LONG);
    other.floor = fence + 1_000;
    let answer = acquire(&node, &other).await;
    assert!(matches!(answer, NodeAnswer::Held { .. }), "{answer:?}");
    assert!(left(&node, "printer").await <= LONG / 2, "extended");
    assert_eq!(
        grant(&node, &holder).await,
        fence + 1,
        "the fence was moved"
    );
    assert!(release(&node, &holder.held).await);
    assert!(!release(&node, &other.held).await, "held by both");
}

/// Names are bytes, from one to the most that a name may have.
pub async fn a_name_may_be_of_any_bytes<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let longest = "x".repeat(Resource::MAX_LEN);
    let names: [&[u8]; 8] = [
        b"a",
        b"a\0",
        b"a\r\nSET b 1",
        b"{a}b",
        b"\xff\xfe",
        b"*",
        b" ",
        longest.as_bytes(),
    ];
    let requests = names.map(|name| NodeRequest {
        held: Held {
            resource: Resource::new(name).expect("the name is valid"),
            owner: OwnerValue::random(),
        },
        ..request("replaced", LONG)
    });
    for request in &requests {
        assert_eq!(grant(&node, request).await, 1, "{}", request.held.resource);
    }
    for request in &requests {
        let raised = node.raise(&request.held, FencingToken(3)).await;
        assert!(raised.expect("the node is there"));
        let again = [(request.held.clone(), request.ttl)];
        let extended = node.extend(&again).await.expect("the node is there");
        assert_eq!(extended, [Extension::Extended]);
        assert!(
            release(&node, &request.held).await,
            "{}",
            request.held.resource
        );
        assert_eq!(grant(&node, request).await, 4);
    }
}

/// Clause 9: the lock of another library, which is of another type.
pub async fn what_is_no_lock_stays_as_it_is<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let request = request("printer", LONG);
    fixture.put_foreign(&request.held.resource).await;
    assert_eq!(acquire(&node, &request).await, NodeAnswer::WrongType);
    let raised = node.raise(&request.held, FencingToken(5)).await;
    assert!(!raised.expect("the node is there"));
    let extended = node.extend(&[(request.held.clone(), request.ttl)]).await;
    assert_ne!(extended.expect("the node is there"), [Extension::Extended]);
    assert!(!release(&node, &request.held).await);
    assert!(fixture.foreign_stands(&request.held.resource).await);
}

/// A request whose caller has gone is executed or not, but never by halves.
pub async fn a_cancelled_acquire_can_be_released<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    for polls in 0..100 {
        let cancelled = request("printer", LONG);
        let finished = cancel_after(polls, node.acquire(&cancelled)).await;
        // Sent behind it, on the same way.
        release(&node, &cancelled.held).await;
        let next = request("printer", LONG);
        grant(&node, &next).await;
        assert!(release(&node, &next.held).await);
        if finished.is_some() {
            return;
        }
    }
    panic!("the lock is never granted");
}

/// The node decides for itself, whoever asks at the same time.
pub async fn many_tasks_are_granted_one_lock_at_a_time<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let last = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (node, last) = (node.clone(), Arc::clone(&last));
            tokio::spawn(async move {
                let mut grants = 0;
                while grants < 25 {
                    let request = request("printer", LONG);
                    let NodeAnswer::Granted { fence } = acquire(&node, &request).await else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    let before = last.swap(fence, Ordering::SeqCst);
                    assert!(before < fence, "{fence} was granted after {before}");
                    tokio::task::yield_now().await;
                    assert_eq!(last.load(Ordering::SeqCst), fence, "two hold it");
                    assert!(release(&node, &request.held).await, "it was taken away");
                    grants += 1;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no task fails");
    }
    assert_eq!(last.load(Ordering::SeqCst), 200);
}

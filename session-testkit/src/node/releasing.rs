use std::time::Duration;

use session_lock::{LockNode, Watch};
use tokio::time::timeout;

use super::{
    LONG, NodeFixture, SHORT, admitted, grant, held, left, release, request, resource, run_out,
};

/// Clause 7.
pub async fn release_frees_the_lock<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    for _ in 0..3 {
        let request = request("printer", LONG);
        grant(&node, &request).await;
        assert!(release(&node, &request.held).await);
        assert!(!release(&node, &request.held).await, "freed twice");
    }
}

/// Clause 7.
pub async fn release_without_the_lock_changes_nothing<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let late = request("printer", SHORT);
    assert!(!release(&node, &late.held).await, "never held");
    grant(&node, &late).await;
    run_out(fixture).await;
    assert!(!release(&node, &late.held).await, "run out");
    let holder = request("printer", LONG);
    grant(&node, &holder).await;
    assert!(!release(&node, &late.held).await, "held by another");
    assert!(left(&node, "printer").await > LONG / 2);
}

/// Clause 8.
pub async fn release_answers_for_each_lease_in_order<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let (one, two) = (request("printer", LONG), request("scanner", LONG));
    grant(&node, &one).await;
    grant(&node, &two).await;
    fixture.put_foreign(&resource("foreign")).await;
    let leases = [
        one.held.clone(),
        held("scanner"),
        held("foreign"),
        held("plotter"),
        two.held.clone(),
    ];
    let released = node.release(&leases).await.expect("the node is there");
    assert_eq!(released, [true, false, false, false, true]);
    for name in ["printer", "scanner"] {
        grant(&node, &request(name, LONG)).await;
    }
    let none = node.release(&[]).await.expect("the node is there");
    assert!(none.is_empty());
}

/// Bounds a failing test; nothing waits for it otherwise.
const PATIENCE: Duration = Duration::from_secs(20);

async fn watch<F: NodeFixture>(node: &F::Node, name: &str) -> Option<Watch> {
    let watch = node.watch(&resource(name)).await;
    assert_eq!(watch.is_some(), F::TELLS, "whether the node tells");
    watch
}

/// Clause 13.
pub async fn a_release_is_told_to_every_watch_made_before<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    for _ in 0..3 {
        let holder = request("printer", LONG);
        grant(&node, &holder).await;
        let mut watches = Vec::new();
        for _ in 0..3 {
            watches.extend(watch::<F>(&node, "printer").await);
        }
        assert!(release(&node, &holder.held).await);
        for mut watch in watches {
            let freed = timeout(PATIENCE, watch.freed()).await;
            freed.expect("the release is told");
        }
    }
}

/// Clause 13: a watch is for one resource, and a lock that stays held is no news.
pub async fn a_watch_hears_nothing_of_other_resources<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let (printer, scanner) = (request("printer", LONG), request("scanner", LONG));
    grant(&node, &printer).await;
    grant(&node, &scanner).await;
    let (Some(mut waits), Some(mut hears)) = (
        watch::<F>(&node, "printer").await,
        watch::<F>(&node, "scanner").await,
    ) else {
        return;
    };
    assert!(!release(&node, &held("printer")).await);
    assert!(release(&node, &scanner.held).await);
    let freed = timeout(PATIENCE, hears.freed()).await;
    freed.expect("the release is told");
    // What comes later has been heard, so what came before would have been.
    let early = timeout(Duration::ZERO, waits.freed()).await;
    assert!(early.is_err(), "nothing was freed");
    assert!(release(&node, &printer.held).await);
    let freed = timeout(PATIENCE, waits.freed()).await;
    freed.expect("the release is told");
}

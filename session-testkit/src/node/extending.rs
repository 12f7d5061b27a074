use session_lock::{Extension, Held, LockNode, NodeRequest, Resource, Ttl};

use super::{
    LONG, NodeFixture, SHORT, admitted, grant, held, left, release, request, run_out, ttl,
};

async fn extend(node: &impl LockNode, request: &NodeRequest) -> Extension {
    let extended = node.extend(&[(request.held.clone(), ttl(LONG))]).await;
    extended.expect("the node is there")[0]
}

/// Clause 6.
pub async fn extend_gives_the_full_ttl_again<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let request = request("printer", SHORT);
    let fence = grant(&node, &request).await;
    assert_eq!(extend(&node, &request).await, Extension::Extended);
    run_out(fixture).await;
    let left = left(&node, "printer").await;
    assert!(left <= LONG && left > LONG / 2, "{left:?}");
    assert_eq!(grant(&node, &request).await, fence + 1, "the fence stays");
}

/// Clause 6: renewal never brings back what was lost.
pub async fn extend_without_the_lock_changes_nothing<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let late = request("printer", SHORT);
    assert_eq!(extend(&node, &late).await, Extension::Gone, "never held");
    grant(&node, &late).await;
    run_out(fixture).await;
    assert_eq!(extend(&node, &late).await, Extension::Gone, "run out");
    let holder = request("printer", LONG / 2);
    grant(&node, &holder).await;
    assert_eq!(extend(&node, &late).await, Extension::Stolen);
    assert!(left(&node, "printer").await <= LONG / 2, "extended");
    assert!(release(&node, &holder.held).await, "taken away");
    assert_eq!(extend(&node, &holder).await, Extension::Gone, "released");
    grant(&node, &request("printer", LONG)).await;
}

/// Clause 8.
pub async fn extend_answers_for_each_lease_in_order<F: NodeFixture>(fixture: &F) {
    let node = admitted(fixture).await;
    let (one, two) = (request("printer", SHORT), request("scanner", SHORT));
    grant(&node, &one).await;
    grant(&node, &two).await;
    fixture.put_foreign(&held("foreign").resource).await;
    let leases: Vec<(Held<Resource>, Ttl)> = [
        one.held.clone(),
        held("printer"),
        held("foreign"),
        held("plotter"),
        two.held.clone(),
    ]
    .into_iter()
    .map(|held| (held, ttl(LONG)))
    .collect();
    let answers = node.extend(&leases).await.expect("the node is there");
    let [first, stolen, foreign, gone, last] = answers[..] else {
        panic!("an answer for each: {answers:?}");
    };
    assert_eq!([first, last], [Extension::Extended; 2]);
    assert_eq!((stolen, gone), (Extension::Stolen, Extension::Gone));
    assert_ne!(foreign, Extension::Extended);
    assert!(left(&node, "scanner").await > SHORT);
    let none = node.extend(&[]).await.expect("the node is there");
    assert!(none.is_empty());
}

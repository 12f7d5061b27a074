//! The node in memory, beyond the suite of every node.

use std::{sync::Arc, time::Duration};

use session_lock::{
    Admission, Admitted, Held, LockNode as _, MemoryNode, NodeAnswer, NodeRequest, OwnerValue,
    Resource, Ttl,
};
use session_testkit::FakeClock;

const TTL: Duration = Duration::from_secs(10);

fn request(resource: &str) -> NodeRequest {
    NodeRequest {
        held: Held {
            resource: Resource::new(resource).unwrap(),
            owner: OwnerValue::random(),
        },
        ttl: Ttl::new(TTL).unwrap(),
        floor: 0,
        clock_floor: true,
    }
}

async fn admitted(clock: &FakeClock) -> MemoryNode {
    let node = MemoryNode::new("node", Arc::new(clock.clone()));
    let admission = Admission {
        first_use: true,
        longest_ttl: Ttl::new(TTL).unwrap(),
        floor: Some(0),
        wait: None,
    };
    assert_eq!(node.admit(&admission).await.unwrap(), Admitted::Yes);
    node
}

#[tokio::test]
async fn a_memory_node_forgets_what_has_run_out() {
    let clock = FakeClock::new();
    let node = admitted(&clock).await;
    for name in 0..10_000 {
        let request = request(&name.to_string());
        let answer = node.acquire(&request).await.unwrap();
        assert!(matches!(answer, NodeAnswer::Granted { .. }), "{answer:?}");
        assert!(node.release(&[request.held]).await.unwrap()[0]);
        clock.advance(Duration::from_secs(60));
    }
    // A day has 1,440 minutes.
    assert!(node.entries() < 3_000, "{}", node.entries());
}

#[tokio::test]
async fn a_memory_node_forgets_watches_that_were_dropped() {
    let node = admitted(&FakeClock::new()).await;
    for name in 0..1_000 {
        let resource = Resource::new(name.to_string()).unwrap();
        drop(node.watch(&resource).await);
    }
    assert!(node.entries() <= 1, "{}", node.entries());
}

//! Nodes on real servers, beyond the suite of every node.

use std::time::Duration;

use session_lock::{
    Admission, Admitted, Extension, FencingToken, Held, LockNode, NodeAnswer, NodeRequest,
    OwnerValue, RedisNode, Resource, Ttl,
};
use session_testkit::servers::RedisServer;

use crate::support::{TestResult, fresh_prefix};

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

async fn admit(node: &RedisNode) -> TestResult {
    let admission = Admission {
        first_use: true,
        longest_ttl: Ttl::new(TTL)?,
        floor: Some(0),
        wait: None,
    };
    assert_eq!(node.admit(&admission).await?, Admitted::Yes);
    Ok(())
}

#[tokio::test]
async fn the_life_of_a_lock() -> TestResult {
    let server = RedisServer::shared().await?;
    let node = RedisNode::builder()
        .prefix(fresh_prefix())
        .connect(&server.url())?;
    node.check().await?;
    admit(&node).await?;
    let request = request("printer");
    let mut watch = node.watch(&request.held.resource).await.ok_or("deaf")?;
    let NodeAnswer::Granted { fence } = node.acquire(&request).await? else {
        return Err("not granted".into());
    };
    assert!(node.raise(&request.held, FencingToken(fence + 5)).await?);
    let extended = node.extend(&[(request.held.clone(), request.ttl)]).await?;
    assert_eq!(extended, [Extension::Extended]);
    assert_eq!(node.highest_fence().await?, fence + 5);
    assert_eq!(node.release(&[request.held]).await?, [true]);
    watch.freed().await;
    Ok(())
}

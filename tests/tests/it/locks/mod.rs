//! Locks over several real servers: own processes, other libraries, and whatever can fail.

mod command; // the example `lock`
mod five_nodes; // two of five servers may fail
mod foreign; // libraries in Python
mod lost; // holders that are stopped or cut off
mod random_faults; // a minute of everything

use std::{sync::Arc, time::Duration};

use latchkey::lock::{LockNode, RedisNode, Redlock, RedlockBuilder};
use latchkey_tests::TestResult;
use tokio::time::{sleep, timeout};

/// A lock on these nodes, with settings to be chosen.
fn redlock(urls: &[String], key_prefix: &str) -> TestResult<RedlockBuilder> {
    let node = |url: &String| {
        let node = RedisNode::builder().lock_prefix(key_prefix).connect(url)?;
        Ok(Arc::new(node) as Arc<dyn LockNode>)
    };
    let nodes: TestResult<_> = urls.iter().map(node).collect();
    Ok(Redlock::builder(nodes?))
}

/// Waits until nothing is on its way but this many leases.
async fn settled(redlock: &Redlock, leases: usize) -> TestResult {
    let settled = async {
        while redlock.outstanding() > leases {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let late = |_| format!("{} leases and calls are out still", redlock.outstanding());
    Ok(timeout(PATIENCE, settled).await.map_err(late)?)
}

const PATIENCE: Duration = Duration::from_secs(30);

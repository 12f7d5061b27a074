use std::{sync::Arc, time::Duration};

use latchkey::lock::{LockNode, RedisNode, Redlock, RedlockLease};

use super::Locker;
use crate::Result;

/// Our locks, under the plain names.
#[derive(Clone, Debug)]
pub struct Latchkey(Redlock);

/// On a busy machine a benchmark shall be slow, not fail.
const PATIENCE: Duration = Duration::from_secs(10);

impl Latchkey {
    /// On the nodes at these addresses.
    ///
    /// # Errors
    /// An address or the TTL is unusable.
    pub fn new(urls: &[String], ttl: Duration) -> Result<Self> {
        let node = |url: &String| {
            let node = RedisNode::builder().raw_keys().call_timeout(PATIENCE);
            Ok(Arc::new(node.connect(url)?) as Arc<dyn LockNode>)
        };
        let nodes: Result<_> = urls.iter().map(node).collect();
        let redlock = Redlock::builder(nodes?).ttl(ttl).wait_timeout(PATIENCE);
        Ok(Self(redlock.build()?))
    }
}

impl Locker for Latchkey {
    type Lease = RedlockLease;

    async fn acquire(&self, name: &str) -> Result<RedlockLease> {
        Ok(self.0.acquire(name).await?)
    }

    async fn release(&self, lease: RedlockLease) -> Result<()> {
        Ok(lease.release().await?)
    }
}

//! Locks over several nodes, ours and those of others.

mod latchkey; // ours
mod load; // tasks that take a lock and give it back, over and over
mod nodes; // the servers

use std::future::Future;

use crate::Result;

pub use latchkey::Latchkey;
pub use load::LockLoad;
pub use nodes::Nodes;

/// A lock library, with its connections to some nodes.
pub trait Locker: Clone + Send + Sync + 'static {
    /// What proves a lock to be ours.
    type Lease: Send;

    /// Takes the lock of this name; waits while somebody else has it.
    fn acquire(&self, name: &str) -> impl Future<Output = Result<Self::Lease>> + Send;

    /// Gives it back, on all nodes.
    fn release(&self, lease: Self::Lease) -> impl Future<Output = Result<()>> + Send;
}

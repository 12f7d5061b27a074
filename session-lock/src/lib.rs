//! A distributed lock that tells the truth: held by whoever a quorum of independent servers grants it to, with a fencing
//! token that grows with each grant and a signal when it is lost. Also the parts that sessions lock with: leases, their
//! renewal, owner values and the clock.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use session_lock::{LockNode, MemoryNode, Redlock, RedlockLease, SystemClock};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In production: RedisNode::connect("redis://...")? for each of three or five servers.
//! let node = |name| Arc::new(MemoryNode::new(name, Arc::new(SystemClock))) as Arc<dyn LockNode>;
//! let lock = Redlock::builder(vec![node("a"), node("b"), node("c")]).build()?;
//!
//! // In a scope: given back at its end, also after an error or a panic.
//! let token = lock
//!     .with("invoice-17", async |lease: &RedlockLease| -> Result<u64, std::io::Error> {
//!         // Hand the token to whatever the lock protects; it refuses smaller ones.
//!         Ok(lease.fencing_token().0)
//!     })
//!     .await?;
//!
//! // As a value, for work that may have to stop half-way.
//! let lease = lock.acquire("invoice-17").await?;
//! assert!(lease.fencing_token().0 > token);
//! tokio::select! {
//!     cause = lease.lost() => println!("stop: {cause}"),
//!     () = tokio::time::sleep(Duration::from_millis(1)) => lease.release().await?,
//! }
//! # Ok(()) }
//! ```
//!
//! # Nouns
//! - A *lock* is a named exclusion; the name is a [`Resource`].
//! - A *lease* is the right to it for a limited time: [`RedlockLease`]. It is renewed while it lives, at most for the
//!   *longest hold*.
//! - *Validity* is the part of the *TTL* in which the holder may act: counted from before the request was sent, less an
//!   allowance for clock *drift*.
//! - A *node* is one server of its own: `RedisNode`, [`MemoryNode`] for tests, or your own [`LockNode`]. A *quorum* is
//!   more than half of them. One node gives a lock on one server; four bear the loss of one, as three do.
//! - A *fencing token* is a number that grows with each grant of a lock. Only what the lock protects can make use of it: it
//!   has to refuse a smaller one than it has seen. Checks for memory, Redis and SQL are in [`fence`].
//!
//! # Which call
//! | To | Use |
//! |---|---|
//! | do something under a lock | [`Redlock::with`] |
//! | hold it across functions or tasks | [`Redlock::acquire`], [`RedlockLease::release`] |
//! | do it only if nobody else does | [`Redlock::try_acquire`] |
//! | wait for another time than the wait timeout | [`Redlock::acquire_timeout`] |
//! | ask for a larger token, because a store is ahead | [`Redlock::acquire_with`] |
//! | hold several | [`Redlock::acquire_all`] |
//! | go on beyond the longest hold | [`RedlockLease::extend`] |
//! | stop when the lock is lost | [`RedlockLease::lost`] |
//! | refuse whoever comes too late | [`fence`] |
//!
//! # Guarantees
//! As long as nodes keep what they store for its TTL and clocks run at rates that differ by less than the drift:
//! - No two leases of one lock are valid at the same time. A grant that comes too late is never handed out as valid.
//! - Fencing tokens grow: a lease has a larger one than every lease that was handed out before it was asked for,
//!   whichever nodes granted them. A quorum of nodes stands at the token before it is handed out.
//! - Less than half of the nodes may fail, hang or be slow; nobody waits for them.
//! - [`lost`](RedlockLease::lost) resolves when validity ends, from a timer of this process, also while the network hangs.
//!   Renewal never brings back a lock that was lost.
//! - What was granted is given back on every node: also what is granted late, to callers that were cancelled, panicked
//!   or gave up. It is tried for the release timeout; after that the TTL frees it.
//! - A node that has lost its data does not count until the longest TTL has passed.
//! - Waiting is bounded: by the wait timeout and by the number of waiters. Inside of one process it is first come, first
//!   served.
//!
//! What they rest on, and what happens where that fails, is in [`guide::safety`]; why settings are as they are in
//! [`guide::defaults`].
//!
//! # Limits
//! - A lease tells what this process can know. One that is paused learns of a loss when it wakes, and what it does
//!   before it looks, nobody can stop but the store that checks the token.
//! - If all nodes lose their data at the same moment, a process that starts then takes them for new ones, unless it is
//!   told otherwise: [`FirstUse::AfterLongestTtl`].
//! - A node is one server. Behind a fail-over with asynchronous replication, a node can forget a lock without knowing.
//! - Without clock floor ([`RedlockBuilder::clock_floor`]), tokens begin anew after 24 hours without a grant. With it, they
//!   rely on clocks that are roughly right: to a day for that, to the longest TTL after a loss of data.
//! - Between processes, whoever asks first when the lock becomes free gets it, not whoever has waited longest.
//! - Locks are not reentrant: who acquires a lock that it holds waits for itself until the wait timeout.
//!
//! # Cancel safety
//! Every future may be dropped at any await. What it had asked for is given back in the background: by a task that runs
//! on the runtime of the first use, and anew on the next if that runtime ends. Dropping a lease neither blocks nor needs a
//! runtime.
//!
//! # Errors
//! One enum per operation: [`AcquireError`], [`ExtendError`], [`ReleaseError`], [`ConfigError`]. They name the nodes that
//! failed and say what was found there; `is_retryable` tells whether trying again can help.
//!
//! # Features
//! | Feature | Default | Brings |
//! |---|---|---|
//! | `redis` | yes | `RedisNode`: nodes on Redis or Valkey |
//! | `tls` | | `rediss://` |
//! | `deadpool` | | nodes on the connections of a `deadpool-redis` pool |
//!
//! # For lockers of your own
//! [`Keeper`] renews and gives back leases for whatever grants them ([`LeaseBackend`]); time comes from a [`Clock`], and its
//! arithmetic is in [`LeaseTerms`]. [`Tally`] counts what nodes answer, without any I/O.

mod admission; // nodes that are new or have lost their data
mod clock; // the only module that reads a clock
mod config; // settings and their ranges
mod error; // what can go wrong, by operation
mod fault; // what was found where a server failed
pub mod fence; // checks of fencing tokens, for what a lock protects
pub mod guide; // longer texts: defaults, safety
mod keeper; // the task that renews leases and gives them back
mod lease; // Lease, its loss signal and its causes
mod line; // who wants which lock in this process
#[cfg(feature = "redis")]
#[doc(hidden)]
pub mod link;
mod memory_node; // a node in this process
mod node; // what one server of a quorum must promise
mod nodes; // what all leases of a lock share
mod owner; // the random value that proves who holds a lock
mod quorum; // pure counting: answers of nodes in, outcome out
mod random; // random bytes of the operating system, in batches
mod reaper; // what goes on after a caller has its answer
#[cfg(feature = "redis")]
mod redis_node; // a node on a Redis server
mod redlock; // acquiring on a quorum of nodes: the loop
mod redlock_lease; // what is acquired: validity, extension, release
mod refusal; // what the answers mean to somebody who did not get the lock
mod releasing; // freeing on all nodes, with somebody who waits for it
mod renewing; // extending on a quorum of nodes
mod resource; // what is locked
mod restarts; // nodes that have started anew
mod retry; // pure: pauses between attempts
mod round; // one attempt: the request to all nodes, and what is done with their answers
mod validity; // pure arithmetic: TTL, drift, remaining validity, when to renew
mod waiting; // waiting for a lock that others hold
mod watch; // hearing that a lock is free

pub use clock::{Clock, Moment, SystemClock};
#[doc(hidden)]
pub use config::Dice;
pub use config::{FirstUse, RedlockBuilder};
pub use error::{
    AcquireError, ConfigError, ExtendError, ReleaseError, ShutdownTimedOut, WithError,
};
pub use fault::Fault;
pub use keeper::{Keeper, LeaseBackend, Pending, Renewal};
pub use lease::{Ender, FencingToken, Heir, Held, KeepAlive, Lease, LossCause};
pub use memory_node::MemoryNode;
pub use node::{Admission, Admitted, Extension, LockNode, NodeAnswer, NodeFault, NodeRequest};
pub use owner::OwnerValue;
pub use quorum::{Outcome, Tally, Vote, quorum_of};
pub use random::random_bytes;
#[cfg(feature = "redis")]
pub use redis_node::{RedisNode, RedisNodeBuilder};
pub use redlock::{AcquireOptions, Redlock};
pub use redlock_lease::RedlockLease;
pub use resource::{Resource, ResourceNameLength};
pub use validity::{Drift, InvalidDrift, LeaseTerms, Ttl, TtlOutOfRange};
pub use watch::{Watch, WatchSender};

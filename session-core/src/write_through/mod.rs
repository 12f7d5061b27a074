//! Writing through: every committed version of a session reaches its secondary interfaces.
//!
//! The primary notes each write in its [`Outbox`], in the step of the write. Whoever has written hands the change on behind
//! the request; whatever is not delivered so is found in the outbox, by any process, and read from the primary.

mod delivery; // one secondary, and the task that brings it up to date
mod memory; // a secondary in memory
mod outbox; // what a primary notes with each write
mod plan; // all secondaries of a service
mod policy; // how a secondary is written to, and what it may see
mod secondary; // what a secondary has to promise

pub use memory::MemorySecondary;
pub use outbox::{Backlog, Found, Outbox, OutboxEntry, PendingEntry};
pub use plan::{Delivery, DrainTimedOut, SecondaryReport, WriteThrough, secondary_names};
pub(crate) use plan::{Done, Named, Plan, in_order, written};
pub use policy::SecondaryPolicy;
pub use secondary::{Applied, Change, Row, SecondaryStore, Version};

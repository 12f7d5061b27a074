//! Leases for distributed locks: who holds a lock, for how long it is safe to act, and when it is lost.
//!
//! A *lock* is a named exclusion; a *lease* is the right to it for a limited time. This crate holds the part of
//! that theory that needs no server: time ([`Clock`], [`Moment`]), arithmetic ([`Ttl`], [`Drift`]), proof of
//! ownership ([`OwnerValue`]), and the [`Keeper`] that renews and gives back leases for whatever back end grants
//! them ([`LeaseBackend`]).
//!
//! # Guarantees
//! - A [`Lease`] counts its validity from *before* its request was sent, less the drift allowance.
//! - [`Lease::lost`] resolves from a timer of this process, also when the network hangs.
//! - A dropped lease is given back, also when it is dropped on a plain thread or while unwinding. If the task that
//!   gives leases back has ended with its runtime, the lease runs out with its TTL.
//! - Renewal never brings back a lease that was lost: that is a clause of [`LeaseBackend::renew`].
//!
//! # Limits
//! A lease tells what this process can know. A process that was paused learns of a loss when it wakes; whoever
//! writes to a shared store must let the store check the owner or a fencing token.

mod clock; // the only module that reads a clock
mod keeper;
mod lease; // Lease, its loss signal and its causes
mod owner; // the random value that proves who holds a lock
mod validity; // pure arithmetic: TTL, drift, remaining validity, when to renew // the task that renews leases and gives them back

pub use clock::{Clock, Moment, SystemClock};
pub use keeper::{Keeper, LeaseBackend, Pending, Renewal};
pub use lease::{FencingToken, Held, KeepAlive, Lease, LossCause};
pub use owner::OwnerValue;
pub use validity::{Drift, LeaseTerms, Ttl, TtlOutOfRange};

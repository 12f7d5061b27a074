//! The protocol of the lock over several nodes as a state machine, and checks that go through its states.
//!
//! Small enough to go through everything that can happen: every order of messages, every loss of one, every moment at
//! which a lock can run out. The counting is that of the lock itself ([`session_lock::Tally`]), and when a lock runs out
//! follows from its arithmetic ([`session_lock::LeaseTerms`]). The nodes, extension and admission are written here once
//! more, after the contract of [`session_lock::LockNode`]; that real nodes keep it is what their conformance suite shows.
//!
//! # What is modelled
//! - *Attempts*: clients begin them at any time, each under an owner value of its own, and end them at any time. What an
//!   attempt is given up for does not matter: a refusal, a timeout, a crash, or the end of its lease.
//! - *Messages*: a request arrives at any time after it was sent, in any order, also when its sender is long gone, or
//!   never; so do answers. Requests for a lock arrive once more as often as [`Rules::copies`] says, requests to raise or
//!   extend as often as they like. That something was refused is told only where the counting can tell it from silence.
//! - *Time* is not counted; only its order matters. The validity of a lease ends before the locks run out that were set for
//!   it, and a node that has lost its data waits until every validity has ended that was asked for before its wait. For the
//!   rest, clocks may say what they like. With [`Expiry::AnyTime`], locks run out at any step.
//! - *Release* is the same as running out once nobody acts under a lock, so one step stands for both.
//! - *Loss of data*: lock, fence and marker of a node are gone at any step, while messages to it are still on their way. Two
//!   ways to find its new floor: a clock that is ahead of all numbers which were given out before ([`Floor::Clock`]), and
//!   the other nodes ([`Floor::Others`]), whose fences are read in one step. A floor is good for the wait in which it was
//!   read.
//!
//! # What is not
//! First use, other locks on the same nodes, servers that start anew with older data than they had, fences that run out
//! after a day, numbers beyond 2^53. The deterministic simulation in `session-lock/tests` runs the code itself, with clocks.
//!
//! # Bounds
//! Three nodes, two clients, two or three attempts, of which any number is refused; an even number of nodes for two attempts;
//! five nodes, three clients and eight attempts by chance. What earlier attempts have left behind is covered by nodes that start
//! with every combination of small fences.

mod check; // going through the states
mod rules; // how far a check goes, and what is wrong in it
mod state; // everything at one moment
mod step; // what can happen, and what becomes of it
mod validity; // when locks run out, after the arithmetic of the lock
mod walk; // one way through the states, by chance

pub use check::{Promise, Report, Trace, counterexample, exhaustive, walk};
pub use rules::{Expiry, Floor, Rules, Sabotage};
pub use validity::Counted;

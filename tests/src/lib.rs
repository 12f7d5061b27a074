//! The harness of the whole-system tests: the examples and other programs as real processes on real servers, watched
//! from outside.
//!
//! Nothing here waits for a time to pass. What a test needs to know of a run it reads from the servers, or from what the
//! processes print.

// The example `counter`.
mod counter; // a run that is to be started
mod locks; // who holds what
mod progress; // who has committed lately
mod report; // what a run came to
mod run; // a run that is on
mod values; // reading many keys at once
mod worker; // one process of a run, and what can befall it

// Locks over several nodes.
mod chance; // chance that can be replayed
mod chaos; // faults at random
pub mod foreign;
mod hold; // when a process held a lock, and what must not be
mod holders; // processes that hold a lock over and over
mod lock_command; // the example `lock`
mod nodes; // the servers of a lock

mod binary; // the executables of the examples
mod place; // the target folder of these tests
mod stopped; // a process that is stopped in its tracks

pub use chance::Chance;
pub use chaos::{Chaos, Fault};
pub use counter::{Counter, Mode};
pub use hold::{Hold, Violation};
pub use holders::{Held, HolderOptions, Holders};
pub use lock_command::{LockCommand, LockProcess};
pub use locks::HeldLocks;
pub use nodes::Nodes;
pub use report::{Report, Summary};
pub use run::Run;
pub use stopped::Stopped;
pub use worker::Worker;

/// What tests return: every error is shown with its causes.
pub type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

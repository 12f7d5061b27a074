//! The harness of the whole-system tests: the examples and other programs as real processes on real servers, watched
//! from outside.
//!
//! Nothing here waits for a time to pass. What a test needs to know of a run it reads from the servers, or from what the
//! processes print.

// The example `counter`.
mod backing; // where its sessions stand
mod counter; // a run that is to be started
mod locks; // who holds what
mod progress; // who has committed lately
mod report; // what a run came to
mod run; // a run that is on
mod values; // reading many keys at once
mod worker; // one process of a run, and what can befall it

// Waiting for a session.
mod waiter; // one process that waits

// Writing through.
mod writer; // one process that writes

// Locks over several nodes.
mod chaos; // faults at random
pub mod foreign;
mod hold; // when a process held a lock, and what must not be
mod holders; // processes that hold a lock over and over
mod lock_command; // the example `lock`
mod nodes; // the servers of a lock

// The example `web`.
mod browser; // a real browser in front of it
mod replica; // one process of it
mod replicas; // the example of that name
mod shop; // several of them on one Redis
mod visitor; // a client that keeps its cookies

mod binary; // the executables of the examples
mod place; // the target folder of these tests

pub use backing::Backing;
pub use browser::{Browser, Screen};
pub use chaos::{Chaos, Fault};
pub use counter::{Counter, Mode};
pub use hold::{Hold, Violation};
pub use holders::{Held, HolderOptions, Holders};
pub use latchkey_chaos::{Chance, Stopped};
pub use lock_command::{LockCommand, LockProcess};
pub use locks::HeldLocks;
pub use nodes::Nodes;
pub use replica::Replica;
pub use replicas::replicas;
pub use report::{Report, Summary};
pub use run::Run;
pub use shop::Shop;
pub use visitor::{Answer, Visitor};
pub use waiter::Waiter;
pub use worker::Worker;
pub use writer::{Writer, primary, redis};

use latchkey_chaos::signal;

/// What tests return: every error is shown with its causes.
pub type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

//! The harness of the whole-system tests: the example `counter` as real processes on a real server, watched from
//! outside.
//!
//! Nothing here waits for a time to pass. What a test needs to know of a run it reads from the server: a commit leaves
//! in the record which process made it.

mod binary; // the counter's executable
mod counter; // a run that is to be started
mod locks; // who holds what
mod progress; // who has committed lately
mod report; // what a run came to
mod run; // a run that is on
mod values; // reading many keys at once
mod worker; // one process of a run, and what can befall it

pub use counter::{Counter, Mode};
pub use locks::HeldLocks;
pub use report::{Report, Summary};
pub use run::Run;
pub use worker::{Stopped, Worker};

/// What tests return: every error is shown with its causes.
pub type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

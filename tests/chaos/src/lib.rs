//! Faults against real processes and a real server, while they change sessions; and the check that nothing which was
//! acknowledged is lost and no promise is broken.
//!
//! Which faults, when, and what the clients want to do is decided by a seed. What the processes do meanwhile is not: a seed
//! that has found something is to be tried several times.

mod chance; // chance that can be replayed
mod stopped; // a process that is stopped in its tracks

// What is checked: no I/O, no clock.
mod check; // everything that is wrong with a history
mod history; // who has done and seen what
mod linear; // whether there is an order that explains it
mod model; // what a session may do
mod op; // one operation of a client

// What is recorded.
mod board; // how processes tell each other of sessions
mod client; // a client that writes down what it does
mod recorder; // where it does
mod workload; // one worker process

// A run.
mod crew; // the worker processes
mod fault; // what is to happen, as a seed has it
mod mirror; // primary and secondary, compared
mod report; // what came of it
mod run; // from the first server to the last check
mod service; // servers, and the way to them
mod timeline; // a picture of it
mod topology; // what sessions stand on
mod wall_clock; // a clock that can be set

#[cfg(test)]
mod histories; // made by hand, good and bad

pub use chance::Chance;
pub use check::{Broken, Violation, check};
pub use client::{Client, Held, Known};
pub use fault::{Fault, FaultKind, Schedule};
pub use history::History;
pub use mirror::{Numbers, numbers, records, shown};
pub use model::Terms;
pub use op::{Action, Hold, Life, Nanos, Op, Outcome, Seen, Told, Value};
pub use recorder::Recorder;
pub use report::{Beats, Happened, Operations, Report, Waits};
pub use run::{ChaosResult, Options, run};
pub use stopped::{Stopped, signal};
pub use topology::Topology;
pub use workload::{Settings, worker};

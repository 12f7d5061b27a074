//! The stores in memory against the conformance suites, and what only they can do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixtures; // stores in memory, on fake and on real time
mod suites; // every store against every suite that it claims

mod blocking; // sessions for threads without a runtime
mod compile_time; // futures and guards go where services need them
mod composed; // what protects a record when its locks are lost
mod counting; // uses of limits in memory
mod events; // what observers are told
mod id_hash; // names that only holders of a key can make
mod lifetimes; // lifetimes of single sessions
mod memory; // clean-up, bounds, clocks
mod redaction; // what is printed of users
mod sealing; // records sealed at rest

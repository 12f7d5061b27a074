//! The Redis store on real servers.

#![expect(clippy::future_not_send, reason = "each test runs on one thread")]

mod bad_input;
mod cached;
mod cluster;
mod cohort;
mod conformance;
mod delivery;
mod diagnosis;
mod expiry;
mod faulty_scripts;
mod flights;
mod full_server;
mod joined;
mod limits;
mod queue;
mod revocations;
mod sanic;
mod scripts;
mod sealing;
mod secondary;
mod secrets;
mod sentinel;
mod slot_migration;
mod sources;
mod support;
mod tls;
mod users;
mod vanished;

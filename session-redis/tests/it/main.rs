//! The Redis store on real servers.

#![expect(clippy::future_not_send, reason = "each test runs on one thread")]

mod bad_input;
mod conformance;
mod delivery;
mod faulty_scripts;
mod flights;
mod full_server;
mod scripts;
mod slot_migration;
mod sources;
mod support;
mod tls;
mod vanished;

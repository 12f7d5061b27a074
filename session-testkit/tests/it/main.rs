//! The fixtures themselves: each fault does what it says, on every kind of server.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, not by their crate"
)]

mod support;

mod cleanup;
mod cluster;
mod faults;
mod options;
mod postgres;
mod proxy;
mod selection;

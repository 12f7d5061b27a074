//! The fixtures themselves: each fault does what it says, on every kind of server.

mod support;

mod cleanup;
mod cluster;
mod faults;
mod options;
mod proxy;
mod selection;

//! Conformance suites, servers and faults for tests of stores.

#[cfg(feature = "servers")]
pub mod servers;

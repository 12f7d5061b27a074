//! Conformance suites, servers and faults for tests of stores.

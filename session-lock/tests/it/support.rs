//! What tests of nodes have in common.

use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A prefix that no other test uses.
pub(crate) fn fresh_prefix() -> String {
    static TESTS: AtomicU32 = AtomicU32::new(0);
    let number = TESTS.fetch_add(1, Ordering::Relaxed);
    format!("node{}-{number}", std::process::id())
}

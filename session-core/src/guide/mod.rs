//! Longer texts.

#[doc = include_str!("metrics.md")]
pub mod metrics {}

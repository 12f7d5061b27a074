//! Longer texts: why the defaults are what they are, and what the lock promises when something goes wrong.

#[doc = include_str!("defaults.md")]
pub mod defaults {}

#[doc = include_str!("safety.md")]
pub mod safety {}

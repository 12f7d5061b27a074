//! Cookies against the conformance suite of carried stores, and what only they can do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixtures; // cookies of every format on a fake clock
mod formats; // what is special to a format
mod keys; // keys as text, and never by accident
mod mutations; // arbitrary values, arbitrary damage
mod revocation; // sessions that were ended
mod suites; // every cookie against the suite

//! The examples as real processes on real servers: no update is lost and no lock is held twice, whatever fails.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults; // the example `counter`: while it runs, things break
mod locks; // locks over several servers
mod quiet; // the example `counter`: nothing breaks
mod sanic; // sessions shared with a service in Python

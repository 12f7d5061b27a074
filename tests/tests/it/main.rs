//! The example `counter` as real processes on real servers: no update is lost, whatever fails.

mod faults; // while it runs, things break
mod quiet; // nothing breaks

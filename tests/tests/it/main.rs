//! The examples as real processes on real servers: no update is lost and no lock is held twice, whatever fails.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser; // the example `web`, in a real browser
mod cookies; // sessions in cookies that Python reads and writes as well
mod faults; // the example `counter`: while it runs, things break
mod gino; // the session table of sanic-cookies
mod killed; // processes that are killed while they wait for a session
mod locks; // locks over several servers
mod piccolo; // the session table of piccolo_api
mod postgres; // sessions in PostgreSQL, under each locker
mod quiet; // the example `counter`: nothing breaks
mod sanic; // sessions shared with a service in Python
mod topologies; // the example `counter` on a cluster, and under sentinels
mod web; // the example `web`: a small shop on three replicas
mod write_through; // secondaries, while processes and servers are killed

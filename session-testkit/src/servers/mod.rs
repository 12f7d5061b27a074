//! Real Redis servers, and the faults that a test can inflict on them. Real PostgreSQL servers, which stop, crash and start
//! again.
//!
//! ```no_run
//! # async fn test() -> Result<(), session_testkit::servers::ServerError> {
//! use session_testkit::servers::RedisServer;
//!
//! let server = RedisServer::builder().durable().start().await?;
//! server.command(&["SET", "greeting", "hello"]).await?;
//! server.kill().await?; // SIGKILL
//! server.restart().await?; // same port, same data
//! # Ok(()) }
//! ```
//!
//! # Which server
//! [`ServerKind::selected`] decides: `LATCHKEY_TEST_SERVERS` (`containers`, `processes` or `url`)
//! forces a kind; otherwise containers where a Docker daemon answers, else private `redis-server`
//! processes, else the server at `LATCHKEY_TEST_REDIS_URL`. No usable server is an error that says
//! how to get one; nothing is skipped.
//!
//! Containers run the image named by `LATCHKEY_TEST_REDIS_IMAGE`, else a public Redis image, else,
//! where no registry can be reached, one built once from this machine's `redis-server`.
//!
//! | | containers | processes | url |
//! |---|---|---|---|
//! | private to the test | yes | yes | no: tests share its keys |
//! | settings, `durable`, `cluster`, `password` | yes | yes | no |
//! | unix socket | no | yes | no |
//! | kill, stop, restart, pause, fill | yes | yes | no |
//! | kill clients, flush scripts, [`Proxy`] | yes | yes | yes |
//!
//! What a kind cannot do is [`ServerError::Unsupported`]. PostgreSQL is always a private process ([`PostgresServer`]),
//! and so are the servers of a [`RedisService`].
//!
//! # Clean-up
//! Each server has a watchdog, a small shell whose standard input is a pipe held by the test
//! process. The pipe closes when the server is dropped and when the test process ends in whatever
//! way, `SIGKILL` included; the watchdog then removes the container, or the process and its files.

#![expect(
    clippy::disallowed_methods,
    reason = "waits for servers in real time; no store's clock is involved"
)]

mod error;
mod kind; // which kind of server the tests run on

mod builder; // options of a server, shared servers
mod endpoint; // address and credentials
mod faults; // what a test can do to a server
mod redis_server; // the server and questions to it

mod config; // redis.conf
mod container;
mod image; // the image that containers run
mod port; // ports that stay ours while their server is down
mod process;
mod watchdog; // clean-up at any end of the test process

mod cluster;
mod postgres; // a private PostgreSQL
mod proxy;
pub mod resp;
mod sentinel; // a master, its replicas and their sentinels

pub use builder::RedisServerBuilder;
pub use cluster::RedisCluster;
pub use error::ServerError;
pub use faults::Filled;
pub use kind::ServerKind;
pub use postgres::PostgresServer;
pub use proxy::{Flight, LinkFault, Proxy, Redirect, Request, Upstream};
pub use redis_server::RedisServer;
pub use sentinel::RedisService;

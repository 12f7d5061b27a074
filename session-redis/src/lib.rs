//! The primary session store on one Redis or Valkey, 6.2 or newer, or on a Redis Cluster.
//!
//! [`RedisStore`] keeps lock and record of a session in one slot, so that the server itself checks the lock in the
//! step of each write. Uncontended, a locked change takes two flights, a read one.
#![cfg_attr(
    feature = "sanic",
    doc = "\n[`SanicStore`] shares its sessions with Python services that use sanic-cookies."
)]

mod address; // what a URL names
mod builder; // settings, and the checks at connect
mod cached; // reads that are answered from this process
mod cluster; // which node has which slot
mod cohort; // guards of this process that follow each other under one lease
mod contended; // asking the server for a lock: the one way of all stores
mod delivery; // getting a write to the server, whatever happens
mod diagnosis; // what is the matter with the servers' set-up
mod expiry; // hearing of sessions that have run out
mod keys; // the only place that spells Redis keys
mod leases; // renewing and giving back
mod limits; // uses of limits
mod lines; // who waits in this process for which lock
mod outbox; // what waits for secondaries
mod revocations; // carried sessions that were ended
#[cfg(feature = "sanic")]
mod sanic; // sessions shared with Python services
#[cfg(test)]
mod schedules; // tests of lines and cohorts under thousands of schedules
mod scripts; // the only place that loads scripts; Lua stands in lua/
mod secondary; // Redis as a secondary interface
mod sentinel; // the master of a service, as its sentinels name it
mod server_time;
mod shards; // hearing of locks in a cluster
mod store; // RedisStore: one method for each request
mod sync; // what lines and cohorts are synchronised by
mod under_lease; // what calls under a lease come to
mod users; // sessions of users, and sessions that get another ID
mod waiters; // how this process hears that it is its turn
mod waiting; // waiting for a lock, until it is one's turn
mod walk; // going through all records
mod way; // to the server that has a session
mod write; // writes as they go over the wire

pub use builder::RedisStoreBuilder;
pub use cached::CacheStatistics;
pub use diagnosis::{Finding, Problem};
#[cfg(feature = "sanic")]
pub use sanic::{SanicStore, SanicStoreBuilder};
pub use secondary::RedisSecondary;
pub use store::RedisStore;

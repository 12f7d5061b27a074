//! The primary session store on one Redis or Valkey, 6.2 or newer.
//!
//! [`RedisStore`] keeps lock and record of a session in one slot, so that the server itself checks the lock in the
//! step of each write. Uncontended, a locked change takes two flights, a read one.
#![cfg_attr(
    feature = "sanic",
    doc = "\n[`SanicStore`] shares its sessions with Python services that use sanic-cookies."
)]

mod builder; // settings, and the checks at connect
mod cohort; // guards of this process that follow each other under one lease
mod delivery; // getting a write to the server, whatever happens
mod expiry; // hearing of sessions that have run out
mod keys; // the only place that spells Redis keys
mod leases; // renewing and giving back
mod lines; // who waits in this process for which lock
#[cfg(feature = "sanic")]
mod sanic; // sessions shared with Python services
mod scripts; // the only place that loads scripts; Lua stands in lua/
mod server_time;
mod store; // RedisStore: one method for each request
mod under_lease; // what calls under a lease come to
mod users; // sessions of users, and sessions that get another ID
mod waiters; // how this process hears that it is its turn
mod waiting; // waiting for a lock: the one way of all stores
mod write; // writes as they go over the wire

pub use builder::RedisStoreBuilder;
#[cfg(feature = "sanic")]
pub use sanic::{SanicStore, SanicStoreBuilder};
pub use store::RedisStore;

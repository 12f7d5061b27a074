//! The primary session store on one Redis or Valkey, 6.2 or newer.
//!
//! [`RedisStore`] keeps lock and record of a session in one slot, so that the server itself checks the lock in the
//! step of each write. Uncontended, a locked change takes two flights, a read one.

mod builder; // settings, and the checks at connect
mod delivery; // getting a write to the server, whatever happens
mod error; // what Redis and the network say, as errors of the core
mod keys; // the only place that spells Redis keys
mod leases; // renewing and giving back
mod link; // connections
mod scripts; // the only place that loads scripts; Lua stands in lua/
mod server_time;
mod store; // RedisStore: one method for each request
mod waiters; // waiting for a lock
mod write; // writes as they go over the wire

pub use builder::RedisStoreBuilder;
pub use store::RedisStore;

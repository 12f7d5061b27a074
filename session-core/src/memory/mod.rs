//! Sessions in the memory of this process: for one process, for tests, for a first try. No server.

mod composed; // MemoryRecords and MemoryLocker: the store taken apart
mod locks;
mod outbox; // what waits for secondaries
mod records;
mod store; // MemoryStore: lock and record in one
mod table; // what all of them share: shards, time, clean-up
mod users; // users, and what touches several sessions at once
mod waiting; // asking for a lock and waiting in line

pub use composed::{MemoryLocker, MemoryRecords};
pub use store::{MemoryStore, MemoryStoreBuilder};

//! Sessions that are locked while they are changed.
//!
//! This crate holds the nouns of Latchkey, the [`SessionGuard`], the traits that stores implement, and the store in
//! memory. It names no Redis, SQL or HTTP type.

#[cfg(feature = "blocking")]
pub mod blocking; // for threads without a runtime
mod composed; // a record store and a locker make a primary
mod data; // SessionData: values by key
mod error; // one enum per operation
mod guard; // the life of one change
mod held; // a task must not wait for itself
mod id; // SessionId (secret), SessionKey (what stores see), SessionHandle (public)
mod key; // typed keys
mod lifetime; // timeouts and settings
mod memory; // the store that needs no server
mod msgpack; // how values are encoded
mod record; // the stored form: header and body
mod sessions; // the way in
mod snapshot; // reading
mod store; // what a store must promise
mod unlocked;
mod update; // short changes without a lock // without any protection, for those who insist

pub use composed::Composed;
pub use data::{SessionData, ValueError};
pub use error::{
    AcquireError, CommitError, DestroyError, Error, Fault, ReadError, Result, StoreError, WithError,
};
pub use guard::{CommitReport, SessionGuard};
pub use id::{Bucket, InvalidSessionId, KeyFingerprint, SessionHandle, SessionId, SessionKey};
pub use key::{Key, KeyName, ReadKey, WriteKey};
pub use lifetime::{ConfigError, Remaining, Timeouts};
pub use memory::{MemoryLocker, MemoryRecords, MemoryStore, MemoryStoreBuilder};
pub use record::{
    ATTEMPT_LEN, Attempt, BadRecord, BodyFault, CommitId, Digest, FILLED_AT_CREATION, HEADER_MAX,
    Header, IDENTITY, RecordError, RecordKind, Revision, StoreTime, identity,
};
pub use session_lock::LossCause;
pub use sessions::{BoxedBody, LockBuilder, Sessions, SessionsBuilder, ShutdownTimedOut};
pub use snapshot::{ReadSession, Snapshot};
pub use store::{
    Capabilities, Committed, Creation, Granted, LoadLocked, LockRequest, Locker, PrimaryStore,
    Promise, RecordStore, Stored, TouchAfter, Write,
};
pub use unlocked::{Unlocked, UnlockedSession};

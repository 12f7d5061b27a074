//! Sessions that are locked while they are changed.
//!
//! This crate holds the nouns of Latchkey, the [`SessionGuard`], the traits that stores implement, and the store in
//! memory. It names no Redis, SQL or HTTP type.

mod bases; // what updates have written last
#[cfg(feature = "blocking")]
pub mod blocking; // for threads without a runtime
mod carried; // records that the client carries
mod codec; // how values are encoded
mod composed; // a record store and a locker make a primary
mod data; // SessionData: values by key
mod error; // one enum per operation
mod event; // what observers are told
mod former_ids; // the IDs that a session has had
mod guard; // the life of one change
pub mod guide; // longer texts
mod held; // a task must not wait for itself
mod id; // SessionId (secret), SessionKey (what stores see), SessionHandle (public)
mod json; // values as JSON
mod key; // typed keys
mod lifetime; // timeouts and settings
mod limit; // how often something may happen
mod line; // who wants which lock in this process
mod measure; // spans and metrics
mod memory; // the store that needs no server
mod msgpack; // values as MessagePack
mod recent; // records that a store keeps
mod record; // the stored form: header and body
mod redlock_locker; // locks of sessions over independent nodes
mod rotation; // a session that goes on under another ID
mod seal; // bodies as they rest in a store
mod sessions; // the way in
mod snapshot; // reading
mod store; // what a store must promise
mod unlocked; // without any protection, for those who insist
mod update; // short changes without a lock
mod user; // who a session belongs to
mod user_sessions; // all sessions of one user
mod write_through; // secondary interfaces

pub use carried::{
    CarriedSession, CarriedStore, CommitCarriedError, LoadCarriedError, MemoryRevocationList,
    RevocationList, Unusable,
};
pub use codec::Codec;
pub use composed::Composed;
pub use data::{SessionData, ValueError};
pub use error::{
    AcquireError, CommitError, DestroyError, Error, LoginError, ReadError, Result, StoreError,
    WithError,
};
pub use event::{Event, Observer};
pub use guard::{CommitReport, SessionGuard};
pub use id::{Bucket, InvalidSessionId, KeyFingerprint, SessionHandle, SessionId, SessionKey};
pub use key::{Key, KeyName, ReadKey, WriteKey};
pub use lifetime::{ConfigError, Remaining, Timeouts};
pub use limit::{Allowance, CountedName, Limit, MemoryUseCounter, UseCounter};
pub use line::{LineFull, Lines, Place};
pub use memory::{MemoryLocker, MemoryRecords, MemoryStore, MemoryStoreBuilder};
pub use recent::{Decoded, Recent};
pub use record::{
    ATTEMPT_LEN, Attempt, BadRecord, BodyFault, CommitId, Digest, FILLED_AT_CREATION, HEADER_MAX,
    Header, IDENTITY, RecordError, RecordKind, Revision, StoreTime, identity,
};
pub use redlock_locker::RedlockLocker;
pub use rotation::{Leaves, Pointer, Rotation};
pub use seal::SealingKeyId;
#[cfg(feature = "seal")]
pub use seal::{OpenedText, SealingCipher, SealingKey, SealingKeys};
pub use session_lock::{Clock, Fault, LossCause, Moment, SystemClock};
pub use sessions::{BoxedBody, LockBuilder, Sessions, SessionsBuilder, ShutdownTimedOut};
#[doc(hidden)]
pub use snapshot::read_record;
pub use snapshot::{ReadSession, Snapshot};
pub use store::{
    Capabilities, Committed, Creation, ExpiryNotice, Granted, LoadLocked, LockRequest, Locker,
    PrimaryStore, Promise, RecordStore, Stored, TouchAfter, Write,
};
pub use unlocked::{Unlocked, UnlockedSession};
pub use user::{
    CredentialTag, InvalidUserId, LabelsTooLong, Listed, Login, LoginTicket, Revocation,
    SessionLimit, Standing, UserEntry, UserId, UserKey, WhenFull,
};
pub use user_sessions::{ListedSession, UserSessions};
pub use write_through::{
    Applied, Backlog, Change, Delivery, DrainTimedOut, Found, MemorySecondary, Outbox, OutboxEntry,
    PendingEntry, Row, SecondaryPolicy, SecondaryReport, SecondaryStore, Version, WriteThrough,
    secondary_names,
};

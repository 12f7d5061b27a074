//! Distributed sessions with a lock per session: two requests that change one session never lose an update.

pub use session_core::{
    AcquireError, CommitError, CommitReport, ConfigError, DestroyError, Error, Fault, InvalidSessionId, Key, LockBuilder,
    MemoryStore, ReadError, ReadSession, Remaining, Result, SessionData, SessionGuard, SessionHandle, SessionId, Sessions,
    SessionsBuilder, Snapshot, StoreError, Timeouts, Unlocked, UnlockedSession, ValueError, WithError,
};
pub use session_core as core;
#[cfg(feature = "redis")]
pub use session_redis::RedisStore;

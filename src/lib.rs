//! Distributed sessions with a lock per session: two requests that change one session at the same time never lose an
//! update, whichever replicas they land on. It costs the two round trips that reading and writing cost without a lock.
//!
//! ```
//! use latchkey::{Key, MemoryStore, Sessions};
//!
//! const CART: Key<Vec<String>> = Key::new("cart");
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> latchkey::Result<()> {
//! let sessions = Sessions::new(MemoryStore::new());
//!
//! // The first visit: a new ID, stored by the first commit.
//! let (id, ()) = sessions
//!     .with_new(async |session| latchkey::Result::Ok(session.insert(CART, vec![])?))
//!     .await?;
//!
//! // A request: locked, loaded, changed, committed.
//! sessions
//!     .with(&id, async |session| -> latchkey::Result<()> {
//!         Ok(session.modify(CART, |cart| cart.push("tea".to_owned()))?)
//!     })
//!     .await?;
//!
//! // Reading takes no lock.
//! let cart = sessions.snapshot(&id).await?.and_then(|session| session.get(CART).transpose());
//! assert_eq!(cart.transpose()?, Some(vec!["tea".to_owned()]));
//! # Ok(()) }
//! ```
#![cfg_attr(
    feature = "redis",
    doc = r#"
On Redis or Valkey, for as many replicas as you like:

```no_run
# use latchkey::{RedisStore, Sessions};
# use std::time::Duration;
# async fn open() -> latchkey::Result<Sessions> {
let store = RedisStore::connect("redis://127.0.0.1:6379").await?;
let sessions = Sessions::builder(store)
    .wait_timeout(Duration::from_secs(2))
    .build()?;
# Ok(sessions) }
```"#
)]
//!
//! # Nouns
//! - [`Sessions`] is the way to all sessions of a service. Cheap to clone.
//! - A [`SessionId`] is the secret in the cookie. Stores see its hash; a [`SessionHandle`] is the name for logs and lists.
//! - A [`SessionGuard`] is one session, locked. It commits, or is dropped and changes nothing.
//! - A [`Snapshot`] is one session as it was when it was read.
//! - [`SessionData`] is what both hold: values by key, each encoded on its own. A [`Key`] ties a name to a type.
//! - A [`Codec`] is how values are written: MessagePack, or JSON for services in other languages.
//! - A *store* keeps sessions: [`MemoryStore`] in this process, `RedisStore` on a server (feature `redis`). For stores
//!   of your own, [`core::PrimaryStore`] says what they must promise. A cookie can carry a whole session instead, without
//!   any lock: `CarriedStore` (feature `cookie`).
//! - A *lease* is the right to a lock for a limited time, renewed while the guard lives.
//!
//! # Which call
//! | To | Use |
//! |---|---|
//! | change a session, awaiting other things meanwhile | [`Sessions::with`]; [`Sessions::lock`] where the guard has to move |
//! | change a session in one go, without awaiting | [`Sessions::update`] |
//! | read | [`Sessions::snapshot`] |
//! | begin a session | [`Sessions::with_new`], [`Sessions::create`] |
//! | end a session | [`Sessions::destroy`], [`SessionGuard::destroy`] |
//! | change several sessions | [`Sessions::lock_all`] |
//!
//! # Guarantees
//! - No update is lost: guards on one session are serialised, and a commit never overwrites a version that its guard
//!   has not seen.
//! - A late holder writes nothing; the store checks it in the step of the write.
//! - A commit is stored once. If its outcome cannot be found out, the error is [`CommitError::Unknown`].
//! - An ended session stays ended, whoever commits late.
//! - An ID that the store did not hand out names no session.
//! - Idle and absolute timeout are kept, by the store's clock.
//! - Waiting is bounded: by the wait timeout and by the number of waiters.
//! - Neither logs nor errors nor `Debug` show a session ID or contents.
//! - With keys (feature `seal`), values leave the process only sealed, and a seal that is broken is an error.
//!
//! Which of them a store keeps is told by its [`core::Capabilities`].
//!
//! # Limits
//! - A fail-over to a Redis replica forgets what the replica had not received, logouts included.
//! - A Redis that evicts keys loses sessions and locks; connecting to one is refused unless asked for by name.
//! - What a process does beside the store after its lease was lost, the store cannot stop: race such work against
//!   [`SessionGuard::lost`].
//! - Waiting is first come, first served inside of one process, not yet between processes.
//! - Two first requests without a cookie make two sessions.
//!
//! # Cancel safety
//! Every future may be dropped at any await. What it locked is given back in the background, or ends with its lease
//! (10 s). Only a commit, an update or a destroy that was cancelled after it was sent may have happened or not: load the
//! session again before acting on it.
//!
//! # Errors
//! One enum for each operation, and [`Error`] for `?`. `is_retryable` tells whether trying again can help without anybody
//! changing the set-up; [`StoreError::fault`] tells what was wrong with the server.
//!
//! # Features
//! | Feature | Default | What it adds |
//! |---|---|---|
//! | `redis` | yes | `RedisStore`: the primary store on one Redis or Valkey, 6.2 or newer |
//! | `lock` | | `lock`: locks of their own, for any resource, over one or several Redis or Valkey servers |
//! | `tls` | | `rediss://`, `postgres::Postgres::connect_tls` |
//! | `deadpool` | | `RedisStore::from_pool` for a `deadpool-redis` pool |
//! | `blocking` | | `blocking::Sessions`, for threads without an async runtime |
//! | `seal` | | `SealingKeys`: records sealed at rest; with `web`, IDs sealed or signed in the cookie |
//! | `cookie` | | `cookie`: sessions that travel in a cookie, encrypted (AEAD, Fernet) or signed (JWT) |
//! | `postgres` | | `postgres`: sessions in PostgreSQL, as primary or secondary; the tables that Python services with piccolo_api or sanic-cookies have there |
//! | `sanic` | | `SanicStore`: sessions shared with Python services that use sanic-cookies |
//! | `web` | | `web`: a tower layer and axum extractors for the session of a request |
//! | `metrics` | | every operation counted through the [`metrics`](https://docs.rs/metrics) facade: [`core::guide::metrics`] |
//! | `full` | | everything |

#[cfg(feature = "cookie")]
pub use session_cookie as cookie;
pub use session_core as core;
#[cfg(feature = "blocking")]
pub use session_core::blocking;
pub use session_core::{
    AcquireError, Applied, Backlog, Change, Codec, CommitError, CommitReport, ConfigError,
    Delivery, DestroyError, DrainTimedOut, Error, Event, Fault, InvalidSessionId, InvalidUserId,
    Key, LabelsTooLong, Limit, ListedSession, LockBuilder, Login, LoginError, LoginTicket,
    LossCause, MemorySecondary, MemoryStore, MemoryUseCounter, Observer, ReadError, ReadSession,
    Remaining, Result, Revocation, Row, SecondaryPolicy, SecondaryReport, SecondaryStore,
    SessionData, SessionGuard, SessionHandle, SessionId, Sessions, SessionsBuilder,
    ShutdownTimedOut, Snapshot, StoreError, StoreTime, Timeouts, Unlocked, UnlockedSession,
    UseCounter, UserId, UserSessions, ValueError, Version, WhenFull, WithError, WriteThrough,
};
#[cfg(feature = "cookie")]
pub use session_core::{
    CarriedSession, CarriedStore, CommitCarriedError, LoadCarriedError, MemoryRevocationList,
    RevocationList, Unusable,
};
#[cfg(feature = "seal")]
pub use session_core::{SealingCipher, SealingKey, SealingKeys};
#[cfg(feature = "lock")]
#[doc(alias = "redlock")]
pub use session_lock as lock;
#[cfg(feature = "postgres")]
pub use session_postgres as postgres;
#[cfg(feature = "redis")]
pub use session_redis::{
    CacheStatistics, Finding as RedisFinding, Problem as RedisProblem, RedisSecondary, RedisStore,
    RedisStoreBuilder,
};
#[cfg(feature = "sanic")]
pub use session_redis::{SanicStore, SanicStoreBuilder};
#[cfg(feature = "web")]
pub use session_web as web;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

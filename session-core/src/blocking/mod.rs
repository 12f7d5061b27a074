//! Sessions for threads without an async runtime.
//!
//! ```
//! # use session_core::{Error, MemoryStore, blocking};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sessions = blocking::Sessions::new(async || {
//!     Ok::<_, Error>(session_core::Sessions::new(MemoryStore::new()))
//! })?;
//! let (id, ()) = sessions.with_new(|session| Ok::<_, Error>(session.insert("visits", 1)?))?;
//! let visits = sessions.with(&id, |session| session.get::<u32>("visits"))?;
//! assert_eq!(visits, Some(1));
//! # Ok(()) }
//! ```

mod background; // the runtime that they have
mod user_sessions; // all sessions of one user

pub use background::Background;
pub use user_sessions::UserSessions;

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use self::background::refuse_inside_runtime;
use crate::{
    AcquireError, CommitError, CommitReport, DestroyError, InvalidUserId, LoginError, LoginTicket,
    ReadError, SessionData, SessionGuard, SessionId, ShutdownTimedOut, Snapshot, StoreError,
    UserId, WithError, held,
};

/// [`Sessions`](crate::Sessions) for threads without a runtime. Cheap to clone; clones share everything.
///
/// Owns a runtime with one worker, so that leases are renewed while the thread that holds them works. Every call
/// waits for its answer and is refused with [`InsideRuntime`] where waiting would block other tasks.
///
/// The worker ends with the last clone and guard. [`shutdown`](Self::shutdown) before that waits until dropped
/// guards are given back; without it their locks may stay until their leases run out.
#[derive(Clone)]
pub struct Sessions {
    sessions: crate::Sessions,
    runtime: Arc<Background>,
}

impl Sessions {
    /// Makes the sessions by running `connect` on a runtime of their own.
    ///
    /// # Errors
    /// [`StartError`]: inside of a runtime, when no thread can be started, or with the error of `connect`.
    pub fn new<E>(
        connect: impl AsyncFnOnce() -> Result<crate::Sessions, E>,
    ) -> Result<Self, StartError<E>> {
        let (runtime, sessions) = Background::start(connect)?;
        Ok(Self {
            sessions,
            runtime: Arc::new(runtime),
        })
    }

    /// A new session, stored by the first commit with values.
    ///
    /// # Errors
    /// [`InsideRuntime`].
    ///
    /// # Panics
    /// When the operating system gives no random bytes, which no safe program can go on from.
    pub fn create(&self) -> Result<Guard, InsideRuntime> {
        refuse_inside_runtime()?;
        Ok(self.guard(self.sessions.create()))
    }

    /// Runs `body` on a new session and commits it. As [`with_new`](crate::Sessions::with_new).
    ///
    /// # Errors
    /// [`WithError`], by the step that failed.
    pub fn with_new<T, E>(
        &self,
        body: impl FnOnce(&mut SessionGuard) -> Result<T, E>,
    ) -> Result<(SessionId, T), CallError<WithError<E>>> {
        self.create()?.run(body)
    }

    /// Locks a session, waiting for others as long as the sessions were set up to.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub fn lock(&self, id: &SessionId) -> Result<Guard, CallError<AcquireError>> {
        let guard = self.call(self.sessions.lock(id).into_future())?;
        Ok(self.guard(guard))
    }

    /// Locks a session, waiting for others for at most `wait`. Zero tries once.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub fn lock_within(
        &self,
        id: &SessionId,
        wait: Duration,
    ) -> Result<Guard, CallError<AcquireError>> {
        let guard = self.call(self.sessions.lock(id).wait_at_most(wait).into_future())?;
        Ok(self.guard(guard))
    }

    /// Locks a session, runs `body` on it, and commits if the body returns `Ok`. As
    /// [`with`](crate::Sessions::with).
    ///
    /// The body may take its time; the lease is renewed meanwhile. Inside of it, on the same thread, a second lock
    /// of the same session is [`AcquireError::AlreadyHeld`].
    ///
    /// # Errors
    /// [`WithError`], by the step that failed.
    pub fn with<T, E>(
        &self,
        id: &SessionId,
        body: impl FnOnce(&mut SessionGuard) -> Result<T, E>,
    ) -> Result<T, CallError<WithError<E>>> {
        let guard = self
            .lock(id)
            .map_err(|error| error.map(WithError::Acquire))?;
        let (_id, value) = guard.run(body)?;
        Ok(value)
    }

    /// Reads a session without locking it; `None` if there is none.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn snapshot(&self, id: &SessionId) -> Result<Option<Snapshot>, CallError<ReadError>> {
        self.call(self.sessions.snapshot(id))
    }

    /// Changes a session by a short function that may run more than once. As
    /// [`update`](crate::Sessions::update).
    ///
    /// # Errors
    /// [`WithError`], by the step that failed.
    pub fn update<T: Send, E: Send>(
        &self,
        id: &SessionId,
        change: impl FnMut(&mut SessionData) -> Result<T, E> + Send,
    ) -> Result<T, CallError<WithError<E>>> {
        self.call(self.sessions.update(id, change))
    }

    /// Ends a session, for everybody and at once.
    ///
    /// # Errors
    /// [`DestroyError`].
    #[doc(alias = "delete")]
    pub fn destroy(&self, id: &SessionId) -> Result<(), CallError<DestroyError>> {
        self.call(self.sessions.destroy(id))
    }

    /// Begins a login of that user, before the credentials are checked. As
    /// [`begin_login`](crate::Sessions::begin_login).
    ///
    /// # Errors
    /// [`LoginError::Disabled`], [`LoginError::InvalidUserId`], [`LoginError::Store`].
    pub fn begin_login<I>(&self, user: I) -> Result<LoginTicket, CallError<LoginError>>
    where
        I: TryInto<UserId>,
        InvalidUserId: From<I::Error>,
    {
        self.call(self.sessions.begin_login(user))
    }

    /// All sessions of a user: to list them and to end them.
    ///
    /// # Errors
    /// [`InvalidUserId`] when the ID is empty or too long.
    pub fn user<I>(&self, user: I) -> Result<UserSessions, InvalidUserId>
    where
        I: TryInto<UserId>,
        InvalidUserId: From<I::Error>,
    {
        Ok(UserSessions {
            sessions: self.sessions.user(user)?,
            runtime: Arc::clone(&self.runtime),
        })
    }

    /// Ends every session of every user, and anonymous ones too. As
    /// [`revoke_everything`](crate::Sessions::revoke_everything).
    ///
    /// # Errors
    /// [`StoreError`]; some sessions may live on. Doing it again is safe.
    pub fn revoke_everything(&self) -> Result<(), CallError<StoreError>> {
        self.call(self.sessions.revoke_everything())
    }

    /// Asks the store whether it can be used.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot.
    pub fn ping(&self) -> Result<(), CallError<StoreError>> {
        self.call(self.sessions.ping())
    }

    /// Grants no more locks, and waits until every guard is back, for at most `limit`.
    ///
    /// # Errors
    /// [`ShutdownTimedOut`].
    pub fn shutdown(&self, limit: Duration) -> Result<(), CallError<ShutdownTimedOut>> {
        self.call(self.sessions.shutdown(limit))
    }

    fn call<T, E>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, CallError<E>> {
        self.runtime.call(call)
    }

    fn guard(&self, guard: SessionGuard) -> Guard {
        Guard {
            guard,
            runtime: Arc::clone(&self.runtime),
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("sessions", &self.sessions)
            .finish_non_exhaustive()
    }
}

/// A [`SessionGuard`] for threads without a runtime. Dereferences to it, and by that to the session's values.
///
/// Dropping it discards its changes and never waits.
#[must_use = "dropping the guard discards its changes"]
pub struct Guard {
    guard: SessionGuard,
    /// Renews the lease, also if the [`Sessions`] are dropped first.
    runtime: Arc<Background>,
}

impl Guard {
    /// Writes the changes and gives the lease back, in one step. As [`SessionGuard::commit`].
    ///
    /// # Errors
    /// [`CommitError`].
    #[doc(alias = "save")]
    pub fn commit(self) -> Result<CommitReport, CallError<CommitError>> {
        self.runtime.call(self.guard.commit())
    }

    /// Gives the lease back without writing. As [`SessionGuard::discard`].
    ///
    /// # Errors
    /// [`CommitError`].
    #[doc(alias = "rollback")]
    pub fn discard(self) -> Result<(), CallError<CommitError>> {
        self.runtime.call(self.guard.discard())
    }

    /// The body runs outside of the runtime: it may make calls of its own.
    fn run<T, E>(
        mut self,
        body: impl FnOnce(&mut SessionGuard) -> Result<T, E>,
    ) -> Result<(SessionId, T), CallError<WithError<E>>> {
        let key = *self.id().key();
        let value = held::holding_here(key, || body(&mut self.guard))
            .map_err(|error| CallError::Failed(WithError::Body(error)))?;
        // A login in the body gives a new session another ID than it was made with.
        let id = self.id().clone();
        self.commit()
            .map_err(|error| error.map(WithError::Commit))?;
        Ok((id, value))
    }
}

impl Deref for Guard {
    type Target = SessionGuard;

    fn deref(&self) -> &SessionGuard {
        &self.guard
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut SessionGuard {
        &mut self.guard
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.guard, f)
    }
}

/// A blocking call was made inside of an async runtime, where it would stop other tasks. Nothing was done.
///
/// Use [`Sessions`](crate::Sessions) there. The threads of `spawn_blocking` count as inside too; there, run the async
/// call by the runtime's `Handle::block_on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a blocking call was made inside of an async runtime; use the async sessions there")]
#[non_exhaustive]
pub struct InsideRuntime;

/// A blocking call did not succeed.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a call is made and answered, or it is not made"
)]
pub enum CallError<E> {
    /// It was not made.
    #[error(transparent)]
    InsideRuntime(#[from] InsideRuntime),
    /// It failed, as the async one does.
    #[error(transparent)]
    Failed(E),
}

impl<E> CallError<E> {
    fn map<T>(self, map: impl FnOnce(E) -> T) -> CallError<T> {
        match self {
            Self::InsideRuntime(inside) => CallError::InsideRuntime(inside),
            Self::Failed(error) => CallError::Failed(map(error)),
        }
    }
}

/// The sessions could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError<E> {
    /// They were to be made inside of an async runtime.
    #[error(transparent)]
    InsideRuntime(#[from] InsideRuntime),
    /// The operating system gave no thread.
    #[error("could not start the thread that renews leases")]
    Runtime(#[source] std::io::Error),
    /// The store could not be connected.
    #[error("could not connect the sessions")]
    Connect(#[source] E),
}

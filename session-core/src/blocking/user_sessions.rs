use std::{fmt, sync::Arc};

use super::{Background, CallError};
use crate::{ListedSession, SessionHandle, StoreError};

/// [`UserSessions`](crate::UserSessions) for threads without a runtime, from [`Sessions::user`](super::Sessions::user).
#[derive(Clone)]
pub struct UserSessions {
    pub(super) sessions: crate::UserSessions,
    pub(super) runtime: Arc<Background>,
}

impl UserSessions {
    /// The live sessions, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn list(&self) -> Result<Vec<ListedSession>, CallError<StoreError>> {
        self.runtime.call(self.sessions.list())
    }

    /// Ends the session of that name; whether the user had it.
    ///
    /// # Errors
    /// [`StoreError`]; the session may live on. Doing it again is safe.
    pub fn revoke(&self, handle: SessionHandle) -> Result<bool, CallError<StoreError>> {
        self.runtime.call(self.sessions.revoke(handle))
    }

    /// Ends all sessions but the one of that name; how many.
    ///
    /// # Errors
    /// [`StoreError`]; some sessions may live on. Doing it again is safe.
    pub fn revoke_others(&self, keep: SessionHandle) -> Result<u64, CallError<StoreError>> {
        self.runtime.call(self.sessions.revoke_others(keep))
    }

    /// Ends all sessions, and every login that has begun; how many sessions.
    ///
    /// # Errors
    /// [`StoreError`]; some sessions may live on. Doing it again is safe.
    #[doc(alias = "logout_everywhere")]
    pub fn revoke_all(&self) -> Result<u64, CallError<StoreError>> {
        self.runtime.call(self.sessions.revoke_all())
    }

    /// Ends all sessions, and refuses every login until [`enable`](Self::enable); how many sessions.
    ///
    /// # Errors
    /// [`StoreError`]; some sessions may live on. Doing it again is safe.
    pub fn disable(&self) -> Result<u64, CallError<StoreError>> {
        self.runtime.call(self.sessions.disable())
    }

    /// Accepts logins again. Those that began before stay refused.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn enable(&self) -> Result<(), CallError<StoreError>> {
        self.runtime.call(self.sessions.enable())
    }
}

impl fmt::Debug for UserSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.sessions, f)
    }
}

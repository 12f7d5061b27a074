use std::{fmt, marker::PhantomData, sync::Arc};

use axum_core::extract::FromRequestParts;
use http::request;
use session_core::{SessionGuard, SessionId, Sessions, Snapshot};

use crate::{DefaultSession, Guard, SessionError, request::RequestSession};

/// The session of a request. Nothing is read or locked until it is asked for.
///
/// An axum extractor; elsewhere it is found in the extensions of the request. `K` tells several sessions of a service
/// apart: [`SessionLayer::kind`](crate::SessionLayer::kind). Cheap to clone; clones are the same session.
pub struct Session<K = DefaultSession> {
    request: Arc<RequestSession>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Session<K> {
    pub(crate) const fn new(request: Arc<RequestSession>) -> Self {
        Self {
            request,
            kind: PhantomData,
        }
    }

    /// Locks the session. If the request names none that lives, it is a new one, and stored only if values are written.
    ///
    /// # Errors
    /// [`SessionError::Session`] as for [`Sessions::lock`]: with
    /// [`AlreadyHeld`](session_core::AcquireError::AlreadyHeld) at once if this request holds it, and
    /// [`Rotated`](session_core::AcquireError::Rotated) if the request came with an ID that the session had before.
    /// [`SessionError::Ambiguous`], [`SessionError::AnswerSent`].
    ///
    /// # Cancel safety
    /// Cancelled, the lock is given back in case it was granted.
    pub async fn lock(&self) -> Result<Guard, SessionError> {
        self.request.lock_within(None).await
    }

    /// Locks the session, runs `body` on it, and commits if the body returns `Ok`. On `Err`, a panic, or cancellation before
    /// the commit is sent, nothing is changed.
    ///
    /// # Errors
    /// Those of [`lock`](Self::lock) and [`Guard::commit`], and what the body returns.
    ///
    /// # Cancel safety
    /// As [`Guard::commit`].
    pub async fn with<T, E>(
        &self,
        body: impl AsyncFnOnce(&mut SessionGuard) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<SessionError>,
    {
        let mut guard = self.lock().await?;
        let value = body(&mut guard).await?;
        guard.commit().await?;
        Ok(value)
    }

    /// Reads the session without locking it; `None` if the request names none that lives. Read once, and again after a
    /// commit of this request: asking twice costs nothing.
    ///
    /// # Errors
    /// [`SessionError::Session`] as for [`Sessions::snapshot`]; [`SessionError::Ambiguous`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn snapshot(&self) -> Result<Option<Snapshot>, SessionError> {
        self.request.read(false).await
    }

    /// As [`snapshot`](Self::snapshot), and never from a [cache](Sessions::latest) of the store: for decisions that must not
    /// rest on what was. Asking twice costs nothing.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn latest(&self) -> Result<Option<Snapshot>, SessionError> {
        self.request.read(true).await
    }

    /// The ID that the next access goes to, secret; `None` if the request names none. It need not name a session that lives.
    /// For what [`Sessions`] can do beside [`lock`](Self::lock) and [`snapshot`](Self::snapshot).
    pub fn id(&self) -> Option<SessionId> {
        self.request.id()
    }

    /// The store that the session is in.
    pub fn sessions(&self) -> &Sessions {
        self.request.sessions()
    }

    pub(crate) const fn request(&self) -> &Arc<RequestSession> {
        &self.request
    }
}

impl<K, S> FromRequestParts<S> for Session<K>
where
    K: 'static,
    S: Send + Sync,
{
    type Rejection = SessionError;

    async fn from_request_parts(
        parts: &mut request::Parts,
        _state: &S,
    ) -> Result<Self, SessionError> {
        let session = parts.extensions.get::<Self>().cloned();
        session.ok_or_else(SessionError::no_layer::<K>)
    }
}

impl<K> Clone for Session<K> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.request))
    }
}

impl<K> fmt::Debug for Session<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

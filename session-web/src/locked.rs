use std::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
    thread,
};

use axum_core::extract::FromRequestParts;
use http::request;
use session_core::SessionGuard;

use crate::{DefaultSession, Guard, Session, SessionError};

/// The session of a request, locked from before its handler runs until the answer is ready. Dereferences to
/// [`SessionGuard`].
///
/// An answer of 1xx, 2xx or 3xx commits it, before the first byte goes out; if the commit fails, the answer is the error.
/// An answer of 4xx or 5xx, a panic, and a client that disconnects discard its changes. If the request names no session
/// that lives, it is a new one, and stored only if values are written.
///
/// It is committed by the layer, also if it is dropped earlier; it is locked until then. If it outlives the handler, in a
/// task or in the body of the answer, the answer becomes a 500 and nothing is stored.
#[derive(Debug)]
pub struct Locked<K = DefaultSession> {
    // `None` only while it is dropped.
    guard: Option<Guard>,
    kind: PhantomData<fn() -> K>,
}

impl<K, S> FromRequestParts<S> for Locked<K>
where
    K: 'static,
    S: Send + Sync,
{
    type Rejection = SessionError;

    async fn from_request_parts(
        parts: &mut request::Parts,
        state: &S,
    ) -> Result<Self, SessionError> {
        let session = Session::<K>::from_request_parts(parts, state).await?;
        Ok(Self {
            guard: Some(session.lock().await?),
            kind: PhantomData,
        })
    }
}

impl<K> Drop for Locked<K> {
    fn drop(&mut self) {
        // Whoever catches the panic may still answer with success.
        if let Some(guard) = self.guard.take()
            && !thread::panicking()
        {
            guard.park();
        }
    }
}

impl<K> Deref for Locked<K> {
    type Target = SessionGuard;

    fn deref(&self) -> &SessionGuard {
        self.guard.as_ref().expect("it has its guard until dropped")
    }
}

impl<K> DerefMut for Locked<K> {
    fn deref_mut(&mut self) -> &mut SessionGuard {
        self.guard.as_mut().expect("it has its guard until dropped")
    }
}

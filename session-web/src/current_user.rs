use std::{fmt, marker::PhantomData, ops::Deref};

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request;
use serde::de::DeserializeOwned;

use crate::{DefaultSession, Session, SessionError};

/// The user who is logged in, as the login has stored it. Dereferences to it.
///
/// Refuses requests without one with 401; `Option<CurrentUser<U>>` takes them. Costs one read of the session, none if the
/// request has read it before. Where the store caches reads, that read may come from the cache: behind
/// [`LoginRequired`](crate::LoginRequired) it does not.
pub struct CurrentUser<U, K = DefaultSession> {
    user: U,
    kind: PhantomData<fn() -> K>,
}

impl<U, K> CurrentUser<U, K> {
    /// The user.
    pub fn into_inner(self) -> U {
        self.user
    }
}

impl<U, K> CurrentUser<U, K>
where
    U: DeserializeOwned,
    K: 'static,
{
    async fn of(session: &Session<K>) -> Result<Option<Self>, SessionError> {
        let Some(snapshot) = session.snapshot().await? else {
            return Ok(None);
        };
        Ok(snapshot.user()?.map(|user| Self {
            user,
            kind: PhantomData,
        }))
    }
}

impl<U, K, S> FromRequestParts<S> for CurrentUser<U, K>
where
    U: DeserializeOwned + Send,
    K: 'static,
    S: Send + Sync,
{
    type Rejection = SessionError;

    async fn from_request_parts(
        parts: &mut request::Parts,
        state: &S,
    ) -> Result<Self, SessionError> {
        let session = Session::<K>::from_request_parts(parts, state).await?;
        Self::of(&session).await?.ok_or(SessionError::NotLoggedIn)
    }
}

impl<U, K, S> OptionalFromRequestParts<S> for CurrentUser<U, K>
where
    U: DeserializeOwned + Send,
    K: 'static,
    S: Send + Sync,
{
    type Rejection = SessionError;

    async fn from_request_parts(
        parts: &mut request::Parts,
        state: &S,
    ) -> Result<Option<Self>, SessionError> {
        let session = <Session<K> as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Self::of(&session).await
    }
}

impl<U, K> Deref for CurrentUser<U, K> {
    type Target = U;

    fn deref(&self) -> &U {
        &self.user
    }
}

// Who is logged in is not for logs.
impl<U, K> fmt::Debug for CurrentUser<U, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurrentUser([redacted])")
    }
}

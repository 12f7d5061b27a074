use std::{any::type_name, error::Error as StdError, fmt::Write as _, sync::Arc, time::Duration};

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use session_core::{AcquireError, CommitError, LoginError, ReadError};

use crate::measure;

/// The session of a request could not be used.
///
/// As an answer it has a status and one sentence; the details are logged. To answer otherwise:
/// [`SessionLayer::on_error`](crate::SessionLayer::on_error).
///
/// | Status | When |
/// |---|---|
/// | 400 | the request names two sessions |
/// | 401 | nobody is logged in, or not recently enough; the session was ended or expired meanwhile, or its login was overtaken by a revocation |
/// | 403 | the user may not do this, or another site acts in the user's name |
/// | 409 | the lease was lost, somebody else changed the session, it has a new ID, or its user has too many |
/// | 413 | the session would be larger than allowed |
/// | 429, `Retry-After` | a limit is used up |
/// | 503, `Retry-After: 1` | others held the session for too long, the store failed or is shut down, or the outcome of a commit is unknown |
/// | 500 | everything else: mistakes in the service, damaged records |
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The session could not be locked, read, changed or committed.
    #[error(transparent)]
    Session(session_core::Error),
    /// The request names two different sessions, and it cannot be told which is meant.
    #[error("the request names two different sessions")]
    Ambiguous,
    /// No [`SessionLayer`](crate::SessionLayer) for this kind of session has seen the request.
    #[error("no session layer for {kind} is around this handler")]
    NoLayer {
        /// The marker type.
        kind: &'static str,
    },
    /// The session was still locked when the answer was ready. Its changes are not stored.
    #[error(
        "the session was still locked when the answer was ready; commit or drop its guard before"
    )]
    StillLocked,
    /// The answer is on its way, so the session cannot be changed any more. Nothing was changed.
    #[error("the answer to the request is on its way; its session can no longer be changed")]
    AnswerSent,
    /// Nobody is logged in.
    #[error("nobody is logged in")]
    NotLoggedIn,
    /// The user has to log in again for this.
    #[error("the login is not recent enough")]
    LoginTooOld,
    /// Another site acts in the name of the user.
    #[error("the request was caused by another site")]
    CrossSite,
    /// A limit is used up.
    #[error("too many requests; the window ends in {retry_after:?}")]
    TooMany {
        /// When to come again.
        retry_after: Duration,
    },
    /// The user may not do this.
    #[error("the user does not meet what is required")]
    Forbidden,
}

impl SessionError {
    pub(crate) fn no_layer<K>() -> Self {
        Self::NoLayer {
            kind: type_name::<K>(),
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Session(error) => status_of(error),
            Self::Ambiguous => StatusCode::BAD_REQUEST,
            Self::NotLoggedIn | Self::LoginTooOld => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NoLayer { .. } | Self::StillLocked | Self::AnswerSent => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// The usual answer: a sentence without details, not to be stored by caches.
    pub fn answer(&self) -> http::Response<String> {
        let status = self.status();
        let mut answer = http::Response::new(self.sentence().to_owned());
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, TEXT);
        headers.insert(header::CACHE_CONTROL, NO_STORE);
        match self {
            Self::TooMany { retry_after } => {
                headers.insert(header::RETRY_AFTER, seconds(*retry_after));
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        answer
    }

    fn sentence(&self) -> &'static str {
        match (self, self.status()) {
            (Self::Ambiguous, _) => "The request names two sessions.\n",
            (Self::NotLoggedIn, _) => "Please log in.\n",
            (Self::CrossSite, _) => "This request came from another site.\n",
            (Self::LoginTooOld, _) => "Please log in again.\n",
            (_, StatusCode::UNAUTHORIZED) => "The session is over.\n",
            (_, StatusCode::FORBIDDEN) => "You may not do this.\n",
            (_, StatusCode::CONFLICT) => "The session was changed meanwhile. Please try again.\n",
            (_, StatusCode::PAYLOAD_TOO_LARGE) => "The session has no room for this.\n",
            (_, StatusCode::TOO_MANY_REQUESTS) => "Too many requests. Please try again later.\n",
            (_, StatusCode::SERVICE_UNAVAILABLE) => "Please try again in a moment.\n",
            _ => "Something went wrong.\n",
        }
    }

    pub(crate) fn log(&self) {
        let status = self.status();
        measure::refusal(status);
        let chain = Chain(self).to_string();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(status = status.as_u16(), error = chain, "session failed");
        } else if matches!(self, Self::NotLoggedIn) {
            tracing::debug!(status = status.as_u16(), error = chain, "session refused");
        } else {
            tracing::warn!(status = status.as_u16(), error = chain, "session refused");
        }
    }
}

/// `Retry-After`: whole seconds, and none too few. Source: RFC 9110, section 10.2.3.
pub(crate) fn seconds(span: Duration) -> HeaderValue {
    let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    HeaderValue::from(seconds.max(1))
}

pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

fn status_of(error: &session_core::Error) -> StatusCode {
    use session_core::Error;
    match error {
        Error::Acquire(error) => status_of_acquire(error),
        Error::Read(ReadError::Store(_) | ReadError::ShutDown) | Error::Store(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::Commit(error) => status_of_commit(error),
        Error::Value(error) if error.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Destroy(session_core::DestroyError::Store(_)) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Login(LoginError::Store(_) | LoginError::ShutDown) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::Login(LoginError::Disabled) => StatusCode::UNAUTHORIZED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn status_of_acquire(error: &AcquireError) -> StatusCode {
    match error {
        AcquireError::Held { .. }
        | AcquireError::Busy { .. }
        | AcquireError::Store(_)
        | AcquireError::ShutDown => StatusCode::SERVICE_UNAVAILABLE,
        AcquireError::NoSession => StatusCode::UNAUTHORIZED,
        AcquireError::Rotated => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn status_of_commit(error: &CommitError) -> StatusCode {
    match error {
        CommitError::LeaseLost { .. }
        | CommitError::Conflict
        | CommitError::LockHeld
        | CommitError::Rotated
        | CommitError::TooManySessions { .. } => StatusCode::CONFLICT,
        CommitError::Destroyed
        | CommitError::Expired
        | CommitError::Superseded
        | CommitError::UserDisabled => StatusCode::UNAUTHORIZED,
        CommitError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        CommitError::Store(_) | CommitError::Unknown(_) | CommitError::ShutDown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

macro_rules! from_errors_of_the_core {
    ($($error:ident)+) => {$(
        impl From<session_core::$error> for SessionError {
            fn from(error: session_core::$error) -> Self {
                Self::Session(error.into())
            }
        }
    )+};
}

from_errors_of_the_core! {
    AcquireError CommitError DestroyError Error InvalidUserId LoginError ReadError StoreError ValueError
}

impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        self.log();
        let mut answer = self.answer().map(Body::from);
        answer.extensions_mut().insert(Failure(Arc::new(self)));
        answer
    }
}

/// The error that an answer was made from, for the layer.
#[derive(Clone)]
pub(crate) struct Failure(pub(crate) Arc<SessionError>);

/// An error with its causes, each once.
struct Chain<'a>(&'a SessionError);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut said = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.ends_with(&text) {
                write!(said, ": {text}")?;
            }
            cause = error.source();
        }
        f.write_str(&said)
    }
}

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Method, Request, StatusCode};
use tower_service::Service;

use crate::{DefaultSession, Session, SessionError, reply};

/// A logout that is ready to be routed to: `.route_service("/logout", LogoutHandler::new())`.
///
/// `POST` alone, because other sites can cause a `GET`; else 405. 401 if the request names no session. Pages
/// (`Accept: text/html`) get 303, others 200 `{"message":"logged out"}`; so does who names a session that has ended already.
pub struct LogoutHandler<K = DefaultSession> {
    redirect_to: Arc<str>,
    kind: PhantomData<fn() -> K>,
}

impl LogoutHandler {
    /// Pages go on to `/`.
    pub fn new() -> Self {
        Self {
            redirect_to: "/".into(),
            kind: PhantomData,
        }
    }
}

impl Default for LogoutHandler {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: 'static> LogoutHandler<K> {
    /// Where pages go on. Default: `/`.
    pub fn redirect_to(mut self, path: &str) -> Self {
        self.redirect_to = path.into();
        self
    }

    /// Logs out of the session of that kind.
    pub fn kind<Kind>(self) -> LogoutHandler<Kind> {
        LogoutHandler {
            redirect_to: self.redirect_to,
            kind: PhantomData,
        }
    }

    async fn answer(self, request: Request<Body>) -> Result<Response, SessionError> {
        if request.method() != Method::POST {
            return Ok(reply::not_allowed("POST"));
        }
        let is_page = reply::wants_page(request.headers());
        let session = request.extensions().get::<Session<K>>().cloned();
        let session = session.ok_or_else(SessionError::no_layer::<K>)?;
        if session.request().names_none() {
            return Err(SessionError::NotLoggedIn);
        }
        session.logout().await?;
        Ok(if is_page {
            reply::see_other(&self.redirect_to)
        } else {
            reply::message(StatusCode::OK, "logged out")
        })
    }
}

impl<K: 'static> Service<Request<Body>> for LogoutHandler<K> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let handler = self.clone();
        Box::pin(async move {
            let answered = handler.answer(request).await;
            Ok(answered.unwrap_or_else(IntoResponse::into_response))
        })
    }
}

impl<K> Clone for LogoutHandler<K> {
    fn clone(&self) -> Self {
        Self {
            redirect_to: Arc::clone(&self.redirect_to),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for LogoutHandler<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogoutHandler")
            .field("redirect_to", &self.redirect_to)
            .finish_non_exhaustive()
    }
}

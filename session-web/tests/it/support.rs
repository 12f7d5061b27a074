use std::net::IpAddr;

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, to_bytes},
    routing::{get, post},
};
use http::{HeaderMap, Method, Request, StatusCode, header, request};
use session_core::{
    Allowance, CountedName, Fault, Limit, MemoryStore, SessionId, Sessions, StoreError, UseCounter,
};
use session_web::{Locked, Session, SessionError, SessionLayer};
use tower::ServiceExt;

/// The name of the cookie, if nothing else is said.
pub(crate) const NAME: &str = "__Host-session";

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn all(&self, name: header::HeaderName) -> Vec<&str> {
        let values = self.headers.get_all(name).into_iter();
        values.map(|value| value.to_str().unwrap()).collect()
    }

    /// The one cookie that is set, with its attributes.
    pub(crate) fn cookie(&self) -> &str {
        let cookies = self.all(header::SET_COOKIE);
        assert_eq!(cookies.len(), 1, "{cookies:?}");
        cookies[0]
    }

    /// Name and value of the one cookie, as the browser sends it from then on.
    pub(crate) fn pair(&self) -> String {
        self.cookie().split(';').next().unwrap().to_owned()
    }

    pub(crate) fn sets_no_cookie(&self) -> bool {
        self.all(header::SET_COOKIE).is_empty()
    }
}

pub(crate) fn request(method: Method, path: &str) -> request::Builder {
    Request::builder().method(method).uri(path)
}

/// Where a request comes from.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// A counter whose store is away.
#[derive(Clone, Debug)]
pub(crate) struct Broken;

impl Broken {
    fn error() -> StoreError {
        StoreError::new("count", "the cellar", Fault::Unreachable)
    }
}

#[async_trait]
impl UseCounter for Broken {
    async fn take(&self, _: &CountedName, _: &Limit) -> Result<Allowance, StoreError> {
        Err(Self::error())
    }

    async fn give_back(&self, _: &CountedName, _: &Limit) -> Result<(), StoreError> {
        Err(Self::error())
    }

    async fn look(&self, _: &CountedName, _: &Limit) -> Result<Allowance, StoreError> {
        Err(Self::error())
    }

    async fn forget(&self, _: &CountedName) -> Result<(), StoreError> {
        Err(Self::error())
    }
}

pub(crate) async fn send(app: &Router, request: request::Builder) -> Answer {
    send_with(app, request, Body::empty()).await
}

pub(crate) async fn send_with(
    app: &Router,
    request: request::Builder,
    body: impl Into<Body>,
) -> Answer {
    let request = request.body(body.into()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

pub(crate) async fn get_it(app: &Router, path: &str, cookie: &str) -> Answer {
    send(app, with_cookie(request(Method::GET, path), cookie)).await
}

pub(crate) async fn post_it(app: &Router, path: &str, cookie: &str) -> Answer {
    send(app, with_cookie(request(Method::POST, path), cookie)).await
}

fn with_cookie(request: request::Builder, cookie: &str) -> request::Builder {
    if cookie.is_empty() {
        return request;
    }
    request.header(header::COOKIE, cookie)
}

pub(crate) fn in_memory() -> Sessions {
    Sessions::new(MemoryStore::new())
}

/// A stored session with `n` = 1.
pub(crate) async fn stored(sessions: &Sessions) -> SessionId {
    let made = sessions
        .with_new(async |session| session.insert("n", 1))
        .await;
    made.unwrap().0
}

pub(crate) fn cookie_of(id: &SessionId) -> String {
    format!("{NAME}={}", id.expose())
}

pub(crate) async fn n_of(sessions: &Sessions, id: &SessionId) -> Option<u32> {
    let snapshot = sessions.snapshot(id).await.unwrap()?;
    snapshot.get("n").unwrap()
}

/// Handlers that every service has, inside of that layer.
pub(crate) fn app(layer: SessionLayer) -> Router {
    handlers().layer(layer)
}

pub(crate) fn handlers() -> Router {
    Router::new()
        .route("/ignore", get(async || "ignored"))
        .route("/read", get(read))
        .route("/add", post(add))
        .route("/touch", post(async |_session: Locked| "touched"))
        .route("/logout", post(logout))
}

pub(crate) async fn read(session: Session) -> Result<String, SessionError> {
    let Some(snapshot) = session.snapshot().await? else {
        return Ok("none".to_owned());
    };
    Ok(format!("{:?}", snapshot.get::<u32>("n")?))
}

async fn add(mut session: Locked) -> Result<String, SessionError> {
    let n = session.get("n")?.unwrap_or(0) + 1;
    session.insert("n", n)?;
    Ok(n.to_string())
}

async fn logout(mut session: Locked) {
    session.logout();
}

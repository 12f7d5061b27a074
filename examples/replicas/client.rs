use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioExecutor};
use serde_json::{Value, json};
use shop::BoxError;

/// A browser with one cookie. Clones have the same.
#[derive(Clone)]
pub(crate) struct Client {
    http: hyper_util::client::legacy::Client<HttpConnector, Body>,
    shop: SocketAddr,
    cookie: Arc<Mutex<Option<HeaderValue>>>,
    /// The last one that was removed.
    former: Arc<Mutex<Option<HeaderValue>>>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Client {
    pub(crate) fn new(shop: SocketAddr) -> Self {
        Self {
            http: hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http(),
            shop,
            cookie: Arc::default(),
            former: Arc::default(),
        }
    }

    pub(crate) async fn log_in(&self) -> Result<(), BoxError> {
        let credentials = json!({ "username": "ada", "password": "lovelace" });
        self.fine(Method::POST, "/api/login", &credentials).await?;
        Ok(())
    }

    pub(crate) async fn log_out(&self) -> Result<(), BoxError> {
        self.fine(Method::POST, "/api/logout", &json!({})).await?;
        Ok(())
    }

    /// Whether that server lets the cookie in that was removed by the logout.
    pub(crate) async fn was_logged_in(&self, server: SocketAddr) -> Result<bool, BoxError> {
        let cookie = locked(&self.former).clone();
        let answer = self
            .send(server, cookie, Method::GET, "/api/me", &json!({}))
            .await?;
        Ok(answer.status != StatusCode::UNAUTHORIZED)
    }

    /// An answer that is no error.
    pub(crate) async fn fine(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Answer, BoxError> {
        let answer = self.ask(method, path, body).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(format!("{path}: {} {}", answer.status, answer.json).into())
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Answer, BoxError> {
        let cookie = locked(&self.cookie).clone();
        let answer = self.send(self.shop, cookie, method, path, body).await?;
        if let Some(set) = answer.headers.get(header::SET_COOKIE) {
            let text = set.to_str()?;
            let pair = text.split(';').next().unwrap_or_default();
            let new = if text.contains("Max-Age=0") {
                None
            } else {
                Some(HeaderValue::from_str(pair)?)
            };
            let old = std::mem::replace(&mut *locked(&self.cookie), new);
            *locked(&self.former) = old;
        }
        Ok(answer)
    }

    async fn send(
        &self,
        server: SocketAddr,
        cookie: Option<HeaderValue>,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Answer, BoxError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{server}{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))?;
        if let Some(cookie) = cookie {
            request.headers_mut().insert(header::COOKIE, cookie);
        }
        let (parts, body) = self.http.request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            json: serde_json::from_slice(&body).unwrap_or_default(),
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

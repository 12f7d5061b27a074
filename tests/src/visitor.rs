use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::time::timeout;

use crate::{Replica, TestResult};

/// A client that keeps its cookies, as a browser does. Clones have the same.
#[derive(Clone, Debug)]
pub struct Visitor {
    client: Client<HttpConnector, Full<Bytes>>,
    cookies: Arc<Mutex<BTreeMap<String, String>>>,
}

/// What a replica answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// Whether a cookie is set or removed.
    pub fn sets_cookie(&self) -> bool {
        self.headers.contains_key(header::SET_COOKIE)
    }
}

impl Default for Visitor {
    fn default() -> Self {
        Self::new()
    }
}

impl Visitor {
    /// One who has never been there.
    pub fn new() -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            cookies: Arc::default(),
        }
    }

    /// The header that sends all cookies back.
    pub fn cookie(&self) -> String {
        let cookies = self.cookies();
        let pairs = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Reads a path.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, replica: &Replica, path: &str) -> TestResult<Answer> {
        self.send(replica, Self::request(Method::GET, path), "")
            .await
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, replica: &Replica, path: &str, body: &Value) -> TestResult<Answer> {
        let request = Self::request(Method::POST, path);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        self.send(replica, request, &body.to_string()).await
    }

    /// Posts a form.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn submit(&self, replica: &Replica, path: &str, form: &str) -> TestResult<Answer> {
        let request = Self::request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "text/html");
        self.send(replica, request, form).await
    }

    /// A request to be completed and [sent](Self::send).
    pub fn request(method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(path)
    }

    /// Sends a request, with its own cookies if it has any, and keeps those that the answer sets.
    ///
    /// # Errors
    /// When there is no answer within two minutes.
    pub async fn send(
        &self,
        replica: &Replica,
        request: http::request::Builder,
        body: &str,
    ) -> TestResult<Answer> {
        let mut request = request.body(Full::from(body.to_owned()))?;
        let uri = format!("http://{}{}", replica.addr(), request.uri());
        *request.uri_mut() = uri.parse()?;
        let cookie = self.cookie();
        if !cookie.is_empty() && !request.headers().contains_key(header::COOKIE) {
            request
                .headers_mut()
                .insert(header::COOKIE, cookie.parse()?);
        }
        let answered = async {
            let answer = self.client.request(request).await?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            TestResult::Ok((parts, String::from_utf8_lossy(&body).into_owned()))
        };
        let answered = timeout(PATIENCE, answered).await;
        let (parts, text) = answered.map_err(|_late| format!("no answer for {PATIENCE:?}"))??;
        self.keep(&parts.headers)?;
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            text,
        })
    }

    fn keep(&self, headers: &HeaderMap) -> TestResult {
        for cookie in headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str()?;
            let pair = cookie.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').ok_or("a cookie without a name")?;
            if cookie.contains("Max-Age=0") {
                self.cookies().remove(name);
            } else {
                self.cookies().insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }

    fn cookies(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const PATIENCE: Duration = Duration::from_secs(120);

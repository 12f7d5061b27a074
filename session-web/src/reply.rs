//! The answers of the ready handlers. None is for caches.

use axum_core::{body::Body, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::error::NO_STORE;

pub(crate) fn text(status: StatusCode, text: &str) -> Response {
    reply(status, "text/plain; charset=utf-8", text.to_owned())
}

/// A page that nobody can put into a frame, and that runs and loads nothing.
pub(crate) fn page(status: StatusCode, html: String) -> Response {
    let mut page = reply(status, "text/html; charset=utf-8", html);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    add(&mut page, header::CONTENT_SECURITY_POLICY, policy);
    page
}

pub(crate) fn message(status: StatusCode, text: &str) -> Response {
    let json = serde_json::json!({ "message": text });
    reply(status, "application/json", json.to_string())
}

pub(crate) fn see_other(path: &str) -> Response {
    let mut answer = text(StatusCode::SEE_OTHER, "");
    add(&mut answer, header::LOCATION, path);
    answer
}

pub(crate) fn not_allowed(methods: &'static str) -> Response {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "");
    add(&mut answer, header::ALLOW, methods);
    answer
}

/// Whether whoever asks is a browser that shows the answer.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().any(|value| {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        text.contains("text/html")
    })
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    add(&mut answer, header::CONTENT_TYPE, kind);
    answer.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    answer
}

/// Paths that the service has chosen and that are no header are left out.
fn add(answer: &mut Response, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        answer.headers_mut().insert(name, value);
    }
}

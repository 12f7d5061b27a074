use axum::{Router, routing::any};
use http::{Method, StatusCode, header};
use session_web::{RefuseCrossSite, SessionLayer};

use crate::support::*;

fn service(refuse: RefuseCrossSite) -> Router {
    Router::new()
        .route("/", any(async || "passed"))
        .layer(refuse)
}

const SITE: &str = "sec-fetch-site";
const OURS: (&str, &str) = ("host", "example.org");

async fn passes(app: &Router, method: &str, headers: &[(&'static str, &'static str)]) -> bool {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = request(method, "/").header(OURS.0, OURS.1);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = send(app, request).await;
    if answer.status == StatusCode::OK {
        return true;
    }
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.text, "This request came from another site.\n");
    assert_eq!(answer.all(header::CACHE_CONTROL), ["no-store"]);
    false
}

#[tokio::test]
async fn other_sites_cannot_change_anything() {
    let app = service(RefuseCrossSite::new());
    let evil = ("origin", "https://evil.example");
    let cookie = ("cookie", "a=b");
    let table: [(&[(&str, &str)], bool); 21] = [
        (&[(SITE, "same-origin")], true),
        (&[(SITE, "same-origin"), evil], true),
        (&[(SITE, "none")], true),
        (&[(SITE, "same-site")], false),
        (&[(SITE, "cross-site")], false),
        (
            &[(SITE, "cross-site"), ("origin", "https://example.org")],
            false,
        ),
        (&[(SITE, "Same-Origin")], false),
        (&[(SITE, "")], false),
        (&[evil], false),
        (&[("origin", "null")], false),
        (&[("origin", "")], false),
        (&[("origin", "https://example.org")], true),
        (&[("origin", "https://EXAMPLE.org")], true),
        (&[("origin", "https://example.org:8443")], false),
        (&[("origin", "https://sub.example.org")], false),
        (&[("origin", "https://example.org.evil.example")], false),
        (&[], true),
        (&[cookie], true),
        (
            &[("authorization", "Bearer x"), (SITE, "cross-site"), evil],
            true,
        ),
        (
            &[("authorization", "bearer x"), (SITE, "cross-site"), cookie],
            false,
        ),
        (&[("authorization", "Basic x"), (SITE, "cross-site")], false),
    ];
    for (headers, expected) in table {
        for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
            assert_eq!(
                passes(&app, method, headers).await,
                expected,
                "{method} {headers:?}"
            );
        }
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert!(passes(&app, method, headers).await, "{method} {headers:?}");
        }
    }
}

#[tokio::test]
async fn origins_that_are_allowed_may() {
    let refuse = RefuseCrossSite::new()
        .allow(["https://app.example.org"])
        .unwrap()
        .allow(["https://shop.example:8443"])
        .unwrap();
    let app = service(refuse);
    for (origin, expected) in [
        ("https://app.example.org", true),
        ("https://shop.example:8443", true),
        ("http://app.example.org", false),
        ("https://app.example.org:8443", false),
        ("https://app.example.org.evil.example", false),
        ("https://shop.example", false),
    ] {
        let headers = [(SITE, "cross-site"), ("origin", origin)];
        assert_eq!(passes(&app, "POST", &headers).await, expected, "{origin}");
    }
}

#[test]
fn what_no_browser_sends_as_an_origin_is_refused() {
    for origin in [
        "",
        "null",
        "*",
        "example.org",
        "https://",
        "https://example.org/",
        "https://example.org/a",
        "https://user@example.org",
        "https://Example.org",
        "https://example.org:443",
        "http://example.org:80",
        "ftp://example.org",
    ] {
        assert!(RefuseCrossSite::new().allow([origin]).is_err(), "{origin}");
    }
    let taken = [
        "http://example.org:443",
        "http://localhost:3000",
        "https://[::1]:8443",
    ];
    assert!(RefuseCrossSite::new().allow(taken).is_ok());
}

#[tokio::test]
async fn the_session_layer_may_answer_the_refusal_otherwise() {
    let layer =
        SessionLayer::new(in_memory()).on_error(|_| http::Response::new("other".to_owned()));
    let app = service(RefuseCrossSite::new()).layer(layer);
    let post = request(Method::POST, "/").header(SITE, "cross-site");
    assert_eq!(send(&app, post).await.text, "other");
}

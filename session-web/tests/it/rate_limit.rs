use std::{sync::Arc, time::Duration};

use axum::{Router, routing::post};
use http::{Method, StatusCode, header};
use session_core::{Limit, MemoryUseCounter};
use session_testkit::FakeClock;
use session_web::{ClientAddress, RateLimit};

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

fn by_peer() -> ClientAddress {
    ClientAddress::new(|extensions| extensions.get().map(|peer: &Peer| peer.0))
}

fn limit() -> Limit {
    Limit::new(2, MINUTE).unwrap()
}

async fn ask(app: &Router, path: &str, from: &str) -> Answer {
    send(
        app,
        request(Method::POST, path).extension(Peer(from.parse().unwrap())),
    )
    .await
}

#[tokio::test]
async fn each_client_gets_through_so_many_times_in_a_window() {
    let clock = FakeClock::new();
    let counter = MemoryUseCounter::with_clock(Arc::new(clock.clone()));
    let limited = |name| RateLimit::new(name, limit(), counter.clone(), by_peer());
    let app = Router::new()
        .route("/a", post(async || "a").route_layer(limited("a")))
        .route(
            "/b",
            post(async || StatusCode::NOT_FOUND).route_layer(limited("b")),
        );
    for path in ["/a", "/b"] {
        for _ in 0..2 {
            let answer = ask(&app, path, "192.0.2.1").await;
            assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
        }
        let refused = ask(&app, path, "192.0.2.1").await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.all(header::RETRY_AFTER), ["60"]);
        assert_eq!(refused.all(header::CACHE_CONTROL), ["no-store"]);
        assert_ne!(
            ask(&app, path, "192.0.2.2").await.status,
            StatusCode::TOO_MANY_REQUESTS
        );
    }
    clock.advance(Duration::from_millis(30_500));
    let later = ask(&app, "/a", "192.0.2.1").await;
    assert_eq!(later.all(header::RETRY_AFTER), ["30"], "rounded up");
    clock.advance(MINUTE / 2);
    assert_eq!(ask(&app, "/a", "192.0.2.1").await.text, "a");
}

#[tokio::test]
async fn clients_without_an_address_count_as_one() {
    let layer = RateLimit::new("a", limit(), MemoryUseCounter::new(), by_peer());
    let app = Router::new().route("/", post(async || "a")).layer(layer);
    for _ in 0..2 {
        assert_eq!(post_it(&app, "/", "").await.text, "a");
    }
    let refused = post_it(&app, "/", "").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn without_its_counter_a_limit_is_open_or_closed_as_chosen() {
    let layer = RateLimit::new("a", limit(), Broken, by_peer());
    let open = Router::new()
        .route("/", post(async || "a"))
        .layer(layer.clone());
    for _ in 0..5 {
        assert_eq!(ask(&open, "/", "192.0.2.1").await.text, "a");
    }
    let closed = Router::new()
        .route("/", post(async || "a"))
        .layer(layer.fail_closed());
    let answer = ask(&closed, "/", "192.0.2.1").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.text.contains("cellar"));
}

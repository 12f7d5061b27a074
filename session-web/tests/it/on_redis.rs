//! What requests ask of a real server, counted at the wire.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::Router;
use http::{Method, StatusCode, header};
use session_core::{Limit, SealingKey, SealingKeys, SessionId, Sessions};
use session_redis::RedisStore;
use session_testkit::servers::{Proxy, RedisServer};
use session_web::{ClientAddress, SessionLayer, UnknownLimit};

use crate::support::*;

pub(crate) struct Wire {
    pub(crate) proxy: Proxy,
    store: RedisStore,
}

impl Wire {
    pub(crate) async fn tap() -> Self {
        static TESTS: AtomicU32 = AtomicU32::new(0);
        let (process, test) = (std::process::id(), TESTS.fetch_add(1, Ordering::Relaxed));
        let server = RedisServer::shared().await.unwrap();
        let proxy = Proxy::start(server).await.unwrap();
        let patience = Duration::from_secs(10);
        let store = RedisStore::builder()
            .prefix(format!("web{process}-{test}"))
            .call_timeout(patience)
            .resolve_timeout(patience)
            .connect(&proxy.url())
            .await
            .unwrap();
        Self { proxy, store }
    }

    pub(crate) fn layer(&self) -> SessionLayer {
        SessionLayer::new(Sessions::new(self.store.clone()))
    }

    /// The commands of each flight that `request` causes.
    async fn flights(&self, app: &Router, method: Method, path: &str, cookie: &str) -> Vec<String> {
        self.proxy.clear_log();
        let answer = send(app, request(method, path).header(header::COOKIE, cookie)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let flights = self.proxy.flights();
        flights
            .iter()
            .map(|flight| flight.names().join(" "))
            .collect()
    }
}

#[tokio::test]
async fn ignoring_a_session_takes_no_flight_reading_one_and_changing_two() {
    let wire = Wire::tap().await;
    let app = app(wire.layer());
    let first = post_it(&app, "/add", "").await;
    assert_eq!(first.text, "1");
    let cookie = first.pair();
    let none = Vec::<String>::new();
    assert_eq!(
        wire.flights(&app, Method::GET, "/ignore", &cookie).await,
        none
    );
    assert_eq!(
        wire.flights(&app, Method::GET, "/read", &cookie).await,
        ["PTTL GET"]
    );
    let changed = wire.flights(&app, Method::POST, "/add", &cookie).await;
    assert_eq!(changed, ["SET GET", "EVALSHA"]);
    let touched = wire.flights(&app, Method::POST, "/touch", &cookie).await;
    assert_eq!(touched, ["SET GET", "EVALSHA"]);
    // A first change, and requests without a session.
    assert_eq!(
        wire.flights(&app, Method::POST, "/add", "a=b").await,
        ["EVALSHA"]
    );
    assert_eq!(wire.flights(&app, Method::GET, "/read", "a=b").await, none);
    assert_eq!(
        wire.flights(&app, Method::POST, "/touch", "a=b").await,
        none
    );
}

#[tokio::test]
async fn what_is_badly_sealed_or_signed_takes_no_flight() {
    let wire = Wire::tap().await;
    let keys = || SealingKeys::new(&SealingKey::generate());
    for form in [SessionLayer::seal_ids, SessionLayer::sign_ids] {
        let other = app(form(wire.layer(), keys()).unwrap());
        let forged = post_it(&other, "/add", "").await.pair();
        let app = app(form(wire.layer(), keys()).unwrap());
        for cookie in [forged, cookie_of(&SessionId::random()), format!("{NAME}=x")] {
            for (method, path) in [(Method::GET, "/read"), (Method::POST, "/touch")] {
                let flights = wire.flights(&app, method, path, &cookie).await;
                assert_eq!(flights, Vec::<String>::new());
            }
        }
    }
}

#[tokio::test]
async fn whoever_guesses_causes_no_flight_beyond_the_limit() {
    let wire = Wire::tap().await;
    let limit = Limit::new(3, Duration::from_secs(600)).unwrap();
    let addresses = ClientAddress::new(|_| Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let limited = || UnknownLimit::new(wire.store.clone(), addresses.clone()).limit(limit);
    let app = app(wire.layer().limit_unknown(limited()));
    for _ in 0..3 {
        let guess = cookie_of(&SessionId::random());
        let flights = wire.flights(&app, Method::GET, "/read", &guess).await;
        assert_eq!(flights, ["PTTL GET", "EVALSHA"]);
    }
    let guess = || cookie_of(&SessionId::random());
    let refused = get_it(&app, "/read", &guess()).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    wire.proxy.clear_log();
    for _ in 0..5 {
        let refused = get_it(&app, "/read", &guess()).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(wire.proxy.flights().is_empty());
    // Another replica knows as much after one guess.
    let other = crate::support::app(wire.layer().limit_unknown(limited()));
    let refused = get_it(&other, "/read", &guess()).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
}

//! What requests ask of a real server, counted at the wire.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{Router, routing::get};
use http::{Method, StatusCode, header};
use session_core::{Limit, Login, SealingKey, SealingKeys, SessionId, Sessions};
use session_redis::{RedisStore, RedisStoreBuilder};
use session_testkit::servers::{Proxy, RedisServer};
use session_web::{
    ClientAddress, CurrentUser, LoginRequired, Session, SessionError, SessionLayer, UnknownLimit,
};

use crate::support::*;

pub(crate) struct Wire {
    pub(crate) proxy: Proxy,
    store: RedisStore,
}

impl Wire {
    pub(crate) async fn tap() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(settings: impl FnOnce(RedisStoreBuilder) -> RedisStoreBuilder) -> Self {
        static TESTS: AtomicU32 = AtomicU32::new(0);
        let (process, test) = (std::process::id(), TESTS.fetch_add(1, Ordering::Relaxed));
        let server = RedisServer::shared().await.unwrap();
        let proxy = Proxy::start(server).await.unwrap();
        let patience = Duration::from_secs(10);
        let store = settings(RedisStore::builder())
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

/// Logouts elsewhere count at once: a cache may lag.
#[tokio::test]
async fn whether_somebody_is_logged_in_is_never_from_the_cache_unless_told() {
    let wire = Wire::with(|store| store.cached_reads(Duration::from_secs(60))).await;
    let sessions = Sessions::new(wire.store.clone());
    let mut session = sessions.create();
    let login = Login::new("ada").unwrap();
    let id = session.login_with(login, &"ada").unwrap();
    session.commit().await.unwrap();
    let me = async |user: CurrentUser<String>| user.into_inner();
    let recent = async |session: Session| -> Result<&str, SessionError> {
        // From the cache, which does not make the decision.
        session.snapshot().await?;
        session
            .require_recent_login(Duration::from_secs(600))
            .await?;
        Ok("recent")
    };
    let service = |required: Option<LoginRequired>| {
        let routes = Router::new()
            .route("/me", get(me))
            .route("/recent", get(recent));
        let routes = match required {
            Some(required) => routes.layer(required),
            None => routes,
        };
        routes.layer(SessionLayer::new(sessions.clone()))
    };
    let (open, asks) = (service(None), service(Some(LoginRequired::new())));
    let told = service(Some(LoginRequired::new().accept_cached()));
    let reads = async |app: &Router, path: &str| {
        let flights = wire.flights(app, Method::GET, path, &cookie_of(&id)).await;
        let is_read = |flight: &&String| flight.contains("GET");
        flights.iter().filter(is_read).count()
    };
    // The server may tell of the write above a moment later.
    let warm = async { while reads(&told, "/me").await > 0 {} };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, warm).await.unwrap();
    assert_eq!(reads(&open, "/me").await, 0);
    assert_eq!(reads(&asks, "/me").await, 1, "the user is read once");
    assert_eq!(reads(&open, "/recent").await, 1);
    assert_eq!(reads(&told, "/me").await, 0);
}

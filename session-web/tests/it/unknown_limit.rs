use std::{sync::Arc, time::Duration};

use axum::Router;
use http::{Method, StatusCode, header};
use session_core::{
    Limit, MemoryStore, MemoryUseCounter, SealingKey, SealingKeys, SessionId, Sessions,
};
use session_testkit::{FakeClock, Stopping, Stops};
use session_web::{ClientAddress, CookiePolicy, SessionLayer, UnknownLimit};

use crate::support::*;

const HOME: &str = "192.0.2.1";
const AWAY: &str = "198.51.100.1";
const MINUTE: Duration = Duration::from_secs(60);

struct Service {
    app: Router,
    sessions: Sessions,
    clock: FakeClock,
    stops: Stops,
    counter: MemoryUseCounter,
}

/// A service that takes `uses` unknown IDs a minute.
fn service(uses: u32) -> Service {
    let clock = FakeClock::new();
    let counter = MemoryUseCounter::with_clock(Arc::new(clock.clone()));
    let stops = Stops::nowhere();
    let sessions = Sessions::new(Stopping::new(MemoryStore::new(), stops.clone()));
    let app = replica(&sessions, &counter, &clock, uses);
    Service {
        app,
        sessions,
        clock,
        stops,
        counter,
    }
}

fn replica(
    sessions: &Sessions,
    counter: &MemoryUseCounter,
    clock: &FakeClock,
    uses: u32,
) -> Router {
    let addresses = ClientAddress::new(|extensions| extensions.get().map(|peer: &Peer| peer.0));
    let limit = UnknownLimit::new(counter.clone(), addresses)
        .limit(Limit::new(uses, MINUTE).unwrap())
        .clock(clock.clone());
    app(SessionLayer::new(sessions.clone()).limit_unknown(limit))
}

async fn read(app: &Router, from: &str, cookie: &str) -> Answer {
    let request = request(Method::GET, "/read")
        .header(header::COOKIE, cookie)
        .extension(Peer(from.parse().unwrap()));
    send(app, request).await
}

fn changed(value: &str) -> String {
    let mut bytes = value.to_owned().into_bytes();
    let at = bytes.len() / 2;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

fn unknown() -> String {
    cookie_of(&SessionId::random())
}

#[tokio::test]
async fn whoever_guesses_is_refused_without_asking_any_store() {
    let service = service(10);
    let id = stored(&service.sessions).await;
    for guess in 0..10 {
        let cookie = if guess % 2 == 0 {
            unknown()
        } else {
            format!("{NAME}=guess{guess}")
        };
        let answer = read(&service.app, HOME, &cookie).await;
        assert_eq!((answer.status, &*answer.text), (StatusCode::OK, "none"));
    }
    let refused = read(&service.app, HOME, &unknown()).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.all(header::RETRY_AFTER), ["60"]);
    assert!(refused.sets_no_cookie());
    let asked = service.stops.passed();
    for cookie in [unknown(), format!("{NAME}=x"), cookie_of(&id)] {
        let refused = read(&service.app, HOME, &cookie).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(service.stops.passed(), asked);
    // Who names no session, or does not use it, and who comes from elsewhere, is not concerned.
    assert_eq!(read(&service.app, HOME, "theme=dark").await.text, "none");
    let ignored = request(Method::GET, "/ignore")
        .header(header::COOKIE, unknown())
        .extension(Peer(HOME.parse().unwrap()));
    assert_eq!(send(&service.app, ignored).await.status, StatusCode::OK);
    assert_eq!(
        read(&service.app, AWAY, &cookie_of(&id)).await.text,
        "Some(1)"
    );
    service.clock.advance(MINUTE);
    assert_eq!(
        read(&service.app, HOME, &cookie_of(&id)).await.text,
        "Some(1)"
    );
}

#[tokio::test]
async fn what_is_badly_sealed_or_signed_counts_before_any_store_is_asked() {
    for form in [SessionLayer::seal_ids, SessionLayer::sign_ids] {
        let service = service(3);
        let (retired, keys) = (SealingKey::generate(), SealingKey::generate());
        let layer = || SessionLayer::new(service.sessions.clone());
        let made = async |layer: SessionLayer, keys: SealingKeys| {
            let app = app(form(layer, keys).unwrap());
            let pair = post_it(&app, "/add", "").await.pair();
            pair.split_once('=').unwrap().1.to_owned()
        };
        let good = made(layer(), SealingKeys::new(&keys)).await;
        let other = layer().cookie(CookiePolicy::named("other")).unwrap();
        let bad = [
            made(layer(), SealingKeys::new(&retired)).await,
            made(other, SealingKeys::new(&keys)).await,
            changed(&good),
        ];
        let addresses = ClientAddress::new(|extensions| extensions.get().map(|peer: &Peer| peer.0));
        let limit = UnknownLimit::new(service.counter.clone(), addresses)
            .limit(Limit::new(3, MINUTE).unwrap())
            .clock(service.clock.clone());
        let app = app(form(layer().limit_unknown(limit), SealingKeys::new(&keys)).unwrap());
        let asked = service.stops.passed();
        for value in bad {
            let answer = read(&app, HOME, &format!("{NAME}={value}")).await;
            assert_eq!((answer.status, &*answer.text), (StatusCode::OK, "none"));
        }
        let refused = read(&app, HOME, &format!("{NAME}=x")).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.all(header::RETRY_AFTER), ["60"]);
        assert_eq!(service.stops.passed(), asked);
        let good = read(&app, AWAY, &format!("{NAME}={good}")).await;
        assert_eq!(good.text, "Some(1)");
    }
}

#[tokio::test]
async fn the_same_old_cookie_again_and_again_is_one_guess() {
    let service = service(2);
    for old in [unknown(), format!("{NAME}=of-another-service")] {
        for _ in 0..50 {
            assert_eq!(read(&service.app, HOME, &old).await.text, "none");
        }
        service.clock.advance(MINUTE);
    }
}

#[tokio::test]
async fn the_usual_limit_is_a_hundred_a_minute() {
    let addresses = ClientAddress::new(|extensions| extensions.get().map(|peer: &Peer| peer.0));
    let limit = UnknownLimit::new(MemoryUseCounter::new(), addresses).clock(FakeClock::new());
    let app = app(SessionLayer::new(in_memory()).limit_unknown(limit));
    for _ in 0..100 {
        assert_eq!(read(&app, HOME, &unknown()).await.text, "none");
    }
    let refused = read(&app, HOME, &unknown()).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn locking_counts_as_reading_does() {
    let service = service(1);
    let add = async |cookie: String| {
        let add = request(Method::POST, "/add")
            .header(header::COOKIE, cookie)
            .extension(Peer(HOME.parse().unwrap()));
        send(&service.app, add).await.status
    };
    assert_eq!(add(unknown()).await, StatusCode::OK);
    assert_eq!(
        add(format!("{NAME}=x")).await,
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[tokio::test]
async fn replicas_count_together() {
    let service = service(4);
    let other = replica(&service.sessions, &service.counter, &service.clock, 4);
    for app in [&service.app, &other, &service.app, &other] {
        assert_eq!(read(app, HOME, &unknown()).await.text, "none");
    }
    for app in [&service.app, &other] {
        let refused = read(app, HOME, &unknown()).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    }
}

#[tokio::test]
async fn sessions_that_live_count_nothing() {
    let service = service(1);
    let id = stored(&service.sessions).await;
    for _ in 0..10 {
        assert_eq!(
            read(&service.app, HOME, &cookie_of(&id)).await.text,
            "Some(1)"
        );
    }
    assert!(service.counter.is_empty());
}

#[tokio::test]
async fn when_nothing_can_be_counted_nobody_is_refused() {
    let addresses = ClientAddress::new(|_| None);
    let limit = UnknownLimit::new(Broken, addresses).limit(Limit::new(1, MINUTE).unwrap());
    let app = app(SessionLayer::new(in_memory()).limit_unknown(limit));
    for _ in 0..5 {
        assert_eq!(read(&app, HOME, &unknown()).await.text, "none");
    }
}

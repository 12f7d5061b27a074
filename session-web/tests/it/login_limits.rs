use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get};
use http::{Method, Request, StatusCode, header};
use session_core::{Limit, MemoryUseCounter};
use session_testkit::FakeClock;
use session_web::{
    ClientAddress, Credentials, CurrentUser, LoginHandler, LoginLimits, RateLimit, SessionLayer,
    UnknownLimit,
};
use tokio::sync::Barrier;

use crate::support::*;

/// Everybody has the password `lovelace`, if the name is known.
#[derive(Clone)]
pub(crate) struct Users {
    pub(crate) together: Option<Arc<Barrier>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the table of users is away")]
pub(crate) struct Down;

impl Credentials for Users {
    type User = String;
    type Error = Down;

    async fn check(&self, username: &str, password: &str) -> Result<Option<String>, Down> {
        if let Some(together) = &self.together {
            together.wait().await;
        }
        if password == "down" {
            return Err(Down);
        }
        let is_right = username != "nobody" && password == "lovelace";
        Ok(is_right.then(|| username.to_owned()))
    }
}

fn by_peer() -> ClientAddress {
    ClientAddress::new(|extensions| extensions.get().map(|peer: &Peer| peer.0))
}

fn service_with(users: Users, limits: LoginLimits) -> Router {
    Router::new()
        .route_service("/login", LoginHandler::new(users).limits(limits))
        .route(
            "/me",
            get(async |user: CurrentUser<String>| user.into_inner()),
        )
        .layer(SessionLayer::new(in_memory()))
}

fn service() -> (Router, FakeClock) {
    let clock = FakeClock::new();
    let counter = MemoryUseCounter::with_clock(Arc::new(clock.clone()));
    let users = Users { together: None };
    (
        service_with(users, LoginLimits::new(counter, by_peer())),
        clock,
    )
}

async fn log_in(app: &Router, from: &str, name: &str, password: &str) -> Answer {
    let request = Request::post("/login")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .extension(Peer(from.parse().unwrap()));
    send_with(app, request, format!("username={name}&password={password}")).await
}

const HOME: &str = "192.0.2.1";
const AWAY: &str = "198.51.100.1";
const MINUTE: Duration = Duration::from_secs(60);

async fn fail(app: &Router, times: u32, from: &str, name: &str) {
    for _ in 0..times {
        let answer = log_in(app, from, name, "wrong").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
    }
}

#[tokio::test]
async fn after_five_failures_an_account_waits_from_wherever_it_is_tried() {
    let (app, clock) = service();
    fail(&app, 3, HOME, "ada").await;
    fail(&app, 2, AWAY, "ada").await;
    for (from, password) in [
        (HOME, "wrong"),
        (AWAY, "lovelace"),
        ("203.0.113.5", "lovelace"),
    ] {
        let refused = log_in(&app, from, "ada", password).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.all(header::RETRY_AFTER), ["900"]);
        assert_eq!(refused.all(header::CACHE_CONTROL), ["no-store"]);
        assert!(refused.sets_no_cookie());
        assert!(refused.text.contains("role=\"alert\""));
    }
    // Others from there may.
    let grace = log_in(&app, HOME, "grace", "lovelace").await;
    assert_eq!(grace.status, StatusCode::SEE_OTHER);
    clock.advance(15 * MINUTE);
    let ada = log_in(&app, HOME, "ada", "lovelace").await;
    assert_eq!(ada.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn the_wait_grows_up_to_an_hour() {
    let (app, clock) = service();
    for (minutes, retry_after) in [(15, "900"), (30, "1800"), (60, "3600"), (60, "3600")] {
        fail(&app, 5, HOME, "ada").await;
        let refused = log_in(&app, AWAY, "ada", "lovelace").await;
        assert_eq!(refused.all(header::RETRY_AFTER), [retry_after]);
        clock.advance(minutes * MINUTE);
    }
}

#[tokio::test]
async fn an_unknown_name_is_limited_like_a_known_one() {
    let (app, _clock) = service();
    let mut answers = Vec::new();
    for name in ["ada", "nobody"] {
        fail(&app, 5, HOME, name).await;
        let refused = log_in(&app, AWAY, name, "lovelace").await;
        let retry_after = refused.all(header::RETRY_AFTER).join(",");
        answers.push((refused.status, retry_after, refused.text));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn spellings_of_a_name_are_one_account() {
    let (app, _clock) = service();
    for name in ["ada", "ADA", "+ada", "Ada+", "adA"] {
        fail(&app, 1, HOME, name).await;
    }
    let refused = log_in(&app, HOME, "ada", "lovelace").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn after_twenty_failures_an_address_waits_whatever_account_it_tries() {
    let (app, clock) = service();
    for user in 0..10 {
        fail(&app, 2, "2001:db8:1:2::1", &format!("user{user}")).await;
    }
    // Its neighbours in the network of one household are the same client.
    let refused = log_in(&app, "2001:db8:1:2:ffff::9", "grace", "lovelace").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.all(header::RETRY_AFTER), ["900"]);
    // Who is over the limit uses nothing of the accounts up.
    for _ in 0..10 {
        log_in(&app, "2001:db8:1:2::1", "grace", "wrong").await;
    }
    let other = log_in(&app, "2001:db8:1:3::1", "grace", "lovelace").await;
    assert_eq!(other.status, StatusCode::SEE_OTHER);
    clock.advance(15 * MINUTE);
    let again = log_in(&app, "2001:db8:1:2::1", "grace", "lovelace").await;
    assert_eq!(again.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_success_begins_anew_for_the_account_and_not_for_the_address() {
    let (app, _clock) = service();
    for _ in 0..4 {
        fail(&app, 4, HOME, "ada").await;
        let right = log_in(&app, HOME, "ada", "lovelace").await;
        assert_eq!(right.status, StatusCode::SEE_OTHER);
    }
    // 16 failures; the successes between them counted nothing and took nothing away.
    fail(&app, 4, HOME, "grace").await;
    let refused = log_in(&app, HOME, "ada", "lovelace").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_try_that_is_refused_for_its_account_is_no_failure_of_its_address() {
    let (app, _clock) = service();
    fail(&app, 5, HOME, "ada").await;
    for _ in 0..30 {
        let refused = log_in(&app, HOME, "ada", "wrong").await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    }
    fail(&app, 5, HOME, "grace").await;
}

#[tokio::test]
async fn what_could_not_be_checked_is_no_failure() {
    let (app, _clock) = service();
    for _ in 0..30 {
        let down = log_in(&app, HOME, "ada", "down").await;
        assert_eq!(down.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let missing = log_in(&app, HOME, "ada", "").await;
    assert_eq!(missing.status, StatusCode::UNPROCESSABLE_ENTITY);
    let right = log_in(&app, HOME, "ada", "lovelace").await;
    assert_eq!(right.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn tries_at_the_same_moment_do_not_get_round_the_limit() {
    // All five are being checked before any of them is known to fail.
    let users = Users {
        together: Some(Arc::new(Barrier::new(5))),
    };
    let limits = LoginLimits::new(MemoryUseCounter::new(), by_peer());
    let app = service_with(users, limits);
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let app = app.clone();
        tries.spawn(async move { log_in(&app, HOME, "ada", "wrong").await.status });
    }
    let mut statuses = tries.join_all().await;
    statuses.sort_unstable();
    let checked = statuses
        .iter()
        .filter(|status| **status == StatusCode::UNAUTHORIZED);
    assert_eq!(checked.count(), 5);
    assert_eq!(statuses[5..], [StatusCode::TOO_MANY_REQUESTS; 25]);
}

#[tokio::test]
async fn other_limits_can_be_chosen() {
    let limit = Limit::new(1, MINUTE).unwrap();
    let limits = LoginLimits::new(MemoryUseCounter::new(), by_peer());
    let app = service_with(Users { together: None }, limits.per_account(limit));
    fail(&app, 1, HOME, "ada").await;
    let refused = log_in(&app, HOME, "ada", "wrong").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let retry_after: u64 = refused.all(header::RETRY_AFTER)[0].parse().unwrap();
    assert!((1..=60).contains(&retry_after), "{retry_after}");
}

#[tokio::test]
async fn when_nothing_can_be_counted_nobody_is_logged_in() {
    let app = service_with(
        Users { together: None },
        LoginLimits::new(Broken, by_peer()),
    );
    for password in ["lovelace", "wrong"] {
        let answer = log_in(&app, HOME, "ada", password).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.sets_no_cookie());
        assert!(!answer.text.contains("cellar"));
    }
}

#[tokio::test]
async fn limits_of_other_kinds_with_the_same_counter_count_apart() {
    let counter = MemoryUseCounter::new();
    let once = Limit::new(1, MINUTE).unwrap();
    let limits = LoginLimits::new(counter.clone(), by_peer()).per_address(once);
    let unknown = UnknownLimit::new(counter.clone(), by_peer()).limit(once);
    let route = |name| RateLimit::new(name, once, counter.clone(), by_peer());
    let users = Users { together: None };
    let app = handlers()
        .route("/a", get(async || "a").route_layer(route("a")))
        .route("/b", get(async || "b").route_layer(route("b")))
        .route_service("/login", LoginHandler::new(users).limits(limits))
        .layer(SessionLayer::new(in_memory()).limit_unknown(unknown));
    let from = || Peer(HOME.parse().unwrap());
    let ask = async |path| {
        send(&app, request(Method::GET, path).extension(from()))
            .await
            .status
    };
    let guess = async || {
        let cookie = cookie_of(&session_core::SessionId::random());
        let read = request(Method::GET, "/read").header(header::COOKIE, cookie);
        send(&app, read.extension(from())).await.status
    };
    for expected in [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
        assert_eq!(ask("/a").await, expected);
        assert_eq!(ask("/b").await, expected);
        assert_eq!(guess().await, expected);
        let login = log_in(&app, HOME, "ada", "wrong").await.status;
        assert_eq!(login == StatusCode::TOO_MANY_REQUESTS, expected == login);
    }
}

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::post};
use http::{Method, header};
use session_core::{MemoryStore, SessionId, Sessions, Timeouts};
use session_testkit::FakeClock;
use session_web::{CookiePolicy, Locked, SameSite, Session, SessionError, SessionLayer};

use crate::support::*;

/// The attributes of a cookie, sorted; the value is left out.
fn attributes(cookie: &str) -> Vec<&str> {
    let mut attributes: Vec<_> = cookie.split("; ").skip(1).collect();
    attributes.sort_unstable();
    attributes
}

const USUAL: [&str; 4] = ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"];

async fn first_cookie(policy: CookiePolicy) -> String {
    let layer = SessionLayer::new(in_memory()).cookie(policy).unwrap();
    let answer = post_it(&app(layer), "/add", "").await;
    answer.cookie().to_owned()
}

fn name_of(cookie: &str) -> &str {
    cookie.split('=').next().unwrap()
}

#[tokio::test]
async fn the_first_change_sets_a_host_only_cookie_for_the_session_of_the_browser() {
    let sessions = in_memory();
    let app = app(SessionLayer::new(sessions.clone()));
    let answer = post_it(&app, "/add", "").await;
    assert_eq!(answer.text, "1");
    let (name, id) = answer
        .pair()
        .split_once('=')
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .unwrap();
    assert_eq!(name, NAME);
    assert_eq!(attributes(answer.cookie()), USUAL);
    let id: SessionId = id.parse().unwrap();
    assert_eq!(n_of(&sessions, &id).await, Some(1));
    assert_eq!(answer.all(header::CACHE_CONTROL), ["no-store"]);
}

#[tokio::test]
async fn an_answer_sets_no_cookie_when_nothing_about_it_has_changed() {
    let app = app(SessionLayer::new(in_memory()));
    let cookie = post_it(&app, "/add", "").await.pair();
    let second = post_it(&app, "/add", &cookie).await;
    assert_eq!(second.text, "2");
    assert!(second.sets_no_cookie());
    let read = get_it(&app, "/read", &cookie).await;
    assert_eq!(read.text, "Some(2)");
    assert!(read.sets_no_cookie());
    assert!(read.all(header::CACHE_CONTROL).is_empty());
}

#[tokio::test]
async fn a_new_session_without_values_is_not_stored_and_sets_no_cookie() {
    let app = app(SessionLayer::new(in_memory()));
    let answer = post_it(&app, "/touch", "").await;
    assert_eq!(answer.text, "touched");
    assert!(answer.sets_no_cookie());
}

#[tokio::test]
async fn the_prefix_tells_whether_the_cookie_belongs_to_one_host_and_all_of_it() {
    let domain = first_cookie(CookiePolicy::named("id").domain("example.org")).await;
    assert_eq!(name_of(&domain), "__Secure-id");
    assert_eq!(
        attributes(&domain),
        [
            "Domain=example.org",
            "HttpOnly",
            "Path=/",
            "SameSite=Lax",
            "Secure"
        ]
    );
    let path = first_cookie(CookiePolicy::named("id").path("/shop")).await;
    assert_eq!(name_of(&path), "__Secure-id");
    assert_eq!(
        attributes(&path),
        ["HttpOnly", "Path=/shop", "SameSite=Lax", "Secure"]
    );
    let host = first_cookie(CookiePolicy::named("id")).await;
    assert_eq!(name_of(&host), "__Host-id");
    assert_eq!(attributes(&host), USUAL);
}

#[tokio::test]
async fn same_site_and_partitioned_are_as_chosen() {
    let strict = first_cookie(CookiePolicy::default().same_site(SameSite::Strict)).await;
    assert_eq!(
        attributes(&strict),
        ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"]
    );
    let embedded = CookiePolicy::default()
        .same_site(SameSite::None)
        .partitioned();
    let embedded = first_cookie(embedded).await;
    assert_eq!(
        attributes(&embedded),
        [
            "HttpOnly",
            "Partitioned",
            "Path=/",
            "SameSite=None",
            "Secure"
        ]
    );
}

#[tokio::test]
async fn a_logout_removes_the_cookie_with_the_attributes_that_it_has() {
    let policies = [
        (CookiePolicy::default(), "Path=/"),
        (
            CookiePolicy::named("id")
                .path("/a")
                .domain("example.org")
                .partitioned(),
            "Path=/a",
        ),
    ];
    for (policy, path) in policies {
        let layer = SessionLayer::new(in_memory()).cookie(policy).unwrap();
        let app = app(layer);
        let first = post_it(&app, "/add", "").await;
        let out = post_it(&app, "/logout", &first.pair()).await;
        assert_eq!(out.pair(), format!("{}=", name_of(first.cookie())));
        let mut expected = attributes(first.cookie());
        expected.push("Max-Age=0");
        expected.sort_unstable();
        assert_eq!(attributes(out.cookie()), expected);
        assert!(expected.contains(&path));
        assert_eq!(out.all(header::CACHE_CONTROL), ["no-store"]);
        assert_eq!(get_it(&app, "/read", &first.pair()).await.text, "none");
    }
}

#[tokio::test]
async fn a_logout_without_a_cookie_removes_none() {
    let app = app(SessionLayer::new(in_memory()));
    assert!(post_it(&app, "/logout", "").await.sets_no_cookie());
}

#[tokio::test]
async fn the_cookie_of_a_persistent_session_ends_at_its_absolute_deadline() {
    const SECOND: Duration = Duration::from_secs(1);
    let clock = FakeClock::new();
    let store = MemoryStore::builder().clock(Arc::new(clock.clone()));
    let timeouts = Timeouts::new(600 * SECOND, 1000 * SECOND).unwrap();
    let sessions = Sessions::builder(store.build().unwrap())
        .timeouts(timeouts)
        .build()
        .unwrap();
    let remember = async |mut session: Locked| {
        session.set_persistent(true);
        session.insert("n", 1).unwrap();
    };
    let forget = async |mut session: Locked| session.set_persistent(false);
    let renew = async |mut session: Locked| {
        session.regenerate();
    };
    let longer = async |mut session: Locked| {
        session.set_timeouts(Timeouts::new(600 * SECOND, 5000 * SECOND).unwrap());
    };
    let app = handlers()
        .route("/remember", post(remember))
        .route("/forget", post(forget))
        .route("/renew", post(renew))
        .route("/longer", post(longer))
        .layer(SessionLayer::new(sessions));
    let max_age = |answer: &Answer| {
        let cookie = answer.cookie().to_owned();
        let age = cookie
            .split("; ")
            .find_map(|it| it.strip_prefix("Max-Age="));
        age.map(|age| age.parse::<u64>().unwrap())
    };

    let begun = post_it(&app, "/remember", "").await;
    assert_eq!(max_age(&begun), Some(1000));
    let mut expected = USUAL.to_vec();
    expected.insert(1, "Max-Age=1000");
    assert_eq!(attributes(begun.cookie()), expected);

    // Used, and not sent again: it lasts as long as the session may.
    clock.pass(300 * SECOND, SECOND).await;
    let used = post_it(&app, "/add", &begun.pair()).await;
    assert!(used.sets_no_cookie());

    // A new ID gets the time that is left.
    let renewed = post_it(&app, "/renew", &begun.pair()).await;
    assert_ne!(renewed.pair(), begun.pair());
    assert_eq!(max_age(&renewed), Some(700));
    let longer = post_it(&app, "/longer", &renewed.pair()).await;
    assert_eq!(longer.pair(), renewed.pair());
    assert_eq!(max_age(&longer), Some(4700));

    let forgotten = post_it(&app, "/forget", &renewed.pair()).await;
    assert_eq!(forgotten.pair(), renewed.pair());
    assert_eq!(max_age(&forgotten), None);
}

#[tokio::test]
async fn no_cookie_is_asked_to_live_for_more_than_400_days() {
    let year = Duration::from_secs(365 * 24 * 3600);
    let timeouts = Timeouts::new(year, 2 * year).unwrap();
    let builder = Sessions::builder(MemoryStore::new()).timeouts(timeouts);
    let remember = async |mut session: Locked| {
        session.set_persistent(true);
        session.insert("n", 1).unwrap();
    };
    let app = Router::new()
        .route("/", post(remember))
        .layer(SessionLayer::new(builder.build().unwrap()));
    let answer = post_it(&app, "/", "").await;
    assert!(answer.cookie().contains("; Max-Age=34560000"), "400 days");
}

#[tokio::test]
async fn headers_of_the_handler_stay_beside_the_cookie() {
    let handler = async |mut session: Locked| {
        session.insert("n", 1).unwrap();
        [
            (header::SET_COOKIE, "theme=dark"),
            (header::CACHE_CONTROL, "private"),
            (header::ETAG, "\"1\""),
        ]
    };
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(in_memory()));
    let answer = post_it(&app, "/", "").await;
    let cookies = answer.all(header::SET_COOKIE);
    assert_eq!(cookies.len(), 2);
    assert_eq!(cookies[0], "theme=dark");
    assert!(cookies[1].starts_with(NAME));
    assert_eq!(answer.all(header::CACHE_CONTROL), ["private", "no-store"]);
    assert_eq!(answer.all(header::ETAG), ["\"1\""]);
}

#[tokio::test]
async fn no_store_is_not_said_twice() {
    let handler = async |mut session: Locked| {
        session.insert("n", 1).unwrap();
        [(header::CACHE_CONTROL, "private, no-store")]
    };
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(in_memory()));
    let answer = post_it(&app, "/", "").await;
    assert_eq!(answer.all(header::CACHE_CONTROL), ["private, no-store"]);
}

#[tokio::test]
async fn several_changes_in_one_request_set_one_cookie() {
    let handler = async |session: Session| -> Result<(), SessionError> {
        for n in 0..3 {
            session
                .with(async |session| -> Result<(), SessionError> {
                    session.insert("n", n)?;
                    session.regenerate();
                    Ok(())
                })
                .await?;
        }
        Ok(())
    };
    let sessions = in_memory();
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions.clone()));
    let answer = post_it(&app, "/", "").await;
    let pair = answer.pair();
    let id: SessionId = pair.split_once('=').unwrap().1.parse().unwrap();
    let snapshot = sessions.snapshot(&id).await.unwrap().unwrap();
    assert!(!snapshot.is_rotated());
    assert_eq!(snapshot.get("n").unwrap(), Some(2));
}

fn development() -> Router {
    let policy = CookiePolicy::default().development();
    app(SessionLayer::new(in_memory()).cookie(policy).unwrap())
}

#[tokio::test]
async fn in_development_loopback_hosts_get_a_cookie_that_works_without_tls() {
    let app = development();
    for host in [
        "localhost:3000",
        "LOCALHOST",
        "127.0.0.1:3000",
        "127.8.0.1",
        "[::1]:3000",
    ] {
        let post = request(Method::POST, "/add").header(header::HOST, host);
        let answer = send(&app, post).await;
        assert_eq!(name_of(answer.cookie()), "session", "{host}");
        assert_eq!(
            attributes(answer.cookie()),
            ["HttpOnly", "Path=/", "SameSite=Lax"]
        );
        let again = request(Method::POST, "/add")
            .header(header::HOST, host)
            .header(header::COOKIE, answer.pair());
        assert_eq!(send(&app, again).await.text, "2", "{host}");
    }
}

#[tokio::test]
async fn in_development_all_other_hosts_get_the_usual_cookie() {
    let app = development();
    let proxied = |name: &'static str| Some((name, "for=192.0.2.1"));
    for (host, proxy) in [
        ("example.org", None),
        ("localhost.example.org", None),
        ("10.0.0.1", None),
        ("127.0.0.1.example.org", None),
        ("", None),
        ("not a host", None),
        ("localhost", proxied("forwarded")),
        ("localhost", proxied("x-forwarded-for")),
        ("localhost", proxied("x-forwarded-host")),
        ("localhost", proxied("x-forwarded-proto")),
        ("localhost", proxied("via")),
    ] {
        let mut post = request(Method::POST, "/add").header(header::HOST, host);
        if let Some((name, value)) = proxy {
            post = post.header(name, value);
        }
        let answer = send(&app, post).await;
        assert_eq!(name_of(answer.cookie()), NAME, "{host} {proxy:?}");
        assert_eq!(attributes(answer.cookie()), USUAL);
    }
    let unnamed = post_it(&app, "/add", "").await;
    assert_eq!(name_of(unnamed.cookie()), NAME);
}

#[tokio::test]
async fn without_development_a_loopback_host_gets_the_usual_cookie() {
    let app = app(SessionLayer::new(in_memory()));
    let post = request(Method::POST, "/add").header(header::HOST, "localhost");
    let answer = send(&app, post).await;
    assert_eq!(attributes(answer.cookie()), USUAL);
}

#[test]
fn a_cookie_that_browsers_would_not_take_is_refused() {
    let named = |name: &str| CookiePolicy::named(name.to_owned());
    // 4,096 bytes for name and value: RFC 6265bis, section 5.7.
    let longest = 4096 - SessionId::LEN - "__Secure-".len();
    let refused = [
        named(""),
        named("a b"),
        named("a=b"),
        named("a;b"),
        named("ä"),
        named("__Host-id"),
        named("__secure-id"),
        named("__Http-id"),
        named(&"x".repeat(longest + 1)),
        named("id").domain(""),
        named("id").domain("example.org; Secure"),
        named("id").domain("x".repeat(1025)),
        named("id").path("shop"),
        named("id").path("/a;b"),
        named("id").path("/a b"),
        named("id").path(format!("/{}", "x".repeat(1024))),
        named("id").development().partitioned(),
        named("id").development().same_site(SameSite::None),
    ];
    for policy in refused {
        let refusal = SessionLayer::new(in_memory()).cookie(policy.clone());
        assert!(refusal.is_err(), "{policy:?}");
    }
    let taken = [
        named(&"x".repeat(longest)),
        named("id").domain("x".repeat(1024)),
        named("id").path(format!("/{}", "x".repeat(1023))),
        named("id").partitioned().same_site(SameSite::None),
    ];
    for policy in taken {
        assert!(SessionLayer::new(in_memory()).cookie(policy).is_ok());
    }
}

#[tokio::test]
async fn the_longest_cookie_is_within_the_limit_and_comes_back() {
    let name = "x".repeat(4096 - SessionId::LEN - "__Secure-".len());
    let policy = CookiePolicy::named(name).path("/add");
    let app = app(SessionLayer::new(in_memory()).cookie(policy).unwrap());
    let first = post_it(&app, "/add", "").await;
    assert_eq!(first.pair().len(), 4096 + "=".len());
    assert_eq!(post_it(&app, "/add", &first.pair()).await.text, "2");
}

#[tokio::test]
async fn what_a_handler_has_committed_itself_is_told_also_if_it_then_fails() {
    let handler = async |session: Session| -> Result<(), SessionError> {
        let mut guard = session.lock().await?;
        guard.insert("n", 1)?;
        guard.commit().await?;
        Err(SessionError::Forbidden)
    };
    let sessions = in_memory();
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions.clone()));
    let answer = post_it(&app, "/", "").await;
    assert_eq!(answer.status, 403);
    let id: SessionId = answer.pair()[NAME.len() + 1..].parse().unwrap();
    assert_eq!(n_of(&sessions, &id).await, Some(1));
}

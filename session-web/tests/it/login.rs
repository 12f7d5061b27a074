use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Path,
    routing::{get, post},
};
use http::{StatusCode, header};
use session_core::{Login, MemoryStore, SessionId, Sessions, Timeouts, WhenFull};
use session_testkit::FakeClock;
use session_web::{CurrentUser, Session, SessionError, SessionLayer, Stay};

use crate::support::*;

type Handled<T = ()> = Result<T, SessionError>;

async fn login(session: Session, Path(user): Path<String>) -> Handled {
    let ticket = session.sessions().begin_login(&user).await?;
    let login = Login::new(&user)?.ticket(ticket);
    session.login(login, &user, Stay::WithBrowser).await
}

async fn devices(session: Session) -> Handled<String> {
    let devices = session.devices().await?;
    let list = devices.list().await?;
    let current = list.iter().filter(|device| device.is_current).count();
    Ok(format!("{} {current}", list.len()))
}

async fn revoke_current(session: Session) -> Handled<String> {
    let devices = session.devices().await?;
    let list = devices.list().await?;
    let current = list.iter().find(|device| device.is_current).unwrap();
    Ok(devices.revoke(current.session.handle).await?.to_string())
}

async fn revoke_others(session: Session) -> Handled<String> {
    Ok(session.devices().await?.revoke_others().await?.to_string())
}

async fn everywhere(session: Session) -> Handled<String> {
    let ended = session.logout_everywhere().await?;
    Ok(format!("{ended} {}", read(session).await?))
}

fn service(sessions: Sessions) -> Router {
    handlers()
        .route("/login/{user}", post(login))
        .route(
            "/me",
            get(async |user: CurrentUser<String>| user.into_inner()),
        )
        .route(
            "/maybe",
            get(async |user: Option<CurrentUser<String>>| format!("{}", user.is_some())),
        )
        .route(
            "/out",
            post(async |session: Session| session.logout().await),
        )
        .route("/everywhere", post(everywhere))
        .route("/devices", get(devices))
        .route("/revoke-current", post(revoke_current))
        .route("/revoke-others", post(revoke_others))
        .layer(SessionLayer::new(sessions))
}

fn id_in(answer: &Answer) -> SessionId {
    answer.pair()[NAME.len() + 1..].parse().unwrap()
}

#[tokio::test]
async fn a_login_makes_a_user_and_a_logout_ends_it() {
    let app = service(in_memory());
    assert_eq!(
        get_it(&app, "/me", "").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(get_it(&app, "/me", "").await.text, "Please log in.\n");
    assert_eq!(get_it(&app, "/maybe", "").await.text, "false");
    let ada = post_it(&app, "/login/ada", "").await.pair();
    assert_eq!(get_it(&app, "/me", &ada).await.text, "ada");
    assert_eq!(get_it(&app, "/maybe", &ada).await.text, "true");
    let out = post_it(&app, "/out", &ada).await;
    assert_eq!(out.pair(), format!("{NAME}="));
    assert_eq!(
        get_it(&app, "/me", &ada).await.status,
        StatusCode::UNAUTHORIZED
    );
    // A session that is dead can be logged out of, and so can none.
    let again = post_it(&app, "/out", &ada).await;
    assert_eq!(
        (again.status, again.pair()),
        (StatusCode::OK, format!("{NAME}="))
    );
    let none = post_it(&app, "/out", "").await;
    assert_eq!(none.status, StatusCode::OK);
    assert!(none.sets_no_cookie());
}

#[tokio::test]
async fn a_login_gives_an_anonymous_session_a_new_id_and_keeps_its_values() {
    let sessions = in_memory();
    let app = service(sessions.clone());
    let anonymous = post_it(&app, "/add", "").await;
    let ada = post_it(&app, "/login/ada", &anonymous.pair()).await;
    assert_ne!(ada.pair(), anonymous.pair());
    assert_eq!(n_of(&sessions, &id_in(&ada)).await, Some(1));
    // The old one never shows the login.
    let old = get_it(&app, "/me", &anonymous.pair()).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);
    assert!(old.sets_no_cookie());
}

#[tokio::test]
async fn another_user_finds_nothing_of_the_one_before() {
    let sessions = in_memory();
    let app = service(sessions.clone());
    let ada = post_it(&app, "/login/ada", "").await;
    post_it(&app, "/add", &ada.pair()).await;
    let grace = post_it(&app, "/login/grace", &ada.pair()).await;
    assert_eq!(get_it(&app, "/me", &grace.pair()).await.text, "grace");
    assert_eq!(n_of(&sessions, &id_in(&grace)).await, None);
    assert!(
        sessions
            .user("ada")
            .unwrap()
            .list()
            .await
            .unwrap()
            .is_empty()
    );
    // The same user again: a new ID, and what was there.
    post_it(&app, "/add", &grace.pair()).await;
    let again = post_it(&app, "/login/grace", &grace.pair()).await;
    assert_ne!(again.pair(), grace.pair());
    assert_eq!(n_of(&sessions, &id_in(&again)).await, Some(1));
}

#[tokio::test]
async fn a_logout_does_not_wait_for_whoever_holds_the_session() {
    let clock = FakeClock::new();
    let store = MemoryStore::builder().clock(Arc::new(clock.clone()));
    let sessions = Sessions::new(store.build().unwrap());
    let app = service(sessions.clone());
    let ada = post_it(&app, "/login/ada", "").await;
    let mut writer = sessions.lock(&id_in(&ada)).await.unwrap();
    writer.insert("n", 1).unwrap();
    // The clock stands still: whoever waited would wait for ever.
    let out = post_it(&app, "/out", &ada.pair()).await;
    assert_eq!(
        (out.status, out.pair()),
        (StatusCode::OK, format!("{NAME}="))
    );
    assert!(writer.commit().await.is_err());
    assert_eq!(
        get_it(&app, "/me", &ada.pair()).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_logout_through_an_old_id_ends_the_session_and_leaves_the_cookie_alone() {
    let sessions = in_memory();
    let app = service(sessions.clone());
    let ada = post_it(&app, "/login/ada", "").await;
    let mut guard = sessions.lock(&id_in(&ada)).await.unwrap();
    let new = guard.regenerate();
    guard.commit().await.unwrap();
    let out = post_it(&app, "/out", &ada.pair()).await;
    assert_eq!(out.status, StatusCode::OK);
    assert!(out.sets_no_cookie());
    assert!(sessions.snapshot(&new).await.unwrap().is_none());
}

#[tokio::test]
async fn a_logout_of_what_this_request_holds_is_refused() {
    let handler = async |session: Session| -> Handled {
        let _guard = session.lock().await?;
        session.logout().await
    };
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(in_memory()));
    let answer = post_it(&app, "/", "").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_user_sees_and_ends_the_own_sessions() {
    let sessions = in_memory();
    let app = service(sessions.clone());
    let [one, two, three] = [0; 3].map(|_| post_it(&app, "/login/ada", ""));
    let (one, two, three) = (one.await.pair(), two.await.pair(), three.await.pair());
    let grace = post_it(&app, "/login/grace", "").await.pair();
    assert_eq!(get_it(&app, "/devices", &one).await.text, "3 1");

    let current = post_it(&app, "/revoke-current", &three).await;
    assert_eq!(
        (&*current.text, current.pair()),
        ("true", format!("{NAME}="))
    );
    assert_eq!(get_it(&app, "/devices", &one).await.text, "2 1");

    let others = post_it(&app, "/revoke-others", &one).await;
    assert_eq!(others.text, "1");
    assert!(others.sets_no_cookie());
    assert_eq!(
        get_it(&app, "/me", &two).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(get_it(&app, "/me", &one).await.text, "ada");

    post_it(&app, "/login/ada", "").await;
    let everywhere = post_it(&app, "/everywhere", &one).await;
    assert_eq!(everywhere.text, "2 none");
    assert_eq!(everywhere.pair(), format!("{NAME}="));
    assert_eq!(
        get_it(&app, "/me", &one).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(get_it(&app, "/me", &grace).await.text, "grace");
    for (method, path) in [("get", "/devices"), ("post", "/everywhere")] {
        let refused = match method {
            "get" => get_it(&app, path, &one).await,
            _ => post_it(&app, path, &one).await,
        };
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_remembered_login_has_its_own_timeouts_and_a_cookie_that_lasts_as_long() {
    let week = Duration::from_secs(7 * 24 * 3600);
    let remembered = Stay::Remembered(Timeouts::new(week, week).unwrap());
    let sessions = in_memory();
    let with = |stay: Stay| {
        post(async move |session: Session| session.login(Login::new("ada")?, &"ada", stay).await)
    };
    let app = Router::new()
        .route("/remembered", with(remembered))
        .route("/short", with(Stay::WithBrowser))
        .layer(SessionLayer::new(sessions.clone()));
    let long = post_it(&app, "/remembered", "").await;
    assert!(long.cookie().contains("; Max-Age=604800"));
    let snapshot = sessions.snapshot(&id_in(&long)).await.unwrap().unwrap();
    assert!(snapshot.is_persistent());
    assert!(snapshot.remaining().idle > week - Duration::from_secs(60));
    // Logged in again without it, it is as all others.
    let short = post_it(&app, "/short", &long.pair()).await;
    assert!(!short.cookie().contains("Max-Age"));
    let snapshot = sessions.snapshot(&id_in(&short)).await.unwrap().unwrap();
    assert!(!snapshot.is_persistent());
    assert!(snapshot.remaining().absolute <= Timeouts::default().absolute());
}

#[tokio::test]
async fn what_needs_a_recent_login_is_refused_until_the_user_logs_in_again() {
    const MINUTE: Duration = Duration::from_secs(60);
    let clock = FakeClock::new();
    let store = MemoryStore::builder().clock(Arc::new(clock.clone()));
    let sessions = Sessions::new(store.build().unwrap());
    let risky = async |session: Session| session.require_recent_login(5 * MINUTE).await;
    let app = handlers()
        .route("/login/{user}", post(login))
        .route("/risky", post(risky))
        .layer(SessionLayer::new(sessions));
    assert_eq!(post_it(&app, "/risky", "").await.text, "Please log in.\n");
    let ada = post_it(&app, "/login/ada", "").await.pair();
    clock.pass(5 * MINUTE, MINUTE).await;
    assert_eq!(post_it(&app, "/risky", &ada).await.status, StatusCode::OK);
    clock.pass(MINUTE, MINUTE).await;
    let refused = post_it(&app, "/risky", &ada).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.text, "Please log in again.\n");
    // Use alone does not make it recent.
    post_it(&app, "/add", &ada).await;
    assert_eq!(
        post_it(&app, "/risky", &ada).await.status,
        StatusCode::UNAUTHORIZED
    );
    let again = post_it(&app, "/login/ada", &ada).await.pair();
    assert_eq!(post_it(&app, "/risky", &again).await.status, StatusCode::OK);
}

#[tokio::test]
async fn logins_that_the_store_refuses_change_nothing() {
    let builder = Sessions::builder(MemoryStore::new()).sessions_per_user(1, WhenFull::Refuse);
    let sessions = builder.build().unwrap();
    let app = service(sessions.clone());
    post_it(&app, "/login/ada", "").await;
    let full = post_it(&app, "/login/ada", "").await;
    assert_eq!(full.status, StatusCode::CONFLICT);
    assert!(full.sets_no_cookie());
    sessions.user("ada").unwrap().disable().await.unwrap();
    let disabled = post_it(&app, "/login/ada", "").await;
    assert_eq!(disabled.status, StatusCode::UNAUTHORIZED);
    assert!(disabled.sets_no_cookie());
    assert_eq!(disabled.all(header::CACHE_CONTROL), ["no-store"]);
}

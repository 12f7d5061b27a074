use std::time::Duration;

use axum::{Router, routing::get};
use http::{Response, StatusCode, header};
use session_core::{
    AcquireError, CommitError, DestroyError, Fault, LoginError, LossCause, MemoryStore, ReadError,
    SessionId, Sessions, StoreError,
};
use session_web::{Locked, SessionError, SessionLayer};

use crate::support::*;

fn store_down() -> StoreError {
    StoreError::new(
        "load a session",
        "redis.internal:6379",
        Fault::TimedOut(Duration::from_secs(1)),
    )
}

#[test]
fn each_error_has_the_status_that_the_table_says() {
    let held = AcquireError::Held {
        waited: Duration::from_secs(5),
        ahead: 3,
    };
    let lost = CommitError::LeaseLost {
        cause: LossCause::Expired,
    };
    let table: [(SessionError, u16); 26] = [
        (held.into(), 503),
        (AcquireError::Busy { waiting: 64 }.into(), 503),
        (AcquireError::Store(store_down()).into(), 503),
        (AcquireError::ShutDown.into(), 503),
        (AcquireError::AlreadyHeld.into(), 500),
        (AcquireError::Rotated.into(), 409),
        (AcquireError::NoSession.into(), 401),
        (ReadError::Store(store_down()).into(), 503),
        (ReadError::ShutDown.into(), 503),
        (lost.into(), 409),
        (CommitError::Conflict.into(), 409),
        (CommitError::LockHeld.into(), 409),
        (CommitError::Rotated.into(), 409),
        (CommitError::TooManySessions { limit: 1 }.into(), 409),
        (CommitError::Destroyed.into(), 401),
        (CommitError::Expired.into(), 401),
        (CommitError::Superseded.into(), 401),
        (CommitError::UserDisabled.into(), 401),
        (CommitError::TooLarge { size: 2, limit: 1 }.into(), 413),
        (CommitError::Store(store_down()).into(), 503),
        (CommitError::Unknown(store_down()).into(), 503),
        (DestroyError::Store(store_down()).into(), 503),
        (LoginError::Store(store_down()).into(), 503),
        (LoginError::Disabled.into(), 401),
        (SessionError::Ambiguous, 400),
        (SessionError::StillLocked, 500),
    ];
    for (error, status) in table {
        let answer = error.answer();
        assert_eq!(answer.status(), status, "{error}");
        let retry = answer.headers().get(header::RETRY_AFTER);
        assert_eq!(retry.is_some_and(|it| it == "1"), status == 503, "{error}");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        assert!(!answer.body().contains("redis"), "{error}");
        assert!(answer.body().ends_with(".\n"));
    }
}

async fn shut_down() -> Sessions {
    let sessions = in_memory();
    sessions.shutdown(Duration::from_secs(5)).await.unwrap();
    sessions
}

#[tokio::test]
async fn a_store_that_is_down_makes_503_and_never_no_session() {
    let sessions = in_memory();
    let id = stored(&sessions).await;
    sessions.shutdown(Duration::from_secs(5)).await.unwrap();
    let app = app(SessionLayer::new(sessions));
    for answer in [
        get_it(&app, "/read", &cookie_of(&id)).await,
        post_it(&app, "/add", &cookie_of(&id)).await,
        post_it(&app, "/add", "").await,
    ] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.all(header::RETRY_AFTER), ["1"]);
        assert_eq!(answer.text, "Please try again in a moment.\n");
        assert!(answer.sets_no_cookie());
    }
}

#[tokio::test]
async fn a_session_that_others_hold_for_too_long_makes_503() {
    let sessions = Sessions::builder(MemoryStore::new())
        .wait_timeout(Duration::from_millis(1))
        .build()
        .unwrap();
    let id = stored(&sessions).await;
    let app = app(SessionLayer::new(sessions.clone()));
    let holder = sessions.lock(&id).await.unwrap();
    let answer = post_it(&app, "/add", &cookie_of(&id)).await;
    drop(holder);
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.all(header::RETRY_AFTER), ["1"]);
}

fn teapot(_error: &SessionError) -> Response<String> {
    Response::builder()
        .status(StatusCode::IM_A_TEAPOT)
        .header(header::CONTENT_TYPE, "application/json")
        .body("{\"error\":\"session\"}".to_owned())
        .unwrap()
}

#[tokio::test]
async fn errors_of_handlers_extractors_and_the_layer_can_be_answered_otherwise() {
    let still_locked = async |session: Locked| {
        std::mem::forget(session);
    };
    let layer = SessionLayer::new(in_memory()).on_error(teapot);
    let app = handlers().route("/still", get(still_locked)).layer(layer);
    let down = handlers().layer(SessionLayer::new(shut_down().await).on_error(teapot));
    let (one, other) = (SessionId::random(), SessionId::random());
    let two = format!("{}; {}", cookie_of(&one), cookie_of(&other));
    for answer in [
        get_it(&app, "/read", &two).await,
        post_it(&app, "/add", &two).await,
        get_it(&app, "/still", "").await,
        post_it(&down, "/add", "").await,
    ] {
        assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
        assert_eq!(answer.all(header::CONTENT_TYPE), ["application/json"]);
        assert_eq!(answer.text, "{\"error\":\"session\"}");
    }
    assert_eq!(post_it(&app, "/add", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_handler_outside_of_the_layer_is_told_so() {
    let app = Router::new().route("/", get(read));
    let answer = get_it(&app, "/", "").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.text, "Something went wrong.\n");
}

#[test]
fn debug_output_hides_the_id() {
    let sessions = in_memory();
    let id = sessions.create().id().clone();
    let answer = SessionLayer::new(sessions);
    assert!(!format!("{answer:?}").contains(id.expose()));
}

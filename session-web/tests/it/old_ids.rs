use std::{sync::Arc, time::Duration};

use axum::{Router, routing::post};
use http::StatusCode;
use session_core::{MemoryStore, SessionId, Sessions};
use session_testkit::FakeClock;
use session_web::{Session, SessionError, SessionLayer};

use crate::support::*;

/// A session's old and new ID: another one for the same session, or that of a login.
async fn moved(sessions: &Sessions, login: bool) -> (SessionId, SessionId) {
    let old = stored(sessions).await;
    let mut guard = sessions.lock(&old).await.unwrap();
    let new = if login {
        guard.login("ada", &()).unwrap()
    } else {
        guard.regenerate()
    };
    guard.insert("n", 2).unwrap();
    guard.commit().await.unwrap();
    (old, new)
}

#[tokio::test]
async fn an_answer_to_an_old_id_neither_removes_nor_changes_the_cookie() {
    for (login, seen) in [(false, "Some(2)"), (true, "Some(1)")] {
        let sessions = in_memory();
        let app = app(SessionLayer::new(sessions.clone()));
        let (old, new) = moved(&sessions, login).await;
        let read = get_it(&app, "/read", &cookie_of(&old)).await;
        assert_eq!(read.text, seen);
        assert!(read.sets_no_cookie());
        for path in ["/add", "/touch", "/logout"] {
            let answer = post_it(&app, path, &cookie_of(&old)).await;
            assert_eq!(answer.status, StatusCode::CONFLICT, "{path}");
            assert!(answer.sets_no_cookie());
        }
        assert_eq!(n_of(&sessions, &new).await, Some(2));
    }
}

#[tokio::test]
async fn a_request_that_has_read_by_an_old_id_begins_no_session_when_the_grace_ends_under_it() {
    let clock = FakeClock::new();
    let store = MemoryStore::builder().clock(Arc::new(clock.clone()));
    let sessions = Sessions::new(store.build().unwrap());
    let handler = async move |session: Session| -> Result<(), SessionError> {
        assert!(session.snapshot().await?.unwrap().is_rotated());
        clock
            .pass(Duration::from_secs(11), Duration::from_secs(1))
            .await;
        session
            .with(async |session| -> Result<(), SessionError> { Ok(session.insert("n", 9)?) })
            .await
    };
    let (old, new) = moved(&sessions, false).await;
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions.clone()));
    let answer = post_it(&app, "/", &cookie_of(&old)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.sets_no_cookie());
    assert_eq!(n_of(&sessions, &new).await, Some(2));
}

#[tokio::test]
async fn an_id_that_was_replaced_under_its_reader_leaves_the_cookie_alone() {
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let others = sessions.clone();
    let handler = async move |session: Session| -> Result<(), SessionError> {
        let before = session.snapshot().await?.unwrap();
        assert!(!before.is_rotated());
        let id = session.lock().await?.id().clone();
        let mut other = others.lock(&id).await?;
        other.regenerate();
        other.commit().await?;
        session
            .with(async |session| -> Result<(), SessionError> {
                session.logout();
                Ok(())
            })
            .await
    };
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions));
    let answer = post_it(&app, "/", &cookie_of(&id)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.sets_no_cookie());
}

use axum::{Router, routing::get};
use session_core::{MemoryStore, SessionId, Sessions};
use session_testkit::{Stopping, Stops};
use session_web::{Session, SessionError, SessionLayer};

use crate::support::*;

/// Sessions and a count of what their store is asked for.
fn counted() -> (Sessions, impl Fn() -> usize) {
    let stops = Stops::nowhere();
    let sessions = Sessions::new(Stopping::new(MemoryStore::new(), stops.clone()));
    // One pause before each operation, one behind it.
    (sessions, move || stops.passed() / 2)
}

#[tokio::test]
async fn a_request_that_ignores_its_session_asks_nothing_of_the_store() {
    let (sessions, asked) = counted();
    let id = stored(&sessions).await;
    let app = app(SessionLayer::new(sessions));
    let before = asked();
    assert_eq!(
        get_it(&app, "/ignore", &cookie_of(&id)).await.text,
        "ignored"
    );
    assert_eq!(asked() - before, 0);
}

#[tokio::test]
async fn reading_asks_once_however_often_it_is_read() {
    let handler = async |one: Session, other: Session| -> Result<String, SessionError> {
        one.snapshot().await?;
        other.snapshot().await?;
        read(one).await
    };
    let (sessions, asked) = counted();
    let id = stored(&sessions).await;
    let app = Router::new()
        .route("/", get(handler))
        .layer(SessionLayer::new(sessions));
    let before = asked();
    assert_eq!(get_it(&app, "/", &cookie_of(&id)).await.text, "Some(1)");
    assert_eq!(asked() - before, 1);
    // One that names nothing is asked for once, too.
    let unknown = cookie_of(&SessionId::random());
    assert_eq!(get_it(&app, "/", &unknown).await.text, "none");
    assert_eq!(asked() - before, 2);
}

#[tokio::test]
async fn a_locked_change_asks_twice_and_a_first_one_once() {
    let (sessions, asked) = counted();
    let app = app(SessionLayer::new(sessions));
    let first = post_it(&app, "/add", "").await;
    assert_eq!(asked(), 1);
    assert_eq!(post_it(&app, "/add", &first.pair()).await.text, "2");
    assert_eq!(asked(), 3);
}

#[tokio::test]
async fn nothing_is_asked_about_a_request_without_a_cookie_or_with_nonsense() {
    let (sessions, asked) = counted();
    let app = app(SessionLayer::new(sessions));
    for cookie in ["", "theme=dark", &format!("{NAME}=nonsense")] {
        assert_eq!(get_it(&app, "/read", cookie).await.text, "none");
        assert_eq!(post_it(&app, "/touch", cookie).await.text, "touched");
    }
    assert_eq!(asked(), 0);
}

#[tokio::test]
async fn after_a_logout_nothing_more_is_asked_about_the_session() {
    let handler = async |session: Session| -> Result<String, SessionError> {
        session.logout().await?;
        session.lock().await?.commit().await?;
        read(session).await
    };
    let (sessions, asked) = counted();
    let id = stored(&sessions).await;
    let app = Router::new()
        .route("/", get(handler))
        .layer(SessionLayer::new(sessions));
    let before = asked();
    assert_eq!(get_it(&app, "/", &cookie_of(&id)).await.text, "none");
    assert_eq!(asked() - before, 2, "lock and end");
}

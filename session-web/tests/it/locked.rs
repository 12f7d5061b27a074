use std::{
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, extract::Path, response::IntoResponse, routing::post};
use futures_util::FutureExt as _;
use http::{Method, Request, StatusCode};
use session_core::{AcquireError, MemoryStore, SessionId, Sessions};
use session_testkit::{FakeClock, Stopping, Stops, settle};
use session_web::{Guard, Locked, Session, SessionError, SessionLayer};
use tower::ServiceExt;

use crate::support::*;

async fn answers_with(mut session: Locked, Path(status): Path<u16>) -> StatusCode {
    session.insert("n", 2).unwrap();
    StatusCode::from_u16(status).unwrap()
}

#[tokio::test]
async fn answers_below_400_commit_and_others_discard() {
    for (status, n) in [
        (103, 2),
        (200, 2),
        (204, 2),
        (303, 2),
        (399, 2),
        (400, 1),
        (404, 1),
        (422, 1),
        (500, 1),
        (503, 1),
    ] {
        let sessions = in_memory();
        let id = stored(&sessions).await;
        let app = Router::new()
            .route("/{status}", post(answers_with))
            .layer(SessionLayer::new(sessions.clone()));
        let answer = post_it(&app, &format!("/{status}"), &cookie_of(&id)).await;
        assert_eq!(answer.status, status);
        assert_eq!(n_of(&sessions, &id).await, Some(n), "{status}");
        let at_once = sessions
            .lock(&id)
            .wait_at_most(Duration::from_secs(5))
            .await;
        drop(at_once.unwrap());
    }
}

#[tokio::test]
async fn a_new_session_of_a_failed_request_is_not_stored() {
    let app = Router::new()
        .route("/{status}", post(answers_with))
        .layer(SessionLayer::new(in_memory()));
    let answer = post_it(&app, "/404", "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.sets_no_cookie());
}

#[tokio::test]
async fn another_extractor_that_refuses_the_request_discards() {
    let handler = async |mut session: Locked, _body: axum::Json<u32>| {
        session.insert("n", 2).unwrap();
    };
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions.clone()));
    let answer = post_it(&app, "/", &cookie_of(&id)).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    drop(sessions.lock(&id).await.unwrap());
    assert_eq!(n_of(&sessions, &id).await, Some(1));
}

#[tokio::test]
async fn a_commit_that_fails_replaces_the_answer() {
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let (others, ended) = (sessions.clone(), id.clone());
    let handler = async move |mut session: Locked| {
        session.insert("n", 2).unwrap();
        others.destroy(&ended).await.unwrap();
        ([("x-said", "stored")], "stored")
    };
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions.clone()));
    let answer = post_it(&app, "/", &cookie_of(&id)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.text, "The session is over.\n");
    assert!(!answer.headers.contains_key("x-said"));
    assert!(answer.sets_no_cookie());
    assert_eq!(n_of(&sessions, &id).await, None);
}

#[tokio::test]
async fn a_lease_that_was_lost_makes_the_answer_a_conflict() {
    let clock = FakeClock::new();
    let store = MemoryStore::builder().clock(Arc::new(clock.clone()));
    let sessions = Sessions::new(store.build().unwrap());
    let id = stored(&sessions).await;
    let handler = async move |mut session: Locked| {
        session.insert("n", 2).unwrap();
        clock
            .pass(Duration::from_secs(61), Duration::from_secs(1))
            .await;
    };
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions.clone()));
    let answer = post_it(&app, "/", &cookie_of(&id)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(n_of(&sessions, &id).await, Some(1));
}

#[tokio::test]
async fn the_answer_waits_for_the_commit() {
    // The third operation is the commit: created, locked, committed.
    let stops = Stops::at(4);
    let sessions = Sessions::new(Stopping::new(MemoryStore::new(), stops.clone()));
    let id = stored(&sessions).await;
    let app = app(SessionLayer::new(sessions));
    let request = request(Method::POST, "/add")
        .header("cookie", cookie_of(&id))
        .body(Body::empty())
        .unwrap();
    let answering = tokio::spawn(app.oneshot(request));
    let check = async {
        settle().await;
        assert!(!answering.is_finished());
    };
    stops.meanwhile(check).await;
    let answer = answering.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_second_lock_in_one_request_is_refused_at_once() {
    let handler = async |locked: Locked, session: Session| {
        let second = session.lock().await;
        drop(locked);
        let third = session.lock().await;
        for refused in [second, third] {
            let Err(SessionError::Session(session_core::Error::Acquire(error))) = refused else {
                panic!("locked twice");
            };
            assert!(matches!(error, AcquireError::AlreadyHeld));
        }
    };
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(in_memory()));
    assert_eq!(post_it(&app, "/", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_guard_that_was_dropped_or_discarded_can_be_followed_by_another() {
    let handler = async |session: Session| -> Result<String, SessionError> {
        let mut guard = session.lock().await?;
        guard.insert("n", 2)?;
        drop(guard);
        let mut guard = session.lock().await?;
        guard.insert("n", 3)?;
        guard.discard().await?;
        let guard = session.lock().await?;
        Ok(format!("{:?}", guard.get::<u32>("n")?))
    };
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions));
    assert_eq!(post_it(&app, "/", &cookie_of(&id)).await.text, "Some(1)");
}

#[tokio::test]
async fn a_guard_that_outlives_its_handler_makes_the_answer_a_500_and_can_store_nothing() {
    let kept: Arc<Mutex<Option<Guard>>> = Arc::default();
    let keeper = Arc::clone(&kept);
    let handler = async move |session: Session| {
        let mut guard = session.lock().await.unwrap();
        guard.insert("n", 2).unwrap();
        keeper.lock().unwrap().replace(guard);
        "stored"
    };
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions.clone()));
    let answer = post_it(&app, "/", &cookie_of(&id)).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.text, "Something went wrong.\n");
    let guard = kept.lock().unwrap().take().unwrap();
    let late = guard.commit().await;
    assert!(matches!(late, Err(SessionError::AnswerSent)));
    assert_eq!(n_of(&sessions, &id).await, Some(1));
}

#[tokio::test]
async fn a_locked_session_that_outlives_its_handler_stores_nothing() {
    let kept: Arc<Mutex<Option<(Session, Locked)>>> = Arc::default();
    let keeper = Arc::clone(&kept);
    let handler = async move |request: Session, mut session: Locked| {
        session.insert("n", 2).unwrap();
        keeper.lock().unwrap().replace((request, session));
    };
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions.clone()));
    let answer = post_it(&app, "/", &cookie_of(&id)).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let (_request, session) = kept.lock().unwrap().take().unwrap();
    drop(session);
    drop(sessions.lock(&id).await.unwrap());
    assert_eq!(n_of(&sessions, &id).await, Some(1));
}

#[tokio::test]
async fn nothing_can_be_locked_once_the_answer_is_ready() {
    let kept: Arc<Mutex<Option<Session>>> = Arc::default();
    let keeper = Arc::clone(&kept);
    let handler = async move |session: Session| {
        keeper.lock().unwrap().replace(session);
    };
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(in_memory()));
    assert_eq!(post_it(&app, "/", "").await.status, StatusCode::OK);
    let session = kept.lock().unwrap().take().unwrap();
    assert!(matches!(
        session.lock().await,
        Err(SessionError::AnswerSent)
    ));
}

/// Catches panics below the session's layer and says that all is well.
async fn unshaken(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_panic| "all is well".into_response())
}

#[tokio::test]
async fn a_panic_discards_whoever_catches_it() {
    let handler = async |mut session: Locked| -> () {
        session.insert("n", 2).unwrap();
        panic!("as the test wants it");
    };
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let handlers = Router::new().route("/", post(handler));
    let caught_inside = handlers
        .clone()
        .layer(axum::middleware::from_fn(unshaken))
        .layer(SessionLayer::new(sessions.clone()));
    let caught_outside = handlers
        .layer(SessionLayer::new(sessions.clone()))
        .layer(axum::middleware::from_fn(unshaken));
    for app in [caught_inside, caught_outside] {
        let answer = post_it(&app, "/", &cookie_of(&id)).await;
        assert_eq!(answer.text, "all is well");
        drop(sessions.lock(&id).await.unwrap());
        assert_eq!(n_of(&sessions, &id).await, Some(1));
    }
}

#[tokio::test]
async fn a_client_that_disconnects_changes_nothing_and_lets_the_next_one_in() {
    let entered = Arc::new(tokio::sync::Notify::new());
    let kept: Arc<Mutex<Option<Session>>> = Arc::default();
    let (inside, keeper) = (Arc::clone(&entered), Arc::clone(&kept));
    let waits = async move |mut locked: Locked, session: Session| {
        locked.insert("n", 2).unwrap();
        // A task that was left behind.
        keeper.lock().unwrap().replace(session);
        // Left to the layer, which never gets to see the answer.
        drop(locked);
        inside.notify_one();
        std::future::pending::<()>().await;
    };
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let app = Router::new()
        .route("/", post(waits))
        .layer(SessionLayer::new(sessions.clone()));
    let post = Request::post("/")
        .header("cookie", cookie_of(&id))
        .body(Body::empty())
        .unwrap();
    {
        let mut answering = pin!(app.oneshot(post));
        tokio::select! {
            _ = &mut answering => panic!("it waits for ever"),
            () = entered.notified() => {}
        }
    }
    drop(sessions.lock(&id).await.unwrap());
    assert_eq!(n_of(&sessions, &id).await, Some(1));
    let session = kept.lock().unwrap().take().unwrap();
    assert!(matches!(
        session.lock().await,
        Err(SessionError::AnswerSent)
    ));
}

#[tokio::test]
async fn parallel_requests_lose_no_update() {
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let app = app(SessionLayer::new(sessions.clone()));
    let cookie = cookie_of(&id);
    let posts = (0..50).map(|_| post_it(&app, "/add", &cookie));
    for answer in futures_util::future::join_all(posts).await {
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(n_of(&sessions, &id).await, Some(51));
}

#[tokio::test]
async fn a_service_without_axum_finds_the_session_in_the_extensions() {
    use tower::{ServiceBuilder, service_fn};
    let sessions = in_memory();
    let service = ServiceBuilder::new()
        .layer(SessionLayer::new(sessions.clone()))
        .service(service_fn(async |request: Request<()>| {
            let session: &Session = request.extensions().get().unwrap();
            session
                .with(async |session| -> Result<(), SessionError> { Ok(session.insert("n", 3)?) })
                .await?;
            Ok::<_, SessionError>(http::Response::new(String::from("done")))
        }));
    let answer = service.oneshot(Request::new(())).await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    let id: SessionId = cookie[NAME.len() + 1..][..SessionId::LEN].parse().unwrap();
    assert_eq!(n_of(&sessions, &id).await, Some(3));
}

use axum::{Router, routing::post};
use session_core::{MemoryStore, SessionId, Sessions};
use session_testkit::{Stopping, Stops};
use session_web::{Session, SessionError, SessionLayer};

use crate::support::*;

type Handled = Result<String, SessionError>;

#[tokio::test]
async fn after_a_login_the_next_access_is_to_the_new_id() {
    let handler = async |session: Session| -> Handled {
        let mut guard = session.lock().await?;
        guard.login("ada", &"Ada")?;
        guard.commit().await?;
        let snapshot = session.snapshot().await?.unwrap();
        assert!(!snapshot.is_rotated());
        assert_eq!(snapshot.user::<String>()?.as_deref(), Some("Ada"));
        let n = session
            .with(async |session| -> Result<u32, SessionError> {
                session
                    .modify("n", |n: &mut u32| {
                        *n += 1;
                        *n
                    })
                    .map_err(SessionError::from)
            })
            .await?;
        Ok(n.to_string())
    };
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions.clone()));
    let answer = post_it(&app, "/", &cookie_of(&id)).await;
    assert_eq!(answer.text, "2");
    assert_ne!(answer.pair(), cookie_of(&id));
    let new: SessionId = answer.pair()[NAME.len() + 1..].parse().unwrap();
    assert_eq!(n_of(&sessions, &new).await, Some(2));
}

#[tokio::test]
async fn after_a_new_id_the_next_access_is_to_it() {
    let handler = async |session: Session| -> Handled {
        let mut guard = session.lock().await?;
        let new = guard.regenerate();
        guard.commit().await?;
        assert_eq!(session.id().as_ref(), Some(&new));
        let guard = session.lock().await?;
        assert_eq!(*guard.id(), new);
        Ok(guard.get::<u32>("n")?.unwrap().to_string())
    };
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions));
    let answer = post_it(&app, "/", &cookie_of(&id)).await;
    assert_eq!(answer.text, "1");
    assert_ne!(answer.pair(), cookie_of(&id));
}

#[tokio::test]
async fn after_a_logout_there_is_a_fresh_session_that_is_stored_only_if_written() {
    for write in [false, true] {
        let handler = async move |session: Session| -> Handled {
            let mut guard = session.lock().await?;
            guard.logout();
            guard.commit().await?;
            assert!(session.snapshot().await?.is_none());
            let mut guard = session.lock().await?;
            assert!(guard.is_new());
            assert!(guard.is_empty());
            if write {
                guard.insert("n", 7)?;
            }
            guard.commit().await?;
            read(session).await
        };
        let sessions = in_memory();
        let id = stored(&sessions).await;
        let app = Router::new()
            .route("/", post(handler))
            .layer(SessionLayer::new(sessions.clone()));
        let answer = post_it(&app, "/", &cookie_of(&id)).await;
        assert_eq!(n_of(&sessions, &id).await, None);
        if write {
            assert_eq!(answer.text, "Some(7)");
            let new: SessionId = answer.pair()[NAME.len() + 1..].parse().unwrap();
            assert_ne!(new, id);
            assert_eq!(n_of(&sessions, &new).await, Some(7));
        } else {
            assert_eq!(answer.text, "none");
            assert_eq!(answer.pair(), format!("{NAME}="));
        }
    }
}

#[tokio::test]
async fn an_id_that_names_nothing_is_not_adopted() {
    let sessions = in_memory();
    let planted = SessionId::random();
    let app = app(SessionLayer::new(sessions.clone()));
    let answer = post_it(&app, "/add", &cookie_of(&planted)).await;
    assert_eq!(answer.text, "1");
    assert_ne!(answer.pair(), cookie_of(&planted));
    assert_eq!(n_of(&sessions, &planted).await, None);
}

#[tokio::test]
async fn what_was_read_before_a_commit_is_read_again_after_it() {
    let handler = async |session: Session| -> Handled {
        let before = session.snapshot().await?.unwrap().get::<u32>("n")?;
        let mut guard = session.lock().await?;
        guard.insert("n", 2)?;
        guard.commit().await?;
        let after = session.snapshot().await?.unwrap().get::<u32>("n")?;
        Ok(format!("{before:?} {after:?}"))
    };
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions));
    let answer = post_it(&app, "/", &cookie_of(&id)).await;
    assert_eq!(answer.text, "Some(1) Some(2)");
}

#[tokio::test]
async fn a_body_that_fails_changes_nothing() {
    let handler = async |session: Session| -> Handled {
        session
            .with(async |session| -> Handled {
                session.insert("n", 2)?;
                Err(SessionError::Ambiguous)
            })
            .await
    };
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions.clone()));
    assert_eq!(post_it(&app, "/", &cookie_of(&id)).await.status, 400);
    assert_eq!(n_of(&sessions, &id).await, Some(1));
}

#[tokio::test]
async fn a_read_that_a_new_id_of_this_request_overtakes_does_not_hide_that_id() {
    // Reading stops before the store is asked, which is the third pause: stored (0, 1), read (2, 3).
    let stops = Stops::at(2);
    let sessions = Sessions::new(Stopping::new(MemoryStore::new(), stops.clone()));
    let id = stored(&sessions).await;
    let handler = async move |session: Session| -> Handled {
        let renewed = session.clone();
        let renew = stops.meanwhile(async move {
            renewed
                .with(async |session| -> Result<(), SessionError> {
                    session.regenerate();
                    Ok(())
                })
                .await
        });
        let (_snapshot, renewed) = futures_util::join!(session.snapshot(), renew);
        renewed?;
        assert!(!session.snapshot().await?.unwrap().is_rotated());
        Ok(String::new())
    };
    let app = Router::new()
        .route("/", post(handler))
        .layer(SessionLayer::new(sessions));
    let answer = post_it(&app, "/", &cookie_of(&id)).await;
    assert_ne!(answer.pair(), cookie_of(&id));
}

use axum::routing::post;
use http::StatusCode;
use session_core::{
    Login, MemorySecondary, MemoryStore, SecondaryPolicy, SessionId, Sessions, UserId,
};
use session_testkit::{Flaky, Mood};
use session_web::{Session, SessionError, SessionLayer, Stay};

use crate::{log::logged, support::*};

async fn log_in(session: Session) -> Result<&'static str, SessionError> {
    let login = Login::new(UserId::try_from("ada").unwrap())?;
    session.login(login, &"ada", Stay::WithBrowser).await?;
    Ok("welcome")
}

fn id_in(answer: &Answer) -> SessionId {
    let pair = answer.pair();
    pair.split_once('=').unwrap().1.parse().unwrap()
}

/// The commit is stored: an error would make the client repeat it, and without the cookie it would lose its session.
#[test]
fn a_commit_that_a_required_secondary_does_not_have_yet_keeps_its_answer_and_its_cookie() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let requests = async {
        let mirror = Flaky::new(MemorySecondary::new());
        let sessions = Sessions::builder(MemoryStore::new())
            .secondary("mirror", mirror.clone(), SecondaryPolicy::required())
            .open()
            .await
            .unwrap();
        let app = handlers()
            .route("/login", post(log_in))
            .layer(SessionLayer::new(sessions.clone()));
        mirror.set(Mood::Down);
        // Committed by the layer, behind the handler.
        let first = post_it(&app, "/add", "").await;
        assert_eq!((first.status, &*first.text), (StatusCode::OK, "1"));
        let id = id_in(&first);
        assert_eq!(n_of(&sessions, &id).await, Some(1));
        let again = post_it(&app, "/add", &first.pair()).await;
        assert_eq!((again.status, &*again.text), (StatusCode::OK, "2"));
        assert!(again.sets_no_cookie());
        // Committed by the handler, under a new ID.
        let login = post_it(&app, "/login", &first.pair()).await;
        assert_eq!((login.status, &*login.text), (StatusCode::OK, "welcome"));
        assert_ne!(id_in(&login), id);
        assert_eq!(n_of(&sessions, &id_in(&login)).await, Some(2));
        let logout = post_it(&app, "/logout", &login.pair()).await;
        assert_eq!(logout.status, StatusCode::OK);
        assert_eq!(logout.pair(), format!("{NAME}="));
        assert_eq!(n_of(&sessions, &id_in(&login)).await, None);
    };
    let ((), log) = logged(|| runtime.block_on(requests));
    let told = "a required secondary does not have a commit yet";
    assert_eq!(log.matches(told).count(), 4, "{log}");
    assert!(log.contains("ERROR"), "{log}");
}

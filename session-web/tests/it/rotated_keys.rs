use axum::{Router, routing::get};
use http::{Method, StatusCode};
use session_core::{Login, SealingKey, SealingKeys, UserId};
use session_web::{CurrentUser, Session, SessionError, SessionLayer, Stay};

use crate::{on_redis::Wire, support::*};

type Form = fn(SessionLayer, SealingKeys) -> Result<SessionLayer, session_core::ConfigError>;

async fn log_in(session: Session) -> Result<(), SessionError> {
    let login = Login::new(UserId::try_from("ada").unwrap())?;
    session.login(login, &"ada", Stay::WithBrowser).await
}

/// Three replicas on one Redis, each with its keys.
struct Replicas {
    wire: Wire,
    form: Form,
    replicas: Vec<Router>,
}

impl Replicas {
    async fn with(form: Form, keys: SealingKeys) -> Self {
        let wire = Wire::tap().await;
        let mut replicas = Self {
            wire,
            form,
            replicas: Vec::new(),
        };
        replicas.replicas = vec![replicas.replica(keys); 3];
        replicas
    }

    fn replica(&self, keys: SealingKeys) -> Router {
        let layer = (self.form)(self.wire.layer(), keys).unwrap();
        let more = Router::new()
            .route("/login", axum::routing::post(log_in))
            .route(
                "/me",
                get(async |user: CurrentUser<String>| user.into_inner()),
            );
        handlers().merge(more).layer(layer)
    }

    /// Deploys other keys, one replica after the other. Meanwhile each request may reach an old or a new one: `cookie` has to
    /// be good for all of them.
    async fn roll(&mut self, keys: SealingKeys, cookie: &str) {
        for at in 0..self.replicas.len() {
            self.replicas[at] = self.replica(keys.clone());
            self.all_know(cookie).await;
        }
    }

    async fn all_know(&self, cookie: &str) {
        for replica in &self.replicas {
            let me = get_it(replica, "/me", cookie).await;
            assert_eq!((me.status, &*me.text), (StatusCode::OK, "ada"));
            assert!(me.sets_no_cookie(), "reading commits nothing");
        }
    }

    /// No replica knows it, and none asks or stores anything for it.
    async fn none_knows(&self, cookie: &str) {
        self.wire.proxy.clear_log();
        for replica in &self.replicas {
            let me = get_it(replica, "/me", cookie).await;
            assert_eq!(me.status, StatusCode::UNAUTHORIZED);
            assert!(me.sets_no_cookie());
            for (method, path, text) in [
                (Method::GET, "/read", "none"),
                (Method::POST, "/touch", "touched"),
            ] {
                let request = request(method, path).header(http::header::COOKIE, cookie);
                let answer = send(replica, request).await;
                assert_eq!((answer.status, &*answer.text), (StatusCode::OK, text));
                assert!(answer.sets_no_cookie());
            }
        }
        assert!(self.wire.proxy.flights().is_empty());
    }
}

#[tokio::test]
async fn replicas_replace_and_retire_a_key_without_logging_anybody_out() {
    for form in [SessionLayer::seal_ids as Form, SessionLayer::sign_ids] {
        let (old, new) = (SealingKey::generate(), SealingKey::generate());
        let mut it = Replicas::with(form, SealingKeys::new(&old)).await;
        let first = post_it(&it.replicas[0], "/login", "").await;
        assert_eq!(first.status, StatusCode::OK);
        let first = first.pair();
        it.all_know(&first).await;
        // Known before it is used, so that a replica which is not there yet reads what others write.
        it.roll(SealingKeys::new(&old).opening(&new), &first).await;
        it.roll(SealingKeys::new(&new).opening(&old), &first).await;
        // The next commit tells the ID under the new key, and later ones not again.
        let renewed = post_it(&it.replicas[1], "/add", &first).await;
        assert_eq!(renewed.text, "1");
        let renewed = renewed.pair();
        assert_ne!(renewed, first);
        it.all_know(&renewed).await;
        it.all_know(&first).await;
        let again = post_it(&it.replicas[2], "/add", &renewed).await;
        assert_eq!(again.text, "2");
        assert!(again.sets_no_cookie());
        // The old key is gone: who has not come by since has to log in again.
        it.roll(SealingKeys::new(&new), &renewed).await;
        it.none_knows(&first).await;
        // A write goes to a new session; the one before stays as it is.
        let fresh = post_it(&it.replicas[0], "/add", &first).await;
        assert_eq!((fresh.status, &*fresh.text), (StatusCode::OK, "1"));
        assert_ne!(fresh.pair(), renewed);
        let read = get_it(&it.replicas[2], "/read", &renewed).await;
        assert_eq!(read.text, "Some(2)");
    }
}

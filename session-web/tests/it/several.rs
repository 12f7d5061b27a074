use axum::{Router, routing::post};
use http::{StatusCode, header};
use session_core::Sessions;
use session_web::{CookiePolicy, Locked, Session, SessionError, SessionLayer};

use crate::support::*;

struct Cart;
struct Auth;

fn two(cart: Sessions, auth: Sessions, handlers: Router) -> Router {
    let policy = CookiePolicy::named;
    let cart = SessionLayer::new(cart).cookie(policy("cart")).unwrap();
    let auth = SessionLayer::new(auth).cookie(policy("auth")).unwrap();
    handlers
        .layer(cart.kind::<Cart>())
        .layer(auth.kind::<Auth>())
}

#[tokio::test]
async fn sessions_of_two_kinds_have_their_own_cookies_and_stores() {
    let both = async |mut cart: Locked<Cart>, mut auth: Locked<Auth>| {
        cart.insert("n", 1).unwrap();
        auth.insert("n", 2).unwrap();
    };
    let (carts, auths) = (in_memory(), in_memory());
    let handlers = Router::new().route("/", post(both));
    let app = two(carts.clone(), auths.clone(), handlers);
    let answer = post_it(&app, "/", "").await;
    let cookies = answer.all(header::SET_COOKIE);
    assert_eq!(cookies.len(), 2);
    for (name, sessions, n) in [("__Host-cart=", &carts, 1), ("__Host-auth=", &auths, 2)] {
        let cookie = cookies.iter().find_map(|cookie| cookie.strip_prefix(name));
        let id = cookie.unwrap().split(';').next().unwrap().parse().unwrap();
        assert_eq!(n_of(sessions, &id).await, Some(n));
    }
    assert_eq!(answer.all(header::CACHE_CONTROL), ["no-store"]);
}

#[tokio::test]
async fn one_kind_is_no_other() {
    let handler = async |cart: Session<Cart>| -> Result<String, SessionError> {
        let guard = cart.lock().await?;
        Ok(guard.len().to_string())
    };
    let unnamed = async |_session: Session| {};
    let handlers = Router::new()
        .route("/", post(handler))
        .route("/unnamed", post(unnamed));
    let (carts, auths) = (in_memory(), in_memory());
    let id = stored(&auths).await;
    let app = two(carts, auths, handlers);
    let cookie = format!("__Host-cart={}", id.expose());
    assert_eq!(post_it(&app, "/", &cookie).await.text, "0");
    let missing = post_it(&app, "/unnamed", "").await;
    assert_eq!(missing.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn an_outer_session_that_cannot_be_committed_does_not_hide_the_new_id_of_an_inner_one() {
    let (carts, auths) = (in_memory(), in_memory());
    let (cart, auth) = (stored(&carts).await, stored(&auths).await);
    let ended = auth.clone();
    let others = auths.clone();
    let handler = async move |mut cart: Locked<Cart>, mut auth: Locked<Auth>| {
        cart.regenerate();
        auth.insert("n", 5).unwrap();
        others.destroy(&ended).await.unwrap();
        [(header::SET_COOKIE, "theme=dark")]
    };
    let app = two(carts, auths, Router::new().route("/", post(handler)));
    let cookies = format!(
        "__Host-cart={}; __Host-auth={}",
        cart.expose(),
        auth.expose()
    );
    let answer = post_it(&app, "/", &cookies).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.cookie().starts_with("__Host-cart="));
    assert_eq!(answer.all(header::CACHE_CONTROL), ["no-store"]);
}

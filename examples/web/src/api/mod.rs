//! The shop as JSON. Errors are `{"error": "code", "message": ".."}`, all of them.

mod cart;
mod devices;
mod errors; // every error as JSON
mod health;
mod login;

use axum::{
    Router, middleware,
    routing::{delete, get, post, post_service},
};
use latchkey::web::{LogoutHandler, RefuseCrossSite};

pub(crate) use self::health::health;
use crate::{login::handler, service::Shop};

/// Everything under `/api`.
pub(crate) fn routes(shop: &Shop) -> Router {
    let login = handler(login::ApiUsers(shop.users.clone()), &shop.limits);
    let login = post_service(login).layer(middleware::from_fn(login::json_only));
    let routes = Router::new()
        .route("/login", login)
        .route_service("/logout", LogoutHandler::new())
        .route("/logout-everywhere", post(login::logout_everywhere))
        .route("/me", get(login::me))
        .route("/sessions", get(devices::list))
        .route("/sessions/{handle}", delete(devices::end))
        .route("/sessions/revoke-others", post(devices::end_others))
        .route("/cart", get(cart::show).post(cart::add))
        .fallback(errors::not_found)
        .method_not_allowed_fallback(errors::method_not_allowed)
        .layer(RefuseCrossSite::new())
        .layer(shop.layer.clone().on_error(errors::of_session))
        .layer(middleware::map_response(errors::as_json));
    Router::new().nest("/api", routes)
}

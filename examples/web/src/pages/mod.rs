//! The shop as pages: made by the server, readable without script.

mod assets; // style, script, icon
mod html; // text that is safe in a page
mod layout; // what all pages have in common

mod devices;
mod errors;
mod lab;
mod login;
mod shop;

mod outcome_chart; // stored and lost
mod race_chart; // who waited and who held the cart, and when

use axum::{
    Router,
    routing::{get, post},
};
use latchkey::web::{CurrentUser, LoginRequired, LogoutHandler, RefuseCrossSite};

use crate::{lab::Lab, login::handler, service::Shop, users::User};

/// Who looks at a page, if it is known.
type Visitor = Option<CurrentUser<User>>;

pub(crate) fn routes(shop: &Shop, lab: Lab) -> Router {
    let required: LoginRequired = LoginRequired::new().redirect_to("/login");
    let devices = Router::new()
        .route("/devices", get(devices::show))
        .route("/devices/end", post(devices::end))
        .route("/devices/end-others", post(devices::end_others))
        .route("/devices/end-all", post(devices::end_all))
        .route_layer(required);
    let lab = Router::new()
        .route("/lab", get(lab::show).post(lab::run))
        .with_state(lab);
    let login = handler(shop.users.clone(), &shop.limits).page(login::form);
    Router::new()
        .route("/", get(shop::show))
        .route("/cart", post(shop::add))
        .route("/cart/empty", post(shop::empty))
        .route_service("/logout", LogoutHandler::new())
        .route_service("/login", login)
        .merge(devices)
        .merge(lab)
        .fallback(errors::not_found)
        .layer(RefuseCrossSite::new())
        .layer(shop.layer.clone().on_error(errors::of_session))
        .merge(assets::routes())
}

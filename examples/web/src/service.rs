use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
    middleware,
    response::Response,
    routing::get,
};
use latchkey::{
    ConfigError, Sessions,
    web::{CookiePolicy, LoginLimits, SessionLayer},
};

use crate::{api, lab::Lab, pages, users::Users};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) sessions: Sessions,
    pub(crate) users: Users,
    pub(crate) limits: LoginLimits,
    /// For pages and the API, which answer errors differently.
    pub(crate) layer: SessionLayer,
}

impl Shop {
    pub(crate) fn new(
        sessions: Sessions,
        users: Users,
        limits: LoginLimits,
    ) -> Result<Self, ConfigError> {
        // Without TLS, and so for the loopback address alone; a service behind TLS leaves this out.
        let cookie = CookiePolicy::default().development();
        let layer = SessionLayer::new(sessions.clone()).cookie(cookie)?;
        Ok(Self {
            sessions,
            users,
            limits,
            layer,
        })
    }
}

/// Pages and API.
pub(crate) fn service(shop: &Shop) -> Router {
    let api = api::routes(shop);
    let lab = Lab::new(api.clone());
    let health = get(api::health).with_state(shop.sessions.clone());
    Router::new()
        .merge(pages::routes(shop, lab))
        .merge(api)
        .route("/healthz", health)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::map_response(with_care))
}

const LARGEST_BODY: usize = 16 * 1024;

/// Nothing is loaded from elsewhere, nothing can be put into a frame, and answers are kept by nobody, so that going back
/// after a logout shows nothing.
async fn with_care(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let cache = headers.entry(header::CACHE_CONTROL);
    cache.or_insert(HeaderValue::from_static("no-store"));
    answer
}

const POLICY: &str = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

use axum::{
    Router,
    http::{HeaderName, header},
    routing::get,
};

pub(super) fn routes() -> Router {
    let style = asset("text/css; charset=utf-8", include_str!("assets/style.css"));
    let script = asset(
        "text/javascript; charset=utf-8",
        include_str!("assets/shop.js"),
    );
    let icon = asset("image/svg+xml", include_str!("assets/icon.svg"));
    Router::new()
        .route("/static/style.css", get(async move || style))
        .route("/static/shop.js", get(async move || script))
        .route("/static/icon.svg", get(async move || icon))
}

type Asset = ([(HeaderName, &'static str); 2], &'static str);

const fn asset(kind: &'static str, text: &'static str) -> Asset {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "max-age=60"),
    ];
    (headers, text)
}

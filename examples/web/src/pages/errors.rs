use axum::{
    http::{self, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use latchkey::web::SessionError;

use super::{
    html::escape,
    layout::{Place, page},
};

/// What the session layer answers to errors.
pub(super) fn of_session(error: &SessionError) -> http::Response<String> {
    let mut answer = error.answer().map(|sentence| text(sentence.trim_end()));
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, html);
    answer
}

pub(super) async fn not_found() -> Response {
    says(StatusCode::NOT_FOUND, "There is no such page.")
}

pub(super) fn says(status: StatusCode, sentence: &str) -> Response {
    (status, Html(text(sentence))).into_response()
}

fn text(sentence: &str) -> String {
    let sentence = escape(sentence);
    let main = format!(
        "<h1>That did not work</h1>\n<p role=\"alert\">{sentence}</p>\n<p><a href=\"/\">Back to the shop</a></p>"
    );
    page(Place::Error, "Error", &None, &main)
}

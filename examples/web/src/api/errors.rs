use axum::{
    Json,
    body::{Body, to_bytes},
    http::{self, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use latchkey::web::SessionError;
use serde_json::{Value, json};

use crate::cart;

/// An error of the API. Those of sessions become one by [`of_session`].
pub(super) enum ApiError {
    Says(StatusCode, &'static str, &'static str),
    Session(SessionError),
}

pub(super) async fn not_found() -> ApiError {
    ApiError::Says(
        StatusCode::NOT_FOUND,
        "not_found",
        "There is nothing at this path.",
    )
}

pub(super) async fn method_not_allowed() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

/// What the session layer answers to errors.
pub(super) fn of_session(error: &SessionError) -> http::Response<String> {
    let answer = error.answer();
    let code = match error {
        SessionError::NotLoggedIn => "not_logged_in",
        SessionError::CrossSite => "cross_site",
        SessionError::Ambiguous => "two_sessions",
        _ => match answer.status() {
            StatusCode::UNAUTHORIZED => "session_over",
            StatusCode::CONFLICT => "session_changed",
            StatusCode::PAYLOAD_TOO_LARGE => "session_too_large",
            status => code_of(status),
        },
    };
    let mut answer = answer.map(|sentence| body(code, sentence.trim_end()));
    let kind = HeaderValue::from_static(JSON);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// Gives every other error the same form: what axum's extractors and ready handlers say, and paths and methods that lead
/// nowhere.
pub(super) async fn as_json(answer: Response) -> Response {
    let status = answer.status();
    if !status.is_client_error() && !status.is_server_error() {
        return answer;
    }
    let (mut parts, text) = answer.into_parts();
    let text = to_bytes(text, LONGEST_MESSAGE).await.unwrap_or_default();
    let json: Value = serde_json::from_slice(&text).unwrap_or_default();
    if json["error"].is_string() {
        return Response::from_parts(parts, Body::from(text));
    }
    let plain = String::from_utf8_lossy(&text);
    let message = match (json["message"].as_str(), plain.trim()) {
        (Some(message), _) => message,
        (None, "") => status.canonical_reason().unwrap_or("error"),
        (None, said) => said,
    };
    parts
        .headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body(code_of(status), message)))
}

pub(super) const JSON: &str = "application/json";
const LONGEST_MESSAGE: usize = 4096;

const fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "bad_request",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "not_json",
        StatusCode::UNPROCESSABLE_ENTITY => "bad_input",
        StatusCode::TOO_MANY_REQUESTS => "too_many",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        _ => "error",
    }
}

fn body(code: &str, message: &str) -> String {
    json!({ "error": code, "message": message }).to_string()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Session(error) => error.into_response(),
            Self::Says(status, error, message) => {
                let body = Json(json!({ "error": error, "message": message }));
                (status, body).into_response()
            }
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<cart::Refused> for ApiError {
    fn from(refused: cart::Refused) -> Self {
        match refused {
            cart::Refused::Session(error) => Self::Session(error),
            cart::Refused::Full => Self::Says(
                StatusCode::UNPROCESSABLE_ENTITY,
                "cart_full",
                "The cart has no room for another kind of thing.",
            ),
        }
    }
}

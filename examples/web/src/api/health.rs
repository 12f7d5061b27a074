use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use latchkey::Sessions;
use serde_json::json;

use crate::cause::with_causes;

/// `GET /healthz`: whether the sessions can be reached.
pub(crate) async fn health(State(sessions): State<Sessions>) -> Response {
    match sessions.ping().await {
        Ok(()) => Json(json!({ "status": "ok" })).into_response(),
        Err(error) => {
            tracing::error!(error = with_causes(&error), "sessions cannot be reached");
            let message = "Sessions cannot be reached.";
            let body = Json(json!({ "error": "unavailable", "message": message }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

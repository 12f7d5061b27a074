use axum::{
    Json,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use latchkey::web::{Credentials, CurrentUser, Session, SessionError};
use serde_json::{Value, json};

use super::errors::{ApiError, JSON};
use crate::{
    times::rfc_3339,
    users::{User, Users, UsersError},
};

/// The users, with the answers of the API to their logins.
#[derive(Clone)]
pub(super) struct ApiUsers(pub(super) Users);

impl Credentials for ApiUsers {
    type User = User;
    type Error = UsersError;

    async fn check(&self, username: &str, password: &str) -> Result<Option<User>, UsersError> {
        self.0.check(username, password).await
    }

    async fn login_success(&self, user: &User) -> Option<Response> {
        Some(Json(json!({ "user": user.username })).into_response())
    }

    async fn login_failure(&self, _username: &str) -> Option<Response> {
        let (code, message) = ("wrong_credentials", "User name or password is wrong.");
        Some(ApiError::Says(StatusCode::UNAUTHORIZED, code, message).into_response())
    }
}

/// The API takes no forms.
pub(super) async fn json_only(request: Request, next: Next) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind: &HeaderValue| kind.to_str().ok()?.split(';').next());
    if kind.is_none_or(|kind| !kind.trim().eq_ignore_ascii_case(JSON)) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    next.run(request).await
}

pub(super) async fn logout_everywhere(session: Session) -> Result<Json<Value>, ApiError> {
    let ended = session.logout_everywhere().await?;
    Ok(Json(
        json!({ "message": "logged out everywhere", "ended": ended }),
    ))
}

pub(super) async fn me(user: CurrentUser<User>, session: Session) -> Result<Json<Value>, ApiError> {
    let snapshot = session.snapshot().await?;
    let snapshot = snapshot.ok_or(SessionError::NotLoggedIn)?;
    Ok(Json(json!({
        "user": user.username,
        "handle": snapshot.handle().to_string(),
        "logged_in_at": rfc_3339(snapshot.created()),
    })))
}

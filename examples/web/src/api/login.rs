use axum::{Json, extract::State, http::HeaderMap};
use latchkey::web::{CurrentUser, Session, SessionError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::ApiError;
use crate::{
    auth::log_in,
    times::rfc_3339,
    users::{User, Users},
};

/// What is posted to a login. Has no `Debug`: it is secret.
#[derive(Deserialize)]
pub(super) struct Input {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

pub(super) async fn login(
    State(users): State<Users>,
    session: Session,
    headers: HeaderMap,
    Json(input): Json<Input>,
) -> Result<Json<Value>, ApiError> {
    let credentials = (&*input.username, &*input.password);
    let user = log_in(&session, &users, credentials, &headers).await?;
    Ok(Json(json!({ "user": user.username })))
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

use axum::{Json, extract::Path, http::StatusCode};
use latchkey::web::{Device, Session, SessionError};
use serde_json::{Value, json};

use super::errors::ApiError;
use crate::{device::LABEL, times::rfc_3339};

pub(super) async fn list(session: Session) -> Result<Json<Vec<Value>>, SessionError> {
    let devices = session.devices().await?.list().await?;
    Ok(Json(devices.iter().map(entry).collect()))
}

fn entry(device: &Device) -> Value {
    let session = &device.session;
    json!({
        "handle": session.handle.to_string(),
        "created": rfc_3339(session.created),
        "last_seen": rfc_3339(session.last_seen),
        "label": session.labels.get(LABEL),
        "current": device.is_current,
    })
}

pub(super) async fn end(
    session: Session,
    Path(handle): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let devices = session.devices().await?;
    // Names of others' sessions, and what is no name at all, are not told apart.
    let all = devices.list().await?.into_iter();
    let mut handles = all.map(|device| device.session.handle);
    if let Some(handle) = handles.find(|it| it.to_string() == handle)
        && devices.revoke(handle).await?
    {
        return Ok(Json(json!({ "message": "session ended" })));
    }
    let (code, message) = ("no_such_session", "You have no session of that name.");
    Err(ApiError::Says(StatusCode::NOT_FOUND, code, message))
}

pub(super) async fn end_others(session: Session) -> Result<Json<Value>, ApiError> {
    let ended = session.devices().await?.revoke_others().await?;
    Ok(Json(
        json!({ "message": "other sessions ended", "ended": ended }),
    ))
}

use std::time::Duration;

use axum::{Json, http::StatusCode};
use latchkey::web::{Session, SessionError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::ApiError;
use crate::{
    cart::{self, Item, Mode},
    stopwatch::whole_ms,
};

#[derive(Deserialize)]
pub(super) struct Input {
    item: String,
    #[serde(default)]
    hold_ms: u64,
    #[serde(default)]
    mode: Mode,
}

const LONGEST_HOLD_MS: u64 = 5_000;

pub(super) async fn show(session: Session) -> Result<Json<Value>, SessionError> {
    let items = cart::items(&session).await?;
    Ok(Json(json!({ "items": items })))
}

pub(super) async fn add(
    session: Session,
    Json(input): Json<Input>,
) -> Result<Json<Value>, ApiError> {
    let bad = |code, message| ApiError::Says(StatusCode::UNPROCESSABLE_ENTITY, code, message);
    let Some(item) = Item::new(&input.item) else {
        return Err(bad(
            "bad_item",
            "An item has 1 to 64 characters, none of control.",
        ));
    };
    if input.hold_ms > LONGEST_HOLD_MS {
        return Err(bad("hold_too_long", "A cart is held for at most 5000 ms."));
    }
    let hold = Duration::from_millis(input.hold_ms);
    let added = cart::add(&session, &item, hold, input.mode).await?;
    let waited_ms = whole_ms(added.waited);
    Ok(Json(
        json!({ "items": added.items, "waited_ms": waited_ms }),
    ))
}

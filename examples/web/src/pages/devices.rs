use std::fmt::Write as _;

use axum::{
    Form,
    response::{Html, Redirect},
};
use latchkey::web::{Device, Session, SessionError};
use serde::Deserialize;

use super::{
    Visitor,
    html::escape,
    layout::{Place, page},
};
use crate::{
    device::LABEL,
    times::{readable, rfc_3339},
};

pub(super) async fn show(visitor: Visitor, session: Session) -> Result<Html<String>, SessionError> {
    let devices = session.devices().await?.list().await?;
    let rows: String = devices.iter().map(row).collect();
    let main = include_str!("devices.html").replace("{rows}", &rows);
    Ok(Html(page(Place::Devices, "Devices", &visitor, &main)))
}

fn row(device: &Device) -> String {
    let session = &device.session;
    let label = session.labels.get(LABEL).map_or("unknown device", |it| it);
    let label = escape(label);
    let handle = session.handle;
    let mut row = format!("<li class=\"device\">\n<div><strong>{label}</strong>");
    if device.is_current {
        row += " <span class=\"mark\">this one</span>";
    }
    for (what, time) in [
        ("logged in", session.created),
        ("last used", session.last_seen),
    ] {
        let (machine, person) = (rfc_3339(time), readable(time));
        write!(
            row,
            "<br><small>{what} <time datetime=\"{machine}\">{person}</time></small>"
        )
        .expect("a string takes what is written");
    }
    row += "</div>\n";
    let text = if device.is_current { "Log out" } else { "End" };
    row += &format!(
        "<form method=\"post\" action=\"/devices/end\">\
         <button name=\"handle\" value=\"{handle}\" aria-label=\"{text}: {label}\">{text}</button></form>\n</li>\n"
    );
    row
}

#[derive(Deserialize)]
pub(super) struct Input {
    handle: String,
}

/// One that has ended meanwhile is no error: the list says what is left.
pub(super) async fn end(
    session: Session,
    Form(input): Form<Input>,
) -> Result<Redirect, SessionError> {
    let devices = session.devices().await?;
    let all = devices.list().await?.into_iter();
    let mut handles = all.map(|device| device.session.handle);
    if let Some(handle) = handles.find(|handle| handle.to_string() == input.handle) {
        devices.revoke(handle).await?;
    }
    Ok(Redirect::to("/devices"))
}

pub(super) async fn end_others(session: Session) -> Result<Redirect, SessionError> {
    session.devices().await?.revoke_others().await?;
    Ok(Redirect::to("/devices"))
}

pub(super) async fn end_all(session: Session) -> Result<Redirect, SessionError> {
    session.logout_everywhere().await?;
    Ok(Redirect::to("/"))
}

use axum::{
    Form,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _, Redirect, Response},
};
use latchkey::web::{Session, SessionError, safe_next};
use serde::Deserialize;

use super::{
    html::escape,
    layout::{Place, page},
};
use crate::{
    auth::{self, Refused},
    users::Users,
};

#[derive(Deserialize)]
pub(super) struct Target {
    next: Option<String>,
}

/// What is posted to a login. Has no `Debug`: it is secret.
#[derive(Deserialize)]
pub(super) struct Input {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    next: Option<String>,
}

pub(super) async fn show(Query(target): Query<Target>) -> Html<String> {
    form(None, "", target.next.as_deref())
}

pub(super) async fn log_in(
    State(users): State<Users>,
    session: Session,
    headers: HeaderMap,
    Form(input): Form<Input>,
) -> Result<Response, SessionError> {
    let credentials = (&*input.username, &*input.password);
    let (status, error) = match auth::log_in(&session, &users, credentials, &headers).await {
        Ok(_user) => {
            let next = input.next.as_deref().and_then(safe_next);
            return Ok(Redirect::to(next.unwrap_or("/")).into_response());
        }
        Err(Refused::Session(error)) => return Err(error),
        Err(Refused::Missing) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "User name and password are needed.",
        ),
        Err(Refused::Wrong) => (StatusCode::UNAUTHORIZED, "User name or password is wrong."),
        Err(Refused::Later) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Please try again in a moment.",
        ),
    };
    let form = form(Some(error), &input.username, input.next.as_deref());
    Ok((status, form).into_response())
}

fn form(error: Option<&str>, username: &str, next: Option<&str>) -> Html<String> {
    let error = error.map(|text| format!("<p role=\"alert\">{}</p>", escape(text)));
    let next = next.and_then(safe_next).map(|next| {
        let next = escape(next);
        format!("<input type=\"hidden\" name=\"next\" value=\"{next}\">")
    });
    let main = include_str!("login.html")
        .replace("{error}", &error.unwrap_or_default())
        .replace("{next}", &next.unwrap_or_default())
        .replace("{username}", &escape(username));
    Html(page(Place::Login, "Log in", &None, &main))
}

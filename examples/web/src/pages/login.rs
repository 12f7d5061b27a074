use latchkey::web::LoginPage;

use super::{
    html::escape,
    layout::{Place, page},
};

pub(super) fn form(login: LoginPage<'_>) -> String {
    let error = login.error.map(|text| {
        let text = escape(text);
        format!("<p role=\"alert\">{text}</p>")
    });
    let next = login.next.map(|next| {
        let next = escape(next);
        format!("<input type=\"hidden\" name=\"next\" value=\"{next}\">")
    });
    let main = include_str!("login.html")
        .replace("{error}", &error.unwrap_or_default())
        .replace("{next}", &next.unwrap_or_default())
        .replace("{username}", &escape(login.username));
    page(Place::Login, "Log in", &None, &main)
}

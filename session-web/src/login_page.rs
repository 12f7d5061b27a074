use http::Uri;
use serde::Deserialize;

/// What a login page shows, for [`LoginHandler::page`](crate::LoginHandler::page).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LoginPage<'a> {
    /// What was wrong with the last try.
    pub error: Option<&'a str>,
    /// The user name of the last try, or nothing. What somebody has typed: escape it.
    pub username: &'a str,
    /// Where to go on: to be sent back with the form, as `next`. A path of this site.
    pub next: Option<&'a str>,
    /// Whether users may be remembered: to be asked with a box of the name `remember`.
    pub can_remember: bool,
}

/// Where the address of the page says to go on.
pub(crate) fn next_in(address: &Uri) -> Option<String> {
    #[derive(Deserialize)]
    struct Query {
        next: Option<String>,
    }
    let query: Query = serde_urlencoded::from_str(address.query()?).ok()?;
    query.next
}

pub(crate) fn plain(page: &LoginPage<'_>) -> String {
    let error = page.error.map(|text| {
        let text = escaped(text);
        format!("<p role=\"alert\">{text}</p>\n")
    });
    let next = page.next.map(|next| {
        let next = escaped(next);
        format!("<input type=\"hidden\" name=\"next\" value=\"{next}\">\n")
    });
    let remember = page.can_remember.then_some(REMEMBER);
    include_str!("login_page.html")
        .replace("{error}\n", &error.unwrap_or_default())
        .replace("{next}\n", &next.unwrap_or_default())
        .replace("{remember}\n", remember.unwrap_or_default())
}

const REMEMBER: &str =
    "<p><label><input name=\"remember\" type=\"checkbox\"> Stay logged in</label></p>\n";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

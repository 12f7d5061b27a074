use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// `target`, if a redirect to it stays on this site: a path that begins with one slash. Browsers take backslashes for
/// slashes, and drop tabs and line breaks, so nothing of that is let through. For what a form or query names as the page
/// to go on with. Source: ASVS 5.0, 3.7.2.
///
/// ```
/// use session_web::safe_next;
///
/// assert_eq!(safe_next("/cart?page=2"), Some("/cart?page=2"));
/// assert_eq!(safe_next("//evil.example"), None);
/// assert_eq!(safe_next("https://evil.example"), None);
/// ```
pub fn safe_next(target: &str) -> Option<&str> {
    let is_harmless = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b'\\';
    let is_path = target.starts_with('/') && !target.starts_with("//");
    (is_path && target.bytes().all(is_harmless)).then_some(target)
}

/// The way to the login, and from there back to `target` if that is safe.
pub(crate) fn with_next(login: &str, target: Option<&str>) -> String {
    let Some(target) = target.and_then(safe_next) else {
        return login.to_owned();
    };
    let separator = if login.contains('?') { '&' } else { '?' };
    let target = utf8_percent_encode(target, KEPT);
    format!("{login}{separator}next={target}")
}

const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

//! What sanic-cookies expects of a record. Source: sanic-cookies 0.4.3.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};

/// How long sanic-cookies lets a session live that asks for a time of its own: `_override_expiry` in its map, in seconds.
pub(super) fn own_expiry(record: &[u8]) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Asks {
        _override_expiry: Option<Seconds>,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Whole(u64),
        Other(IgnoredAny),
    }

    // A struct could be read from an array too.
    if !record.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    match serde_json::from_slice(record) {
        Ok(Asks {
            _override_expiry: Some(Seconds::Whole(seconds)),
        }) if seconds > 0 => Some(Duration::from_secs(seconds).min(LONGEST)),
        _ => None,
    }
}

/// Longer than any session is meant to live, and short enough to count in milliseconds: ten years.
pub(super) const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// JSON as ujson writes it: in ASCII, and without a bare `/`.
pub(super) fn as_ujson(json: &Bytes) -> Bytes {
    let needs = |byte: &u8| *byte == b'/' || !byte.is_ascii();
    let Ok(text) = str::from_utf8(json) else {
        return json.clone();
    };
    if !json.iter().any(needs) {
        return json.clone();
    }
    let mut out = Vec::with_capacity(json.len() + json.len() / 2);
    let mut escaped = false;
    for character in text.chars() {
        match character {
            '/' if !escaped => out.extend_from_slice(b"\\/"),
            character if character.is_ascii() => out.push(character as u8),
            character => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
        }
        escaped = character == '\\' && !escaped;
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_may_ask_for_a_time_of_its_own() {
        let asks = |json: &str| own_expiry(json.as_bytes()).map(|expiry| expiry.as_secs());
        assert_eq!(asks(r#"{"a":{"b":[1]},"_override_expiry":60}"#), Some(60));
        for none in [
            r#"{"a":1}"#,
            r#"{"_override_expiry":null}"#,
            r#"{"_override_expiry":0}"#,
            r#"{"_override_expiry":-1}"#,
            r#"{"_override_expiry":1.5}"#,
            r#"{"_override_expiry":"60"}"#,
            r#"{"_override_expiry":[60]}"#,
            r#"{"nested":{"_override_expiry":60}}"#,
            "[60]",
            "",
        ] {
            assert_eq!(asks(none), None, "{none}");
        }
        let endless = format!(r#"{{"_override_expiry":{}}}"#, u64::MAX);
        assert_eq!(asks(&endless), Some(LONGEST.as_secs()));
    }

    #[test]
    fn json_is_written_as_ujson_writes_it() {
        let written = |json: &'static str| as_ujson(&Bytes::from_static(json.as_bytes()));
        assert_eq!(
            written(r#"{"é":"a/b 😀","n":1.5}"#),
            r#"{"\u00e9":"a\/b \ud83d\ude00","n":1.5}"#
        );
        // What is escaped already stays; a backslash that is escaped itself escapes nothing.
        assert_eq!(written(r#"["\/","\\/","\\\/"]"#), r#"["\/","\\\/","\\\/"]"#);
        assert_eq!(written(r#"["\u00e9"]"#), r#"["\u00e9"]"#);
        let foreign = Bytes::from_static(b"\x82/\xff");
        assert_eq!(as_ujson(&foreign), foreign);
    }
}

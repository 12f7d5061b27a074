//! JSON as values are stored: one value and nothing after it, bounded depth, finite numbers.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserializer as _, Serialize,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

use crate::{
    codec::Unencodable,
    data::BadBody,
    msgpack::{self, MAX_DEPTH},
};

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Unencodable> {
    let bytes = serde_json::to_vec(value)?;
    // The library writes a number that is not finite as `null`. Nothing else tells it from what is nothing.
    if contains(&bytes, b"null") && !msgpack::is_finite(&msgpack::encode(value)?) {
        return Err(Unencodable::NotFinite);
    }
    Ok(bytes)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes)
}

pub(crate) fn check_one(bytes: &[u8]) -> Result<(), BadBody> {
    let value: &RawValue = serde_json::from_slice(bytes).map_err(|error| fault(&error))?;
    check_depth(value.get().as_bytes())
}

/// What kind of value stands in `bytes`, in words: for errors that must not show the value.
pub(crate) fn kind_of(bytes: &[u8]) -> &'static str {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => "nothing",
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        Some(b'"') => "a string",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        Some(_) => "a number",
    }
}

/// The most bytes that a text takes with its quotes.
pub(crate) fn text_size(text: &[u8]) -> usize {
    let escaped = text.iter().map(|byte| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    });
    2 + escaped.sum::<usize>()
}

pub(crate) fn write_body<'a>(
    out: &mut Vec<u8>,
    entries: impl Iterator<Item = (&'a Bytes, &'a Bytes)>,
) {
    out.push(b'{');
    for (at, (name, value)) in entries.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let name = str::from_utf8(name).expect("names are text");
        serde_json::to_writer(&mut *out, name).expect("memory takes all that is written");
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.push(b'}');
}

pub(crate) fn read_body(
    body: &Bytes,
    mut add: impl FnMut(Bytes, Bytes) -> Result<(), BadBody>,
) -> Result<(), BadBody> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let entries = reader.deserialize_map(Entries);
    for (name, value) in entries.map_err(|error| fault(&error))? {
        let value = value.get().as_bytes();
        check_depth(value)?;
        add(name.into(), body.slice_ref(value))?;
    }
    reader.end().or(Err(BadBody::TrailingBytes))
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

fn fault(error: &serde_json::Error) -> BadBody {
    match error.classify() {
        Category::Eof => BadBody::Truncated,
        Category::Data => BadBody::NotAMap,
        Category::Syntax | Category::Io => BadBody::NotJson,
    }
}

/// Refuses what is nested too deep. Without recursion; `value` is JSON.
fn check_depth(value: &[u8]) -> Result<(), BadBody> {
    let mut depth = 0_usize;
    for byte in outside_texts(value) {
        match byte {
            b'[' | b'{' if depth == MAX_DEPTH => return Err(BadBody::TooDeep),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// The bytes of a JSON value that stand in no text.
fn outside_texts(value: &[u8]) -> impl Iterator<Item = u8> {
    let (mut inside, mut escaped) = (false, false);
    value.iter().copied().filter(move |byte| {
        let quote = *byte == b'"' && !escaped;
        escaped = inside && *byte == b'\\' && !escaped;
        inside ^= quote;
        !inside && !quote
    })
}

/// A value of MessagePack in JSON, if JSON can hold it.
pub(crate) fn from_msgpack(value: &[u8]) -> Option<Vec<u8>> {
    if !msgpack::fits_json(value) {
        return None;
    }
    let mut out = Vec::with_capacity(2 * value.len());
    let mut writer = serde_json::Serializer::new(&mut out);
    serde_transcode::transcode(&mut msgpack::reader(value), &mut writer).ok()?;
    Some(out)
}

/// A value of JSON in MessagePack, if it can be held there as it is.
pub(crate) fn to_msgpack(value: &[u8]) -> Option<Vec<u8>> {
    if has_wide_integer(value) {
        return None;
    }
    let mut out = Vec::with_capacity(value.len());
    let mut writer = rmp_serde::Serializer::new(&mut out).with_struct_map();
    let mut reader = serde_json::Deserializer::from_slice(value);
    serde_transcode::transcode(&mut reader, &mut writer).ok()?;
    Some(out)
}

/// Whether there is an integer beyond 64 bits. The library would read it as a float, and its last digits were lost.
fn has_wide_integer(value: &[u8]) -> bool {
    let outside: Vec<u8> = outside_texts(value).collect();
    let in_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    outside.split(|byte| !in_number(byte)).any(|number| {
        let number = str::from_utf8(number).unwrap_or_default();
        let is_integer = !number.is_empty() && !number.contains(['.', 'e', 'E']);
        is_integer && number.parse::<i64>().is_err() && number.parse::<u64>().is_err()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn deep(levels: usize) -> Vec<u8> {
        [vec![b'['; levels], vec![b']'; levels]].concat()
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused_without_recursion() {
        assert_eq!(check_one(&deep(MAX_DEPTH)), Ok(()));
        assert_eq!(check_one(&deep(MAX_DEPTH + 1)), Err(BadBody::TooDeep));
        assert_eq!(check_one(&deep(1_000_000)), Err(BadBody::TooDeep));
        // Brackets in a text are no nesting; a quote in a text does not end it.
        let text = format!(r#"["\"{}\\", 1]"#, "[".repeat(1_000));
        assert_eq!(check_one(text.as_bytes()), Ok(()));
    }

    #[test]
    fn what_is_not_one_value_is_told_apart() {
        for (bytes, fault) in [
            (&b""[..], BadBody::Truncated),
            (b"[1,", BadBody::Truncated),
            (b"\"cut off", BadBody::Truncated),
            (b"1 2", BadBody::NotJson),
            (b"{}}", BadBody::NotJson),
            (b"NaN", BadBody::NotJson),
            (b"{'a':1}", BadBody::NotJson),
            (b"\"\xff\"", BadBody::NotJson),
        ] {
            assert_eq!(check_one(bytes), Err(fault), "{bytes:?}");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused_and_nothing_is_not() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(encode(&bad), Err(Unencodable::NotFinite)));
            let inside = ("null", [Some(bad)]);
            assert!(matches!(encode(&inside), Err(Unencodable::NotFinite)));
        }
        assert!(matches!(encode(&f32::NAN), Err(Unencodable::NotFinite)));
        let nothing = encode(&(None::<f64>, 1.5, ())).unwrap();
        assert_eq!(nothing, b"[null,1.5,null]");
    }

    #[test]
    fn only_what_json_can_hold_comes_over_from_messagepack() {
        let over = |bytes: &[u8]| from_msgpack(bytes).map(|json| String::from_utf8(json).unwrap());
        let value = (u64::MAX, i64::MIN, "é\n", [None, Some(0.5)]);
        let json = r#"[18446744073709551615,-9223372036854775808,"é\n",[null,0.5]]"#;
        let value = msgpack::encode(&value).unwrap();
        assert_eq!(over(&value).as_deref(), Some(json));
        let numbered = msgpack::encode(&BTreeMap::from([(7, true)])).unwrap();
        assert_eq!(over(&numbered).as_deref(), Some(r#"{"7":true}"#));
        assert_eq!(over(&msgpack::encode(&f64::NAN).unwrap()), None);
        // Bytes, an extension, text that is none, an array as a key.
        for bad in [
            &b"\xc4\x01a"[..],
            b"\xd4\x01a",
            b"\xa1\xff",
            b"\x81\x90\x01",
        ] {
            assert_eq!(over(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn integers_that_would_be_rounded_do_not_come_over_to_messagepack() {
        for wide in ["18446744073709551616", "-9223372036854775809"] {
            let nested = [format!("[true,{wide}]"), format!(r#"{{"e":{wide}}}"#)];
            for json in nested.iter().map(String::as_str).chain([wide]) {
                assert_eq!(to_msgpack(json.as_bytes()), None, "{json}");
            }
        }
        for json in [
            "18446744073709551615",
            "-9223372036854775808",
            "1e30",
            "123456789012345678901.5",
            r#"["18446744073709551616",true]"#,
        ] {
            assert!(to_msgpack(json.as_bytes()).is_some(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            check_one(&bytes).ok();
            to_msgpack(&bytes);
            from_msgpack(&bytes);
        }

        #[test]
        fn arbitrary_texts_of_brackets_and_quotes_never_panic(text in r#"[\[\]{}:,"\\0-9eEtrufalsn. -]{0,60}"#) {
            if check_one(text.as_bytes()).is_ok()
                && let Some(other) = to_msgpack(text.as_bytes())
            {
                prop_assert_eq!(msgpack::value_end(&other, 0), Ok(other.len()));
            }
        }

        #[test]
        fn values_come_over_and_back(
            value in proptest::collection::btree_map(".{0,20}", (any::<i64>(), any::<u64>(), -1e300..1e300, any::<Option<bool>>(), ".{0,20}"), 0..20),
        ) {
            let json = encode(&value).unwrap();
            let back = from_msgpack(&to_msgpack(&json).unwrap()).unwrap();
            let read: BTreeMap<String, (i64, u64, f64, Option<bool>, String)> = decode(&back).unwrap();
            prop_assert_eq!(read, value);
        }
    }
}

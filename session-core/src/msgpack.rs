//! MessagePack as values are stored: struct fields by name, one value and no trailing bytes, bounded depth.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::data::BadBody;

/// The deepest nesting that is written or read. A debug build on a 2 MiB stack breaks at 600 to 800.
pub(crate) const MAX_DEPTH: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    Truncated,
    TooDeep,
    Reserved,
}

pub(crate) fn encode<T: Serialize + ?Sized>(
    value: &T,
) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    // Fields by name: by position, a new field in the middle of a struct would break every stored record.
    rmp_serde::to_vec_named(value)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    T::deserialize(&mut reader(bytes))
}

pub(crate) fn reader(bytes: &[u8]) -> Reader<'_> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    // One more than is ever stored: the depth was checked before.
    reader.set_max_depth(MAX_DEPTH + 1);
    reader
}

pub(crate) type Reader<'a> = rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'a, [u8]>>;

/// Whether no number in a value is infinite or none at all.
pub(crate) fn is_finite(value: &[u8]) -> bool {
    all_elements(value, |element| match *element {
        [0xca, a, b, c, d] => f32::from_be_bytes([a, b, c, d]).is_finite(),
        [0xcb, a, b, c, d, e, f, g, h] => f64::from_be_bytes([a, b, c, d, e, f, g, h]).is_finite(),
        _ => true,
    })
}

/// Whether JSON knows all kinds of what is in a value: no bytes, no extension types, no text that is none.
pub(crate) fn fits_json(value: &[u8]) -> bool {
    let known = |element: &[u8]| match element[0] {
        0xc4..=0xc9 | 0xd4..=0xd8 => false,
        0xa0..=0xbf | 0xd9..=0xdb => matches!(read_str(element, 0), Ok(Some(text))
            if str::from_utf8(&element[text.clone()]).is_ok()),
        _ => true,
    };
    is_finite(value) && all_elements(value, known)
}

/// Whether `check` holds for each element of a value, its marker and what belongs to it.
fn all_elements(value: &[u8], check: impl Fn(&[u8]) -> bool) -> bool {
    let mut at = 0;
    while at < value.len() {
        match element(value, at) {
            Ok((end, _)) if check(&value[at..end]) => at = end,
            _ => return false,
        }
    }
    true
}

/// Where the value that starts at `start` ends. Visits every part of it, without recursion.
pub(crate) fn value_end(bytes: &[u8], start: usize) -> Result<usize, Malformed> {
    let mut open = [0_u64; MAX_DEPTH];
    let mut depth = 0;
    let mut at = start;
    loop {
        let (next, children) = element(bytes, at)?;
        at = next;
        if children > 0 {
            *open.get_mut(depth).ok_or(Malformed::TooDeep)? = children;
            depth += 1;
            continue;
        }
        while depth > 0 {
            open[depth - 1] -= 1;
            if open[depth - 1] > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            return Ok(at);
        }
    }
}

/// The end of one element's own bytes, and how many elements it holds.
///
/// Source: the MessagePack specification, "Formats".
fn element(bytes: &[u8], at: usize) -> Result<(usize, u64), Malformed> {
    let marker = *bytes.get(at).ok_or(Malformed::Truncated)?;
    let at = at + 1;
    let sized = |width: usize, extra: usize| -> Result<(usize, u64), Malformed> {
        let length = usize::try_from(number(bytes, at, width)?).or(Err(Malformed::Truncated))?;
        end(bytes, at + width, length.saturating_add(extra))
    };
    let holding = |width: usize, each: u64| Ok((at + width, number(bytes, at, width)? * each));
    match marker {
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Ok((at, 0)),
        0x80..=0x8f => Ok((at, u64::from(marker & 0x0f) * 2)),
        0x90..=0x9f => Ok((at, u64::from(marker & 0x0f))),
        0xa0..=0xbf => end(bytes, at, usize::from(marker & 0x1f)),
        0xc1 => Err(Malformed::Reserved),
        0xc4 | 0xd9 => sized(1, 0),
        0xc5 | 0xda => sized(2, 0),
        0xc6 | 0xdb => sized(4, 0),
        0xc7 => sized(1, 1),
        0xc8 => sized(2, 1),
        0xc9 => sized(4, 1),
        0xcc | 0xd0 => end(bytes, at, 1),
        0xcd | 0xd1 | 0xd4 => end(bytes, at, 2),
        0xd5 => end(bytes, at, 3),
        0xca | 0xce | 0xd2 => end(bytes, at, 4),
        0xd6 => end(bytes, at, 5),
        0xcb | 0xcf | 0xd3 => end(bytes, at, 8),
        0xd7 => end(bytes, at, 9),
        0xd8 => end(bytes, at, 17),
        0xdc => holding(2, 1),
        0xdd => holding(4, 1),
        0xde => holding(2, 2),
        0xdf => holding(4, 2),
    }
}

fn end(bytes: &[u8], at: usize, length: usize) -> Result<(usize, u64), Malformed> {
    match at.checked_add(length) {
        Some(end) if end <= bytes.len() => Ok((end, 0)),
        _ => Err(Malformed::Truncated),
    }
}

/// A big-endian number of `width` bytes.
fn number(bytes: &[u8], at: usize, width: usize) -> Result<u64, Malformed> {
    let digits = bytes.get(at..at + width).ok_or(Malformed::Truncated)?;
    Ok(digits
        .iter()
        .fold(0, |number, &digit| number << 8 | u64::from(digit)))
}

/// What kind of value stands in `bytes`, in words: for errors that must not show the value.
pub(crate) fn kind_of(bytes: &[u8]) -> &'static str {
    match bytes.first() {
        None => "nothing",
        Some(0xc0) => "nil",
        Some(0xc2 | 0xc3) => "a boolean",
        Some(0x00..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff) => "an integer",
        Some(0xca | 0xcb) => "a float",
        Some(0xa0..=0xbf | 0xd9..=0xdb) => "a string",
        Some(0xc4..=0xc6) => "bytes",
        Some(0x90..=0x9f | 0xdc | 0xdd) => "an array",
        Some(0x80..=0x8f | 0xde | 0xdf) => "a map",
        Some(_) => "an extension type",
    }
}

/// Appends a map of names to values that are encoded already.
pub(crate) fn write_body<'a>(
    out: &mut Vec<u8>,
    entries: impl ExactSizeIterator<Item = (&'a Bytes, &'a Bytes)>,
) {
    write_map_header(out, entries.len());
    for (name, value) in entries {
        write_str(out, name);
        out.extend_from_slice(value);
    }
}

/// Takes such a map apart. Names and values share the memory of `body`.
pub(crate) fn read_body(
    body: &Bytes,
    mut add: impl FnMut(Bytes, Bytes) -> Result<(), BadBody>,
) -> Result<(), BadBody> {
    let Some((len, mut at)) = read_map_header(body, 0)? else {
        return Err(BadBody::NotAMap);
    };
    for _ in 0..len {
        let name = read_str(body, at)?.ok_or(BadBody::NotAMap)?;
        let value = name.end..value_end(body, name.end)?;
        at = value.end;
        str::from_utf8(&body[name.clone()]).or(Err(BadBody::NotAMap))?;
        add(body.slice(name), body.slice(value))?;
    }
    if at == body.len() {
        Ok(())
    } else {
        Err(BadBody::TrailingBytes)
    }
}

/// A map's header for `len` entries.
fn write_map_header(out: &mut Vec<u8>, len: usize) {
    match (u8::try_from(len), u16::try_from(len), u32::try_from(len)) {
        (Ok(len @ 0..=15), ..) => out.push(0x80 | len),
        (_, Ok(len), _) => {
            out.push(0xde);
            out.extend(len.to_be_bytes());
        }
        (_, _, Ok(len)) => {
            out.push(0xdf);
            out.extend(len.to_be_bytes());
        }
        _ => unreachable!("the size limit of a record is far below 2^32 entries"),
    }
}

/// A string.
fn write_str(out: &mut Vec<u8>, text: &[u8]) {
    match (
        u8::try_from(text.len()),
        u16::try_from(text.len()),
        u32::try_from(text.len()),
    ) {
        (Ok(len @ 0..=31), ..) => out.push(0xa0 | len),
        (Ok(len), ..) => out.extend([0xd9, len]),
        (_, Ok(len), _) => {
            out.push(0xda);
            out.extend(len.to_be_bytes());
        }
        (_, _, Ok(len)) => {
            out.push(0xdb);
            out.extend(len.to_be_bytes());
        }
        _ => unreachable!("the size limit of a record is far below 4 GiB"),
    }
    out.extend_from_slice(text);
}

/// The entries of the map at `start`, and where they begin.
fn read_map_header(bytes: &[u8], start: usize) -> Result<Option<(u64, usize)>, Malformed> {
    let marker = *bytes.get(start).ok_or(Malformed::Truncated)?;
    if !matches!(marker, 0x80..=0x8f | 0xde | 0xdf) {
        return Ok(None);
    }
    let (at, children) = element(bytes, start)?;
    Ok(Some((children / 2, at)))
}

/// The range of the string at `start`; `None` if something else stands there.
fn read_str(bytes: &[u8], start: usize) -> Result<Option<std::ops::Range<usize>>, Malformed> {
    let marker = *bytes.get(start).ok_or(Malformed::Truncated)?;
    let head = match marker {
        0xa0..=0xbf => 1,
        0xd9 => 2,
        0xda => 3,
        0xdb => 5,
        _ => return Ok(None),
    };
    let (end, _) = element(bytes, start)?;
    Ok(Some(start + head..end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nesting_beyond_the_limit_is_refused_without_recursion() {
        let deep = vec![0x91; 1_000_000];
        assert_eq!(value_end(&deep, 0), Err(Malformed::TooDeep));
        let mut fits = vec![0x91; MAX_DEPTH];
        fits.push(0xc0);
        assert_eq!(value_end(&fits, 0), Ok(MAX_DEPTH + 1));
    }

    #[test]
    fn a_length_beyond_the_input_is_truncated_and_allocates_nothing() {
        assert_eq!(
            value_end(&[0xdb, 0xff, 0xff, 0xff, 0xff], 0),
            Err(Malformed::Truncated)
        );
        assert_eq!(
            value_end(&[0xdf, 0xff, 0xff, 0xff, 0xff], 0),
            Err(Malformed::Truncated)
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(end) = value_end(&bytes, 0) {
                prop_assert!(end <= bytes.len());
            }
        }

        #[test]
        fn what_is_encoded_ends_where_its_bytes_end(
            value in proptest::collection::btree_map(".{0,40}", (any::<i64>(), any::<f64>(), any::<Option<bool>>()), 0..40),
        ) {
            let bytes = encode(&value).unwrap();
            prop_assert_eq!(value_end(&bytes, 0), Ok(bytes.len()));
        }
    }
}

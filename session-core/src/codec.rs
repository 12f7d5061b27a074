use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{data::BadBody, json, msgpack};

/// How the values of sessions are encoded. Each record says itself in which codec it is, so records of both are read
/// whatever is chosen.
///
/// Chosen by [`SessionsBuilder::codec`](crate::SessionsBuilder::codec). After another choice, a session moves to the
/// new codec with its next commit. One with a value that the new codec cannot hold stays in the old one until that
/// value is gone.
///
/// # What JSON cannot hold
/// | Rust | JSON |
/// |---|---|
/// | bytes (`serde_bytes`, `Bytes`) | an array of numbers: three to four times as long |
/// | NaN and infinite floats | nothing: [`insert`](crate::SessionData::insert) fails |
/// | keys of maps | text; integers are written as text and read back as integers; arrays, maps and nothing: `insert` fails |
/// | integers of 64 bits | all digits; a reader in JavaScript rounds those beyond 2⁵³, so write them as text for it |
/// | integers of 128 bits | all digits; a session with one beyond 64 bits stays in JSON |
///
/// Types that write themselves in two ways, as `Uuid` and `IpAddr` do, are text in JSON and compact in MessagePack.
/// They are read in either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// MessagePack with named fields: compact, fast, holds whatever serde can write.
    #[default]
    MessagePack,
    /// JSON, for services in other languages.
    Json,
}

impl Codec {
    pub(crate) fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>, Unencodable> {
        let bytes = match self {
            Self::MessagePack => msgpack::encode(value)?,
            Self::Json => json::encode(value)?,
        };
        match self.check_one(&bytes) {
            Err(BadBody::TooDeep) => Err(Unencodable::TooDeep),
            _ => Ok(bytes),
        }
    }

    /// Reads a value, also one that another codec wrote for its own kind of reader.
    pub(crate) fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, Undecodable> {
        match self {
            Self::MessagePack => msgpack::decode(bytes).or_else(|error| {
                let other = self.recode(bytes, Self::Json);
                let value = other.and_then(|other| json::decode(&other).ok());
                value.ok_or_else(|| Undecodable::msgpack(bytes, &error))
            }),
            Self::Json => json::decode(bytes).or_else(|error| {
                let other = self.recode(bytes, Self::MessagePack);
                let value = other.and_then(|other| msgpack::decode(&other).ok());
                value.ok_or_else(|| Undecodable::json(bytes, &error))
            }),
        }
    }

    /// Whether bytes are exactly one value, not nested too deep.
    pub(crate) fn check_one(self, bytes: &[u8]) -> Result<(), BadBody> {
        match self {
            Self::MessagePack => match msgpack::value_end(bytes, 0)? {
                end if end == bytes.len() => Ok(()),
                _ => Err(BadBody::TrailingBytes),
            },
            Self::Json => json::check_one(bytes),
        }
    }

    /// A value in another codec; `None` if that cannot hold it.
    pub(crate) fn recode(self, value: &[u8], other: Self) -> Option<Vec<u8>> {
        match (self, other) {
            (Self::MessagePack, Self::Json) => json::from_msgpack(value),
            (Self::Json, Self::MessagePack) => json::to_msgpack(value),
            (Self::MessagePack, Self::MessagePack) | (Self::Json, Self::Json) => {
                Some(value.to_vec())
            }
        }
    }

    /// The most bytes that a body without entries takes.
    pub(crate) const fn empty_size(self) -> usize {
        match self {
            Self::MessagePack => 5,
            Self::Json => 2,
        }
    }

    /// The most bytes that one entry takes.
    pub(crate) fn entry_size(self, name: &[u8], value: &[u8]) -> usize {
        match self {
            Self::MessagePack => 5 + name.len() + value.len(),
            Self::Json => 2 + json::text_size(name) + value.len(),
        }
    }

    /// Appends the body of a record: a map of names to values that are encoded already.
    pub(crate) fn write_body<'a>(
        self,
        out: &mut Vec<u8>,
        entries: impl ExactSizeIterator<Item = (&'a Bytes, &'a Bytes)>,
    ) {
        match self {
            Self::MessagePack => msgpack::write_body(out, entries),
            Self::Json => json::write_body(out, entries),
        }
    }

    /// Takes the body of a record apart. The values share its memory.
    pub(crate) fn read_body(
        self,
        body: &Bytes,
        add: impl FnMut(Bytes, Bytes) -> Result<(), BadBody>,
    ) -> Result<(), BadBody> {
        match self {
            Self::MessagePack => msgpack::read_body(body, add),
            Self::Json => json::read_body(body, add),
        }
    }
}

/// Why a value cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unencodable {
    #[error("cannot be encoded")]
    MessagePack(#[from] rmp_serde::encode::Error),
    #[error("cannot be encoded")]
    Json(#[from] serde_json::Error),
    #[error("has a number that is not finite, which JSON cannot hold")]
    NotFinite,
    #[error("is nested deeper than {} levels", msgpack::MAX_DEPTH)]
    TooDeep,
}

/// Why a value cannot be read as the type that was asked for.
///
/// The decoder's own message may quote the stored value, so only what is known not to is taken over.
#[derive(Debug, thiserror::Error)]
#[error("{found} is stored, which does not fit{detail}")]
pub(crate) struct Undecodable {
    found: &'static str,
    detail: String,
}

impl Undecodable {
    fn msgpack(bytes: &[u8], error: &rmp_serde::decode::Error) -> Self {
        let text = match error {
            rmp_serde::decode::Error::Syntax(text) => text,
            _ => "",
        };
        Self::new(msgpack::kind_of(bytes), text)
    }

    fn json(bytes: &[u8], error: &serde_json::Error) -> Self {
        Self::new(json::kind_of(bytes), &error.to_string())
    }

    fn new(found: &'static str, text: &str) -> Self {
        let detail = if text.starts_with("missing field") {
            format!(": {text}")
        } else {
            String::new()
        };
        Self { found, detail }
    }
}

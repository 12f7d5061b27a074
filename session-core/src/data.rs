use std::{collections::BTreeMap, fmt, ops::Range};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    key::{KeyName, ReadKey, WriteKey},
    msgpack::{self, Malformed},
};

/// What a session holds: values by key.
///
/// Each value is encoded on its own, as MessagePack with named fields. A read decodes the one value that it asks
/// for; values that nobody touches are handed on bit for bit, also by a replica that runs older code.
///
/// [`SessionGuard`](crate::SessionGuard) and [`Snapshot`](crate::Snapshot) dereference to it.
#[derive(Clone)]
pub struct SessionData {
    entries: BTreeMap<Bytes, Bytes>,
    size: usize,
    limit: usize,
    modified: bool,
}

impl SessionData {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            size: MAP_HEADER,
            limit,
            modified: false,
        }
    }

    /// Writes `value` under `key`. Writing the very same value again changes nothing.
    ///
    /// # Errors
    /// [`ValueError`] when the value cannot be encoded, is nested deeper than 100 levels, or would make the record
    /// larger than allowed. The session is then as it was.
    pub fn insert<K, V>(&mut self, key: K, value: V) -> Result<(), ValueError>
    where
        K: WriteKey<V>,
        V: Serialize,
    {
        let error = |cause| ValueError::new::<V>(key.name(), cause);
        let bytes = msgpack::encode(&value).map_err(|source| error(Cause::Encode(source)))?;
        if msgpack::value_end(&bytes, 0) == Err(Malformed::TooDeep) {
            return Err(error(Cause::TooDeep));
        }
        self.put(key.name(), bytes.into()).map_err(error)
    }

    /// Writes bytes that are one MessagePack value already.
    ///
    /// # Errors
    /// [`ValueError`] when they are not exactly one value, are nested too deep, or make the record too large.
    pub fn insert_raw(
        &mut self,
        key: impl KeyName,
        value: impl Into<Bytes>,
    ) -> Result<(), ValueError> {
        let value = value.into();
        let error = |cause| ValueError::new::<[u8]>(key.name(), cause);
        match msgpack::value_end(&value, 0) {
            Ok(end) if end == value.len() => self.put(key.name(), value).map_err(error),
            Err(Malformed::TooDeep) => Err(error(Cause::TooDeep)),
            _ => Err(error(Cause::NotOneValue)),
        }
    }

    /// Reads the value under `key`, lets `change` work on it, and writes it back. Starts from the default value if
    /// there is none.
    ///
    /// # Errors
    /// [`ValueError`] when the stored value is of another type, or as for [`insert`](Self::insert). The session is
    /// then as it was.
    pub fn modify<K, T, R>(
        &mut self,
        key: K,
        change: impl FnOnce(&mut T) -> R,
    ) -> Result<R, ValueError>
    where
        K: ReadKey<T> + WriteKey<T> + Copy,
        T: Serialize + DeserializeOwned + Default,
    {
        let mut value = self.get(key)?.unwrap_or_default();
        let result = change(&mut value);
        self.insert(key, value)?;
        Ok(result)
    }

    /// Removes the value under `key` and returns it.
    ///
    /// # Errors
    /// [`ValueError`] when the value is of another type. It then stays.
    pub fn take<T: DeserializeOwned>(
        &mut self,
        key: impl ReadKey<T>,
    ) -> Result<Option<T>, ValueError> {
        let value = self.get_by_name(key.name())?;
        self.remove(key);
        Ok(value)
    }

    /// Removes the value under `key`; whether there was one.
    pub fn remove(&mut self, key: impl KeyName) -> bool {
        let Some((name, value)) = self.entries.remove_entry(key.name().as_bytes()) else {
            return false;
        };
        self.size -= entry_size(name.len(), value.len());
        self.modified = true;
        true
    }

    /// Removes all values.
    pub fn clear(&mut self) {
        self.modified |= !self.is_empty();
        self.entries.clear();
        self.size = MAP_HEADER;
    }

    /// Reads the value under `key`; `None` if there is none.
    ///
    /// # Errors
    /// [`ValueError`] when the stored value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: impl ReadKey<T>) -> Result<Option<T>, ValueError> {
        self.get_by_name(key.name())
    }

    /// The value under `key` as it is stored: one MessagePack value.
    pub fn get_raw(&self, key: impl KeyName) -> Option<&Bytes> {
        self.entries.get(key.name().as_bytes())
    }

    /// Whether there is a value under `key`.
    pub fn contains_key(&self, key: impl KeyName) -> bool {
        self.entries.contains_key(key.name().as_bytes())
    }

    /// The names of all values, in order.
    #[expect(
        clippy::missing_panics_doc,
        reason = "names were checked when they came in"
    )]
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries
            .keys()
            .map(|name| str::from_utf8(name).expect("names are text"))
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether anything was changed since it was loaded.
    pub const fn is_modified(&self) -> bool {
        self.modified
    }

    fn get_by_name<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ValueError> {
        let Some(bytes) = self.entries.get(name.as_bytes()) else {
            return Ok(None);
        };
        match msgpack::decode(bytes) {
            Ok(value) => Ok(Some(value)),
            Err(source) => Err(ValueError::new::<T>(name, Cause::decode(bytes, &source))),
        }
    }

    fn put(&mut self, name: &str, value: Bytes) -> Result<(), Cause> {
        let old = self.entries.get(name.as_bytes());
        if old.is_some_and(|old| *old == value) {
            return Ok(());
        }
        let freed = old.map_or(0, |old| entry_size(name.len(), old.len()));
        let size = self.size - freed + entry_size(name.len(), value.len());
        if size > self.limit {
            return Err(Cause::RecordTooLarge {
                size,
                limit: self.limit,
            });
        }
        match self.entries.get_mut(name.as_bytes()) {
            Some(slot) => *slot = value,
            None => {
                self.entries
                    .insert(Bytes::copy_from_slice(name.as_bytes()), value);
            }
        }
        self.size = size;
        self.modified = true;
        Ok(())
    }

    /// The body of a record: a MessagePack map.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.size);
        msgpack::write_map_header(&mut out, self.len());
        for (name, value) in &self.entries {
            msgpack::write_str(&mut out, name);
            out.extend_from_slice(value);
        }
        out.into()
    }

    /// Reads the body of a record. Values stay encoded and share the memory of `body`.
    pub(crate) fn decode(body: &Bytes, limit: usize) -> Result<Self, BadBody> {
        if body.len() > limit {
            return Err(BadBody::TooLarge {
                size: body.len(),
                limit,
            });
        }
        let mut data = Self::new(limit);
        let Some((len, mut at)) = msgpack::read_map_header(body, 0)? else {
            return Err(BadBody::NotAMap);
        };
        for _ in 0..len {
            let name = msgpack::read_str(body, at)?.ok_or(BadBody::NotAMap)?;
            let value = name.end..msgpack::value_end(body, name.end)?;
            at = value.end;
            data.add(body, name, value)?;
        }
        if at == body.len() {
            Ok(data)
        } else {
            Err(BadBody::TrailingBytes)
        }
    }

    fn add(
        &mut self,
        body: &Bytes,
        name: Range<usize>,
        value: Range<usize>,
    ) -> Result<(), BadBody> {
        str::from_utf8(&body[name.clone()]).or(Err(BadBody::NotAMap))?;
        self.size += entry_size(name.len(), value.len());
        match self.entries.insert(body.slice(name), body.slice(value)) {
            None => Ok(()),
            Some(_) => Err(BadBody::RepeatedKey),
        }
    }
}

// The most bytes that a map's own header takes.
const MAP_HEADER: usize = 5;

/// The most bytes that one entry takes.
const fn entry_size(name: usize, value: usize) -> usize {
    5 + name + value
}

impl fmt::Debug for SessionData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionData")
            .field("len", &self.len())
            .field("modified", &self.modified)
            .finish_non_exhaustive()
    }
}

/// Why a record's body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadBody {
    #[error("it is not a map of named values")]
    NotAMap,
    #[error("a key stands in it twice")]
    RepeatedKey,
    #[error("it is cut off")]
    Truncated,
    #[error("it is nested deeper than {} levels", msgpack::MAX_DEPTH)]
    TooDeep,
    #[error("bytes follow after its end")]
    TrailingBytes,
    #[error("it has {size} bytes, allowed are {limit}")]
    TooLarge { size: usize, limit: usize },
}

impl From<Malformed> for BadBody {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Truncated => Self::Truncated,
            // The value is one level below its map.
            Malformed::TooDeep => Self::TooDeep,
            Malformed::Reserved => Self::NotAMap,
        }
    }
}

/// A value could not be read or written. The session is unchanged and can be used further.
///
/// Names the key and the Rust type, never the value.
#[derive(Debug, thiserror::Error)]
#[error("value {key:?} as {type_name}: {cause}")]
pub struct ValueError {
    key: String,
    type_name: &'static str,
    #[source]
    cause: Cause,
}

impl ValueError {
    fn new<T: ?Sized>(key: &str, cause: Cause) -> Self {
        Self {
            key: key.to_owned(),
            type_name: std::any::type_name::<T>(),
            cause,
        }
    }

    /// The key of the value.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The Rust type that was to be read or written.
    pub const fn type_name(&self) -> &'static str {
        self.type_name
    }
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("cannot be encoded")]
    Encode(#[source] rmp_serde::encode::Error),
    #[error("{found} is stored, which does not fit{detail}")]
    Decode { found: &'static str, detail: String },
    #[error("is nested deeper than {} levels", msgpack::MAX_DEPTH)]
    TooDeep,
    #[error("is not exactly one MessagePack value")]
    NotOneValue,
    #[error("would make the record {size} bytes large, allowed are {limit}")]
    RecordTooLarge { size: usize, limit: usize },
}

impl Cause {
    /// The decoder's own message may quote the stored value, so only what is known not to is taken over.
    fn decode(bytes: &[u8], source: &rmp_serde::decode::Error) -> Self {
        let detail = match source {
            rmp_serde::decode::Error::Syntax(text) if text.starts_with("missing field") => {
                format!(": {text}")
            }
            _ => String::new(),
        };
        Self::Decode {
            found: msgpack::kind_of(bytes),
            detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::Key;

    const LIMIT: usize = 1 << 20;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Cart {
        items: Vec<String>,
    }

    const CART: Key<Cart> = Key::new("cart");

    fn stored(data: &SessionData) -> SessionData {
        SessionData::decode(&data.encode(), LIMIT).unwrap()
    }

    #[test]
    fn values_survive_the_way_through_a_record() -> Result<(), ValueError> {
        let mut data = SessionData::new(LIMIT);
        data.insert("visits", 3)?;
        data.insert(
            CART,
            &Cart {
                items: vec!["tea".to_owned()],
            },
        )?;
        data.modify(CART, |cart| cart.items.push("milk".to_owned()))?;
        let data = stored(&data);
        assert_eq!(data.get::<u8>("visits")?, Some(3));
        assert_eq!(data.get(CART)?.unwrap().items, ["tea", "milk"]);
        assert_eq!(data.keys().collect::<Vec<_>>(), ["cart", "visits"]);
        assert!(!data.is_modified());
        Ok(())
    }

    #[test]
    fn a_struct_with_a_new_field_reads_old_records() -> Result<(), ValueError> {
        #[derive(Deserialize)]
        struct Newer {
            #[serde(default)]
            coupon: Option<String>,
            items: Vec<String>,
        }
        let mut data = SessionData::new(LIMIT);
        data.insert(
            "cart",
            Cart {
                items: vec!["tea".to_owned()],
            },
        )?;
        let newer: Newer = data.get("cart")?.unwrap();
        assert_eq!((newer.coupon, newer.items), (None, vec!["tea".to_owned()]));
        Ok(())
    }

    #[test]
    fn a_value_of_another_type_is_an_error_that_names_key_and_type_and_hides_the_value() {
        let mut data = SessionData::new(LIMIT);
        data.insert("name", "s3cret").unwrap();
        let error = data.take::<u32>("name").unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains("name") && shown.contains("u32") && shown.contains("a string"),
            "{shown}"
        );
        assert!(!shown.contains("s3cret"), "{shown}");
        assert_eq!(
            data.get::<String>("name").unwrap().as_deref(),
            Some("s3cret")
        );
    }

    #[test]
    fn writing_the_same_value_again_is_no_change() {
        let mut data = SessionData::new(LIMIT);
        data.insert("visits", 3).unwrap();
        let mut data = stored(&data);
        data.insert("visits", 3).unwrap();
        assert!(!data.remove("other"));
        assert!(!data.is_modified());
        data.insert("visits", 4).unwrap();
        assert!(data.is_modified());
    }

    #[test]
    fn a_record_never_grows_beyond_its_limit() {
        let mut data = SessionData::new(100);
        data.insert("a", "x".repeat(60)).unwrap();
        assert!(data.insert("b", "x".repeat(60)).is_err());
        assert!(!data.contains_key("b"));
        data.insert("a", "x".repeat(80)).unwrap();
        data.remove("a");
        data.insert("b", "x".repeat(60)).unwrap();
        assert!(data.encode().len() <= 100);
    }

    #[test]
    fn raw_bytes_must_be_one_value() {
        let mut data = SessionData::new(LIMIT);
        assert!(data.insert_raw("a", Vec::new()).is_err());
        assert!(data.insert_raw("a", vec![0xc0, 0xc0]).is_err());
        assert!(data.insert_raw("a", vec![0x91; 300]).is_err());
        data.insert_raw("a", vec![0x07]).unwrap();
        assert_eq!(data.get::<u8>("a").unwrap(), Some(7));
    }

    #[test]
    fn a_deeply_nested_value_is_refused_when_written() {
        #[derive(Serialize)]
        struct Nested(Option<Box<Self>>, ());
        let deep = (0..200).fold(Nested(None, ()), |inner, _| {
            Nested(Some(Box::new(inner)), ())
        });
        assert!(SessionData::new(LIMIT).insert("deep", deep).is_err());
    }

    #[test]
    fn bodies_of_hostile_bytes_are_refused() {
        let body =
            |bytes: &[u8]| SessionData::decode(&Bytes::copy_from_slice(bytes), LIMIT).unwrap_err();
        assert_eq!(body(&[]), BadBody::Truncated);
        assert_eq!(body(&[0x93, 1, 2, 3]), BadBody::NotAMap);
        assert_eq!(body(&[0x80, 0]), BadBody::TrailingBytes);
        assert_eq!(
            body(&[0x82, 0xa1, b'a', 1, 0xa1, b'a', 2]),
            BadBody::RepeatedKey
        );
        assert_eq!(body(&[0xdf, 0xff, 0xff, 0xff, 0xff]), BadBody::Truncated);
        assert_eq!(body(&[0x81, 0xa1, 0xff, 1]), BadBody::NotAMap);
        let mut deep = vec![0x81, 0xa1, b'a'];
        deep.extend([0x91; 1_000]);
        assert_eq!(body(&deep), BadBody::TooDeep);
        assert!(matches!(
            body(&vec![0; LIMIT + 1]),
            BadBody::TooLarge { .. }
        ));
    }

    proptest! {
        #[test]
        fn any_set_of_values_survives(values in proptest::collection::btree_map(".{0,20}", any::<(i32, String)>(), 0..50)) {
            let mut data = SessionData::new(LIMIT);
            for (key, value) in &values {
                data.insert(key, value).unwrap();
            }
            let data = stored(&data);
            prop_assert_eq!(data.len(), values.len());
            for (key, value) in &values {
                prop_assert_eq!(&data.get::<(i32, String)>(key).unwrap().unwrap(), value);
            }
        }

        #[test]
        fn arbitrary_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let body = Bytes::from(body);
            if let Ok(data) = SessionData::decode(&body, LIMIT) {
                prop_assert!(data.encode().len() <= data.size);
            }
        }
    }
}

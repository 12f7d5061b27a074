use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    BodyFault, Codec, UserId,
    codec::{Undecodable, Unencodable},
    key::{KeyName, ReadKey, WriteKey},
    msgpack::{self, Malformed},
};

/// What a session holds: values by key.
///
/// Each value is encoded on its own, as MessagePack with named fields or in another [`Codec`]. A read decodes the one
/// value that it asks for; values that nobody touches are handed on bit for bit, also by a replica that runs older code.
///
/// [`SessionGuard`](crate::SessionGuard) and [`Snapshot`](crate::Snapshot) dereference to it.
#[derive(Clone)]
pub struct SessionData {
    codec: Codec,
    entries: BTreeMap<Bytes, Bytes>,
    size: usize,
    limit: usize,
    modified: bool,
}

/// How large the values of records may be that have a form of their own.
const OWN_FORM_MAX: usize = 1 << 20;

impl SessionData {
    pub(crate) const fn new(codec: Codec, limit: usize) -> Self {
        Self {
            codec,
            entries: BTreeMap::new(),
            size: codec.empty_size(),
            limit,
            modified: false,
        }
    }

    /// No values; for stores whose records have a form of their own. At most 1 MiB.
    pub const fn empty(codec: Codec) -> Self {
        Self::new(codec, OWN_FORM_MAX)
    }

    /// The values that were [encoded](Self::to_encoded) so, as one map; for stores whose records have a form of their own.
    ///
    /// # Errors
    /// [`BodyFault`] when they were not.
    pub fn from_encoded(codec: Codec, body: &Bytes) -> Result<Self, BodyFault> {
        Self::decode(codec, body, OWN_FORM_MAX).map_err(BodyFault)
    }

    /// The values as one map in that codec; `None` if it cannot hold one of them. For stores whose records have a form of
    /// their own.
    pub fn to_encoded(&self, codec: Codec) -> Option<Bytes> {
        if self.codec == codec {
            return Some(self.encode());
        }
        Some(self.recoded(codec)?.encode())
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
        if is_own(key.name()) {
            return Err(ValueError::new::<V>(key.name(), Cause::OwnName));
        }
        self.insert_by_name(key.name(), &value)
    }

    /// Writes bytes that are one value already, in the session's [`codec`](Self::codec).
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
        if is_own(key.name()) {
            return Err(error(Cause::OwnName));
        }
        match self.codec.check_one(&value) {
            Ok(()) => self.put(key.name(), value).map_err(error),
            Err(BadBody::TooDeep) => Err(error(Unencodable::TooDeep.into())),
            Err(_) => Err(error(Cause::NotOneValue(self.codec))),
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
        let value = self.get(key)?;
        self.remove(key);
        Ok(value)
    }

    /// Removes the value under `key`; whether there was one.
    pub fn remove(&mut self, key: impl KeyName) -> bool {
        !is_own(key.name()) && self.remove_by_name(key.name())
    }

    fn remove_by_name(&mut self, name: &str) -> bool {
        let Some((name, value)) = self.entries.remove_entry(name.as_bytes()) else {
            return false;
        };
        self.size -= self.codec.entry_size(&name, &value);
        self.modified = true;
        true
    }

    /// Removes all values.
    pub fn clear(&mut self) {
        self.modified |= !self.is_empty();
        self.entries.retain(|name, _| is_own_bytes(name));
        let sizes = self.entries.iter();
        self.size = self.codec.empty_size()
            + sizes
                .map(|(name, value)| self.codec.entry_size(name, value))
                .sum::<usize>();
    }

    /// Reads the value under `key`; `None` if there is none.
    ///
    /// # Errors
    /// [`ValueError`] when the stored value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: impl ReadKey<T>) -> Result<Option<T>, ValueError> {
        if is_own(key.name()) {
            return Ok(None);
        }
        self.get_by_name(key.name())
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// The codec that the values are in.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The value under `key` as it is stored: one value in the session's [`codec`](Self::codec).
    pub fn get_raw(&self, key: impl KeyName) -> Option<&Bytes> {
        let name = Some(key.name()).filter(|name| !is_own(name))?;
        self.entries.get(name.as_bytes())
    }

    /// Whether there is a value under `key`.
    pub fn contains_key(&self, key: impl KeyName) -> bool {
        !is_own(key.name()) && self.entries.contains_key(key.name().as_bytes())
    }

    /// The names of all values, in order.
    #[expect(
        clippy::missing_panics_doc,
        reason = "names were checked when they came in"
    )]
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let names = self.entries.keys().filter(|name| !is_own_bytes(name));
        names.map(|name| str::from_utf8(name).expect("names are text"))
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.keys().count()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.keys().next().is_none()
    }

    /// Who is logged in; `None` if nobody is.
    pub fn user_id(&self) -> Option<UserId> {
        let id: Option<String> = self.own(own::USER_ID).ok().flatten();
        id.and_then(|id| UserId::try_from(id).ok())
    }

    /// What was said of the user at the login; `None` if nobody is logged in.
    ///
    /// # Errors
    /// [`ValueError`] when it is not a `U`.
    pub fn user<U: DeserializeOwned>(&self) -> Result<Option<U>, ValueError> {
        self.own(own::USER)
    }

    /// Whether anything was changed since it was loaded.
    pub const fn is_modified(&self) -> bool {
        self.modified
    }

    pub(crate) const fn set_modified(&mut self, modified: bool) {
        self.modified = modified;
    }

    /// Writes what the library itself has to know of the session. Users of the session do not see it.
    pub(crate) fn set_own<V: Serialize>(
        &mut self,
        name: &'static str,
        value: &V,
    ) -> Result<(), ValueError> {
        self.insert_by_name(name, value)
    }

    /// What the library itself has to know of the session.
    pub(crate) fn own<T: DeserializeOwned>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, ValueError> {
        self.get_by_name(name)
    }

    pub(crate) fn remove_own(&mut self, name: &'static str) {
        self.remove_by_name(name);
    }

    fn insert_by_name<V: Serialize>(&mut self, name: &str, value: &V) -> Result<(), ValueError> {
        let error = |cause| ValueError::new::<V>(name, cause);
        let bytes = self.codec.encode(value);
        let bytes = bytes.map_err(|cause| error(cause.into()))?;
        self.put(name, bytes.into()).map_err(error)
    }

    fn get_by_name<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ValueError> {
        let Some(bytes) = self.entries.get(name.as_bytes()) else {
            return Ok(None);
        };
        let value = self.codec.decode(bytes);
        value
            .map(Some)
            .map_err(|cause| ValueError::new::<T>(name, cause.into()))
    }

    fn put(&mut self, name: &str, value: Bytes) -> Result<(), Cause> {
        let old = self.entries.get(name.as_bytes());
        if old.is_some_and(|old| *old == value) {
            return Ok(());
        }
        let entry_size = |value: &[u8]| self.codec.entry_size(name.as_bytes(), value);
        let freed = old.map_or(0, |old| entry_size(old));
        let size = self.size - freed + entry_size(&value);
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

    /// The body of a record: a map of names to values.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.size);
        self.encode_into(&mut out);
        out.into()
    }

    /// Appends what [`encode`](Self::encode) gives.
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        self.codec.write_body(out, self.entries.iter());
    }

    /// The values whose keys are wanted, none of the library's own, as one map in that codec; `None` if it cannot hold one
    /// of them.
    pub(crate) fn shown(&self, codec: Codec, is_wanted: impl Fn(&str) -> bool) -> Option<Bytes> {
        let mut shown = Self::new(self.codec, usize::MAX);
        for (name, value) in &self.entries {
            let key = str::from_utf8(name).unwrap_or_default();
            if !is_own(key) && is_wanted(key) {
                shown.add(name.clone(), value.clone()).ok()?;
            }
        }
        shown.to_encoded(codec)
    }

    /// How long the encoded values are at most.
    pub(crate) const fn encoded_len_max(&self) -> usize {
        self.size
    }

    /// Reads the body of a record. Values stay encoded and share the memory of `body`.
    pub(crate) fn decode(codec: Codec, body: &Bytes, limit: usize) -> Result<Self, BadBody> {
        if body.len() > limit {
            return Err(BadBody::TooLarge {
                size: body.len(),
                limit,
            });
        }
        let mut data = Self::new(codec, limit);
        codec.read_body(body, |name, value| data.add(name, value))?;
        Ok(data)
    }

    /// The same values in another codec; `None` if that cannot hold them all.
    pub(crate) fn recoded(&self, codec: Codec) -> Option<Self> {
        let mut data = Self::new(codec, self.limit);
        for (name, value) in &self.entries {
            let value = self.codec.recode(value, codec)?;
            data.add(name.clone(), value.into()).ok()?;
        }
        (data.size <= data.limit).then_some(data)
    }

    fn add(&mut self, name: Bytes, value: Bytes) -> Result<(), BadBody> {
        self.size += self.codec.entry_size(&name, &value);
        match self.entries.insert(name, value) {
            None => Ok(()),
            Some(_) => Err(BadBody::RepeatedKey),
        }
    }
}

/// The names of what the library itself has to know of a session.
pub(crate) mod own {
    /// The text of the user ID.
    pub(crate) const USER_ID: &str = "\0uid";
    /// What the application wants to know of the user.
    pub(crate) const USER: &str = "\0user";
    /// Since when the session has its ID, if not from the beginning: store time in milliseconds.
    pub(crate) const ROTATED: &str = "\0since";
    /// The IDs before: [`FormerIds`](crate::former_ids::FormerIds).
    pub(crate) const EARLIER: &str = "\0was";
    /// In an alias: the session key that it points to, digest and bucket.
    pub(crate) const TARGET: &str = "\0to";
    /// In a record that the client carries: the session's handle.
    pub(crate) const HANDLE: &str = "\0id";
    /// In a record that the client carries: the absolute end, in milliseconds since 1970.
    pub(crate) const END: &str = "\0end";
}

const fn is_own(name: &str) -> bool {
    is_own_bytes(name.as_bytes())
}

const fn is_own_bytes(name: &[u8]) -> bool {
    matches!(name, [0, ..])
}

impl fmt::Debug for SessionData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionData")
            .field("codec", &self.codec)
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
    #[error("it is not JSON")]
    NotJson,
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

    /// Whether the record would have become larger than allowed.
    pub const fn is_too_large(&self) -> bool {
        matches!(self.cause, Cause::RecordTooLarge { .. })
    }

    /// The Rust type that was to be read or written.
    pub const fn type_name(&self) -> &'static str {
        self.type_name
    }
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Encode(#[from] Unencodable),
    #[error(transparent)]
    Decode(#[from] Undecodable),
    #[error("begins with U+0000: such names are the library's own")]
    OwnName,
    #[error("is not exactly one {0:?} value")]
    NotOneValue(Codec),
    #[error("would make the record {size} bytes large, allowed are {limit}")]
    RecordTooLarge { size: usize, limit: usize },
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
        SessionData::decode(data.codec(), &data.encode(), LIMIT).unwrap()
    }

    #[test]
    fn values_survive_the_way_through_a_record() -> Result<(), ValueError> {
        let mut data = SessionData::new(Codec::MessagePack, LIMIT);
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
        let mut data = SessionData::new(Codec::MessagePack, LIMIT);
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
        let mut data = SessionData::new(Codec::MessagePack, LIMIT);
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
        let mut data = SessionData::new(Codec::MessagePack, LIMIT);
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
        let mut data = SessionData::new(Codec::MessagePack, 100);
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
        let mut data = SessionData::new(Codec::MessagePack, LIMIT);
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
        assert!(
            SessionData::new(Codec::MessagePack, LIMIT)
                .insert("deep", deep)
                .is_err()
        );
    }

    #[test]
    fn json_bodies_are_what_services_in_other_languages_expect() -> Result<(), ValueError> {
        let mut data = SessionData::new(Codec::Json, LIMIT);
        data.insert("visits", 3)?;
        data.insert("a \"key\"\n", "é")?;
        data.insert("cart", Cart { items: vec![] })?;
        data.insert_raw("raw", &b"[1, 2]"[..])?;
        assert!(data.insert_raw("raw", &b"1,2"[..]).is_err());
        assert!(data.insert_raw("raw", &b"\xc0"[..]).is_err());
        let body = data.encode();
        let text = r#"{"a \"key\"\n":"é","cart":{"items":[]},"raw":[1, 2],"visits":3}"#;
        assert_eq!(str::from_utf8(&body), Ok(text));
        assert!(body.len() <= data.size);

        let data = stored(&data);
        assert_eq!(data.keys().next(), Some("a \"key\"\n"));
        assert_eq!(data.get("raw")?, Some([1, 2]));
        assert_eq!(data.get(CART)?, Some(Cart::default()));
        let error = data.get::<u8>("cart").unwrap_err();
        assert!(error.to_string().contains("an object"), "{error}");
        Ok(())
    }

    #[test]
    fn json_bodies_of_hostile_bytes_are_refused() {
        let body = |bytes: &[u8]| {
            SessionData::decode(Codec::Json, &Bytes::copy_from_slice(bytes), LIMIT).unwrap_err()
        };
        assert_eq!(body(b""), BadBody::Truncated);
        assert_eq!(body(b"{\"a\":1"), BadBody::Truncated);
        assert_eq!(body(b"[1,2]"), BadBody::NotAMap);
        assert_eq!(body(b"null"), BadBody::NotAMap);
        assert_eq!(body(b"{\"a\":Infinity}"), BadBody::NotJson);
        assert_eq!(body(b"{1:2}"), BadBody::NotJson);
        assert_eq!(body(b"{}{}"), BadBody::TrailingBytes);
        // The second spelling of a key is the same key.
        assert_eq!(body(br#"{"a":1,"\u0061":2}"#), BadBody::RepeatedKey);
        let deep = [&b"{\"a\":"[..], &[b'['; 1_000], &[b']'; 1_000], b"}"].concat();
        assert_eq!(body(&deep), BadBody::TooDeep);
        assert!(matches!(
            body(&vec![b' '; LIMIT + 1]),
            BadBody::TooLarge { .. }
        ));
    }

    #[test]
    fn values_are_read_after_a_change_of_codec_whichever_way_they_were_written() {
        use std::net::IpAddr;

        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let numbered = BTreeMap::from([(1, 'a'), (-2, 'b')]);
        for (from, to) in [
            (Codec::MessagePack, Codec::Json),
            (Codec::Json, Codec::MessagePack),
        ] {
            let mut data = SessionData::new(from, LIMIT);
            data.insert("address", address).unwrap();
            data.insert("numbered", &numbered).unwrap();
            data.insert("nothing", ()).unwrap();
            let other = stored(&data.recoded(to).unwrap());
            assert_eq!(other.codec(), to);
            assert!(!other.is_modified());
            assert_eq!(other.get("address").unwrap(), Some(address));
            assert_eq!(other.get("numbered").unwrap(), Some(numbered.clone()));
            assert_eq!(other.get("nothing").unwrap(), Some(()));
            let back = stored(&other).recoded(from).unwrap();
            assert_eq!(back.get("address").unwrap(), Some(address));
        }
    }

    #[test]
    fn what_the_other_codec_cannot_hold_stays_where_it_is() {
        let mut data = SessionData::new(Codec::MessagePack, LIMIT);
        data.insert_raw("bytes", &b"\xc4\x01a"[..]).unwrap();
        assert!(data.recoded(Codec::Json).is_none());
        data.remove("bytes");
        assert!(data.recoded(Codec::Json).is_some());
        let mut data = SessionData::new(Codec::Json, LIMIT);
        let wide = Bytes::from_static(b"18446744073709551616");
        data.insert_raw("wide", wide).unwrap();
        assert!(data.recoded(Codec::MessagePack).is_none());
        // JSON takes more room.
        let mut data = SessionData::new(Codec::MessagePack, 100);
        data.insert("numbers", [1_000_000_000_u32; 15]).unwrap();
        assert!(data.recoded(Codec::Json).is_none());
    }

    #[test]
    fn bodies_of_hostile_bytes_are_refused() {
        let body = |bytes: &[u8]| {
            SessionData::decode(Codec::MessagePack, &Bytes::copy_from_slice(bytes), LIMIT)
                .unwrap_err()
        };
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

    #[test]
    fn the_librarys_own_entries_are_neither_seen_nor_changed() {
        let mut data = SessionData::new(Codec::MessagePack, LIMIT);
        data.set_own(own::USER_ID, &"7").unwrap();
        data.insert("a", 1).unwrap();
        assert!(
            data.insert(own::USER_ID, "8").is_err() && data.insert_raw("\0x", vec![1]).is_err()
        );
        assert!(!data.remove(own::USER_ID) && !data.contains_key(own::USER_ID));
        assert_eq!(data.get::<String>(own::USER_ID).unwrap(), None);
        assert_eq!((data.get_raw(own::USER_ID), data.len()), (None, 1));
        let mut data = stored(&data);
        assert_eq!(data.keys().collect::<Vec<_>>(), ["a"]);
        data.clear();
        assert!(data.is_empty());
        let data = stored(&data);
        assert_eq!(data.user_id().unwrap().as_str(), "7");
        assert!(data.encode().len() <= data.size);
    }

    proptest! {
        #[test]
        fn any_set_of_values_survives(values in proptest::collection::btree_map("[^\\x00]{0,20}", any::<(i32, String)>(), 0..50)) {
            let mut data = SessionData::new(Codec::MessagePack, LIMIT);
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
        fn any_set_of_values_survives_in_json(values in proptest::collection::btree_map("[^\\x00]{0,20}", any::<(i32, String)>(), 0..50)) {
            let mut data = SessionData::new(Codec::Json, LIMIT);
            for (key, value) in &values {
                data.insert(key, value).unwrap();
            }
            prop_assert!(data.encode().len() <= data.size);
            let data = stored(&data);
            prop_assert_eq!(data.len(), values.len());
            for (key, value) in &values {
                prop_assert_eq!(&data.get::<(i32, String)>(key).unwrap().unwrap(), value);
            }
            prop_assert_eq!(&stored(&data).encode(), &data.encode());
        }

        #[test]
        fn arbitrary_json_bodies_never_panic(mut body in proptest::collection::vec(any::<u8>(), 0..300), entry: bool) {
            if entry {
                body.splice(0..0, *b"{\"a\":");
                body.push(b'}');
            }
            SessionData::decode(Codec::Json, &body.into(), LIMIT).ok();
        }

        #[test]
        fn arbitrary_texts_as_json_bodies_never_panic(body in r#"\{"a":[\[\]{}:,"\\0-9eEtrufalsn. -]{0,40}\}"#) {
            let body = Bytes::from(body);
            if let Ok(data) = SessionData::decode(Codec::Json, &body, LIMIT) {
                prop_assert!(data.encode().len() <= data.size);
                prop_assert_eq!(stored(&data).encode(), data.encode());
            }
        }

        #[test]
        fn arbitrary_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let body = Bytes::from(body);
            if let Ok(data) = SessionData::decode(Codec::MessagePack, &body, LIMIT) {
                prop_assert!(data.encode().len() <= data.size);
            }
        }
    }
}

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The secret that names a session: 256 random bits and a bucket, 45 characters of base64url.
///
/// It travels in the cookie and is never stored or logged: stores see the [`SessionKey`]. There is no `Display`;
/// [`expose`](Self::expose) gives the text where it has to leave the process.
/// Source: ASVS 5.0, 7.2.3 (at least 128 bits of entropy).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId {
    text: [u8; Self::LEN],
    len: usize,
    key: SessionKey,
}

impl SessionId {
    /// The length of the text in bytes.
    pub const LEN: usize = BUCKET_CHARS + SECRET_CHARS;

    /// A fresh ID in a bucket drawn at random.
    ///
    /// # Panics
    /// When the operating system gives no random bytes, which no safe program can go on from.
    pub fn random() -> Self {
        Self::random_in(Bucket::from_bits(u16::from_be_bytes(
            session_lock::random_bytes(),
        )))
    }

    /// A fresh ID in that bucket.
    ///
    /// # Panics
    /// As [`random`](Self::random).
    pub fn random_in(bucket: Bucket) -> Self {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).expect("the operating system gives random bytes");
        let mut text = [0; Self::LEN];
        let (head, tail) = text.split_at_mut(BUCKET_CHARS);
        head.copy_from_slice(&bucket.to_base64());
        let written = URL_SAFE_NO_PAD.encode_slice(secret, tail);
        debug_assert_eq!(written.ok(), Some(SECRET_CHARS));
        Self::from_text(text, bucket)
    }

    /// The ID of a session that is shared with another library: 32 lower-case hex digits, as that library makes them.
    ///
    /// Only a store that shares such sessions knows it, and sees the text itself. In every other store it names nothing.
    ///
    /// # Errors
    /// [`InvalidSessionId`] for any other text.
    pub fn from_hex(text: &str) -> Result<Self, InvalidSessionId> {
        let hex: [u8; SessionKey::HEX_LEN] = text
            .as_bytes()
            .try_into()
            .map_err(|_wrong_length| InvalidSessionId)?;
        let key = SessionKey::from_hex(hex).ok_or(InvalidSessionId)?;
        let mut text = [0; Self::LEN];
        text[..hex.len()].copy_from_slice(&hex);
        let len = hex.len();
        Ok(Self { text, len, key })
    }

    /// A fresh ID of a session that is shared with another library: 128 random bits.
    ///
    /// # Panics
    /// When the operating system gives no random bytes, which no safe program can go on from.
    pub fn random_hex() -> Self {
        let mut secret = [0; SessionKey::HEX_LEN / 2];
        getrandom::fill(&mut secret).expect("the operating system gives random bytes");
        let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Self::from_hex(&text).expect("these are hex digits")
    }

    /// The text of the ID, a secret: for the cookie and nothing else.
    #[doc(alias = "as_str")]
    #[expect(clippy::missing_panics_doc, reason = "an ID is always ASCII")]
    pub fn expose(&self) -> &str {
        str::from_utf8(&self.text[..self.len]).expect("an ID is ASCII")
    }

    /// What stores know the session by.
    pub const fn key(&self) -> &SessionKey {
        &self.key
    }

    fn from_text(text: [u8; Self::LEN], bucket: Bucket) -> Self {
        let key = SessionKey {
            digest: Sha256::digest(text).into(),
            bucket,
            hex: false,
        };
        let len = text.len();
        Self { text, len, key }
    }
}

const BUCKET_CHARS: usize = 2;
const SECRET_CHARS: usize = 43;
const SECRET_BYTES: usize = 32;

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    /// Reads the text of a cookie. Only the one canonical spelling of an ID is accepted.
    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        let text: [u8; Self::LEN] = text
            .as_bytes()
            .try_into()
            .map_err(|_wrong_length| InvalidSessionId)?;
        let (bucket, secret) = text.split_at(BUCKET_CHARS);
        let bucket = Bucket::from_base64(bucket).ok_or(InvalidSessionId)?;
        let mut bytes = [0; SECRET_BYTES];
        // The engine refuses other alphabets, padding and non-zero trailing bits.
        match URL_SAFE_NO_PAD.decode_slice(secret, &mut bytes) {
            Ok(SECRET_BYTES) => Ok(Self::from_text(text, bucket)),
            _ => Err(InvalidSessionId),
        }
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId([redacted])")
    }
}

/// The text is not a session ID: treat it as "no session".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a session ID of the expected form")]
pub struct InvalidSessionId;

/// What stores know a session by: the SHA-256 of its ID, and its bucket.
///
/// Whoever reads it in a backup cannot make the cookie from it. `Debug` prints `[redacted]`; errors and logs name
/// its [`fingerprint`](Self::fingerprint).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    digest: [u8; 32],
    bucket: Bucket,
    /// Whether the ID itself stands in place of its hash.
    hex: bool,
}

impl SessionKey {
    /// The key with this digest in this bucket, for stores that read it back from names of their own. `None` if there
    /// is no such bucket.
    pub const fn from_parts(digest: [u8; 32], bucket: u16) -> Option<Self> {
        if bucket > Bucket::LAST {
            return None;
        }
        Some(Self {
            digest,
            bucket: Bucket(bucket),
            hex: false,
        })
    }

    const HEX_LEN: usize = 32;

    /// The key of the shared session whose ID has these 32 lower-case hex digits; `None` if they are none.
    pub fn from_hex(digits: [u8; 32]) -> Option<Self> {
        let all = digits
            .iter()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        all.then_some(Self {
            digest: digits,
            bucket: Bucket(0),
            hex: true,
        })
    }

    /// The ID itself, if it is that of a session shared with another library: [`SessionId::from_hex`].
    pub fn hex(&self) -> Option<&str> {
        let text = self.hex.then(|| str::from_utf8(&self.digest));
        text.and_then(Result::ok)
    }

    /// The SHA-256 of the session ID's text; of an ID that is shared, the text.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The bucket: everything that belongs to one session stands in it.
    pub const fn bucket(&self) -> Bucket {
        self.bucket
    }

    /// Another key in the same bucket.
    pub(crate) const fn with_digest(self, digest: [u8; 32]) -> Self {
        Self {
            digest,
            bucket: self.bucket,
            hex: false,
        }
    }

    /// A short hash of the key for errors and logs. Gives no access and finds no record.
    pub fn fingerprint(&self) -> KeyFingerprint {
        let hash = Sha256::digest(self.digest);
        KeyFingerprint([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5]])
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey([redacted])")
    }
}

/// A short hash of a [`SessionKey`], safe to print.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyFingerprint([u8; 6]);

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One of 4,096 buckets. On a cluster, what is in one bucket is in one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket(u16);

impl Bucket {
    const LAST: u16 = 0x0fff;

    /// The number of the bucket, below 4,096. Stores spell it as four hex digits.
    pub const fn number(self) -> u16 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::LAST)
    }

    fn to_base64(self) -> [u8; BUCKET_CHARS] {
        let [high, low] = (self.0 << 4).to_be_bytes();
        let mut text = [0; 3];
        let written = URL_SAFE_NO_PAD.encode_slice([high, low], &mut text);
        debug_assert_eq!(written.ok(), Some(3));
        [text[0], text[1]]
    }

    fn from_base64(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 2];
        let padded = [text[0], text[1], b'A'];
        match URL_SAFE_NO_PAD.decode_slice(padded, &mut bytes) {
            Ok(2) => Some(Self(u16::from_be_bytes(bytes) >> 4)),
            _ => None,
        }
    }
}

/// The public name of a session: a UUIDv7 for lists of "your devices" and for logs. It gives no access.
///
/// It survives a change of the session's ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionHandle(Uuid);

impl SessionHandle {
    /// A fresh handle.
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }

    /// The handle with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The sixteen bytes of the handle.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_random_id_reads_back_as_itself() {
        for _ in 0..1_000 {
            let id = SessionId::random();
            let read: SessionId = id.expose().parse().unwrap();
            assert_eq!(read, id);
            assert_eq!(read.key().bucket(), id.key().bucket());
        }
    }

    #[test]
    fn ids_of_all_buckets_are_drawn() {
        let buckets: std::collections::HashSet<_> = (0..40_000)
            .map(|_| SessionId::random().key().bucket())
            .collect();
        assert!(buckets.len() > 4_000, "{} buckets", buckets.len());
    }

    #[test]
    fn truncated_oversized_and_foreign_texts_are_no_ids() {
        let id = SessionId::random();
        let text = id.expose();
        let long = format!("{text}A");
        let padded = format!("{}=", &text[..44]);
        let foreign = format!("{}+", &text[..44]);
        for bad in [
            "",
            "A",
            &text[..44],
            &long,
            &padded,
            &foreign,
            &"é".repeat(23),
        ] {
            assert_eq!(bad.parse::<SessionId>(), Err(InvalidSessionId));
        }
    }

    #[test]
    fn a_second_spelling_of_the_same_bits_is_refused() {
        let mut text = "A".repeat(44);
        text.push('B');
        assert_eq!(text.parse::<SessionId>(), Err(InvalidSessionId));
    }

    #[test]
    fn debug_output_hides_the_session_id() {
        let id = SessionId::random();
        let shown = format!("{id:?} {:?} {:?}", id.key(), id.key().fingerprint());
        assert!(!shown.contains(id.expose()));
        let digest: String = id
            .key()
            .digest()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert!(!shown.contains(&digest[..12]));
    }

    #[test]
    fn an_id_of_another_library_is_its_own_key_and_hidden_all_the_same() {
        let text = "0123456789abcdef0123456789abcdef";
        let id = SessionId::from_hex(text).unwrap();
        assert_eq!((id.expose(), id.key().hex()), (text, Some(text)));
        let shown = format!("{id:?} {:?} {}", id.key(), id.key().fingerprint());
        assert!(!shown.contains(&text[..8]), "{shown}");
        // As a hash it would be another session's.
        let same = SessionKey::from_parts(*id.key().digest(), 0).unwrap();
        assert_ne!(same, *id.key());
        assert_eq!(same.hex(), None);
        assert_eq!(SessionId::random().key().hex(), None);
        assert_ne!(SessionId::random_hex(), SessionId::random_hex());
        let upper = text.to_uppercase();
        let long = format!("{text}0");
        for bad in ["", &text[..31], &long, &upper, &"é".repeat(16)] {
            assert_eq!(SessionId::from_hex(bad), Err(InvalidSessionId));
        }
        assert_eq!(text.parse::<SessionId>(), Err(InvalidSessionId));
    }

    proptest! {
        #[test]
        fn whatever_parses_is_spelled_as_it_was_read(text in "[A-Za-z0-9_-]{45}") {
            if let Ok(id) = text.parse::<SessionId>() {
                prop_assert_eq!(id.expose(), text);
            }
        }
    }
}

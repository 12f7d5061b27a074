//! The way of a session's values into the body of a record and out of it, sealed or not.
//!
//! ```text
//!  0  cipher    1        1 XChaCha20-Poly1305, 2 AES-256-GCM
//!  1  key ID    8
//!  9  nonce    24 or 12  random, new with every record
//!     text               the encoded values, encrypted
//!     tag      16
//! ```
//! Associated data: a label, the session key, the bound part of the header ([`Header::bound`]), cipher and key ID.

#[cfg(feature = "seal")]
mod cipher; // the two ciphers
#[cfg(feature = "seal")]
mod id_hash; // names of sessions and users that only holders of a key can make
#[cfg(feature = "seal")]
mod keys; // keys, and which of them seals
#[cfg(not(feature = "seal"))]
#[path = "none.rs"]
mod keys;
#[cfg(all(test, feature = "seal"))]
mod tests;

use std::fmt;

use bytes::Bytes;

#[cfg(feature = "seal")]
pub(crate) use self::id_hash::IdHash;
#[cfg(not(feature = "seal"))]
pub(crate) use self::keys::IdHash;
#[cfg(not(feature = "seal"))]
use self::keys::SealingKeys;
#[cfg(feature = "seal")]
pub use self::{
    cipher::SealingCipher,
    keys::{SealingKey, SealingKeys},
};
use crate::{
    BadRecord, Codec, Header, RecordKind, SessionData, SessionKey, data::BadBody, record::BOUND,
    record::BodyFault,
};

/// Makes and reads the bodies of records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seal {
    codec: Codec,
    keys: Option<SealingKeys>,
}

/// The values of a record, and whether its seal or its codec is another than a commit would choose now.
pub(crate) struct Opened {
    pub(crate) data: SessionData,
    pub(crate) outdated: bool,
}

impl Seal {
    #[cfg(feature = "seal")]
    pub(crate) const fn with(keys: SealingKeys) -> Self {
        Self {
            codec: Codec::MessagePack,
            keys: Some(keys),
        }
    }

    /// The same seal over bodies in `codec`.
    pub(crate) fn in_codec(self, codec: Codec) -> Self {
        Self { codec, ..self }
    }

    pub(crate) const fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// The codec of new bodies.
    pub(crate) const fn codec(&self) -> Codec {
        self.codec
    }

    /// The body of the record of `key` that is to stand under `header`, and that header with the flags that it needs.
    pub(crate) fn close(
        &self,
        key: &SessionKey,
        mut header: Header,
        data: &SessionData,
    ) -> (Header, Bytes) {
        let sealing = self.keys.as_ref().filter(|keys| keys.seal());
        header.set_sealed(sealing.is_some());
        header.set_codec(data.codec());
        let body = match sealing {
            Some(keys) => {
                let place = Place::of(key, &header);
                keys.close(&place, data.encoded_len_max(), |out| data.encode_into(out))
            }
            None => data.encode(),
        };
        (header, body)
    }

    /// The values in the body of the record of `key` that was read under `header`.
    pub(crate) fn open(
        &self,
        key: &SessionKey,
        header: &Header,
        body: &Bytes,
        limit: usize,
    ) -> Result<Opened, BadRecord> {
        let plain = |outdated, text: &Bytes| {
            let codec = header.codec();
            let data = SessionData::decode(codec, text, limit).map_err(body_fault)?;
            let recoded = (codec != self.codec).then(|| data.recoded(self.codec));
            Ok(match recoded.flatten() {
                None => Opened { data, outdated },
                Some(data) => Opened {
                    data,
                    outdated: true,
                },
            })
        };
        match (&self.keys, header.is_sealed()) {
            (None, false) => plain(false, body),
            (None, true) => Err(BadRecord::Sealed),
            (Some(keys), false) if keys.require() => Err(BadRecord::Unsealed),
            (Some(keys), false) => plain(keys.seal(), body),
            (Some(keys), true) => {
                let (text, outdated) = keys.open(&Place::of(key, header), body, limit)?;
                plain(outdated, &text)
            }
        }
    }
}

const fn body_fault(bad: BadBody) -> BadRecord {
    BadRecord::Body {
        reason: BodyFault(bad),
    }
}

/// Where a sealed body belongs. Anywhere else it does not open.
#[cfg_attr(
    not(feature = "seal"),
    expect(dead_code, reason = "nothing is sealed without the feature")
)]
struct Place([u8; PLACE_LEN]);

// Other uses of the same keys, if there will ever be any, have other labels.
const LABEL: &[u8; 15] = b"latchkey body 1";
const PLACE_LEN: usize = LABEL.len() + 32 + 2 + BOUND;

impl Place {
    fn of(key: &SessionKey, header: &Header) -> Self {
        // A frozen copy was sealed when it lived: a store only changes its kind.
        let sealed_as = match header.kind {
            RecordKind::Frozen => RecordKind::Live,
            kind => kind,
        };
        let parts: [&[u8]; 4] = [
            LABEL,
            key.digest(),
            &key.bucket().number().to_be_bytes(),
            &header.bound(sealed_as),
        ];
        let mut place = [0; PLACE_LEN];
        let mut rest = &mut place[..];
        for part in parts {
            let (slot, left) = rest.split_at_mut(part.len());
            slot.copy_from_slice(part);
            rest = left;
        }
        Self(place)
    }
}

/// Names a sealing key without giving anything of it away: it stands in each record that the key has sealed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealingKeyId([u8; 8]);

impl SealingKeyId {
    /// The length of the ID in bytes.
    pub const LEN: usize = 8;

    /// The ID with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the ID, as they stand in a record.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for SealingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SealingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

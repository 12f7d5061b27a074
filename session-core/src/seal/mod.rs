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
#[cfg(feature = "seal")]
mod signer; // what can be read, and only be made by holders of a key
#[cfg(all(test, feature = "seal"))]
mod tests;

use std::{fmt, sync::Arc};

use bytes::Bytes;
#[cfg(feature = "seal")]
use sha2::{Digest as _, Sha256};

#[cfg(feature = "seal")]
pub(crate) use self::id_hash::IdHash;
#[cfg(not(feature = "seal"))]
pub(crate) use self::keys::IdHash;
#[cfg(not(feature = "seal"))]
use self::keys::SealingKeys;
#[cfg(feature = "seal")]
pub use self::{
    cipher::SealingCipher,
    keys::{OpenedText, SealingKey, SealingKeys},
};
use crate::{
    BadRecord, Codec, Header, Recent, RecordKind, SessionData, SessionKey, data::BadBody,
    record::BOUND, record::BodyFault,
};

/// Makes and reads the bodies of records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seal {
    codec: Codec,
    keys: Option<SealingKeys>,
}

/// The values of a record, and whether its seal or its codec is another than a commit would choose now.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) data: Arc<SessionData>,
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
        let sealing = self.keys.as_ref().filter(|keys| keys.seals());
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

    /// As [`open`](Self::open), of a record that may have been opened before.
    pub(crate) fn open_recent(
        &self,
        key: &SessionKey,
        recent: &Recent,
        limit: usize,
    ) -> Result<Opened, BadRecord> {
        let Recent { stored, decoded } = recent;
        // What keys are for decides about each reading; and what they open is not kept.
        let decoded = decoded.as_deref().filter(|_| self.keys.is_none());
        if let Some(opened) = decoded.and_then(|decoded| decoded.get(self.codec, limit)) {
            return Ok(opened);
        }
        let opened = self.open(key, &stored.header, &stored.body, limit)?;
        if let Some(decoded) = decoded {
            decoded.set(&opened);
        }
        Ok(opened)
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
            let (data, outdated) = match recoded.flatten() {
                None => (data, outdated),
                Some(data) => (data, true),
            };
            let data = Arc::new(data);
            Ok(Opened { data, outdated })
        };
        match (&self.keys, header.is_sealed()) {
            (None, false) => plain(false, body),
            (None, true) => Err(BadRecord::Sealed),
            (Some(keys), false) if keys.requires_seals() => Err(BadRecord::Unsealed),
            (Some(keys), false) => plain(keys.seals(), body),
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

const LABEL: &[u8; 15] = b"latchkey body 1";
#[cfg(feature = "seal")]
const CARRIED_LABEL: &[u8; LABEL.len()] = b"latchkey cookie";
#[cfg(feature = "seal")]
const SIGNED_LABEL: &[u8; LABEL.len()] = b"latchkey signed";
#[cfg(feature = "seal")]
const ROW_LABEL: &[u8; LABEL.len()] = b"latchkey mirror";
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

    /// Of what a client carries under that name.
    #[cfg(feature = "seal")]
    fn of_carried(name: &str) -> Self {
        Self::labelled(CARRIED_LABEL, name, &[])
    }

    /// Of what a client carries under that name, signed only.
    #[cfg(feature = "seal")]
    fn of_signed(name: &str) -> Self {
        Self::labelled(SIGNED_LABEL, name, &[])
    }

    /// Of what a secondary of that name is shown of a session.
    #[cfg(feature = "seal")]
    fn of_row(name: &str, session: crate::SessionHandle) -> Self {
        Self::labelled(ROW_LABEL, name, session.as_bytes())
    }

    #[cfg(feature = "seal")]
    fn labelled(label: &[u8; LABEL.len()], name: &str, more: &[u8]) -> Self {
        let mut place = [0; PLACE_LEN];
        let (front, rest) = place.split_at_mut(LABEL.len());
        front.copy_from_slice(label);
        let (hash, rest) = rest.split_at_mut(32);
        hash.copy_from_slice(&Sha256::digest(name));
        rest[..more.len()].copy_from_slice(more);
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

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Place, SealingKey, SealingKeyId};
use crate::BadRecord;

/// One key, ready to sign: everybody can read what it has signed, and only who has it can make that.
///
/// ```text
///  0  format    1   3: no cipher, so never taken for something sealed
///  1  key ID    8
///     text
///     HMAC     32   SHA-256, over the place, format, key ID and text
/// ```
/// Source: RFC 2104; FIPS 180-4.
pub(super) struct Signer(Hmac<Sha256>);

impl Signer {
    pub(super) fn new(key: &SealingKey) -> Self {
        let derived = key.derive("HMAC-SHA-256");
        let hash = Hmac::new_from_slice(derived.as_slice());
        Self(hash.expect("HMAC takes keys of any length"))
    }

    pub(super) fn sign(&self, id: SealingKeyId, place: &Place, text: &[u8]) -> Bytes {
        let mut signed = Vec::with_capacity(HEAD_LEN + text.len() + HMAC_LEN);
        signed.push(FORMAT);
        signed.extend_from_slice(id.as_bytes());
        signed.extend_from_slice(text);
        let code = self.over(place, &signed).finalize().into_bytes();
        signed.extend_from_slice(&code);
        signed.into()
    }

    /// The text of what this key has signed for that place.
    pub(super) fn verify(&self, place: &Place, signed: &Bytes) -> Result<Bytes, BadRecord> {
        let end = signed.len().checked_sub(HMAC_LEN);
        let end = end
            .filter(|end| *end >= HEAD_LEN)
            .ok_or(BadRecord::CutOff)?;
        let (front, code) = signed.split_at(end);
        // Compared in constant time.
        let verified = self.over(place, front).verify_slice(code);
        verified.or(Err(BadRecord::BrokenSeal))?;
        Ok(signed.slice(HEAD_LEN..end))
    }

    /// Which key says that it has signed this.
    pub(super) fn key_id(signed: &[u8]) -> Result<SealingKeyId, BadRecord> {
        match signed.split_first() {
            Some((&FORMAT, rest)) => {
                let id = rest.first_chunk().ok_or(BadRecord::CutOff)?;
                Ok(SealingKeyId(*id))
            }
            Some((&cipher, _)) => Err(BadRecord::UnknownCipher { cipher }),
            None => Err(BadRecord::CutOff),
        }
    }

    fn over(&self, place: &Place, front: &[u8]) -> Hmac<Sha256> {
        let mut hash = self.0.clone();
        hash.update(&place.0);
        hash.update(front);
        hash
    }
}

// No cipher has this number.
const FORMAT: u8 = 3;
const HEAD_LEN: usize = 1 + SealingKeyId::LEN;
const HMAC_LEN: usize = 32;

use aes_gcm::Aes256Gcm;
use bytes::Bytes;
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305,
    aead::{AeadInOut, Nonce, Tag},
};

use super::{PLACE_LEN, Place, SealingKeyId, body_fault, keys::SealingKey};
use crate::{BadRecord, data::BadBody};

/// How records are sealed: both ciphers encrypt and authenticate, with keys of 256 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SealingCipher {
    /// ChaCha20-Poly1305 with nonces of 192 bits. They are drawn at random, and so long that none is drawn twice,
    /// however many records one key seals. 49 bytes longer than the values.
    ///
    /// Source: RFC 8439; draft-irtf-cfrg-xchacha-03.
    #[default]
    XChaCha20Poly1305,
    /// AES-256-GCM with nonces of 96 bits, for services that may use nothing else. 37 bytes longer than the values.
    ///
    /// A nonce that is drawn twice gives the values of both records away, and the means to forge others. With random
    /// nonces of 96 bits **one key may seal at most 2³² records**, in all replicas together: 50 days of 1,000 commits
    /// a second. Nothing counts them: take a new key in time.
    ///
    /// Source: NIST SP 800-38D, 8.3; ASVS 5.0, 11.3.4.
    Aes256Gcm,
}

impl SealingCipher {
    const fn as_byte(self) -> u8 {
        match self {
            Self::XChaCha20Poly1305 => 1,
            Self::Aes256Gcm => 2,
        }
    }

    /// The cipher of a sealed body, and what follows.
    pub(super) fn split_off(body: &[u8]) -> Result<(Self, &[u8]), BadRecord> {
        let (&cipher, rest) = body.split_first().ok_or(BadRecord::CutOff)?;
        match cipher {
            1 => Ok((Self::XChaCha20Poly1305, rest)),
            2 => Ok((Self::Aes256Gcm, rest)),
            cipher => Err(BadRecord::UnknownCipher { cipher }),
        }
    }
}

/// One key, ready for either cipher: a key of its own for each. Both erase theirs when they are dropped.
pub(super) struct Ciphers {
    xchacha: XChaCha20Poly1305,
    aes: Aes256Gcm,
}

impl Ciphers {
    pub(super) fn new(key: &SealingKey) -> Self {
        Self {
            xchacha: XChaCha20Poly1305::new((&*key.derive("XChaCha20-Poly1305")).into()),
            aes: Aes256Gcm::new((&*key.derive("AES-256-GCM")).into()),
        }
    }

    pub(super) fn close(
        &self,
        cipher: SealingCipher,
        id: SealingKeyId,
        place: &Place,
        len_max: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Bytes {
        let head = head(cipher, id);
        let bound = bound(place, &head);
        match cipher {
            SealingCipher::XChaCha20Poly1305 => close(&self.xchacha, &head, &bound, len_max, write),
            SealingCipher::Aes256Gcm => close(&self.aes, &head, &bound, len_max, write),
        }
    }

    /// `sealed` is what follows cipher and key ID.
    pub(super) fn open(
        &self,
        cipher: SealingCipher,
        id: SealingKeyId,
        place: &Place,
        sealed: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, BadRecord> {
        let bound = bound(place, &head(cipher, id));
        match cipher {
            SealingCipher::XChaCha20Poly1305 => open(&self.xchacha, &bound, sealed, limit),
            SealingCipher::Aes256Gcm => open(&self.aes, &bound, sealed, limit),
        }
    }
}

const HEAD_LEN: usize = 1 + SealingKeyId::LEN;

fn head(cipher: SealingCipher, id: SealingKeyId) -> [u8; HEAD_LEN] {
    let mut head = [cipher.as_byte(); HEAD_LEN];
    head[1..].copy_from_slice(id.as_bytes());
    head
}

/// The associated data.
fn bound(place: &Place, head: &[u8; HEAD_LEN]) -> [u8; PLACE_LEN + HEAD_LEN] {
    let mut bound = [0; PLACE_LEN + HEAD_LEN];
    bound[..PLACE_LEN].copy_from_slice(&place.0);
    bound[PLACE_LEN..].copy_from_slice(head);
    bound
}

fn close<A: AeadInOut>(
    cipher: &A,
    head: &[u8],
    bound: &[u8],
    len_max: usize,
    write: impl FnOnce(&mut Vec<u8>),
) -> Bytes {
    let mut nonce = Nonce::<A>::default();
    // Straight from the system: bytes drawn ahead would come twice in a process that was forked.
    getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
    let more = head.len() + nonce.len() + Tag::<A>::default().len();
    let mut body = Vec::with_capacity(more + len_max);
    body.extend_from_slice(head);
    body.extend_from_slice(&nonce);
    let text = body.len();
    write(&mut body);
    let tag = cipher
        .encrypt_inout_detached(&nonce, bound, (&mut body[text..]).into())
        .expect("64 MiB are less than either cipher takes at once");
    body.extend_from_slice(&tag);
    body.into()
}

fn open<A: AeadInOut>(
    cipher: &A,
    bound: &[u8],
    sealed: &[u8],
    limit: usize,
) -> Result<Vec<u8>, BadRecord> {
    let (nonce, rest) = sealed
        .split_at_checked(Nonce::<A>::default().len())
        .ok_or(BadRecord::CutOff)?;
    let size = rest.len().checked_sub(Tag::<A>::default().len());
    let size = size.ok_or(BadRecord::CutOff)?;
    if size > limit {
        return Err(body_fault(BadBody::TooLarge { size, limit }));
    }
    let (text, tag) = rest.split_at(size);
    let (Ok(nonce), Ok(tag)) = (Nonce::<A>::try_from(nonce), Tag::<A>::try_from(tag)) else {
        return Err(BadRecord::CutOff);
    };
    let mut text = text.to_vec();
    let opened = cipher.decrypt_inout_detached(&nonce, bound, (&mut text[..]).into(), &tag);
    opened.or(Err(BadRecord::BrokenSeal)).map(|()| text)
}

use std::{fmt, iter::once, sync::Arc};

use aes::{
    Aes128,
    cipher::{
        BlockModeDecrypt as _, BlockModeEncrypt as _, InnerIvInit as _, KeyInit as _,
        block_padding::Pkcs7,
    },
};
use base64::Engine as _;
use hmac::{Hmac, Mac as _};
use session_core::{ConfigError, Unusable};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::fernet::IV;
use crate::text::PADDED;

/// A Fernet key: 128 bits that sign and 128 bits that encrypt. Whoever has it can read and forge sessions.
///
/// It belongs into a secret manager. Erased from memory when it is dropped; `Debug` does not show it.
pub struct FernetKey {
    bytes: Zeroizing<[u8; Self::LEN]>,
}

impl FernetKey {
    /// The length of a key in bytes.
    pub const LEN: usize = 32;

    /// A fresh key from the operating system's random source.
    ///
    /// # Panics
    /// When the operating system gives no random bytes, which no safe program can go on from.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        getrandom::fill(&mut *bytes).expect("the operating system gives random bytes");
        Self { bytes }
    }

    /// The key that this text stands for: base64url of 32 bytes with padding, 44 characters, as Python's
    /// `Fernet.generate_key()` prints it. White space around it is ignored.
    ///
    /// # Errors
    /// [`ConfigError`] when it is anything else. The error does not show the text.
    pub fn from_base64(text: &str) -> Result<Self, ConfigError> {
        let found = |found| ConfigError::new("Fernet key", found, "base64url of 32 bytes, padded");
        let decoded = PADDED.decode(text.trim_ascii()).map(Zeroizing::new);
        let Ok(decoded) = decoded else {
            return Err(found("no padded base64url".to_owned()));
        };
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        if decoded.len() != Self::LEN {
            return Err(found(format!("of {} bytes", decoded.len())));
        }
        bytes.copy_from_slice(&decoded);
        Ok(Self { bytes })
    }

    /// The key as [`from_base64`](Self::from_base64) and Python read it, for the secret manager and nothing else.
    pub fn expose_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(PADDED.encode(self.bytes.as_slice()))
    }
}

impl fmt::Debug for FernetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FernetKey([redacted])")
    }
}

/// The Fernet keys of a service: one seals, all open, as Python's `MultiFernet`. Cheap to clone.
///
/// For another key: let all replicas [open](Self::opening) with it, then make it the first, and take the older one away
/// when the absolute timeout has passed.
#[derive(Clone)]
#[must_use]
pub struct FernetKeys {
    first: Arc<Ready>,
    others: Vec<Arc<Ready>>,
}

/// A key that is ready for use. Both parts erase themselves when they are dropped.
struct Ready {
    signing: Hmac<Sha256>,
    encryption: Aes128,
}

/// What a token held.
pub(super) struct Opened {
    pub(super) text: Vec<u8>,
    pub(super) outdated: bool,
}

impl FernetKeys {
    /// `key` seals, and opens what it has sealed.
    pub fn new(key: &FernetKey) -> Self {
        Self {
            first: Ready::new(key),
            others: Vec::new(),
        }
    }

    /// `key` opens what it has sealed, and seals nothing.
    pub fn opening(mut self, key: &FernetKey) -> Self {
        self.others.push(Ready::new(key));
        self
    }

    /// Appends to a token's head the ciphertext of `plain` and the signature over all.
    pub(super) fn seal(&self, token: &mut Vec<u8>, plain: &[u8], iv: &[u8; IV]) {
        let cipher = cbc::Encryptor::inner_iv_init(self.first.encryption.clone(), iv.into());
        token.extend(cipher.encrypt_padded_vec::<Pkcs7>(plain));
        let mut mac = self.first.signing.clone();
        mac.update(token);
        token.extend_from_slice(&mac.finalize().into_bytes());
    }

    pub(super) fn open(
        &self,
        signed: &[u8],
        mac: &[u8],
        iv: &[u8; IV],
        ciphertext: &[u8],
    ) -> Result<Opened, Unusable> {
        let mut ring = once(&self.first).chain(&self.others);
        let at = ring.position(|key| key.has_signed(signed, mac));
        let at = at.ok_or(Unusable::NotAuthentic)?;
        let key = if at == 0 {
            &self.first
        } else {
            &self.others[at - 1]
        };
        let cipher = cbc::Decryptor::inner_iv_init(key.encryption.clone(), iv.into());
        let text = cipher.decrypt_padded_vec::<Pkcs7>(ciphertext);
        Ok(Opened {
            text: text.or(Err(Unusable::Malformed))?,
            outdated: at > 0,
        })
    }
}

impl Ready {
    fn new(key: &FernetKey) -> Arc<Self> {
        let (signing, encryption) = key.bytes.split_at(FernetKey::LEN / 2);
        let signing = Hmac::new_from_slice(signing).expect("HMAC takes keys of any length");
        let encryption = Aes128::new_from_slice(encryption).expect("half a key has 128 bits");
        Arc::new(Self {
            signing,
            encryption,
        })
    }

    /// In constant time.
    fn has_signed(&self, signed: &[u8], mac: &[u8]) -> bool {
        let mut expected = self.signing.clone();
        expected.update(signed);
        expected.verify_slice(mac).is_ok()
    }
}

impl fmt::Debug for FernetKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FernetKeys")
            .field("len", &(1 + self.others.len()))
            .finish_non_exhaustive()
    }
}

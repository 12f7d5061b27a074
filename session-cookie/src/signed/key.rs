use std::{fmt, iter::once, sync::Arc};

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use session_core::ConfigError;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::text::UNPADDED;

/// A key that signs sessions with HS256: whoever has it can forge them.
///
/// The key is the bytes of a text, as microdot's `secret_key` is. It belongs into a secret manager. Erased from memory when
/// it is dropped; `Debug` does not show it.
pub struct SigningKey {
    text: Zeroizing<String>,
}

impl SigningKey {
    /// The shortest key in bytes. Source: RFC 7518, 3.2: as long as the hash.
    pub const LEN_MIN: usize = 32;

    /// A fresh key from the operating system's random source: 256 bits as 43 characters of base64url.
    ///
    /// # Panics
    /// When the operating system gives no random bytes, which no safe program can go on from.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).expect("the operating system gives random bytes");
        let text = Zeroizing::new(UNPADDED.encode(bytes.as_slice()));
        Self { text }
    }

    /// The key with the bytes of this text, all of them: nothing is trimmed or decoded. They have to be random: whoever
    /// has a cookie can try passwords at leisure.
    ///
    /// # Errors
    /// [`ConfigError`] when there are fewer than 32 bytes, or it is a key in PEM, which `PyJWT` takes for a mistake. The
    /// error does not show the text.
    pub fn from_text(text: &str) -> Result<Self, ConfigError> {
        let found = |found| ConfigError::new("signing key", found, "a text of at least 32 bytes");
        if text.len() < Self::LEN_MIN {
            return Err(found(format!("{} bytes long", text.len())));
        }
        if text.contains("-----BEGIN ") {
            return Err(found("a key in PEM".to_owned()));
        }
        Ok(Self::dangerous_short(text))
    }

    /// The key with the bytes of this text, however few: for a service that cannot change its key yet. Ten characters, as in
    /// microdot's documentation, are found by trying them all.
    pub fn dangerous_short(text: &str) -> Self {
        let text = Zeroizing::new(text.to_owned());
        Self { text }
    }

    /// The text of the key, for the secret manager and the other service's `secret_key`, and nothing else.
    pub fn expose_text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

/// The signing keys of a service: one signs, all are accepted. Cheap to clone.
///
/// For another key: let all replicas [accept](Self::accepting) it, then make it the first, and take the older one away when
/// the absolute timeout has passed. microdot knows one key only.
#[derive(Clone)]
#[must_use]
pub struct SigningKeys {
    // They erase themselves when they are dropped.
    first: Arc<Hmac<Sha256>>,
    others: Vec<Arc<Hmac<Sha256>>>,
}

impl SigningKeys {
    /// `key` signs, and is accepted.
    pub fn new(key: &SigningKey) -> Self {
        Self {
            first: ready(key),
            others: Vec::new(),
        }
    }

    /// Signatures of `key` are accepted; it signs nothing.
    pub fn accepting(mut self, key: &SigningKey) -> Self {
        self.others.push(ready(key));
        self
    }

    pub(super) fn sign(&self, signed: &str) -> [u8; 32] {
        let mut mac = Hmac::clone(&self.first);
        mac.update(signed.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Which key has signed it, in constant time for each key; the first is 0.
    pub(super) fn find(&self, signed: &str, signature: &[u8]) -> Option<usize> {
        let mut ring = once(&self.first).chain(&self.others);
        ring.position(|key| {
            let mut expected = Hmac::clone(key);
            expected.update(signed.as_bytes());
            expected.verify_slice(signature).is_ok()
        })
    }
}

fn ready(key: &SigningKey) -> Arc<Hmac<Sha256>> {
    let key = Hmac::new_from_slice(key.text.as_bytes());
    Arc::new(key.expect("HMAC takes keys of any length"))
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys")
            .field("len", &(1 + self.others.len()))
            .finish_non_exhaustive()
    }
}

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::SealingKey;
use crate::{SessionId, SessionKey, UserId, UserKey};

/// How the names under which stores know sessions and users are made of what gives access.
#[derive(Clone, Default)]
pub(crate) struct IdHash(Option<Hmac<Sha256>>);

impl IdHash {
    pub(crate) fn with(key: &SealingKey) -> Self {
        let derived = key.derive("IDs");
        let hash = Hmac::new_from_slice(derived.as_slice());
        Self(Some(hash.expect("HMAC takes keys of any length")))
    }

    pub(crate) const fn has_key(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn session(&self, id: &SessionId) -> SessionKey {
        match &self.0 {
            None => *id.key(),
            Some(_) => id
                .key()
                .with_digest(self.of(b"session ", id.key().digest())),
        }
    }

    pub(crate) fn user(&self, user: &UserId) -> UserKey {
        match &self.0 {
            None => user.key(),
            Some(_) => UserKey::from_hash(&self.of(b"user ", user.as_str().as_bytes())),
        }
    }

    fn of(&self, purpose: &[u8], text: &[u8]) -> [u8; 32] {
        let mut hash = self.0.clone().expect("it is only asked for with a key");
        hash.update(purpose);
        hash.update(text);
        hash.finalize().into_bytes().into()
    }
}

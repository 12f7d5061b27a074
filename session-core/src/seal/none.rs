//! Without the feature `seal` there are no keys: none of this can be called.

use bytes::Bytes;

use super::Place;
use crate::{BadRecord, SessionId, SessionKey, UserId, UserKey};

#[derive(Clone, Debug)]
pub(crate) enum SealingKeys {}

impl SealingKeys {
    pub(super) const fn seals(&self) -> bool {
        match *self {}
    }

    pub(super) const fn requires_seals(&self) -> bool {
        match *self {}
    }

    pub(super) fn close(
        &self,
        _place: &Place,
        _len_max: usize,
        _write: impl FnOnce(&mut Vec<u8>),
    ) -> Bytes {
        match *self {}
    }

    pub(super) const fn open(
        &self,
        _place: &Place,
        _body: &Bytes,
        _limit: usize,
    ) -> Result<(Bytes, bool), BadRecord> {
        match *self {}
    }
}

/// Without keys, the names are plain hashes.
#[derive(Clone, Default)]
pub(crate) struct IdHash(());

impl IdHash {
    #[expect(clippy::unused_self, reason = "with the feature it holds the key")]
    pub(crate) const fn has_key(&self) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "with the feature it holds the key")]
    pub(crate) const fn session(&self, id: &SessionId) -> SessionKey {
        *id.key()
    }

    #[expect(clippy::unused_self, reason = "with the feature it holds the key")]
    pub(crate) fn user(&self, user: &UserId) -> UserKey {
        user.key()
    }
}

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::{CommitCarriedError, Unusable};
use crate::{BodyFault, Codec, SessionData, SessionHandle, StoreTime, UserId, data::own};

/// A session whose record the client carries. Dereferences to [`SessionData`].
///
/// Nobody else is kept from changing it at the same time: see [`CarriedStore`](super::CarriedStore).
#[derive(Clone)]
pub struct CarriedSession {
    data: SessionData,
    unusable: Option<Unusable>,
    due: bool,
}

impl CarriedSession {
    /// A session without values; for stores.
    pub const fn empty(codec: Codec) -> Self {
        Self {
            // Far more than any client carries: its commit notices what is too large.
            data: SessionData::empty(codec),
            unusable: None,
            due: false,
        }
    }

    /// The session that was [encoded](Self::encode) so; for stores.
    ///
    /// # Errors
    /// [`BodyFault`] when it was not.
    pub fn decode(codec: Codec, body: &Bytes) -> Result<Self, BodyFault> {
        Ok(Self {
            data: SessionData::from_encoded(codec, body)?,
            ..Self::empty(codec)
        })
    }

    /// The values, and what the library itself has to know of the session, as one map in that codec; for stores.
    ///
    /// # Errors
    /// [`CommitCarriedError::Codec`] when the session comes from a store with another codec, and has a value that this
    /// one cannot hold.
    pub fn encode(&self, codec: Codec) -> Result<Bytes, CommitCarriedError> {
        let encoded = self.data.to_encoded(codec);
        encoded.ok_or(CommitCarriedError::Codec { codec })
    }

    /// The session under that public name; for stores.
    #[must_use]
    pub fn with_handle(mut self, handle: SessionHandle) -> Self {
        self.set_own(own::HANDLE, &handle.to_string());
        self
    }

    /// The session with that absolute end; for stores.
    #[must_use]
    pub fn with_absolute_end(mut self, end: StoreTime) -> Self {
        self.set_own(own::END, &end.as_millis());
        self
    }

    /// The session, which the client is to be given anew even if nothing changes; for stores.
    #[must_use]
    pub const fn due(mut self) -> Self {
        self.due = true;
        self
    }

    /// A new session, because a record was unusable; for stores.
    #[must_use]
    pub fn in_place_of(mut self, unusable: Unusable) -> Self {
        self.unusable = Some(unusable);
        self
    }

    /// The same values under the name of `fresh`, a new session of the same store; for stores. The client is to be given it.
    #[must_use]
    pub fn renewed(&self, fresh: &Self) -> Self {
        let mut renewed = Self {
            unusable: None,
            ..self.clone()
        };
        renewed.unmodified(|data| data.remove_own(own::HANDLE));
        if let Some(handle) = fresh.handle() {
            renewed = renewed.with_handle(handle);
        }
        renewed.due()
    }

    /// The session, in which that user is logged in; for stores.
    #[must_use]
    pub fn with_user(mut self, user: &UserId) -> Self {
        self.set_own(own::USER_ID, &user.as_str());
        self
    }

    /// Takes out what the store itself has put beside the values; that is no change. For stores.
    pub fn take_raw(&mut self, name: &str) -> Option<Bytes> {
        self.unmodified(|data| {
            let value = data.get_raw(name).cloned();
            data.remove(name);
            value
        })
    }

    /// The public name of the session, if its store can end it before its time.
    pub fn handle(&self) -> Option<SessionHandle> {
        let text: Option<String> = self.data.own(own::HANDLE).ok().flatten();
        let uuid = Uuid::parse_str(&text?).ok()?;
        Some(SessionHandle::from_bytes(uuid.into_bytes()))
    }

    /// When the session ends, whatever happens, if it does.
    pub fn absolute_end(&self) -> Option<StoreTime> {
        let end: Option<u64> = self.data.own(own::END).ok().flatten();
        end.map(StoreTime::from_millis)
    }

    /// Why the request's own record was not used; `None` if it was, or there was none.
    pub const fn unusable(&self) -> Option<&Unusable> {
        self.unusable.as_ref()
    }

    /// Whether the client should get a new record: something was changed, a tenth of the idle timeout has passed since
    /// it got its own, or a newer key has come.
    pub const fn needs_commit(&self) -> bool {
        self.due || self.data.is_modified()
    }

    fn set_own<V: Serialize>(&mut self, name: &'static str, value: &V) {
        let set = self.unmodified(|data| data.set_own(name, value));
        set.expect("a number and a short name are no limit's length");
    }

    fn unmodified<T>(&mut self, work: impl FnOnce(&mut SessionData) -> T) -> T {
        let modified = self.data.is_modified();
        let result = work(&mut self.data);
        self.data.set_modified(modified);
        result
    }
}

impl Deref for CarriedSession {
    type Target = SessionData;

    fn deref(&self) -> &SessionData {
        &self.data
    }
}

impl DerefMut for CarriedSession {
    fn deref_mut(&mut self) -> &mut SessionData {
        &mut self.data
    }
}

impl fmt::Debug for CarriedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarriedSession")
            .field("data", &self.data)
            .field("unusable", &self.unusable)
            .finish_non_exhaustive()
    }
}

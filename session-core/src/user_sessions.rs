use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::{
    Event, Listed, Revocation, SessionHandle, StoreError, StoreTime, UserId, UserKey, msgpack,
    sessions::Inner,
};

/// All sessions of one user, from [`Sessions::user`](crate::Sessions::user).
///
/// Each call is one step of the store: complete against sessions that are being stored, changed or given another ID
/// at that moment.
#[derive(Clone)]
pub struct UserSessions {
    inner: Arc<Inner>,
    user: UserId,
    key: UserKey,
}

impl UserSessions {
    pub(crate) fn new(inner: Arc<Inner>, user: UserId) -> Self {
        let key = inner.id_hash.user(&user);
        Self { inner, user, key }
    }

    /// The live sessions, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn list(&self) -> Result<Vec<ListedSession>, StoreError> {
        let listed = self.inner.store.list(&self.key).await?;
        let mut sessions: Vec<_> = listed.into_iter().map(ListedSession::from).collect();
        sessions
            .sort_unstable_by_key(|session| std::cmp::Reverse((session.created, session.handle)));
        Ok(sessions)
    }

    /// Ends the session of that name; whether the user had it.
    ///
    /// # Errors
    /// [`StoreError`]; the session may live on. Doing it again is safe.
    ///
    /// # Cancel safety
    /// Cancelled, the session may or may not be ended.
    pub async fn revoke(&self, handle: SessionHandle) -> Result<bool, StoreError> {
        Ok(self.end(Revocation::One(handle)).await? > 0)
    }

    /// Ends all sessions but the one of that name; how many.
    ///
    /// # Errors
    /// [`StoreError`]; some sessions may live on. Doing it again is safe.
    ///
    /// # Cancel safety
    /// Cancelled, some sessions may live on.
    pub async fn revoke_others(&self, keep: SessionHandle) -> Result<u64, StoreError> {
        self.end(Revocation::Others(keep)).await
    }

    /// Ends all sessions, and every login that has begun; how many sessions.
    ///
    /// # Errors
    /// [`StoreError`]; some sessions may live on. Doing it again is safe.
    ///
    /// # Cancel safety
    /// Cancelled, some sessions may live on.
    #[doc(alias = "logout_everywhere")]
    pub async fn revoke_all(&self) -> Result<u64, StoreError> {
        self.end(Revocation::All).await
    }

    /// Ends all sessions, and refuses every login until [`enable`](Self::enable); how many sessions.
    ///
    /// The application's own table of users remains the authority on who may log in.
    ///
    /// # Errors
    /// [`StoreError`]; some sessions may live on. Doing it again is safe.
    ///
    /// # Cancel safety
    /// Cancelled, some sessions may live on.
    pub async fn disable(&self) -> Result<u64, StoreError> {
        self.end(Revocation::Disable).await
    }

    /// Accepts logins again. Those that began before stay refused.
    ///
    /// # Errors
    /// [`StoreError`].
    ///
    /// # Cancel safety
    /// Cancelled, it may or may not be done.
    pub async fn enable(&self) -> Result<(), StoreError> {
        self.inner.store.enable(&self.key).await
    }

    async fn end(&self, which: Revocation) -> Result<u64, StoreError> {
        let ended = self.inner.store.revoke(&self.key, which).await?;
        self.inner.observers.tell(|| Event::Revoked {
            user: self.user.clone(),
            which,
            ended,
        });
        self.inner.look(self.key.bucket());
        Ok(ended)
    }
}

impl fmt::Debug for UserSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserSessions").finish_non_exhaustive()
    }
}

/// A session in the list of its user's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedSession {
    /// Its public name; gives no access.
    pub handle: SessionHandle,
    /// When the user logged in, by the store's clock.
    pub created: StoreTime,
    /// When it was last used, by the store's clock, to about a tenth of its idle timeout.
    pub last_seen: StoreTime,
    /// The labels that the login gave it.
    pub labels: BTreeMap<String, String>,
}

impl From<Listed> for ListedSession {
    fn from(listed: Listed) -> Self {
        Self {
            handle: listed.handle,
            created: listed.created,
            last_seen: listed.last_seen,
            // Labels that somebody else has damaged are not worth a list that cannot be read.
            labels: msgpack::decode(&listed.labels).unwrap_or_default(),
        }
    }
}

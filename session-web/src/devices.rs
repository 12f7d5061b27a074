use std::{fmt, sync::Arc};

use session_core::{ListedSession, SessionHandle, Snapshot, UserId, UserSessions};

use crate::{Session, SessionError, request::RequestSession};

/// The sessions of the user who is logged in: "your devices". Source: ASVS 5.0, 7.4.3, 7.4.5 and 7.5.2.
#[derive(Clone)]
pub struct Devices {
    request: Arc<RequestSession>,
    sessions: UserSessions,
    user: UserId,
    current: SessionHandle,
}

/// One session of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// Its public name, when it began and was last used, and the labels of its login.
    pub session: ListedSession,
    /// Whether it is the session of this request.
    pub is_current: bool,
}

impl<K> Session<K> {
    /// The sessions of the user who is logged in.
    ///
    /// # Errors
    /// [`SessionError::NotLoggedIn`]; those of [`snapshot`](Self::snapshot).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn devices(&self) -> Result<Devices, SessionError> {
        let snapshot = self.logged_in().await?;
        let user = snapshot.user_id().ok_or(SessionError::NotLoggedIn)?;
        Ok(Devices {
            request: Arc::clone(self.request()),
            sessions: self.sessions().user(&user)?,
            user,
            current: snapshot.handle(),
        })
    }

    /// The session as it is now, if it has a user.
    pub(crate) async fn logged_in(&self) -> Result<Snapshot, SessionError> {
        with_user(self.latest().await?)
    }
}

pub(crate) fn with_user(snapshot: Option<Snapshot>) -> Result<Snapshot, SessionError> {
    snapshot
        .filter(|session| session.user_id().is_some())
        .ok_or(SessionError::NotLoggedIn)
}

impl Devices {
    /// Whose they are.
    pub const fn user_id(&self) -> &UserId {
        &self.user
    }

    /// All of them, the newest first.
    ///
    /// # Errors
    /// [`StoreError`](session_core::StoreError).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn list(&self) -> Result<Vec<Device>, SessionError> {
        let sessions = self.sessions.list().await?.into_iter();
        let devices = sessions.map(|session| Device {
            is_current: session.handle == self.current,
            session,
        });
        Ok(devices.collect())
    }

    /// Ends the one of that name; whether the user had it. Ending the current one is a logout.
    ///
    /// # Errors
    /// As [`UserSessions::revoke`].
    ///
    /// # Cancel safety
    /// As [`UserSessions::revoke`].
    pub async fn revoke(&self, handle: SessionHandle) -> Result<bool, SessionError> {
        let was_there = self.sessions.revoke(handle).await?;
        if handle == self.current {
            self.request.forget();
        }
        Ok(was_there)
    }

    /// Ends all but the current one; how many.
    ///
    /// # Errors
    /// As [`UserSessions::revoke_others`].
    ///
    /// # Cancel safety
    /// As [`UserSessions::revoke_others`].
    pub async fn revoke_others(&self) -> Result<u64, SessionError> {
        Ok(self.sessions.revoke_others(self.current).await?)
    }

    /// Ends all of them, and all logins that have begun; how many. As
    /// [`Session::logout_everywhere`](crate::Session::logout_everywhere).
    ///
    /// # Errors
    /// As [`UserSessions::revoke_all`].
    ///
    /// # Cancel safety
    /// As [`UserSessions::revoke_all`].
    pub async fn revoke_all(&self) -> Result<u64, SessionError> {
        let ended = self.sessions.revoke_all().await?;
        self.request.forget();
        Ok(ended)
    }
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Devices").finish_non_exhaustive()
    }
}

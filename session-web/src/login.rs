use std::time::Duration;

use serde::Serialize;
use session_core::{AcquireError, Error, Login, Timeouts};

use crate::{Session, SessionError};

/// How long a login is to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stay {
    /// Until the browser is closed, or the usual timeouts.
    WithBrowser,
    /// Remembered by a persistent cookie, with these timeouts.
    Remembered(Timeouts),
}

impl<K> Session<K> {
    /// Logs in: binds the session to a user and gives it a new ID. Values of an anonymous session stay. A session of another
    /// user is ended with all that was in it, and a fresh one begun.
    ///
    /// Check the credentials before, and begin with [`Sessions::begin_login`](session_core::Sessions::begin_login) before
    /// that: then a login that was overtaken by a change of the password is refused. Source: ASVS 5.0, 7.2.4.
    ///
    /// # Errors
    /// Those of [`lock`](Self::lock) and of a [commit](session_core::CommitError), among them `Superseded`, `UserDisabled`
    /// and `TooManySessions`; [`LoginError`](session_core::LoginError) when `user` cannot be stored.
    ///
    /// # Cancel safety
    /// As [`Guard::commit`](crate::Guard::commit).
    pub async fn login<U: Serialize + Sync>(
        &self,
        login: Login,
        user: &U,
        stay: Stay,
    ) -> Result<(), SessionError> {
        let mut guard = self.lock().await?;
        if guard.user_id().is_some_and(|other| other != *login.user()) {
            guard.logout();
            guard.commit().await?;
            guard = self.lock().await?;
        }
        guard.login_with(login, user)?;
        if let Stay::Remembered(timeouts) = stay {
            guard.set_timeouts(timeouts);
        }
        guard.set_persistent(matches!(stay, Stay::Remembered(_)));
        guard.commit().await?;
        Ok(())
    }

    /// Logs out: ends the session, for everybody and at once, also if others hold its lock, and removes the cookie. A session
    /// that has ended already is no error.
    ///
    /// # Errors
    /// [`AlreadyHeld`](AcquireError::AlreadyHeld) if this request holds the session: use
    /// [`SessionGuard::logout`](session_core::SessionGuard::logout) then. When the store fails, the session may live on;
    /// doing it again is safe.
    ///
    /// # Cancel safety
    /// Cancelled, the session may or may not be ended.
    pub async fn logout(&self) -> Result<(), SessionError> {
        match self.request().lock_within(Some(Duration::ZERO)).await {
            Ok(mut guard) => {
                guard.logout();
                guard.commit().await?;
                Ok(())
            }
            // Nobody has to wait for a logout, and an old ID may end its session.
            Err(SessionError::Session(Error::Acquire(
                AcquireError::Held { .. } | AcquireError::Busy { .. } | AcquireError::Rotated,
            ))) => self.request().destroy().await,
            Err(error) => Err(error),
        }
    }

    /// Ends all sessions of the user, and all logins that have begun, and removes the cookie; how many sessions.
    ///
    /// # Errors
    /// [`SessionError::NotLoggedIn`]; [`StoreError`](session_core::StoreError): some sessions may live on, doing it again is
    /// safe.
    ///
    /// # Cancel safety
    /// Cancelled, some sessions may live on.
    pub async fn logout_everywhere(&self) -> Result<u64, SessionError> {
        self.devices().await?.revoke_all().await
    }

    /// That the user has logged in no longer ago than that: for what needs the password again (step-up).
    /// [`login`](Self::login) counts as such, also of a user who is logged in. Source: ASVS 5.0, 7.5.1 and 7.5.3.
    ///
    /// # Errors
    /// [`SessionError::NotLoggedIn`], [`SessionError::LoginTooOld`]; those of [`snapshot`](Self::snapshot).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn require_recent_login(&self, limit: Duration) -> Result<(), SessionError> {
        let snapshot = self.logged_in().await?;
        if snapshot.age() > limit {
            return Err(SessionError::LoginTooOld);
        }
        Ok(())
    }
}

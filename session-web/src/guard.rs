use std::ops::{Deref, DerefMut};

use session_core::{CommitReport, SessionGuard};

use crate::{
    SessionError,
    request::{Parked, Reserved},
};

/// The session of a request, locked by its handler. Dereferences to [`SessionGuard`].
///
/// Dropping it discards its changes. It must be committed or dropped when the handler returns: if it lives on, in a task or
/// in the body of the answer, the answer becomes a 500 and its changes are not stored.
#[derive(Debug)]
#[must_use = "dropping the guard discards its changes"]
pub struct Guard {
    session: SessionGuard,
    was_persistent: bool,
    hold: Reserved,
}

impl Guard {
    pub(crate) const fn new(hold: Reserved, session: SessionGuard) -> Self {
        Self {
            was_persistent: session.is_persistent(),
            session,
            hold,
        }
    }

    /// Stores the changes and gives the lock back, as [`SessionGuard::commit`]. The answer gets the cookie that the session
    /// now needs, and the next access in this request is to the session as it is now: under its new ID after
    /// [`login`](SessionGuard::login) or [`regenerate`](SessionGuard::regenerate), a fresh one after
    /// [`logout`](SessionGuard::logout).
    ///
    /// # Errors
    /// [`SessionError::Session`] as [`SessionGuard::commit`]; [`SessionError::AnswerSent`] when it comes too late.
    ///
    /// # Cancel safety
    /// As [`SessionGuard::commit`]. If it was cancelled, the answer has no cookie for the change.
    pub async fn commit(self) -> Result<CommitReport, SessionError> {
        let (hold, parked) = self.into_parts();
        if hold.0.is_closed() {
            return Err(SessionError::AnswerSent);
        }
        Ok(hold.0.commit(parked).await?)
    }

    /// Gives the lock back without writing, and waits until it is back.
    ///
    /// # Errors
    /// As [`SessionGuard::discard`]. Nothing was written in any case.
    ///
    /// # Cancel safety
    /// Cancelled, the lock is given back in the background.
    pub async fn discard(self) -> Result<(), SessionError> {
        let (_hold, parked) = self.into_parts();
        Ok(parked.session.discard().await?)
    }

    /// Leaves the session to the layer.
    pub(crate) fn park(self) {
        let (hold, parked) = self.into_parts();
        hold.park(parked);
    }

    fn into_parts(self) -> (Reserved, Parked) {
        let Self {
            session,
            was_persistent,
            hold,
        } = self;
        let parked = Parked {
            session,
            was_persistent,
        };
        (hold, parked)
    }
}

impl Deref for Guard {
    type Target = SessionGuard;

    fn deref(&self) -> &SessionGuard {
        &self.session
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut SessionGuard {
        &mut self.session
    }
}

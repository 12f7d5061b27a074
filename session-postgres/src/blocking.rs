//! The same for threads without an async runtime.

use std::{sync::Arc, time::Duration};

use session_core::{
    StoreError, Timeouts,
    blocking::{Background, CallError, StartError},
};

use crate::{PiccoloToken, Postgres};

/// [`PiccoloSessions`](crate::PiccoloSessions) for threads without a runtime. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PiccoloSessions {
    sessions: crate::PiccoloSessions,
    runtime: Arc<Background>,
}

impl PiccoloSessions {
    /// Runs `connect` on a runtime of its own, and uses that database as [`crate::PiccoloSessions::new`].
    ///
    /// # Errors
    /// [`StartError`]: inside of a runtime, when no thread can be started, or when the database does not answer or fit.
    pub fn new(
        zone: &str,
        connect: impl AsyncFnOnce() -> Result<Postgres, StoreError>,
    ) -> Result<Self, StartError<StoreError>> {
        let connect = async || crate::PiccoloSessions::new(&connect().await?, zone).await;
        let (runtime, sessions) = Background::start(connect)?;
        Ok(Self {
            sessions,
            runtime: Arc::new(runtime),
        })
    }

    /// As [`crate::PiccoloSessions::timeouts`].
    #[must_use]
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self {
            sessions: self.sessions.timeouts(timeouts),
            runtime: self.runtime,
        }
    }

    /// As [`crate::PiccoloSessions::create_session`].
    ///
    /// # Errors
    /// [`StoreError`].
    #[doc(alias = "create_session_sync")]
    pub fn create_session(&self, user_id: i32) -> Result<PiccoloToken, CallError<StoreError>> {
        self.runtime.call(self.sessions.create_session(user_id))
    }

    /// As [`crate::PiccoloSessions::get_user_id`].
    ///
    /// # Errors
    /// [`StoreError`].
    #[doc(alias = "get_user_id_sync")]
    pub fn get_user_id(
        &self,
        token: &str,
        increase: Option<Duration>,
    ) -> Result<Option<i32>, CallError<StoreError>> {
        self.runtime
            .call(self.sessions.get_user_id(token, increase))
    }

    /// As [`crate::PiccoloSessions::remove_session`].
    ///
    /// # Errors
    /// [`StoreError`].
    #[doc(alias = "remove_session_sync")]
    pub fn remove_session(&self, token: &str) -> Result<bool, CallError<StoreError>> {
        self.runtime.call(self.sessions.remove_session(token))
    }
}

use std::{fmt, sync::Arc, time::Duration};

use session_core::{
    CarriedSession, Codec, CommitCarriedError, LoadCarriedError, SessionHandle, StoreError,
    StoreTime, TouchAfter, Unusable,
};
use sha2::{Digest as _, Sha256};

use crate::options::Lives;

/// How a session is written into the value of a cookie.
pub(crate) trait Format: fmt::Debug + Send + Sync + 'static {
    /// The codec of its values.
    fn codec(&self) -> Codec;

    /// The value of the cookie.
    fn write(
        &self,
        session: &CarriedSession,
        lives: &Lives,
        now: StoreTime,
    ) -> Result<String, CommitCarriedError>;

    /// The session in the value of a cookie, if that is authentic and has not expired.
    fn read(&self, text: &str, lives: &Lives, now: StoreTime) -> Result<Found, Unusable>;
}

/// What a cookie held.
pub(crate) struct Found {
    pub(crate) session: CarriedSession,
    /// How long the record has left; `None` for ever.
    pub(crate) left: Option<Duration>,
    /// Whether it would be made under another key now.
    pub(crate) outdated: bool,
}

/// What all formats share.
#[derive(Clone, Debug)]
pub(crate) struct Cookie {
    lives: Lives,
    format: Arc<dyn Format>,
}

/// The longest cookie that every browser keeps, name and value together. Source: RFC 6265bis, 5.7.
const LONGEST: usize = 4_096;
/// By how much the clocks of those who write and read records may differ; that of Python's `cryptography`.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(60);

impl Cookie {
    pub(crate) fn new(lives: Lives, format: impl Format) -> Self {
        Self {
            lives,
            format: Arc::new(format),
        }
    }

    pub(crate) const fn lives(&self) -> &Lives {
        &self.lives
    }

    pub(crate) fn max_len(&self) -> usize {
        LONGEST - self.lives.name.as_str().len()
    }

    pub(crate) fn create(&self) -> CarriedSession {
        let mut session = CarriedSession::empty(self.format.codec());
        if let Some(timeouts) = self.lives.timeouts {
            session = session.with_absolute_end(self.lives.now().after(timeouts.absolute()));
        }
        if self.lives.revocations.is_some() {
            session = session.with_handle(SessionHandle::random());
        }
        session
    }

    pub(crate) async fn load(&self, text: &str) -> Result<CarriedSession, LoadCarriedError> {
        let limit = self.max_len();
        if text.len() > limit {
            let len = text.len();
            return Err(Unusable::TooLong { len, limit }.into());
        }
        let now = self.lives.now();
        let found = self.format.read(text, &self.lives, now)?;
        let session = self.within_its_life(found, now)?;
        self.not_ended(session, text).await
    }

    /// Checks the absolute end, and sees to it that there is one.
    fn within_its_life(&self, found: Found, now: StoreTime) -> Result<CarriedSession, Unusable> {
        let Found {
            session,
            left,
            outdated,
        } = found;
        let Some(timeouts) = self.lives.timeouts else {
            return Ok(if outdated { session.due() } else { session });
        };
        let idle_due =
            left.is_none_or(|left| TouchAfter::TenthOfIdle.is_due(left, timeouts.idle()));
        let session = if outdated || idle_due {
            session.due()
        } else {
            session
        };
        match session.absolute_end() {
            Some(end) if now >= end => Err(Unusable::Expired {
                since: now.saturating_since(end),
            }),
            Some(_) => Ok(session),
            // Somebody else has begun it.
            None => Ok(session
                .with_absolute_end(now.after(timeouts.absolute()))
                .due()),
        }
    }

    async fn not_ended(
        &self,
        session: CarriedSession,
        text: &str,
    ) -> Result<CarriedSession, LoadCarriedError> {
        let Some(list) = &self.lives.revocations else {
            return Ok(session);
        };
        let session = match session.handle() {
            Some(_) => session,
            None => session.with_handle(handle_of(text)).due(),
        };
        if let Some(handle) = session.handle()
            && list.is_revoked(&handle).await?
        {
            return Err(Unusable::Ended.into());
        }
        Ok(session)
    }

    pub(crate) fn commit(&self, session: &CarriedSession) -> Result<String, CommitCarriedError> {
        let now = self.lives.now();
        if session.absolute_end().is_some_and(|end| now >= end) {
            return Err(CommitCarriedError::Expired);
        }
        let text = self.format.write(session, &self.lives, now)?;
        let (len, limit) = (text.len(), self.max_len());
        if len > limit {
            return Err(CommitCarriedError::TooLarge { len, limit });
        }
        Ok(text)
    }

    pub(crate) async fn destroy(&self, session: &CarriedSession) -> Result<(), StoreError> {
        let (Some(list), Some(handle)) = (&self.lives.revocations, session.handle()) else {
            return Ok(());
        };
        // Commits of requests that are under way make records until then, and not beyond. Clocks differ.
        let end = session.absolute_end();
        let left = end.map_or(Duration::ZERO, |end| end.saturating_since(self.lives.now()));
        list.revoke(&handle, left + CLOCK_SKEW).await
    }
}

/// The name of a record that carries none.
fn handle_of(text: &str) -> SessionHandle {
    let hash = Sha256::digest(text);
    let mut handle = [0; 16];
    handle.copy_from_slice(&hash[..16]);
    SessionHandle::from_bytes(handle)
}

/// How long a record has left that was made at `made` and lives for `time_to_live`.
pub(crate) fn left(
    made: StoreTime,
    now: StoreTime,
    time_to_live: Duration,
) -> Result<Duration, Unusable> {
    let ahead = made.saturating_since(now);
    if ahead > CLOCK_SKEW {
        return Err(Unusable::FutureDated { ahead });
    }
    let age = now.saturating_since(made);
    if age > time_to_live {
        let since = age - time_to_live;
        return Err(Unusable::Expired { since });
    }
    Ok(time_to_live - age)
}

/// Stores are cookies in a format of their own.
macro_rules! carried_store {
    ($store:ty) => {
        #[async_trait::async_trait]
        impl session_core::CarriedStore for $store {
            fn capabilities(&self) -> session_core::Capabilities {
                self.cookie.lives().capabilities()
            }

            fn max_len(&self) -> usize {
                self.cookie.max_len()
            }

            fn create(&self) -> session_core::CarriedSession {
                self.cookie.create()
            }

            async fn load(
                &self,
                record: &str,
            ) -> Result<session_core::CarriedSession, session_core::LoadCarriedError> {
                self.cookie.load(record).await
            }

            async fn commit(
                &self,
                session: &session_core::CarriedSession,
            ) -> Result<String, session_core::CommitCarriedError> {
                self.cookie.commit(session)
            }

            async fn destroy(
                &self,
                session: &session_core::CarriedSession,
            ) -> Result<(), session_core::StoreError> {
                self.cookie.destroy(session).await
            }
        }
    };
}
pub(crate) use carried_store;

use std::{collections::BTreeSet, fmt, time::Duration};

use super::Row;
use crate::{Codec, ConfigError, Header, SessionData, SessionHandle, StoreTime};

/// How one secondary is written to, and what it may see.
#[derive(Clone)]
#[must_use]
pub struct SecondaryPolicy {
    required: bool,
    wait: Duration,
    timeout: Duration,
    shown: Shown,
    shows_user: bool,
    codec: Option<Codec>,
    #[cfg(feature = "seal")]
    seal: Option<crate::SealingKeys>,
}

#[derive(Clone, Debug)]
enum Shown {
    All,
    Only(BTreeSet<String>),
    Without(BTreeSet<String>),
}

impl SecondaryPolicy {
    /// Commits do not wait for it: what it has not got when a commit returns, it gets later.
    pub const fn eventual() -> Self {
        Self {
            required: false,
            wait: Duration::ZERO,
            timeout: Duration::from_secs(5),
            shown: Shown::All,
            shows_user: true,
            codec: None,
            #[cfg(feature = "seal")]
            seal: None,
        }
    }

    /// Commits wait for it, after they have given the lock back, and fail with
    /// [`CommitError::SecondaryFailed`](crate::CommitError::SecondaryFailed) if it cannot be written to. The session is
    /// stored then, and the secondary gets it later.
    ///
    /// Ends of sessions by their ID, and revocations, do not wait.
    pub fn required() -> Self {
        Self {
            required: true,
            ..Self::eventual()
        }
    }

    /// How long a commit waits for a secondary that is not required. Default: not at all; at most the timeout.
    pub const fn wait_at_most(mut self, limit: Duration) -> Self {
        self.wait = limit;
        self
    }

    /// How long one change may take to be applied. Default 5 s; 10 ms to 60 s.
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// It sees these values and no others. Default: all.
    pub fn only<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.shown = Shown::Only(keys.into_iter().map(Into::into).collect());
        self
    }

    /// It sees all values but these.
    pub fn without<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.shown = Shown::Without(keys.into_iter().map(Into::into).collect());
        self
    }

    /// It does not learn who is logged in. Default: it sees the ID of the user, and in no case what the login has stored of
    /// the user beside it.
    pub const fn without_user(mut self) -> Self {
        self.shows_user = false;
        self
    }

    /// How its values are encoded. Default: as those of the sessions. A session with a value that this codec cannot hold is
    /// set aside.
    pub const fn codec(mut self, codec: Codec) -> Self {
        self.codec = Some(codec);
        self
    }

    /// Seals what it gets; it then learns nothing of the values but their size, and cannot move them to another session.
    /// Default: values are not sealed, whether or not those of the primary are.
    #[cfg(feature = "seal")]
    pub fn seal(mut self, keys: crate::SealingKeys) -> Self {
        self.seal = Some(keys);
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&self.timeout) {
            let (found, allowed) = (format!("{:?}", self.timeout), "10 ms to 60 s");
            return Err(ConfigError::new("timeout of a secondary", found, allowed));
        }
        if self.wait > self.timeout {
            let (found, allowed) = (format!("{:?}", self.wait), "at most its timeout");
            return Err(ConfigError::new("wait for a secondary", found, allowed));
        }
        Ok(())
    }

    pub(super) const fn is_required(&self) -> bool {
        self.required
    }

    /// How long one change may take.
    pub(super) const fn limit(&self) -> Duration {
        self.timeout
    }

    /// How long a commit waits.
    pub(super) const fn patience(&self) -> Duration {
        if self.required {
            self.timeout
        } else {
            self.wait
        }
    }

    /// What the secondary of that name may see of a session; `None` if its codec cannot hold it.
    pub(super) fn row(
        &self,
        name: &str,
        session: SessionHandle,
        header: &Header,
        data: &SessionData,
        idle_end: StoreTime,
    ) -> Option<Row> {
        let codec = self.codec.unwrap_or(data.codec());
        let body = data.shown(codec, |key| match &self.shown {
            Shown::All => true,
            Shown::Only(keys) => keys.contains(key),
            Shown::Without(keys) => !keys.contains(key),
        })?;
        #[cfg(feature = "seal")]
        let (body, is_sealed) = match &self.seal {
            Some(keys) => (keys.seal_row(name, session, &body), true),
            None => (body, false),
        };
        #[cfg(not(feature = "seal"))]
        let (is_sealed, _unused) = (false, (name, session));
        Some(Row {
            created: header.created,
            absolute_end: header.absolute_end,
            idle_end,
            user: data.user_id().filter(|_| self.shows_user),
            codec,
            is_sealed,
            body,
        })
    }

    /// The values that the secondary of that name was shown.
    pub(super) fn values(
        &self,
        name: &str,
        session: SessionHandle,
        row: &Row,
    ) -> Result<SessionData, crate::BadRecord> {
        let body = if row.is_sealed {
            self.opened(name, session, row)?
        } else {
            row.body.clone()
        };
        let data = SessionData::from_encoded(row.codec, &body);
        data.map_err(|reason| crate::BadRecord::Body { reason })
    }

    #[cfg(feature = "seal")]
    fn opened(
        &self,
        name: &str,
        session: SessionHandle,
        row: &Row,
    ) -> Result<bytes::Bytes, crate::BadRecord> {
        let keys = self.seal.as_ref().ok_or(crate::BadRecord::Sealed)?;
        keys.open_row(name, session, &row.body)
    }

    #[cfg(not(feature = "seal"))]
    fn opened(
        &self,
        _name: &str,
        _session: SessionHandle,
        _row: &Row,
    ) -> Result<bytes::Bytes, crate::BadRecord> {
        Err(crate::BadRecord::Sealed)
    }
}

impl fmt::Debug for SecondaryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecondaryPolicy")
            .field("required", &self.required)
            .field("timeout", &self.timeout)
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

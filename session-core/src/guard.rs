use std::{
    fmt,
    future::Future,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use session_lock::{Lease, LossCause};

use crate::{
    CommitError, CommitId, Creation, Header, ReadSession, Remaining, Revision, SessionData,
    SessionHandle, SessionId, SessionKey, Timeouts, Write,
    sessions::Inner,
    snapshot::{Life, Loaded},
};

/// Exclusive access to one session for as long as its lease is valid.
///
/// Dereferences to [`SessionData`] for reading and writing. Changes stay in this process until
/// [`commit`](Self::commit). Dropping the guard discards them; the release is then sent in the background and, if
/// the process dies first, the lock frees itself when the lease runs out. Dropping works anywhere: on a plain
/// thread, while unwinding, after the runtime has ended.
#[must_use = "dropping the guard discards its changes"]
pub struct SessionGuard {
    inner: Arc<Inner>,
    id: SessionId,
    header: Header,
    data: SessionData,
    life: Life,
    timeouts: Option<Timeouts>,
    destroy: bool,
    /// `None`: the session is new; nobody else can know its ID, so there is nothing to lock.
    lease: Option<Lease<SessionKey>>,
}

impl SessionGuard {
    pub(crate) fn locked(
        inner: Arc<Inner>,
        id: SessionId,
        lease: Lease<SessionKey>,
        loaded: Loaded,
    ) -> Self {
        let Loaded { header, data, life } = loaded;
        Self {
            inner,
            id,
            header,
            data,
            life,
            timeouts: None,
            destroy: false,
            lease: Some(lease),
        }
    }

    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        let timeouts = inner.settings.timeouts;
        let data = SessionData::new(inner.settings.max_record);
        let life = Life::unborn(timeouts, &inner.clock);
        let header = Header::new(CommitId::random());
        let id = SessionId::random();
        Self {
            inner,
            id,
            header,
            data,
            life,
            timeouts: None,
            destroy: false,
            lease: None,
        }
    }

    /// Gives the session other timeouts than the store's, from the commit on. The absolute one counts from when the
    /// session was first stored.
    pub const fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.timeouts = Some(timeouts);
    }

    /// Marks the session to be ended by the commit. Discarding the guard keeps it.
    pub const fn destroy(&mut self) {
        self.destroy = true;
    }

    /// Writes the changes to the store and gives the lease back, in one step. Without changes it only gives the
    /// lease back and counts as a use of the session. A new session without values is not stored.
    ///
    /// # Errors
    /// [`CommitError`]; except for [`CommitError::Unknown`], nothing was written then.
    ///
    /// # Cancel safety
    /// Cancelled before the store has answered, the changes may or may not be stored: load the session again before
    /// acting on it. The lease is given back in any case.
    #[doc(alias = "save")]
    pub async fn commit(mut self) -> Result<CommitReport, CommitError> {
        match self.lease.take() {
            None => self.create().await,
            Some(lease) => self.write(lease).await,
        }
    }

    /// Gives the lease back without writing, and waits until it is back. Counts as a use of the session.
    ///
    /// # Errors
    /// [`CommitError`] when the lease was lost, or the store failed. Nothing was written in any case.
    ///
    /// # Cancel safety
    /// Cancelled, the lease is given back in the background.
    #[doc(alias = "rollback")]
    pub async fn discard(mut self) -> Result<(), CommitError> {
        match self.lease.take() {
            None => Ok(()),
            Some(lease) => self.inner.store.release(lease).await,
        }
    }

    /// The secret ID of the session, for the cookie.
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

    /// The public name of the session.
    pub const fn handle(&self) -> SessionHandle {
        self.header.handle
    }

    /// Whether the session has never been stored.
    pub const fn is_new(&self) -> bool {
        self.lease.is_none()
    }

    /// Whether the commit would write something.
    pub const fn is_modified(&self) -> bool {
        self.data.is_modified() || self.timeouts.is_some() || self.destroy
    }

    /// How long the session has left, by the store's time, if it is not used further. Holding the guard counts as use.
    pub fn remaining(&self) -> Remaining {
        self.life.remaining()
    }

    /// How long the lease is valid yet, if it is not renewed. A new session has no lease and no end to it.
    pub fn lease_remaining(&self) -> Duration {
        self.lease.as_ref().map_or(Duration::MAX, Lease::remaining)
    }

    /// Resolves when the lease is lost or given back, with the cause; never for a new session.
    ///
    /// The future does not borrow the guard, so work can be raced against it.
    pub fn lost(&self) -> impl Future<Output = LossCause> + Send + 'static {
        let lost = self.lease.as_ref().map(Lease::lost);
        async move {
            match lost {
                Some(lost) => lost.await,
                None => std::future::pending().await,
            }
        }
    }

    async fn create(self) -> Result<CommitReport, CommitError> {
        self.inner.check_open(CommitError::ShutDown)?;
        if self.destroy || self.data.is_empty() {
            return Ok(CommitReport::nothing());
        }
        let creation = Creation {
            header: self.header,
            body: self.data.encode(),
            timeouts: self.timeouts.unwrap_or(self.inner.settings.timeouts),
        };
        let committed = self.inner.store.create(self.id.key(), creation).await?;
        Ok(CommitReport::stored(committed.revision))
    }

    async fn write(self, lease: Lease<SessionKey>) -> Result<CommitReport, CommitError> {
        // Only this process knows how long it has held the lease in all; everything else the store checks.
        if lease.loss() == Some(LossCause::HeldTooLong) {
            return Err(CommitError::LeaseLost {
                cause: LossCause::HeldTooLong,
            });
        }
        if self.destroy {
            self.inner.store.end(lease).await?;
            return Ok(CommitReport::nothing());
        }
        if !self.is_modified() {
            self.inner.store.release(lease).await?;
            return Ok(CommitReport::nothing());
        }
        let base = self.header.commit_id;
        let header = Header {
            commit_id: CommitId::random(),
            ..self.header
        };
        let header = match self.timeouts {
            Some(timeouts) => header.with_timeouts(timeouts),
            None => header,
        };
        let write = Write {
            base,
            header,
            body: self.data.encode(),
        };
        let committed = self.inner.store.commit(lease, write).await?;
        Ok(CommitReport::stored(committed.revision))
    }
}

impl Deref for SessionGuard {
    type Target = SessionData;

    fn deref(&self) -> &SessionData {
        &self.data
    }
}

impl DerefMut for SessionGuard {
    fn deref_mut(&mut self) -> &mut SessionData {
        &mut self.data
    }
}

impl ReadSession for SessionGuard {
    fn data(&self) -> &SessionData {
        self
    }

    fn handle(&self) -> SessionHandle {
        self.handle()
    }

    fn remaining(&self) -> Remaining {
        self.remaining()
    }
}

impl fmt::Debug for SessionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionGuard")
            .field("handle", &self.handle())
            .field("data", &self.data)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitReport {
    /// The revision that was stored; `None` if there was nothing to store.
    pub revision: Option<Revision>,
}

impl CommitReport {
    pub(crate) const fn nothing() -> Self {
        Self { revision: None }
    }

    pub(crate) const fn stored(revision: Revision) -> Self {
        Self {
            revision: Some(revision),
        }
    }

    /// Whether a new version was stored.
    pub const fn is_stored(&self) -> bool {
        self.revision.is_some()
    }
}

use std::{
    collections::HashSet,
    fmt,
    ops::{Deref, DerefMut},
    panic::Location,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use crate::{
    CommitError, CommitReport, ReadError, SessionData, SessionHandle, SessionId, Sessions,
    TouchAfter, Write, sessions::Inner, snapshot::Loaded,
};

/// Sessions without the lock: whoever writes last wins, and what the others wrote is lost.
#[derive(Debug)]
pub struct Unlocked<'a> {
    sessions: &'a Sessions,
}

impl<'a> Unlocked<'a> {
    #[track_caller]
    pub(crate) fn new(sessions: &'a Sessions) -> Self {
        if sessions.inner().settings.warn_unlocked {
            warn_once(Location::caller());
        }
        Self { sessions }
    }

    /// Reads a session for writing it back; `None` if there is none.
    ///
    /// # Errors
    /// [`ReadError`] for a fault; it is never mistaken for "no session".
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn load(&self, id: &SessionId) -> Result<Option<UnlockedSession>, ReadError> {
        let inner = self.sessions.inner();
        let loaded = inner.load(id, TouchAfter::TenthOfIdle).await?;
        Ok(loaded.map(|loaded| UnlockedSession {
            inner: Arc::clone(inner),
            id: id.clone(),
            loaded,
        }))
    }
}

fn warn_once(place: &'static Location<'static>) {
    static WARNED: LazyLock<Mutex<HashSet<&'static Location<'static>>>> =
        LazyLock::new(Mutex::default);
    if WARNED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(place)
    {
        tracing::warn!(%place, "session used without its lock: changes made at the same time are lost");
    }
}

/// A session that nobody locked. Dereferences to [`SessionData`].
#[must_use = "changes are stored by `save`"]
pub struct UnlockedSession {
    inner: Arc<Inner>,
    id: SessionId,
    loaded: Loaded,
}

impl UnlockedSession {
    /// The public name of the session.
    pub const fn handle(&self) -> SessionHandle {
        self.loaded.header.handle
    }

    /// Writes the session over whatever other unlocked writers have written meanwhile. What was committed under the
    /// lock meanwhile is never overwritten.
    ///
    /// # Errors
    /// [`CommitError::LockHeld`] while somebody holds the lock, [`CommitError::Conflict`] if somebody committed under
    /// it since the session was read, [`CommitError::Destroyed`] if it was ended.
    ///
    /// # Cancel safety
    /// Cancelled, the session may or may not be written.
    pub async fn save(self) -> Result<CommitReport, CommitError> {
        let Loaded {
            header,
            data,
            rotated,
            ..
        } = self.loaded;
        if rotated {
            return Err(CommitError::Rotated);
        }
        if !data.is_modified() {
            return Ok(CommitReport::nothing());
        }
        // The commit ID stays: unlocked writers overwrite each other, and only a commit tells them apart.
        let (base, key) = (header.commit_id, &self.inner.id_hash.session(&self.id));
        let (header, body) = self.inner.seal.close(key, header, &data);
        let mut stored = header.clone();
        let write = Write { base, header, body };
        let request = self.inner.lock_request(self.inner.settings.wait_timeout);
        let committed = self.inner.store.update(key, write, &request).await?;
        stored.revision = committed.revision;
        let report = CommitReport::stored(committed.revision);
        let done = self.inner.wrote(*key, &stored, Arc::unwrap_or_clone(data));
        self.inner.followed_by(report, done).await
    }
}

impl Deref for UnlockedSession {
    type Target = SessionData;

    fn deref(&self) -> &SessionData {
        &self.loaded.data
    }
}

impl DerefMut for UnlockedSession {
    fn deref_mut(&mut self) -> &mut SessionData {
        Arc::make_mut(&mut self.loaded.data)
    }
}

impl fmt::Debug for UnlockedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnlockedSession")
            .field("data", &self.loaded.data)
            .finish_non_exhaustive()
    }
}

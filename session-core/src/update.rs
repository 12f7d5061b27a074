use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

use crate::{
    AcquireError, CommitError, CommitId, CommitReport, Header, Promise, SessionData, SessionId,
    SessionKey, Sessions, Stored, TouchAfter, WithError, Write, bases::Base, held, sessions::Inner,
    snapshot::Loaded, write_through::Done,
};

// Each further try says that others write this session all the time: then waiting in line is the better way.
const TRIES: usize = 3;

pub(crate) async fn update<T: Send, E: Send>(
    sessions: &Sessions,
    id: &SessionId,
    mut change: impl FnMut(&mut SessionData) -> Result<T, E> + Send,
) -> Result<T, WithError<E>> {
    let inner = sessions.inner();
    if held::is_held(id.key()) {
        return Err(WithError::Acquire(AcquireError::AlreadyHeld));
    }
    if inner.store.capabilities().has(Promise::OptimisticUpdate)
        && let Some((value, done)) = try_update(inner, id, &mut change).await?
    {
        if let Some(done) = done {
            let followed = inner.followed(CommitReport::nothing(), || done).await;
            followed.map_err(WithError::Commit)?;
        }
        return Ok(value);
    }
    update_locked(sessions, id, change).await
}

/// Writes without a lock; `None` if that is not the way.
async fn try_update<T: Send, E: Send>(
    inner: &Inner,
    id: &SessionId,
    change: &mut (impl FnMut(&mut SessionData) -> Result<T, E> + Send),
) -> Result<Option<(T, Option<Done>)>, WithError<E>> {
    // Tasks of one process would only make each other try again.
    let key = &inner.id_hash.session(id);
    let _turn = inner.turns.take(*id.key()).await;
    if let Some(Base::Whole(stored)) = inner.bases.get(key) {
        inner.check_open(WithError::Acquire(AcquireError::ShutDown))?;
        match over_known(inner, key, stored, change).await? {
            Tried::Done(value, done) => return Ok(Some((value, done))),
            Tried::Locked => return Ok(None),
            Tried::Again => {}
        }
    }
    for _ in 0..TRIES {
        let loaded = inner.load(id, TouchAfter::TenthOfIdle).await;
        let loaded = loaded.map_err(|error| WithError::Acquire(error.into()))?;
        let loaded = loaded.ok_or(WithError::Acquire(AcquireError::NoSession))?;
        if loaded.rotated {
            return Err(WithError::Acquire(AcquireError::Rotated));
        }
        match over_loaded(inner, key, loaded, change).await? {
            Tried::Done(value, done) => return Ok(Some((value, done))),
            Tried::Locked => break,
            Tried::Again => {}
        }
    }
    Ok(None)
}

async fn update_locked<T: Send, E: Send>(
    sessions: &Sessions,
    id: &SessionId,
    mut change: impl FnMut(&mut SessionData) -> Result<T, E> + Send,
) -> Result<T, WithError<E>> {
    let mut session = sessions.lock(id).await.map_err(WithError::Acquire)?;
    let value = change(&mut session).map_err(WithError::Body)?;
    session.commit().await.map_err(WithError::Commit)?;
    Ok(value)
}

/// What became of a try to write without a lock.
enum Tried<T> {
    /// What it came to, and what is to be handed on.
    Done(T, Option<Done>),
    /// Somebody holds or awaits the lock.
    Locked,
    /// Nothing is stored: another version stands there, if any.
    Again,
}

/// Changes the version that this process has written last. Others may have written since: then nothing is stored,
/// and what the function has decided does not count.
async fn over_known<T: Send, E: Send>(
    inner: &Inner,
    key: &SessionKey,
    stored: Stored,
    change: &mut (impl FnMut(&mut SessionData) -> Result<T, E> + Send),
) -> Result<Tried<T>, WithError<E>> {
    let seen = Base::Seen(stored.header.commit_id);
    let Ok(Loaded { header, data, .. }) = inner.decode(key, stored) else {
        inner.bases.forget(key);
        return Ok(Tried::Again);
    };
    let mut data = Arc::unwrap_or_clone(data);
    let Ok(value) = change(&mut data) else {
        return Ok(Tried::Again);
    };
    if !data.is_modified() {
        return Ok(Tried::Again);
    }
    match write(inner, key, header, &data).await {
        Ok(stored) => {
            let done = inner.wrote(*key, &stored.header, data);
            inner.bases.put(key, Base::Whole(stored));
            Ok(Tried::Done(value, done))
        }
        Err(CommitError::LockHeld) => Ok(Tried::Locked),
        Err(CommitError::Conflict) => {
            inner.bases.put(key, seen);
            Ok(Tried::Again)
        }
        Err(CommitError::Expired | CommitError::Destroyed | CommitError::Rotated) => {
            inner.bases.forget(key);
            Ok(Tried::Again)
        }
        Err(error) => {
            inner.bases.forget(key);
            Err(WithError::Commit(error))
        }
    }
}

/// Changes the version that was just read.
async fn over_loaded<T: Send, E: Send>(
    inner: &Inner,
    key: &SessionKey,
    loaded: Loaded,
    change: &mut (impl FnMut(&mut SessionData) -> Result<T, E> + Send),
) -> Result<Tried<T>, WithError<E>> {
    let Loaded { header, data, .. } = loaded;
    let mut data = Arc::unwrap_or_clone(data);
    let base = header.commit_id;
    let value = change(&mut data).map_err(WithError::Body)?;
    if !data.is_modified() {
        return Ok(Tried::Done(value, None));
    }
    match write(inner, key, header, &data).await {
        Ok(stored) => {
            let done = inner.wrote(*key, &stored.header, data);
            let bases = &inner.bases;
            let others_write = matches!(bases.get(key), Some(Base::Seen(seen)) if seen != base);
            let known = if others_write {
                Base::Seen(stored.header.commit_id)
            } else {
                Base::Whole(stored)
            };
            bases.put(key, known);
            Ok(Tried::Done(value, done))
        }
        Err(CommitError::Conflict) => Ok(Tried::Again),
        Err(CommitError::LockHeld) => Ok(Tried::Locked),
        Err(error) => Err(WithError::Commit(error)),
    }
}

/// Writes the next version after that of `header`, if nobody holds or awaits the lock; as it stands then.
async fn write(
    inner: &Inner,
    key: &SessionKey,
    header: Header,
    data: &SessionData,
) -> Result<Stored, CommitError> {
    let base = header.commit_id;
    let header = Header {
        commit_id: CommitId::random(),
        ..header
    };
    let (header, body) = inner.seal.close(key, header, data);
    let write = Write {
        base,
        header: header.clone(),
        body: body.clone(),
    };
    let request = inner.lock_request(inner.settings.wait_timeout);
    let committed = inner.store.update(key, write, &request).await?;
    let read_at = inner.store.time();
    Ok(Stored {
        time_to_live: header.time_to_live(read_at),
        header: Header {
            revision: committed.revision,
            ..header
        },
        body,
        read_at,
    })
}

/// Lets the tasks of one process update one session in turn.
#[derive(Default)]
pub(crate) struct Turns {
    turns: Arc<Mutex<TurnMap>>,
}

type TurnMap = HashMap<SessionKey, Arc<tokio::sync::Mutex<()>>>;

impl Turns {
    async fn take(&self, key: SessionKey) -> Turn {
        let turn = Arc::clone(lock(&self.turns).entry(key).or_default());
        // Made before waiting: the entry is cleaned up also if the caller is cancelled.
        let mut held = Turn {
            guard: None,
            key,
            turns: Arc::clone(&self.turns),
        };
        held.guard = Some(turn.lock_owned().await);
        held
    }
}

struct Turn {
    guard: Option<OwnedMutexGuard<()>>,
    key: SessionKey,
    turns: Arc<Mutex<TurnMap>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut turns = lock(&self.turns);
        if turns
            .get(&self.key)
            .is_some_and(|turn| Arc::strong_count(turn) == 1)
        {
            turns.remove(&self.key);
        }
    }
}

fn lock(turns: &Mutex<TurnMap>) -> MutexGuard<'_, TurnMap> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns")
            .field("waiting", &lock(&self.turns).len())
            .finish()
    }
}

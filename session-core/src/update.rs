use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

use crate::{
    AcquireError, CommitError, CommitId, Header, Promise, SessionData, SessionId, SessionKey,
    Sessions, TouchAfter, WithError, Write, held, snapshot::Loaded,
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
    if inner.store.capabilities().has(Promise::OptimisticUpdate) {
        // Tasks of one process would only make each other try again.
        let key = &inner.id_hash.session(id);
        let _turn = inner.turns.take(*id.key()).await;
        for _ in 0..TRIES {
            let loaded = inner.load(id, TouchAfter::TenthOfIdle).await;
            let loaded = loaded.map_err(|error| WithError::Acquire(error.into()))?;
            let Loaded {
                header,
                mut data,
                rotated,
                ..
            } = loaded.ok_or(WithError::Acquire(AcquireError::NoSession))?;
            if rotated {
                return Err(WithError::Acquire(AcquireError::Rotated));
            }
            let value = change(&mut data).map_err(WithError::Body)?;
            if !data.is_modified() {
                return Ok(value);
            }
            let base = header.commit_id;
            let header = Header {
                commit_id: CommitId::random(),
                ..header
            };
            let (header, body) = inner.seal.close(key, header, &data);
            let write = Write { base, header, body };
            match inner
                .store
                .update(key, write, &inner.lock_request(inner.settings.wait_timeout))
                .await
            {
                Ok(_) => return Ok(value),
                Err(CommitError::Conflict) => {}
                Err(CommitError::LockHeld) => break,
                Err(error) => return Err(WithError::Commit(error)),
            }
        }
    }
    let mut session = sessions.lock(id).await.map_err(WithError::Acquire)?;
    let value = change(&mut session).map_err(WithError::Body)?;
    session.commit().await.map_err(WithError::Commit)?;
    Ok(value)
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

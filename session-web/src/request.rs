use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use session_core::{
    AcquireError, CommitError, CommitReport, CountedName, SessionGuard, SessionId, Sessions,
    Snapshot,
};

use crate::{
    Guard, SessionError,
    layer::Config,
    transport::{Incoming, Named},
};

/// The session of one request, as far as it has come.
#[derive(Debug)]
pub(crate) struct RequestSession {
    pub(crate) config: Arc<Config>,
    pub(crate) incoming: Incoming,
    /// Who has sent it, if unknown IDs are limited.
    client: Option<CountedName>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The session that the next access goes to.
    id: Option<SessionId>,
    seen: Seen,
    hold: Hold,
    change: Option<Change>,
    /// Whether the request named the session by an ID that it had before.
    is_old: bool,
    /// Whether the answer is on its way.
    is_closed: bool,
}

/// What was read in this request.
#[derive(Debug, Default)]
struct Seen {
    snapshot: Option<Option<Snapshot>>,
    /// Whether the store was asked for it, and no cache.
    is_latest: bool,
    /// Counts the commits, so that what was read before one is not kept after it.
    commits: u32,
}

#[derive(Debug)]
enum Hold {
    Free,
    Held,
    Parked(Box<Parked>),
}

/// A session whose handler is done, until it is known what the answer is.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) session: SessionGuard,
    pub(crate) was_persistent: bool,
}

/// What the client is to be told about its session.
#[derive(Debug)]
pub(crate) enum Change {
    Set {
        id: SessionId,
        max_age: Option<Duration>,
    },
    Remove,
}

/// What the handler has left behind.
#[derive(Debug)]
pub(crate) enum Leftover {
    Nothing,
    Parked(Box<Parked>),
    /// A guard that is still in use somewhere.
    Held,
}

impl RequestSession {
    pub(crate) fn new(
        config: Arc<Config>,
        incoming: Incoming,
        client: Option<CountedName>,
    ) -> Self {
        let id = match &incoming.named {
            Named::One(id) => Some(id.clone()),
            _ => None,
        };
        let state = State {
            id,
            seen: Seen::default(),
            hold: Hold::Free,
            change: None,
            is_old: false,
            is_closed: false,
        };
        Self {
            config,
            incoming,
            client,
            state: Mutex::new(state),
        }
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.config.sessions
    }

    pub(crate) fn id(&self) -> Option<SessionId> {
        self.state().id.clone()
    }

    /// Reads the session, once between two commits of this request. `is_latest`: from the store and no cache of it.
    pub(crate) async fn read(&self, is_latest: bool) -> Result<Option<Snapshot>, SessionError> {
        self.check_named()?;
        let (id, commits) = {
            let state = self.state();
            if let Some(snapshot) = &state.seen.snapshot
                && (state.seen.is_latest || !is_latest)
            {
                return Ok(snapshot.clone());
            }
            (state.id.clone(), state.seen.commits)
        };
        let Some(id) = id else {
            self.count_nonsense().await?;
            return Ok(None);
        };
        let snapshot = if is_latest {
            self.sessions().latest(&id).await?
        } else {
            self.sessions().snapshot(&id).await?
        };
        if snapshot.is_none() {
            self.count_unknown(&id).await?;
        }
        let mut state = self.state();
        // After a commit of this request, what was read before it is no longer so.
        if state.seen.commits == commits {
            state.is_old |= snapshot.as_ref().is_some_and(Snapshot::is_rotated);
            state.seen.snapshot = Some(snapshot.clone());
            state.seen.is_latest = is_latest;
        }
        Ok(snapshot)
    }

    /// Locks the session, or begins a new one if the request names none that lives. `wait`: if not for as long as usual.
    pub(crate) async fn lock_within(
        self: &Arc<Self>,
        wait: Option<Duration>,
    ) -> Result<Guard, SessionError> {
        self.check_named()?;
        let (hold, id) = self.reserve()?;
        let session = match id {
            None => {
                self.count_nonsense().await?;
                self.sessions().create()
            }
            Some(id) => match self.lock_id(&id, wait).await {
                Err(AcquireError::NoSession) => {
                    self.count_unknown(&id).await?;
                    self.sessions().create()
                }
                Err(AcquireError::Rotated) => {
                    self.state().is_old = true;
                    return Err(AcquireError::Rotated.into());
                }
                locked => locked?,
            },
        };
        Ok(Guard::new(hold, session))
    }

    async fn lock_id(
        &self,
        id: &SessionId,
        wait: Option<Duration>,
    ) -> Result<SessionGuard, AcquireError> {
        let lock = self.sessions().lock(id);
        match wait {
            None => lock.await,
            Some(wait) => lock.wait_at_most(wait).await,
        }
    }

    /// Ends the session without its lock.
    pub(crate) async fn destroy(&self) -> Result<(), SessionError> {
        let id = self.state().id.clone();
        if let Some(id) = id {
            self.sessions().destroy(&id).await?;
        }
        self.forget();
        Ok(())
    }

    /// The session has ended.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        state.see_anew();
        state.id = None;
        state.change = Some(Change::Remove);
    }

    /// The right to the session, and the ID to lock it by.
    fn reserve(self: &Arc<Self>) -> Result<(Reserved, Option<SessionId>), SessionError> {
        let mut state = self.state();
        if state.is_closed {
            return Err(SessionError::AnswerSent);
        }
        if !matches!(state.hold, Hold::Free) {
            return Err(AcquireError::AlreadyHeld.into());
        }
        // Once its grace is over, the old ID names nothing; a new session in its place would change the cookie.
        if state.is_old {
            return Err(AcquireError::Rotated.into());
        }
        state.hold = Hold::Held;
        let id = state.id.clone();
        drop(state);
        Ok((Reserved(Arc::clone(self)), id))
    }

    pub(crate) async fn commit(&self, parked: Parked) -> Result<CommitReport, CommitError> {
        let Parked {
            session,
            was_persistent,
        } = parked;
        let max_age = session
            .is_persistent()
            .then(|| session.remaining_at_commit().absolute);
        let was = was_persistent.then(|| session.remaining().absolute);
        let id = session.id().clone();
        let is_outdated =
            self.incoming.is_outdated && self.incoming.named == Named::One(id.clone());
        let tells = session.is_new() || is_outdated || !is_same_age(was, max_age);
        let committed = session.commit().await;
        let mut state = self.state();
        state.see_anew();
        if matches!(committed, Err(CommitError::Rotated)) {
            state.is_old = true;
        }
        let report = match committed {
            // It is stored: the client is not to repeat it, and needs the new ID if there is one.
            Err(CommitError::SecondaryFailed { report }) => {
                tracing::error!("a required secondary does not have a commit yet");
                *report
            }
            committed => committed?,
        };
        if report.is_ended {
            state.id = None;
            state.change = Some(Change::Remove);
        } else if report.is_stored() && (tells || report.id.is_some()) {
            let id = report.id.clone().unwrap_or(id);
            state.id = Some(id.clone());
            state.change = Some(Change::Set { id, max_age });
        }
        Ok(report)
    }

    /// No session can be locked or committed by the handler from now on.
    pub(crate) fn close(&self) -> Leftover {
        let mut state = self.state();
        state.is_closed = true;
        match mem::replace(&mut state.hold, Hold::Free) {
            Hold::Free => Leftover::Nothing,
            Hold::Held => Leftover::Held,
            Hold::Parked(parked) => Leftover::Parked(parked),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// What the client is to be told, once.
    pub(crate) fn take_change(&self) -> Option<Change> {
        let mut state = self.state();
        let change = state.change.take();
        // The client may have the new ID already.
        change.filter(|_| !state.is_old)
    }

    /// Whether the request says nothing about a session.
    pub(crate) fn names_none(&self) -> bool {
        self.incoming.named == Named::Nothing
    }

    fn check_named(&self) -> Result<(), SessionError> {
        match (&self.incoming.named, &self.config.unknown, &self.client) {
            (Named::Several, ..) => Err(SessionError::Ambiguous),
            (Named::One(_) | Named::Nonsense(_), Some(limit), Some(client)) => limit.check(client),
            _ => Ok(()),
        }
    }

    /// The request names no session: with something that is no ID, perhaps.
    async fn count_nonsense(&self) -> Result<(), SessionError> {
        match self.incoming.named {
            Named::Nonsense(hash) => self.count(hash).await,
            _ => Ok(()),
        }
    }

    /// That ID names no session; one that was made in this request is nobody's guess.
    async fn count_unknown(&self, id: &SessionId) -> Result<(), SessionError> {
        if self.incoming.named != Named::One(id.clone()) {
            return Ok(());
        }
        let [a, b, c, d, e, f, g, h, ..] = *id.key().digest();
        self.count(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            .await
    }

    async fn count(&self, what: u64) -> Result<(), SessionError> {
        match (&self.config.unknown, self.client) {
            (Some(limit), Some(client)) => limit.count(client, what).await,
            _ => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What was read is no longer so.
    fn see_anew(&mut self) {
        self.seen = Seen {
            snapshot: None,
            is_latest: false,
            commits: self.seen.commits.wrapping_add(1),
        };
    }
}

/// The right of one guard to the session of its request.
#[derive(Debug)]
pub(crate) struct Reserved(pub(crate) Arc<RequestSession>);

impl Reserved {
    /// Leaves the session to the layer.
    pub(crate) fn park(self, parked: Parked) {
        let mut state = self.0.state();
        if !state.is_closed {
            state.hold = Hold::Parked(Box::new(parked));
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if matches!(state.hold, Hold::Held) {
            state.hold = Hold::Free;
        }
    }
}

// The two are read one after the other, and cookies count seconds.
fn is_same_age(was: Option<Duration>, is: Option<Duration>) -> bool {
    match (was, is) {
        (None, None) => true,
        (Some(was), Some(is)) => was.abs_diff(is) < Duration::from_secs(1),
        _ => false,
    }
}

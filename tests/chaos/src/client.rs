use std::{sync::Arc, time::Duration};

use latchkey::{
    AcquireError, CommitError, CommitReport, LoginTicket, ReadError, SessionGuard, SessionId,
    Sessions, Timeouts, WithError, core::Login,
};

use crate::{
    Action, Hold, Life, Nanos, Outcome, Recorder, Seen, Told, Value,
    recorder::{Begun, nanos, now},
};

/// A client that writes down everything that it does to sessions.
#[derive(Debug)]
pub struct Client {
    sessions: Sessions,
    recorder: Arc<Recorder>,
    number: u64,
    names: u64,
    staleness: Duration,
}

/// A session that a client knows, under one of its IDs.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what there is to know of it")]
pub struct Known {
    /// The session.
    pub session: u64,
    /// The number of its ID.
    pub id: u64,
    /// The ID.
    pub secret: SessionId,
}

/// A session that a client holds.
#[derive(Debug)]
#[must_use = "dropping it gives the session back"]
pub struct Held {
    guard: SessionGuard,
    known: Known,
    value: Value,
    asked: Nanos,
    sure: Option<(Nanos, Nanos)>,
}

/// The one key of all sessions.
const VALUE: &str = "n";

impl Client {
    /// The client of that number, which no other one of this process has. `staleness`: the bound of cached reads, or zero.
    pub const fn new(
        sessions: Sessions,
        recorder: Arc<Recorder>,
        number: u64,
        staleness: Duration,
    ) -> Self {
        Self {
            sessions,
            recorder,
            number,
            names: 0,
            staleness,
        }
    }

    /// A number that was never used: for an ID, a session or a value.
    fn fresh(&mut self) -> u64 {
        self.names += 1;
        (self.recorder.process() << 40) | (self.number << 28) | self.names
    }

    fn begin(&self, known: &Known, action: Action) -> Begun {
        self.recorder.begin(self.number, known.session, action)
    }

    /// Stores a new session; `None` if it is surely not stored.
    pub async fn create(&mut self, life: Option<Timeouts>) -> Option<Known> {
        let mut guard = self.sessions.create();
        let known = Known {
            session: self.fresh(),
            id: self.fresh(),
            secret: guard.id().clone(),
        };
        let write = self.fresh();
        self.put(&mut guard, write);
        if let Some(life) = life {
            guard.set_timeouts(life);
        }
        let life = life.map(|life| Life {
            idle: nanos(life.idle()),
            absolute: nanos(life.absolute()),
        });
        let action = Action::Create {
            id: known.id,
            write,
            life,
        };
        let begun = self.begin(&known, action.clone());
        let outcome = self.committed(begun, &known, action, guard.commit().await);
        (outcome != Outcome::Failed).then_some(known)
    }

    /// Locks it.
    ///
    /// # Errors
    /// What it was told instead.
    pub async fn lock(&self, known: &Known) -> Result<Held, Told> {
        let told = |told| Action::Lock { id: known.id, told };
        let begun = self.begin(known, told(None));
        let locked = self.sessions.lock(&known.secret).await;
        let answer = match &locked {
            Ok(_) => Told::Granted,
            Err(error) => self.told(error),
        };
        self.recorder
            .end(begun, told(Some(answer)), Outcome::Done, None);
        let Ok(guard) = locked else {
            return Err(answer);
        };
        let Ok(Some(value)) = guard.get(VALUE) else {
            self.recorder.odd("a session without its value".to_owned());
            return Err(Told::Failed);
        };
        let mut held = Held {
            guard,
            known: known.clone(),
            value,
            asked: begun.at,
            sure: None,
        };
        held.look();
        Ok(held)
    }

    /// Writes a value and gives the session back. `padding` makes the record so much larger.
    pub async fn change(&mut self, mut held: Held, padding: usize) -> Outcome {
        let write = self.fresh();
        self.put(&mut held.guard, write);
        if held.guard.insert("padding", "x".repeat(padding)).is_err() {
            self.recorder.odd("no room for the padding".to_owned());
        }
        let action = Action::Change {
            id: held.known.id,
            read: Some(held.value),
            write,
        };
        self.commit(held, action).await
    }

    /// Gives it another ID.
    pub async fn rotate(&mut self, mut held: Held) -> (Outcome, Known) {
        let (write, to) = (self.fresh(), self.fresh());
        self.put(&mut held.guard, write);
        let known = Known {
            session: held.known.session,
            id: to,
            secret: held.guard.regenerate(),
        };
        let action = Action::Rotate {
            id: held.known.id,
            to,
            read: held.value,
            write,
        };
        (self.commit(held, action).await, known)
    }

    /// Begins a login; when it had begun.
    pub async fn begin_login(&self, user: u64) -> Option<(LoginTicket, Nanos)> {
        let ticket = self.sessions.begin_login(user).await.ok()?;
        Some((ticket, now()))
    }

    /// Binds it to a user.
    pub async fn login(
        &mut self,
        mut held: Held,
        user: u64,
        ticket: Option<(LoginTicket, Nanos)>,
    ) -> (Outcome, Option<Known>) {
        let (write, to) = (self.fresh(), self.fresh());
        self.put(&mut held.guard, write);
        let Ok(mut login) = Login::new(user) else {
            return (Outcome::Failed, None);
        };
        if let Some((ticket, _)) = ticket {
            login = login.ticket(ticket);
        }
        let Ok(secret) = held.guard.login_with(login, &()) else {
            self.recorder
                .odd("a login that cannot be marked".to_owned());
            return (Outcome::Failed, None);
        };
        let known = Known {
            session: held.known.session,
            id: to,
            secret,
        };
        let ticket = ticket.map(|(_, at)| at);
        let action = Action::Login {
            id: held.known.id,
            to,
            read: held.value,
            write,
            user,
            ticket,
        };
        (self.commit(held, action).await, Some(known))
    }

    /// Ends it.
    pub async fn end(&self, mut held: Held) -> Outcome {
        held.guard.logout();
        let action = Action::End {
            id: held.known.id,
            read: held.value,
        };
        self.commit(held, action).await
    }

    /// Gives it back as it is.
    pub async fn discard(&self, mut held: Held) {
        held.look();
        let seen = Some(Seen::Current(held.value));
        let action = Action::Read {
            id: held.known.id,
            seen,
            staleness: 0,
        };
        let begun =
            self.recorder
                .begin_at(held.asked, self.number, held.known.session, action.clone());
        let discarded = held.guard.discard().await;
        self.note_hold(&held.known, held.sure, discarded.as_ref().err());
        let outcome = if discarded.is_ok() {
            Outcome::Done
        } else {
            Outcome::Failed
        };
        self.recorder.end(begun, action, outcome, None);
    }

    /// Writes a value without holding the session.
    pub async fn update(&mut self, known: &Known) -> Outcome {
        let write = self.fresh();
        let change = |read| Action::Change {
            id: known.id,
            read,
            write,
        };
        let begun = self.begin(known, change(None));
        let mut read = None;
        let updated = self
            .sessions
            .update(&known.secret, |session| {
                read = session.get(VALUE)?;
                session.insert(VALUE, write)
            })
            .await;
        let action = change(read);
        match updated {
            Ok(()) => {
                self.recorder.end(begun, action, Outcome::Done, None);
                Outcome::Done
            }
            Err(WithError::Commit(error)) => self.failed(begun, known, action, &error),
            Err(WithError::Acquire(error)) => {
                let told = self.told(&error);
                self.also_told(begun, known, told);
                self.recorder.end(begun, action, Outcome::Failed, None);
                Outcome::Failed
            }
            Err(WithError::Body(error)) => {
                self.recorder.odd(format!("a body failed: {error}"));
                self.recorder.end(begun, action, Outcome::Failed, None);
                Outcome::Failed
            }
        }
    }

    /// Reads it; `cached`: as it was at most the bound ago.
    pub async fn read(&self, known: &Known, cached: bool) -> Option<Seen> {
        let staleness = if cached { nanos(self.staleness) } else { 0 };
        let look = |seen| Action::Read {
            id: known.id,
            seen,
            staleness,
        };
        let begun = self.begin(known, look(None));
        let snapshot = if cached {
            self.sessions.snapshot(&known.secret).await
        } else {
            self.sessions.latest(&known.secret).await
        };
        let seen = match snapshot {
            Ok(None) => Some(Seen::Nothing),
            Ok(Some(snapshot)) => match snapshot.get(VALUE) {
                Ok(Some(value)) if snapshot.is_rotated() => Some(Seen::Former(value)),
                Ok(Some(value)) => Some(Seen::Current(value)),
                _ => {
                    self.recorder.odd("a session without its value".to_owned());
                    None
                }
            },
            Err(ReadError::Store(_)) => None,
            Err(error) => {
                self.recorder.odd(format!("reading: {error}"));
                None
            }
        };
        let outcome = if seen.is_some() {
            Outcome::Done
        } else {
            Outcome::Failed
        };
        self.recorder.end(begun, look(seen), outcome, None);
        seen
    }

    /// Ends it, whoever holds it.
    pub async fn destroy(&self, known: &Known) -> Outcome {
        let action = Action::Destroy { id: known.id };
        let begun = self.begin(known, action.clone());
        let outcome = done_or_unknown(self.sessions.destroy(&known.secret).await.is_ok());
        self.recorder.end(begun, action, outcome, None);
        outcome
    }

    /// Ends all sessions of a user.
    pub async fn revoke_all(&self, user: u64) -> Outcome {
        let Ok(of_user) = self.sessions.user(user) else {
            return Outcome::Failed;
        };
        let action = Action::RevokeAll { user };
        let begun = self.recorder.begin(self.number, 0, action.clone());
        let outcome = done_or_unknown(of_user.revoke_all().await.is_ok());
        self.recorder.end(begun, action, outcome, None);
        outcome
    }

    fn put(&self, guard: &mut SessionGuard, write: Value) {
        if guard.insert(VALUE, write).is_err() {
            self.recorder.odd("no room for the value".to_owned());
        }
    }

    async fn commit(&self, mut held: Held, action: Action) -> Outcome {
        held.look();
        let begun = self.begin(&held.known, action.clone());
        let committed = held.guard.commit().await;
        self.note_hold(&held.known, held.sure, committed.as_ref().err());
        self.committed(begun, &held.known, action, committed)
    }

    fn note_hold(&self, known: &Known, sure: Option<(Nanos, Nanos)>, error: Option<&CommitError>) {
        if let Some((from, until)) = sure {
            self.recorder.held(Hold {
                process: self.recorder.process(),
                client: self.number,
                session: known.session,
                from,
                until,
                void: matches!(error, Some(CommitError::Store(_) | CommitError::Unknown(_))),
            });
        }
    }

    fn committed(
        &self,
        begun: Begun,
        known: &Known,
        action: Action,
        committed: Result<CommitReport, CommitError>,
    ) -> Outcome {
        match committed {
            Ok(report) => {
                let revision = report.revision.map(|revision| revision.0);
                self.recorder.end(begun, action, Outcome::Done, revision);
                Outcome::Done
            }
            Err(error) => self.failed(begun, known, action, &error),
        }
    }

    fn failed(&self, begun: Begun, known: &Known, action: Action, error: &CommitError) -> Outcome {
        let outcome = match error {
            CommitError::Unknown(_) => Outcome::Unknown,
            error if error.is_committed() => Outcome::Done,
            _ => Outcome::Failed,
        };
        match error {
            CommitError::Destroyed | CommitError::Expired => {
                self.also_told(begun, known, Told::Absent);
            }
            CommitError::Rotated => self.also_told(begun, known, Told::Moved),
            CommitError::LeaseLost { .. }
            | CommitError::Conflict
            | CommitError::LockHeld
            | CommitError::Superseded
            | CommitError::Store(_)
            | CommitError::Unknown(_) => {}
            error => self.recorder.odd(format!("committing: {error}")),
        }
        self.recorder.end(begun, action, outcome, None);
        outcome
    }

    /// What a client learns of the session when something fails is an operation of its own, at the same time.
    fn also_told(&self, begun: Begun, known: &Known, told: Told) {
        let action = Action::Lock {
            id: known.id,
            told: Some(told),
        };
        let also = self
            .recorder
            .begin_at(begun.at, self.number, known.session, action.clone());
        self.recorder.end(also, action, Outcome::Done, None);
    }

    fn told(&self, error: &AcquireError) -> Told {
        match error {
            AcquireError::NoSession => Told::Absent,
            AcquireError::Rotated => Told::Moved,
            AcquireError::Held { .. } | AcquireError::Busy { .. } | AcquireError::Store(_) => {
                Told::Failed
            }
            error => {
                self.recorder.odd(format!("locking: {error}"));
                Told::Failed
            }
        }
    }
}

const fn done_or_unknown(done: bool) -> Outcome {
    if done {
        Outcome::Done
    } else {
        Outcome::Unknown
    }
}

impl Held {
    /// Notes that the session is held, if that is sure: what is valid after a moment was valid at it.
    pub fn look(&mut self) {
        let at = now();
        if self.guard.lease_remaining() > Duration::ZERO {
            let since = self.sure.map_or(at, |(since, _)| since);
            self.sure = Some((since, at));
        }
    }
}

use std::{
    fmt,
    future::Future,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use session_lock::{Lease, LossCause};

use crate::{
    Codec, CommitError, CommitId, ConfigError, Creation, Event, Header, InvalidUserId, Leaves,
    Login, LoginError, Pointer, ReadSession, RecordKind, Remaining, Revision, Rotation,
    SecondaryReport, SessionData, SessionHandle, SessionId, SessionKey, StoreTime, Timeouts,
    UserEntry, UserId, Write,
    data::own,
    former_ids::FormerIds,
    lifetime::Lifetime,
    measure::{self, Hold},
    sessions::Inner,
    snapshot::{Life, Loaded},
    write_through::Done,
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
    lifetime: Option<Lifetime>,
    mark: Mark,
    /// Whether its record is to be sealed anew, or to be written in another codec.
    outdated: bool,
    /// Whether a flag of its header was changed.
    reflagged: bool,
    /// `None`: the session is new; nobody else can know its ID, so there is nothing to lock.
    lease: Option<Lease<SessionKey>>,
    /// As long as there is a lease.
    hold: Option<Hold>,
}

/// What the commit is to do beside writing the values.
enum Mark {
    Nothing,
    /// End the session.
    End {
        /// Because its user wants to.
        logout: bool,
    },
    /// Give it another ID.
    Move {
        /// The new one; of a new session, the one that it has.
        to: SessionId,
        login: Option<Box<UserEntry>>,
    },
}

impl SessionGuard {
    pub(crate) fn locked(
        inner: Arc<Inner>,
        id: SessionId,
        lease: Lease<SessionKey>,
        loaded: Loaded,
    ) -> Self {
        let Loaded {
            header,
            data,
            life,
            outdated,
            ..
        } = loaded;
        let hold = Some(Hold::begin(&inner.clock));
        Self {
            inner,
            id,
            header,
            data: Arc::unwrap_or_clone(data),
            life,
            lifetime: None,
            mark: Mark::Nothing,
            outdated,
            reflagged: false,
            lease: Some(lease),
            hold,
        }
    }

    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        let timeouts = inner.settings.timeouts;
        let data = SessionData::new(inner.seal.codec(), inner.settings.max_record);
        let life = Life::unborn(timeouts, &inner.clock, inner.store.time());
        let header = Header::new(CommitId::random());
        let id = inner.store.new_id();
        Self {
            inner,
            id,
            header,
            data,
            life,
            lifetime: None,
            mark: Mark::Nothing,
            outdated: false,
            reflagged: false,
            lease: None,
            hold: None,
        }
    }

    /// Gives the session other timeouts than the store's, from the commit on. The absolute one counts from when the
    /// session was first stored.
    ///
    /// They are kept in the record: a session that is to be remembered for longer than others stays so.
    #[doc(alias = "remember_me")]
    pub const fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.lifetime = Some(Lifetime::Timeouts(timeouts));
    }

    /// Ends the session that long after now, from the commit on, whatever happens; the idle timeout stays.
    ///
    /// # Errors
    /// [`ConfigError`] when that is less than a millisecond or more than ten years.
    pub fn expire_after(&mut self, span: Duration) -> Result<(), ConfigError> {
        Timeouts::new(span, span)?;
        self.lifetime = Some(Lifetime::Until(self.life.now().after(span)));
        Ok(())
    }

    /// Ends the session at that time by the store's clock, from the commit on, whatever happens; the idle timeout stays.
    ///
    /// # Errors
    /// [`ConfigError`] when that is over, or more than ten years away. The session is as it was.
    pub fn expire_at(&mut self, time: SystemTime) -> Result<(), ConfigError> {
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let end = StoreTime::default().after(since_1970);
        self.expire_after(end.saturating_since(self.life.now()))?;
        self.lifetime = Some(Lifetime::Until(end));
        Ok(())
    }

    /// Whether the session is to outlive the browser's: a web layer then gives its cookie an age. Default: it ends with
    /// the browser, or by its timeouts.
    pub const fn set_persistent(&mut self, persistent: bool) {
        if self.header.is_persistent() != persistent {
            self.header.set_persistent(persistent);
            self.reflagged = true;
        }
    }

    /// Whether the session is to outlive the browser's.
    pub const fn is_persistent(&self) -> bool {
        self.header.is_persistent()
    }

    /// Marks the session to be ended by the commit. Discarding the guard keeps it.
    pub fn destroy(&mut self) {
        self.mark = Mark::End { logout: false };
    }

    /// Gives the session a new ID, from the commit on, and returns it: for the cookie, if the commit succeeds.
    ///
    /// For the time of the grace, readers with the old ID see the session still; whoever wants to lock or write it with
    /// that is told [`AcquireError::Rotated`](crate::AcquireError::Rotated). That goes for the last eight IDs; a still
    /// earlier one is nothing at once. Marked twice, it is one change. A session that is marked to be ended stays so, and
    /// its new ID names nothing.
    /// Source: ASVS 5.0, 7.2.4.
    ///
    /// # Panics
    /// When the operating system gives no random bytes.
    #[doc(alias = "cycle_id")]
    #[doc(alias = "rotate")]
    pub fn regenerate(&mut self) -> SessionId {
        if let Mark::Move { to, .. } = &self.mark {
            return to.clone();
        }
        let to = self.inner.store.new_id_in(self.id.key().bucket());
        if matches!(self.mark, Mark::End { .. }) {
            return to;
        }
        self.move_to(to, None)
    }

    /// [`regenerate`](Self::regenerate), if the session has had its ID for longer than
    /// [`regenerate_every`](crate::SessionsBuilder::regenerate_every) says.
    ///
    /// # Panics
    /// When the operating system gives no random bytes.
    pub fn regenerate_if_due(&mut self) -> Option<SessionId> {
        let every = self.inner.settings.regenerate_every?;
        let since = self.has_id_since();
        let goes_on = !self.is_new() && !matches!(self.mark, Mark::End { .. });
        let is_due = goes_on && self.life.now().saturating_since(since) >= every;
        is_due.then(|| self.regenerate())
    }

    /// Binds the session to a user, from the commit on, and gives it a new ID, which is returned: for the cookie, if the
    /// commit succeeds. `user` is what handlers find under [`user`](SessionData::user).
    ///
    /// The values stay; the session's life begins anew. Whoever knows only the old ID sees what the session was before,
    /// for the time of the grace, and never anything of the new one; if it had a user, the old ID is nothing at once.
    /// Log in again to change the user or to confirm who it is. Source: ASVS 5.0, 7.2.4.
    ///
    /// The commit can fail with [`CommitError::Superseded`], [`CommitError::UserDisabled`] and
    /// [`CommitError::TooManySessions`].
    ///
    /// # Errors
    /// [`LoginError`] when the ID is empty or too long, or `user` cannot be stored. The session is as it was.
    ///
    /// # Panics
    /// When the operating system gives no random bytes.
    pub fn login<I, U>(&mut self, user_id: I, user: &U) -> Result<SessionId, LoginError>
    where
        I: TryInto<UserId>,
        InvalidUserId: From<I::Error>,
        U: Serialize,
    {
        self.login_with(Login::new(user_id)?, user)
    }

    /// [`login`](Self::login) with more to it: a ticket, labels, a credential.
    ///
    /// # Errors
    /// As [`login`](Self::login).
    ///
    /// # Panics
    /// When the operating system gives no random bytes.
    pub fn login_with<U: Serialize>(
        &mut self,
        login: Login,
        user: &U,
    ) -> Result<SessionId, LoginError> {
        let user_key = self.inner.id_hash.user(&login.user);
        if login.ticket.is_some_and(|ticket| ticket.user != user_key) {
            return Err(LoginError::OtherUsersTicket);
        }
        let mut data = self.data.clone();
        data.set_own(own::USER_ID, &login.user.as_str())?;
        data.set_own(own::USER, user)?;
        data.remove_own(own::ROTATED);
        data.remove_own(own::EARLIER);
        self.data = data;
        let entry = login.into_entry(user_key, self.inner.settings.user_limit);
        let to = self.inner.store.new_id_in(entry.user.bucket());
        Ok(self.move_to(to, Some(Box::new(entry))))
    }

    /// Marks the session to be ended by the commit, with everything in it. Discarding the guard keeps it.
    pub fn logout(&mut self) {
        self.mark = Mark::End { logout: true };
    }

    /// Writes the changes to the store and gives the lease back, in one step. Without changes it only gives the
    /// lease back and counts as a use of the session, unless the record is to be sealed anew or in another codec than the
    /// one that was chosen. A new session without values is not stored.
    ///
    /// # Errors
    /// [`CommitError`]; except for [`CommitError::Unknown`], nothing was written then.
    ///
    /// # Cancel safety
    /// Cancelled before the store has answered, the changes may or may not be stored: load the session again before
    /// acting on it. The lease is given back in any case.
    #[doc(alias = "save")]
    pub async fn commit(mut self) -> Result<CommitReport, CommitError> {
        let hold = self.hold.take();
        let work = async {
            match self.lease.take() {
                None => self.create().await,
                Some(lease) => self.write(lease).await,
            }
        };
        let committed = measure::commit(work).await;
        if let Some(hold) = hold {
            hold.end(measure::outcome_of(&committed));
        }
        if let Err(error) = &committed {
            self.tell_failure(error);
        }
        committed
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
        let hold = self.hold.take();
        let discarded = match self.lease.take() {
            None => Ok(()),
            Some(lease) => self.inner.store.release(lease).await,
        };
        if let Some(hold) = hold {
            hold.end("discarded");
        }
        discarded
    }

    /// The secret ID of the session, for the cookie.
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

    /// The public name of the session.
    pub const fn handle(&self) -> SessionHandle {
        self.header.handle
    }

    /// When the session was first stored, or its user logged in, by the store's clock. Zero for a new one.
    pub const fn created(&self) -> StoreTime {
        self.header.created
    }

    /// Whether the session has never been stored.
    pub const fn is_new(&self) -> bool {
        self.lease.is_none()
    }

    /// Whether the commit would write something.
    pub const fn is_modified(&self) -> bool {
        self.data.is_modified()
            || self.lifetime.is_some()
            || self.reflagged
            || !matches!(self.mark, Mark::Nothing)
            || self.outdated
    }

    /// How long the session has left, by the store's time, if it is not used further. Holding the guard counts as use.
    pub fn remaining(&self) -> Remaining {
        self.life.remaining()
    }

    /// How long the session will have left when it is committed now, with the timeouts that it was given and the life that
    /// a login begins: for the age of its cookie.
    pub fn remaining_at_commit(&self) -> Remaining {
        let begins = matches!(&self.mark, Mark::Move { login: Some(_), .. });
        if begins || self.is_new() {
            let timeouts = self.timeouts_from_now();
            return Remaining {
                idle: timeouts.idle(),
                absolute: timeouts.absolute(),
            };
        }
        let header = self.header.clone().with_lifetime(self.lifetime);
        let absolute = header.absolute_end.saturating_since(self.life.now());
        Remaining {
            idle: header.idle_timeout.min(absolute),
            absolute,
        }
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

    /// Marks the session to go on under another ID. A new one has it at once.
    fn move_to(&mut self, to: SessionId, login: Option<Box<UserEntry>>) -> SessionId {
        if self.is_new() {
            self.id = to.clone();
        }
        self.mark = Mark::Move {
            to: to.clone(),
            login,
        };
        to
    }

    /// The timeouts of a session whose life begins with this commit.
    fn timeouts_from_now(&self) -> Timeouts {
        let usual = self.inner.settings.timeouts;
        match self.lifetime {
            None => usual,
            Some(Lifetime::Timeouts(timeouts)) => timeouts,
            Some(Lifetime::Until(end)) => usual.until(end.saturating_since(self.life.now())),
        }
    }

    fn has_id_since(&self) -> StoreTime {
        let rotated = self.data.own(own::ROTATED).ok().flatten();
        rotated.map_or(self.header.created, StoreTime::from_millis)
    }

    async fn create(&mut self) -> Result<CommitReport, CommitError> {
        self.inner.check_open(CommitError::ShutDown)?;
        let login = match std::mem::replace(&mut self.mark, Mark::Nothing) {
            Mark::End { .. } => return Ok(CommitReport::ended()),
            Mark::Move {
                login: Some(login), ..
            } => {
                self.inner.check_users()?;
                Some(login)
            }
            _ if self.data.is_empty() => return Ok(CommitReport::nothing()),
            _ => None,
        };
        let is_login = login.is_some();
        let timeouts = self.timeouts_from_now();
        let mut header = self.header.clone().with_timeouts(timeouts);
        header.user_tag = login.as_ref().map_or(0, |login| login.user.tag());
        let key = self.key();
        let (header, body) = self.inner.seal.close(&key, header, &self.data);
        let creation = Creation {
            header,
            body,
            timeouts,
            login: login.map(|login| *login),
        };
        let committed = self.inner.store.create(&key, creation).await?;
        self.tell(|session| match session.data.user_id() {
            Some(user) if is_login => Event::LoggedIn {
                session: session.handle(),
                user,
            },
            _ => Event::Created {
                session: session.handle(),
            },
        });
        let report = CommitReport::stored(committed.revision);
        self.inner.followed(report, || Done::Changed(key)).await
    }

    async fn write(&mut self, lease: Lease<SessionKey>) -> Result<CommitReport, CommitError> {
        // Only this process knows how long it has held the lease in all; everything else the store checks.
        if lease.loss() == Some(LossCause::HeldTooLong) {
            return Err(CommitError::LeaseLost {
                cause: LossCause::HeldTooLong,
            });
        }
        match std::mem::replace(&mut self.mark, Mark::Nothing) {
            Mark::End { logout } => self.end(lease, logout).await,
            Mark::Move { to, login } => self.rotate(lease, to, login).await,
            Mark::Nothing if self.is_modified() => self.replace(lease).await,
            Mark::Nothing => {
                self.inner.store.release(lease).await?;
                let idle = self.life.remaining().idle;
                self.inner.seen(&self.header, idle, self.life.now());
                Ok(CommitReport::nothing())
            }
        }
    }

    async fn end(
        &self,
        lease: Lease<SessionKey>,
        logout: bool,
    ) -> Result<CommitReport, CommitError> {
        self.inner.store.end(lease).await?;
        self.tell(|ended| {
            let session = ended.handle();
            if logout {
                let user = ended.data.user_id();
                Event::LoggedOut { session, user }
            } else {
                Event::Ended { session }
            }
        });
        let key = self.key();
        let done = || Done::Changed(key);
        self.inner.followed(CommitReport::ended(), done).await
    }

    async fn replace(&mut self, lease: Lease<SessionKey>) -> Result<CommitReport, CommitError> {
        let base = self.header.commit_id;
        let header = Header {
            commit_id: CommitId::random(),
            digest: std::mem::take(&mut self.header.digest),
            ..self.header
        };
        let header = header.with_lifetime(self.lifetime);
        let (key, commit_id) = (self.key(), header.commit_id);
        let stored = self.inner.through.is_some().then(|| header.clone());
        let (header, body) = self.inner.seal.close(&key, header, &self.data);
        let write = Write { base, header, body };
        let committed = self.inner.store.commit(lease, write).await?;
        let report = CommitReport::stored(committed.revision);
        let Some(mut stored) = stored else {
            return Ok(report);
        };
        if committed.commit_id != commit_id {
            return self.inner.followed(report, || Done::Joined(key)).await;
        }
        stored.revision = committed.revision;
        let data = std::mem::replace(&mut self.data, SessionData::empty(Codec::default()));
        let done = self.inner.wrote(key, &stored, data);
        self.inner.followed_by(report, done).await
    }

    async fn rotate(
        &mut self,
        lease: Lease<SessionKey>,
        to: SessionId,
        login: Option<Box<UserEntry>>,
    ) -> Result<CommitReport, CommitError> {
        let is_login = login.is_some();
        if is_login {
            self.inner.check_users()?;
        }
        let rotation = self.rotation(&to, login);
        let committed = self.inner.store.rotate(lease, rotation).await?;
        self.tell(|session| match session.data.user_id() {
            Some(user) if is_login => Event::LoggedIn {
                session: session.handle(),
                user,
            },
            _ => Event::Rotated {
                session: session.handle(),
            },
        });
        let key = self.inner.id_hash.session(&to);
        let report = CommitReport {
            id: Some(to),
            ..CommitReport::stored(committed.revision)
        };
        self.inner.followed(report, || Done::Changed(key)).await
    }

    fn key(&self) -> SessionKey {
        self.inner.id_hash.session(&self.id)
    }

    fn tell(&self, event: impl FnOnce(&Self) -> Event) {
        self.inner.observers.tell(|| event(self));
    }

    /// Tells of commits that came too late.
    fn tell_failure(&self, error: &CommitError) {
        match error {
            CommitError::LeaseLost { cause } => {
                let cause = *cause;
                self.tell(|late| Event::LeaseLost {
                    session: late.handle(),
                    cause,
                });
            }
            CommitError::Expired => self.tell(|late| Event::Expired {
                key: late.key().fingerprint(),
            }),
            CommitError::Record(error) => {
                let error = *error;
                self.tell(|_| Event::RecordCorrupt { error });
            }
            _ => {}
        }
    }

    /// How the session goes on under its new ID.
    fn rotation(&mut self, to: &SessionId, login: Option<Box<UserEntry>>) -> Rotation {
        let (from, to) = (self.key(), self.inner.id_hash.session(to));
        let grace = self.inner.settings.grace;
        let mut header = Header {
            commit_id: CommitId::random(),
            ..self.header.clone()
        };
        let (leaves, earlier, forgotten) = match &login {
            Some(login) => {
                header.user_tag = login.user.tag();
                let leaves = if self.header.user_tag == 0 {
                    Leaves::Frozen
                } else {
                    Leaves::Tombstone
                };
                (leaves, Vec::new(), Vec::new())
            }
            None => self.aliases(&from, &to),
        };
        let fresh = self.timeouts_from_now();
        let header = if login.is_some() {
            header.with_timeouts(fresh)
        } else {
            header.with_lifetime(self.lifetime)
        };
        let (header, body) = self.inner.seal.close(&to, header, &self.data);
        Rotation {
            base: self.header.commit_id,
            to,
            header,
            body,
            leaves,
            grace,
            earlier,
            forgotten,
            login: login.map(|login| (fresh, *login)),
        }
    }

    /// What is to stand under the IDs that the session has had, the one that it has now first. It remembers them, and since
    /// when it has its newest.
    fn aliases(
        &mut self,
        from: &SessionKey,
        to: &SessionKey,
    ) -> (Leaves, Vec<Pointer>, Vec<SessionKey>) {
        let now = self.life.now();
        self.data.set_own(own::ROTATED, &now.as_millis()).ok();
        let mut former = FormerIds::of(&self.data, now);
        former.push(from, now.after(self.inner.settings.grace));
        let forgotten = former.note_in(&mut self.data);
        let mut pointers = former.keys(from).map(|key| self.pointer(key, to));
        match pointers.next() {
            Some(own) => (
                Leaves::Alias(own),
                pointers.collect(),
                forgotten.keys(from).collect(),
            ),
            // There is no room to remember a single one.
            None => (
                Leaves::Tombstone,
                Vec::new(),
                forgotten.keys(from).skip(1).collect(),
            ),
        }
    }

    /// An alias that stands under `key` and points to `to`.
    fn pointer(&self, key: SessionKey, to: &SessionKey) -> Pointer {
        let header = Header {
            kind: RecordKind::Alias,
            commit_id: CommitId::random(),
            user_tag: 0,
            ..self.header.clone()
        };
        let mut data = SessionData::new(self.inner.seal.codec(), self.inner.settings.max_record);
        let written = data.set_own(own::TARGET, &(to.digest(), to.bucket().number()));
        debug_assert!(written.is_ok(), "a record has room for a key");
        let (header, body) = self.inner.seal.close(&key, header, &data);
        Pointer { key, header, body }
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

    fn created(&self) -> StoreTime {
        self.created()
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
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CommitReport {
    /// The revision that was stored; `None` if there was nothing to store.
    pub revision: Option<Revision>,
    /// The session's new ID, for the cookie; `None` if it has the one that it had.
    pub id: Option<SessionId>,
    /// Whether the session was ended: its cookie is to be removed.
    pub is_ended: bool,
    /// How far the commit came at each secondary; empty if there was nothing to store.
    pub secondaries: Vec<SecondaryReport>,
}

impl CommitReport {
    pub(crate) const fn nothing() -> Self {
        Self {
            revision: None,
            id: None,
            is_ended: false,
            secondaries: Vec::new(),
        }
    }

    pub(crate) fn ended() -> Self {
        Self {
            is_ended: true,
            ..Self::nothing()
        }
    }

    pub(crate) fn stored(revision: Revision) -> Self {
        Self {
            revision: Some(revision),
            ..Self::nothing()
        }
    }

    /// Whether a new version was stored.
    pub const fn is_stored(&self) -> bool {
        self.revision.is_some()
    }
}

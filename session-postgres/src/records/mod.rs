use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use session_core::{
    Attempt, Capabilities, CommitError, Committed, Creation, DestroyError, Error, Listed,
    LoadLocked, Outbox, Promise, ReadError, RecordError, RecordKind, RecordStore, Revision,
    Revocation, Rotation, SessionKey, Standing, StoreError, Stored, TouchAfter, UserKey, Write,
    secondary_names,
};
use session_lock::{FencingToken, LossCause, random_bytes};
use tokio_postgres::{Row, types::ToSql};

use self::{
    outbox::{Effect, Notes, PostgresOutbox},
    row::{Found, head, user_bytes},
    write::Undelivered,
};
use crate::{
    Postgres,
    migrations::{self, SchemaError},
    number::{key_bytes, ms, signed, token_number},
    postgres::CallError,
};

mod clean_up; // rows whose time is up
mod moving; // a session that goes on under another ID
mod outbox; // what waits for secondaries
mod row; // a row and the record in it
mod users; // logins, and all sessions of a user
mod write; // a write until it is answered

/// Sessions in PostgreSQL 13 or newer: the store half of a primary, [`Composed`](session_core::Composed) with a locker.
///
/// ```no_run
/// # use session_core::{Composed, Sessions};
/// # use session_postgres::{Postgres, PostgresLocker, PostgresRecords};
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let postgres = Postgres::connect("postgresql://app@db.example/app").await?;
/// let records = PostgresRecords::new(&postgres).await?;
/// let locker = PostgresLocker::new(&postgres).await?; // or `RedlockLocker`
/// let sessions = Sessions::new(Composed::new(records.clone(), locker));
/// tokio::spawn(records.clean_up_every(std::time::Duration::from_secs(60)));
/// # Ok(()) }
/// ```
///
/// The tables are made by [`migrations::up`](crate::migrations::up), and found by the search path of the connection.
/// Cheap to clone; clones share everything.
///
/// # What protects a session
/// Loading it under the lock registers the fencing token of the lease, in the statement that reads it. From then on, a
/// write under another token is refused, and so is one over another version than was loaded. Who was stopped beyond
/// its lease writes nothing as soon as the next holder has loaded.
///
/// # Lost answers
/// A write whose answer is lost is sent again until it is answered, for at most the resolve timeout. The record notes
/// the newest attempts; a write that is found there is not made twice. Each refusal is one that stands: the fence only
/// grows, and a version that was replaced never comes back.
///
/// # Clean-up
/// What has expired is refused at once and stays as a row until [`clean_up`](Self::clean_up) removes it: start
/// [`clean_up_every`](Self::clean_up_every) in one process at least.
///
/// # Secondaries
/// Sessions that are written through are noted for each secondary in the transaction that writes them. Without
/// secondaries nothing is noted, and each statement is one without a transaction around it.
///
/// # Limits
/// A commit that the database has acknowledged is as safe as its `synchronous_commit` and its replication make it.
#[derive(Clone)]
pub struct PostgresRecords {
    inner: Arc<Inner>,
}

struct Inner {
    postgres: Postgres,
    /// This process, among those that write.
    process: u64,
    attempts: AtomicU32,
    resolve_timeout: Duration,
    /// The secondaries of all processes, when this one began.
    registered: Vec<String>,
    outbox: OnceLock<Arc<PostgresOutbox>>,
}

// As that of the store on Redis.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
// Long enough for every late writer to learn what became of the session.
const TOMBSTONE_TTL: Duration = Duration::from_secs(5 * 60);

impl PostgresRecords {
    /// On that database.
    ///
    /// # Errors
    /// [`SchemaError`] when the database does not answer, is too old, or does not have the tables of this release.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn new(postgres: &Postgres) -> Result<Self, SchemaError> {
        migrations::check(postgres).await?;
        Ok(Self::with(Inner {
            registered: outbox::registered(postgres).await?,
            postgres: postgres.clone(),
            process: u64::from_be_bytes(random_bytes()),
            attempts: AtomicU32::new(0),
            resolve_timeout: RESOLVE_TIMEOUT,
            outbox: OnceLock::new(),
        }))
    }

    /// How long a write whose fate is unknown is asked for. Default 5 s.
    #[must_use]
    pub fn resolve_timeout(self, limit: Duration) -> Self {
        let inner = &self.inner;
        Self::with(Inner {
            postgres: inner.postgres.clone(),
            process: u64::from_be_bytes(random_bytes()),
            attempts: AtomicU32::new(0),
            resolve_timeout: limit,
            registered: inner.registered.clone(),
            outbox: inner.outbox.clone(),
        })
    }

    /// Makes these the secondaries that sessions are written through to; none: they are not written through any more.
    /// What waits for one that is left out is forgotten.
    ///
    /// A process learns of it when it begins: stop all, or start all of them anew and then call
    /// [`note_all`](session_core::WriteThrough::note_all) for each secondary that is new.
    ///
    /// # Errors
    /// [`Error::Store`] when the database does not answer.
    ///
    /// # Cancel safety
    /// Cancelled, it may or may not be done.
    pub async fn dangerous_replace_secondaries(&self, names: &[&str]) -> Result<(), Error> {
        let names = secondary_names(names)?;
        Ok(outbox::replace(self.postgres(), &names).await?)
    }

    fn with(inner: Inner) -> Self {
        let inner = Arc::new(inner);
        Self { inner }
    }

    fn notes(&self) -> Notes {
        match self.inner.outbox.get() {
            None => Notes::None,
            Some(_) => Notes::Kept,
        }
    }

    /// Executes a statement on the session under its first parameter.
    async fn execute(
        &self,
        action: &'static str,
        effect: Effect,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, CallError> {
        outbox::execute(self.notes(), self.postgres(), action, effect, sql, params).await
    }

    fn next_attempt(&self) -> Attempt {
        Attempt {
            process: self.inner.process,
            number: self.inner.attempts.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn postgres(&self) -> &Postgres {
        &self.inner.postgres
    }

    /// What stands under a key, whatever it is.
    async fn look(&self, action: &'static str, key: &SessionKey) -> Result<Look, CallError> {
        let sql = include_str!("../../sql/record_look.sql");
        let rows = self
            .postgres()
            .call(action, sql, &[&key_bytes(key)])
            .await?;
        Ok(Look::new(key, rows.first().map(Found::read)))
    }
}

impl fmt::Debug for PostgresRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresRecords")
            .field("postgres", self.postgres())
            .field("resolve_timeout", &self.inner.resolve_timeout)
            .finish_non_exhaustive()
    }
}

/// What was found under a key.
enum Look {
    Nothing,
    Found(Box<Found>),
    Unreadable(RecordError),
}

impl Look {
    fn new(key: &SessionKey, read: Option<Result<Found, session_core::BadRecord>>) -> Self {
        match read {
            None => Self::Nothing,
            Some(Ok(found)) => Self::Found(Box::new(found)),
            Some(Err(fault)) => Self::Unreadable(RecordError::new(key, fault)),
        }
    }

    /// Why nothing can be written here by the holder of `token`, who has seen the version `base`.
    fn refusal(&self, token: FencingToken) -> CommitError {
        match self {
            Self::Nothing => CommitError::Expired,
            Self::Unreadable(error) => CommitError::Record(*error),
            Self::Found(found) => found.refusal(token),
        }
    }

    /// What became of that attempt, of which a copy was sent before without an answer.
    fn resolve(self, attempt: Attempt, refused: CommitError, lost: &Undelivered) -> Resolved {
        match &self {
            Self::Found(found) if found.header.digest.contains(attempt) => Ok(Committed {
                revision: found.header.revision,
                commit_id: found.header.commit_id,
            }),
            Self::Found(found)
                if found.header.kind == RecordKind::Live
                    || found.header.kind == RecordKind::Tombstone =>
            {
                if found.header.digest.may_have_lost(attempt) {
                    Err(CommitError::Unknown(lost.error.clone()))
                } else {
                    Err(refused)
                }
            }
            Self::Unreadable(_) => Err(refused),
            // Stored, and then moved or expired: the attempt is noted nowhere any more.
            _ => Err(CommitError::Unknown(lost.error.clone())),
        }
    }
}

type Resolved = Result<Committed, CommitError>;

/// What a statement that writes has come to.
enum Written {
    Done(Revision),
    Refused(Look),
}

impl Found {
    fn refusal(&self, token: FencingToken) -> CommitError {
        match self.header.kind {
            RecordKind::Tombstone => CommitError::Destroyed,
            _ if self.is_over() => CommitError::Expired,
            RecordKind::Live if self.fence != token => CommitError::LeaseLost {
                cause: LossCause::Stolen,
            },
            RecordKind::Live => CommitError::Conflict,
            _ => CommitError::Rotated,
        }
    }
}

const PROMISES: Capabilities = Capabilities::NONE
    .with(Promise::NoLostUpdate)
    .with(Promise::AcrossProcesses)
    .with(Promise::LateHolderWritesNothing)
    .with(Promise::ExactlyOnceCommit)
    .with(Promise::LogoutIsFinal)
    .with(Promise::BothClocks)
    .with(Promise::SurvivesRestart)
    .with(Promise::Rotation)
    .with(Promise::Users);

#[async_trait]
impl RecordStore for PostgresRecords {
    fn capabilities(&self) -> Capabilities {
        PROMISES
    }

    async fn open_outbox(&self, secondaries: &[&str]) -> Result<(), StoreError> {
        let outbox = PostgresOutbox::open(self.postgres(), secondaries).await?;
        self.inner.outbox.get_or_init(|| Arc::new(outbox));
        Ok(())
    }

    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        let outbox = self.inner.outbox.get()?;
        Some(Arc::clone(outbox) as _)
    }

    fn secondaries(&self) -> Vec<String> {
        match self.inner.outbox.get() {
            Some(outbox) => outbox.names().to_vec(),
            None => self.inner.registered.clone(),
        }
    }

    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        let sql = include_str!("../../sql/record_load.sql");
        let params = key_bytes(key);
        let postgres = self.postgres();
        let rows = postgres.query("load a session", sql, &[&params]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let found = Found::read(row).map_err(|fault| RecordError::new(key, fault))?;
        let Some(stored) = found.into_stored() else {
            return Ok(None);
        };
        let full = stored.header.time_to_live(stored.read_at);
        if stored.header.kind == RecordKind::Live && touch_after.is_due(stored.time_to_live, full) {
            let (records, key) = (self.clone(), *key);
            // Nobody waits for it. If it fails, the next read touches.
            drop(tokio::spawn(async move { records.touch(&key).await }));
        }
        Ok(Some(stored))
    }

    async fn load_locked(
        &self,
        key: &SessionKey,
        token: FencingToken,
    ) -> Result<LoadLocked, ReadError> {
        let action = "load a session under its lock";
        let sql = include_str!("../../sql/record_load_locked.sql");
        let (params, token) = (key_bytes(key), token_number(token));
        loop {
            let postgres = self.postgres();
            let rows = postgres.query(action, sql, &[&params, &token]).await?;
            if let Some(row) = rows.first() {
                let found = Found::read(row).map_err(|fault| RecordError::new(key, fault))?;
                return Ok(LoadLocked::Loaded(found.into_stored()));
            }
            let look = self.look(action, key).await.map_err(|error| error.error)?;
            match look {
                Look::Nothing => return Ok(LoadLocked::Loaded(None)),
                Look::Unreadable(error) => return Err(error.into()),
                Look::Found(found) if found.is_over() => return Ok(LoadLocked::Loaded(None)),
                Look::Found(found) if found.header.kind != RecordKind::Live => {
                    return Ok(LoadLocked::Loaded(found.into_stored()));
                }
                Look::Found(found) if token_number(found.fence) >= token => {
                    return Ok(LoadLocked::Behind(found.fence));
                }
                // Stored for the first time between the two statements.
                Look::Found(_) => {}
            }
        }
    }

    async fn commit(
        &self,
        key: &SessionKey,
        token: FencingToken,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let action = "commit a session";
        let attempt = self.next_attempt();
        let base = session_core::identity(RecordKind::Live, write.base);
        let mut header = write.header;
        header.digest.note(attempt);
        let (params, number, base) = (key_bytes(key), token_number(token), &base[..]);
        let (head, body) = (head(&header), &write.body[..]);
        let end = signed(header.absolute_end.as_millis());
        let idle = ms(header.idle_timeout);
        let write = async || {
            let sql = include_str!("../../sql/record_commit.sql");
            let all: [&(dyn ToSql + Sync); 7] =
                [&params, &number, &base, &head, &body, &end, &idle];
            let rows = self.execute(action, Effect::Write, sql, &all).await?;
            if let Some(row) = rows.first() {
                return Ok(Written::Done(row::revision(row)));
            }
            let look = self.look(action, key).await?;
            if let Look::Found(found) = &look
                && found.now >= header.absolute_end
                && matches!(found.refusal(token), CommitError::Conflict)
            {
                let expire = include_str!("../../sql/record_expire.sql");
                let all: [&(dyn ToSql + Sync); 3] = [&params, &number, &base];
                self.execute(action, Effect::End, expire, &all).await?;
            }
            Ok(Written::Refused(look))
        };
        let delivered = self.deliver(write).await?;
        match delivered.answer {
            Written::Done(revision) => Ok(Committed {
                revision,
                commit_id: header.commit_id,
            }),
            Written::Refused(look) => {
                let refused = match look.refusal(token) {
                    CommitError::Conflict if look.is_version(base) => CommitError::Expired,
                    refused => refused,
                };
                match delivered.lost {
                    None => Err(refused),
                    Some(lost) => look.resolve(attempt, refused, &lost),
                }
            }
        }
    }

    async fn create(&self, key: &SessionKey, creation: Creation) -> Result<Committed, CommitError> {
        match creation.login.clone() {
            None => self.create_anonymous(key, creation).await,
            Some(login) => self.create_for(key, creation, &login).await,
        }
    }

    async fn touch(&self, key: &SessionKey) -> Result<(), StoreError> {
        let sql = include_str!("../../sql/record_touch.sql");
        let params = key_bytes(key);
        self.postgres()
            .query("touch a session", sql, &[&params])
            .await?;
        Ok(())
    }

    async fn touch_locked(&self, key: &SessionKey, token: FencingToken) -> Result<(), CommitError> {
        let action = "give a session back";
        let sql = include_str!("../../sql/record_touch_locked.sql");
        let touched = self.under_token(action, Effect::Use, sql, key, token, &[]);
        match touched.await? {
            None => Ok(()),
            Some((error, _again)) => Err(error),
        }
    }

    async fn end(&self, key: &SessionKey, token: FencingToken) -> Result<(), CommitError> {
        let action = "end a session";
        let sql = include_str!("../../sql/record_end.sql");
        let stays = ms(TOMBSTONE_TTL);
        let more: [&(dyn ToSql + Sync); 1] = [&stays];
        let ended = self.under_token(action, Effect::End, sql, key, token, &more);
        match ended.await? {
            // By an earlier copy, or by somebody else: it is over.
            None | Some((CommitError::Destroyed, true)) => Ok(()),
            Some((error, _again)) => Err(error),
        }
    }

    async fn destroy(&self, key: &SessionKey) -> Result<Option<Stored>, DestroyError> {
        let action = "end a session";
        let (params, stays) = (key_bytes(key), ms(TOMBSTONE_TTL));
        let destroy = async || {
            let sql = include_str!("../../sql/record_destroy.sql");
            let all: [&(dyn ToSql + Sync); 2] = [&params, &stays];
            let rows = self.execute(action, Effect::End, sql, &all).await?;
            if !rows.is_empty() {
                return Ok(None);
            }
            self.look(action, key).await.map(Some)
        };
        let delivered = self.deliver(destroy).await;
        let delivered = delivered.map_err(|undelivered| undelivered.error)?;
        match delivered.answer {
            Some(Look::Unreadable(error)) => Err(error.into()),
            Some(Look::Found(found)) if found.header.kind == RecordKind::Alias => {
                Ok(found.into_stored())
            }
            _ => Ok(None),
        }
    }

    async fn rotate(
        &self,
        key: &SessionKey,
        token: FencingToken,
        rotation: Rotation,
    ) -> Result<Committed, CommitError> {
        self.move_session(key, token, rotation).await
    }

    async fn standing(&self, user: &UserKey) -> Result<Standing, StoreError> {
        self.standing_of(user).await
    }

    async fn list(&self, user: &UserKey) -> Result<Vec<Listed>, StoreError> {
        self.sessions_of(user).await
    }

    async fn revoke(&self, user: &UserKey, which: Revocation) -> Result<u64, StoreError> {
        self.revoke_of(user, which).await
    }

    async fn enable(&self, user: &UserKey) -> Result<(), StoreError> {
        let sql = include_str!("../../sql/user_enable.sql");
        let params = user_bytes(user);
        self.postgres()
            .query("enable a user", sql, &[&params])
            .await?;
        Ok(())
    }

    async fn revoke_everything(&self) -> Result<(), StoreError> {
        self.revoke_all_there_is().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.postgres().query("ping", "SELECT 1", &[]).await?;
        Ok(())
    }
}

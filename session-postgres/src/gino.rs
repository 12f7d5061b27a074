use std::{
    fmt,
    ops::{Deref, DerefMut},
    time::Duration,
};

use bytes::Bytes;
use session_core::{
    BadRecord, Codec, CommitError, Fault, ReadError, RecordError, SessionData, SessionId,
    StoreError,
};

use tokio::time::sleep;
use tokio_postgres::types::ToSql;

use crate::Postgres;

/// The sessions that sanic-cookies keeps in PostgreSQL with `GinoAsyncPG`: the same rows, with the same JSON. Cheap to clone.
///
/// The table, as sanic-cookies documents it:
///
/// ```sql
/// CREATE TABLE sessions (
///     created_at timestamp without time zone NOT NULL,
///     expires_at timestamp without time zone,
///     sid character varying,
///     val character varying,
///     CONSTRAINT sessions_pkey PRIMARY KEY (sid)
/// );
/// ```
///
/// It is found by the search path of the connection.
///
/// ```no_run
/// # use session_core::SessionId;
/// # use session_postgres::{GinoSessions, Postgres};
/// # async fn serve(cookie: &str) -> session_core::Result<()> {
/// let postgres = Postgres::connect("postgresql://app@db.example/app").await?;
/// let sessions = GinoSessions::new(&postgres).await?;
/// let id = SessionId::from_hex(cookie)?;
/// let visits: Option<()> = sessions
///     .update(&id, |session| -> session_core::Result<()> {
///         Ok(session.modify("visits", |visits: &mut u32| *visits += 1)?)
///     })
///     .await?;
/// # Ok(()) }
/// ```
///
/// # Changes at the same time
/// There is no lock, and none is needed for short changes: a commit names the JSON that it replaces, whoever has written
/// that. Of two commits that were loaded from the same, the second is a [`CommitError::Conflict`], and
/// [`update`](Self::update) does its change once more. **Python looks at nothing**: what it writes goes over ours.
///
/// # Time
/// `expires_at` is in UTC, as sanic-cookies writes it. Python compares it with `NOW()` in the time zone of its connection,
/// which therefore has to be UTC. The clock is that of the database. Each commit moves the end; a session that asks for a
/// time of its own, by a number of seconds under `_override_expiry`, gets that.
///
/// # Limits
/// The ID itself is what is stored, and stands in the cookie: whoever reads the table can use every session. That is
/// sanic-cookies' design. Expired rows stay; delete them by `expires_at`.
#[derive(Clone, Debug)]
pub struct GinoSessions {
    postgres: Postgres,
    expiry: Duration,
}

// As sanic-cookies' `expiry`.
const EXPIRY: Duration = Duration::from_secs(30 * 24 * 3_600);
const OWN_EXPIRY: &str = "_override_expiry";
// Longer than any session is meant to live, and within what a timestamp can hold: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3_600);
// Others have to commit in between as often as that, though each waits a little longer than before, by chance: whoever
// has been unlucky comes between those who are not.
const MAX_TRIES: u8 = 100;
const LONGEST_PAUSE_MS: u8 = 50;

impl GinoSessions {
    /// On that database. Sessions live for 30 days after their last commit, as those of sanic-cookies.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer or has no such table.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn new(postgres: &Postgres) -> Result<Self, StoreError> {
        let check = include_str!("../sql/gino_check_table.sql");
        postgres
            .query("check the table of sanic-cookies", check, &[])
            .await?;
        Ok(Self {
            postgres: postgres.clone(),
            expiry: EXPIRY,
        })
    }

    /// How long sessions live after their last commit: `expiry` of sanic-cookies. At most ten years.
    #[must_use]
    pub fn expiry(mut self, expiry: Duration) -> Self {
        self.expiry = expiry.min(LONGEST);
        self
    }

    /// A new session, stored by its first commit.
    ///
    /// # Panics
    /// When the operating system gives no random bytes, which no safe program can go on from.
    pub fn create(&self) -> GinoSession {
        GinoSession {
            id: SessionId::random_hex(),
            data: SessionData::empty(Codec::Json),
            loaded: None,
        }
    }

    /// A live session; `None` if it is unknown or has expired.
    ///
    /// # Errors
    /// [`ReadError`] when the database does not answer, or what stands there is no JSON object.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn load(&self, id: &SessionId) -> Result<Option<GinoSession>, ReadError> {
        let Some(sid) = id.key().hex() else {
            return Ok(None);
        };
        let sql = include_str!("../sql/gino_load_session.sql");
        let rows = self.postgres.query("load a session", sql, &[&sid]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let json: String = row.get(0);
        let data = SessionData::from_encoded(Codec::Json, &Bytes::copy_from_slice(json.as_bytes()));
        let data = data.map_err(|reason| RecordError::new(id.key(), BadRecord::Body { reason }))?;
        Ok(Some(GinoSession {
            id: id.clone(),
            data,
            loaded: Some(json),
        }))
    }

    /// Writes the session over the version that was loaded.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when somebody has written it since, [`CommitError::Destroyed`] when it has ended or
    /// expired, [`CommitError::Unknown`] when there was no answer.
    ///
    /// # Cancel safety
    /// Cancelled, the session may or may not be written.
    #[doc(alias = "save")]
    pub async fn commit(&self, session: GinoSession) -> Result<(), CommitError> {
        let GinoSession { id, data, loaded } = session;
        let seconds = self.expiry_of(&data).as_secs_f64();
        let (sid, json) = (id.expose(), json(&data));
        match loaded {
            None => self.insert(sid, &json, seconds).await,
            Some(loaded) => self.replace(sid, &loaded, &json, seconds).await,
        }
    }

    async fn insert(&self, sid: &str, json: &str, seconds: f64) -> Result<(), CommitError> {
        let sql = include_str!("../sql/gino_create_session.sql");
        let params: [&(dyn ToSql + Sync); 3] = [&sid, &json, &seconds];
        let inserted = self.postgres.execute("store a session", sql, &params).await;
        match inserted.map_err(unanswered)? {
            0 => Err(CommitError::Conflict),
            _ => Ok(()),
        }
    }

    async fn replace(
        &self,
        sid: &str,
        loaded: &str,
        json: &str,
        seconds: f64,
    ) -> Result<(), CommitError> {
        let sql = include_str!("../sql/gino_commit_session.sql");
        let params: [&(dyn ToSql + Sync); 4] = [&sid, &json, &loaded, &seconds];
        let rows = self.postgres.query("commit a session", sql, &params).await;
        let rows = rows.map_err(unanswered)?;
        match rows.first().map(|row| (row.get(0), row.get(1))) {
            Some((true, _)) => Ok(()),
            Some((false, true)) => Err(CommitError::Conflict),
            _ => Err(CommitError::Destroyed),
        }
    }

    /// Loads a session, lets `change` work on it and commits, once more if somebody was faster. `None` if there is no such
    /// session. If `change` changes nothing, nothing is written.
    ///
    /// # Errors
    /// The error of `change`, or those of [`load`](Self::load) and [`commit`](Self::commit); a conflict only after 100 tries.
    ///
    /// # Cancel safety
    /// Cancelled, the session may or may not be written.
    pub async fn update<T, E>(
        &self,
        id: &SessionId,
        mut change: impl FnMut(&mut SessionData) -> Result<T, E>,
    ) -> Result<Option<T>, E>
    where
        E: From<ReadError> + From<CommitError>,
    {
        let mut tries = 0;
        loop {
            let Some(mut session) = self.load(id).await? else {
                return Ok(None);
            };
            let result = change(&mut session)?;
            if !session.is_modified() {
                return Ok(Some(result));
            }
            tries += 1;
            match self.commit(session).await {
                Ok(()) => return Ok(Some(result)),
                Err(CommitError::Conflict) if tries < MAX_TRIES => sleep(pause(tries)).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends a session; whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    ///
    /// # Cancel safety
    /// Cancelled, the session may have ended or not.
    #[doc(alias = "delete")]
    pub async fn destroy(&self, id: &SessionId) -> Result<bool, StoreError> {
        let Some(sid) = id.key().hex() else {
            return Ok(false);
        };
        let sql = include_str!("../sql/gino_remove_session.sql");
        let removed = self.postgres.execute("end a session", sql, &[&sid]).await?;
        Ok(removed > 0)
    }

    fn expiry_of(&self, session: &SessionData) -> Duration {
        let own: Option<u64> = session.get(OWN_EXPIRY).ok().flatten();
        let own = own.filter(|seconds| *seconds > 0);
        own.map_or(self.expiry, |seconds| {
            Duration::from_secs(seconds).min(LONGEST)
        })
    }
}

/// From nothing to a millisecond more for each try.
fn pause(tries: u8) -> Duration {
    let mut chance = [0];
    getrandom::fill(&mut chance).expect("the operating system gives random bytes");
    let longest = Duration::from_millis(tries.min(LONGEST_PAUSE_MS).into());
    longest * u32::from(chance[0]) / u32::from(u8::MAX)
}

fn json(data: &SessionData) -> String {
    let encoded = data.to_encoded(Codec::Json).map(Vec::from);
    let text = encoded.and_then(|encoded| String::from_utf8(encoded).ok());
    text.expect("the values are JSON, which is text")
}

/// Without an answer, the write may have been made.
fn unanswered(error: StoreError) -> CommitError {
    match error.fault() {
        Fault::TimedOut(_) | Fault::Unreachable => CommitError::Unknown(error),
        _ => CommitError::Store(error),
    }
}

/// A session of [`GinoSessions`]. Dereferences to [`SessionData`].
#[must_use = "changes are stored by `GinoSessions::commit`"]
pub struct GinoSession {
    id: SessionId,
    data: SessionData,
    /// The JSON that stands in its row; `None` for a new one.
    loaded: Option<String>,
}

impl GinoSession {
    /// Its ID, a secret: for the cookie.
    pub const fn id(&self) -> &SessionId {
        &self.id
    }
}

impl Deref for GinoSession {
    type Target = SessionData;

    fn deref(&self) -> &SessionData {
        &self.data
    }
}

impl DerefMut for GinoSession {
    fn deref_mut(&mut self) -> &mut SessionData {
        &mut self.data
    }
}

impl fmt::Debug for GinoSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GinoSession")
            .field("data", &self.data)
            .field("is_new", &self.loaded.is_none())
            .finish_non_exhaustive()
    }
}

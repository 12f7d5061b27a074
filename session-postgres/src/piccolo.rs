use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use session_core::{StoreError, Timeouts};

use crate::Postgres;

/// The sessions of piccolo_api's `SessionsBase`: the same rows, by the same rules. Cheap to clone.
///
/// The table, as `piccolo migrations forwards session_auth` makes it:
///
/// ```sql
/// CREATE TABLE sessions (
///     id serial PRIMARY KEY,
///     token varchar(100) NOT NULL,
///     user_id integer NOT NULL,
///     expiry_date timestamp NOT NULL,
///     max_expiry_date timestamp NOT NULL
/// );
/// ```
///
/// It is found by the search path of the connection.
///
/// # Time
/// The timestamps have no time zone. Python writes the local time of its machine, so the zone of those machines is given
/// here. The clock is that of the database, which Python's should agree with. Where clocks are set back once a year, sessions
/// that are open then live an hour longer: in UTC nothing like that happens.
///
/// # Limits
/// The token itself is what is stored: whoever reads the table can use every session. That is the table's design; sessions
/// of this library store a hash. Expired rows stay, as with piccolo_api, which has a command to delete them.
#[derive(Clone, Debug)]
pub struct PiccoloSessions {
    postgres: Postgres,
    zone: Arc<str>,
    timeouts: Timeouts,
}

const HOUR: Duration = Duration::from_secs(3_600);
const LONGEST_TOKEN: usize = 100;

impl PiccoloSessions {
    /// On that database, whose services in Python run in this time zone, as in `"UTC"` or `"Europe/Berlin"`. Sessions last
    /// 1 h, extended 7 d at the most, as those of piccolo_api.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer, has no such table, or does not know the zone.
    ///
    /// # Cancel safety
    /// Cancel safe.
    #[expect(clippy::missing_panics_doc, reason = "an hour is less than seven days")]
    pub async fn new(postgres: &Postgres, zone: &str) -> Result<Self, StoreError> {
        let check = include_str!("../sql/piccolo_check_table.sql");
        postgres
            .query("check the table of piccolo_api", check, &[&zone])
            .await?;
        Ok(Self {
            postgres: postgres.clone(),
            zone: zone.into(),
            timeouts: Timeouts::new(HOUR, 7 * 24 * HOUR).expect("an hour is less than seven days"),
        })
    }

    /// How long new sessions last: the idle timeout at first, the absolute one at the most.
    #[must_use]
    pub const fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Begins a session of that user; zero is one, too.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not take it. After [`Fault::TimedOut`](session_core::Fault::TimedOut) a session
    /// may stand there whose token nobody knows.
    ///
    /// # Cancel safety
    /// As after a timeout.
    pub async fn create_session(&self, user_id: i32) -> Result<PiccoloToken, StoreError> {
        let token = PiccoloToken::random();
        let sql = include_str!("../sql/piccolo_create_session.sql");
        let (first, last) = (self.timeouts.idle(), self.timeouts.absolute());
        let (first, last) = (first.as_secs_f64(), last.as_secs_f64());
        self.postgres
            .execute(
                "begin a session",
                sql,
                &[&token.expose(), &user_id, &&*self.zone, &first, &last],
            )
            .await?;
        Ok(token)
    }

    /// Whose session it is; `None` if it is unknown or has expired. `increase`: if less than that is left, that much is added,
    /// never beyond the session's limit. (piccolo_api itself does write an expiry beyond the limit, and then keeps to the
    /// limit all the same.)
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    ///
    /// # Cancel safety
    /// Cancelled, the session may have been extended or not.
    pub async fn get_user_id(
        &self,
        token: &str,
        increase: Option<Duration>,
    ) -> Result<Option<i32>, StoreError> {
        if !may_be_stored(token) {
            return Ok(None);
        }
        let action = "look for a session";
        let zone = &*self.zone;
        let rows = match increase {
            None => {
                let sql = include_str!("../sql/piccolo_find_user.sql");
                self.postgres.query(action, sql, &[&token, &zone]).await?
            }
            Some(increase) => {
                let sql = include_str!("../sql/piccolo_extend_session.sql");
                let seconds = increase.min(LONGEST_INCREASE).as_secs_f64();
                let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                    [&token, &zone, &seconds];
                self.postgres.query(action, sql, &params).await?
            }
        };
        Ok(rows.first().map(|row| row.get(0)))
    }

    /// Ends a session; whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    ///
    /// # Cancel safety
    /// Cancelled, the session may have ended or not.
    #[doc(alias = "destroy")]
    pub async fn remove_session(&self, token: &str) -> Result<bool, StoreError> {
        if !may_be_stored(token) {
            return Ok(false);
        }
        let sql = include_str!("../sql/piccolo_remove_session.sql");
        let removed = self
            .postgres
            .execute("end a session", sql, &[&token])
            .await?;
        Ok(removed > 0)
    }
}

// Far more than a timestamp minus a timestamp of this table can be, and no overflow.
const LONGEST_INCREASE: Duration = Duration::from_secs(100 * 366 * 24 * 3_600);

/// What is longer, or has a character that the database cannot hold, is no token; nobody has to be asked.
fn may_be_stored(token: &str) -> bool {
    token.len() <= LONGEST_TOKEN && !token.contains('\0')
}

/// The secret of a session, for the cookie: 256 random bits, 43 characters of base64url, as piccolo_api makes them.
pub struct PiccoloToken(String);

impl PiccoloToken {
    fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The text of the token, a secret: for the cookie and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PiccoloToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PiccoloToken([redacted])")
    }
}

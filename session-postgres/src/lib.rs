//! Sessions in PostgreSQL 13 or newer: as a primary, as a secondary, and in tables that Python services share.
//!
//! # As a primary
//! [`PostgresRecords`] keeps the sessions; a locker makes it a primary. [`PostgresLocker`] needs nothing else;
//! [`RedlockLocker`](session_core::RedlockLocker) locks on one or several Redis servers. The tables are made by [`migrations`].
//!
//! ```no_run
//! # use session_core::{Composed, Sessions};
//! # use session_postgres::{Postgres, PostgresLocker, PostgresRecords, migrations};
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let postgres = Postgres::connect("postgresql://app@db.example/app").await?;
//! migrations::up(&postgres).await?; // or, from the repository: cargo run --example migrate
//! let records = PostgresRecords::new(&postgres).await?;
//! let locker = PostgresLocker::new(&postgres).await?;
//! tokio::spawn(records.clean_up_every(std::time::Duration::from_secs(60)));
//! let sessions = Sessions::new(Composed::new(records, locker));
//! # Ok(()) }
//! ```
//!
//! # As a secondary
//! [`PostgresSecondary`] has a row for each session, by its handle, with its values as `jsonb` if asked for.
//!
//! # Tables of Python services
//! [`PiccoloSessions`] reads and writes the session table of
//! [piccolo_api](https://piccolo-api.readthedocs.io/en/latest/session_auth/index.html): which user a token belongs to, for a
//! while. [`GinoSessions`] reads and writes those of sanic-cookies' `GinoAsyncPG`, values as JSON.
//!
//! ```no_run
//! # use session_postgres::{PiccoloSessions, Postgres};
//! # use std::time::Duration;
//! # async fn serve(cookie: &str) -> session_core::Result<()> {
//! let postgres = Postgres::connect("postgresql://app@db.example/app").await?;
//! let sessions = PiccoloSessions::new(&postgres, "Europe/Berlin").await?;
//!
//! let token = sessions.create_session(7).await?; // after the password was checked
//! // Later, with the cookie of a request: half an hour more, if it ends within that.
//! let half_an_hour = Duration::from_secs(30 * 60);
//! let user: Option<i32> = sessions.get_user_id(cookie, Some(half_an_hour)).await?;
//! # Ok(()) }
//! ```
//!
//! # Features
//! | Feature | Default | What it adds |
//! |---|---|---|
//! | `tls` | | `Postgres::connect_tls` |
//! | `blocking` | | `blocking::PiccoloSessions`, for threads without an async runtime |

#[cfg(feature = "blocking")]
pub mod blocking; // for threads without a runtime
mod dial; // connections that hear what others tell
mod fault; // what the database or the way to it did not do
mod gino; // the table of sanic-cookies
mod locker; // locks in those tables
pub mod migrations; // the tables of Latchkey: made and taken back
mod number; // keys, times and tokens as the database has them
mod piccolo; // the session table of piccolo_api
mod postgres; // connections, and a call within its time
mod records; // sessions in those tables
mod secondary; // sessions as a secondary interface sees them

pub use gino::{GinoSession, GinoSessions};
pub use locker::PostgresLocker;
pub use piccolo::{PiccoloSessions, PiccoloToken};
pub use postgres::Postgres;
pub use records::PostgresRecords;
#[cfg(feature = "tls")]
pub use rustls;
pub use secondary::PostgresSecondary;

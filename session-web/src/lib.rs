//! The session of a request, for axum and everything else that is built on tower.
//!
//! [`SessionLayer`] finds the session that a request names, and gives the answer the cookie that it needs. Handlers take
//! [`Session`] or [`Locked`].
//!
//! ```
//! use axum::{Router, routing::post};
//! use session_core::{MemoryStore, Sessions};
//! use session_web::{Locked, Session, SessionError, SessionLayer};
//!
//! // Locked before the handler runs, committed before the answer goes out.
//! async fn visit(mut session: Locked) -> Result<String, SessionError> {
//!     let visits = session.get("visits")?.unwrap_or(0) + 1;
//!     session.insert("visits", visits)?;
//!     Ok(format!("visit {visits}"))
//! }
//!
//! // Reading takes no lock.
//! async fn visits(session: Session) -> Result<String, SessionError> {
//!     let snapshot = session.snapshot().await?;
//!     let visits = snapshot.map(|session| session.get::<u32>("visits")).transpose()?;
//!     Ok(format!("{:?}", visits.flatten()))
//! }
//!
//! let sessions = Sessions::new(MemoryStore::new());
//! let app: Router = Router::new()
//!     .route("/", post(visit).get(visits))
//!     .layer(SessionLayer::new(sessions));
//! ```
//!
//! # Guarantees
//! - A request that does not use its session costs nothing but reading its own cookie.
//! - What [`Locked`] has changed is committed before the first byte of the answer goes out. If the commit fails, the answer
//!   is the error and not what the handler said.
//! - 4xx, 5xx, a panic and a client that disconnects change nothing.
//! - A change is never lost silently: a session that is still locked when the answer is ready makes the answer a 500.
//! - An ID that names no session is never adopted; nothing is stored for it.
//! - The answer to a request with an old ID neither changes nor removes the cookie: its browser may have the new one.
//! - A cookie is only sent when something about it has changed, and such an answer is not to be stored by caches.
//! - Answers to errors say nothing that is not for everybody; the log has the details, and never an ID or contents.
//!
//! # Limits
//! - Two first requests without a cookie make two sessions.
//! - A handler that panics after an explicit commit sends no cookie, unless the panic is caught below this layer.
//! - Handlers that lock two kinds of sessions in different orders wait for each other until the wait timeout.
//!
//! # Cancel safety
//! The layer's future may be dropped at any await, as servers do when the client disconnects: what was locked is given
//! back. If it was dropped while it commits, the changes may or may not be stored.

mod answer; // what the session comes to, in the answer
mod client_address; // where clients come from
mod cookie; // how a cookie is named and guarded
mod credentials; // how users are checked
mod cross_site; // requests that other sites cause
mod current_user; // who is logged in
mod devices; // all sessions of who is logged in
mod error; // errors, and the answers that they make
mod future; // commits between handler and answer
mod fuzzing; // any bytes as a cookie
mod guard; // a session that is changed and committed in a handler
pub mod guide; // longer texts
mod header; // IDs in headers
mod layer; // settings
mod locked; // a session that is locked around a handler
mod login; // logging in and out
mod login_handler; // a login that is ready to be routed to
mod login_input; // what is posted to it
mod login_label; // what logins are called in lists of devices
mod login_limits; // how often logins may fail
mod login_page; // what it shows
mod login_required; // only for those who are logged in
mod logout_handler; // a logout that is ready to be routed to
mod measure; // metrics
mod network; // addresses
mod next; // where to go on after a login
mod rate_limit; // so many requests in a window
mod reply; // the answers of the ready handlers
mod request; // the session of one request
mod roles; // who may do what
mod service; // finds the session that a request names
mod session; // what handlers ask
mod spelling; // how IDs are written
mod transport; // how IDs travel
mod unknown_limit; // who guesses IDs

pub use client_address::ClientAddress;
pub use cookie::{CookiePolicy, SameSite};
pub use credentials::Credentials;
pub use cross_site::{RefuseCrossSite, RefuseCrossSiteService};
pub use current_user::CurrentUser;
pub use devices::{Device, Devices};
pub use error::SessionError;
pub use future::ResponseFuture;
#[doc(hidden)]
pub use fuzzing::read_cookie_header;
pub use guard::Guard;
pub use header::HeaderPolicy;
pub use layer::{DefaultSession, SessionLayer};
pub use locked::Locked;
pub use login::Stay;
pub use login_handler::LoginHandler;
pub use login_limits::LoginLimits;
pub use login_page::LoginPage;
pub use login_required::{LoginRequired, LoginRequiredService};
pub use logout_handler::LogoutHandler;
pub use next::safe_next;
pub use rate_limit::{RateLimit, RateLimitService};
pub use roles::{Roles, active, admin, superuser};
pub use service::SessionService;
pub use session::Session;
pub use unknown_limit::UnknownLimit;

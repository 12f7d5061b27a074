//! Sessions whose record travels in a cookie: nothing is stored on a server.
//!
//! [`EncryptedCookie`] hides its values from the client, in a format of our own or in the
//! [Fernet](https://github.com/fernet/spec) format that Python's `cryptography` reads. [`SignedCookie`] shows them, as a
//! JWT that microdot and `PyJWT` read. Neither lets the client change them.
//!
//! ```
//! # use session_core::{CarriedStore, SealingKey, SealingKeys};
//! # use session_cookie::{CookieOptions, EncryptedCookie};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
//! let key = SealingKey::generate(); // from a secret manager, the same for all replicas
//! let options = CookieOptions::new("__Host-session")?;
//! let store = EncryptedCookie::aead(SealingKeys::new(&key), options);
//!
//! let mut session = store.open(None).await?; // a request without a cookie
//! session.insert("visits", 1)?;
//! let cookie = store.commit(&session).await?; // for `Set-Cookie`
//!
//! let session = store.open(Some(&cookie)).await?; // the next request
//! assert_eq!(session.get("visits")?, Some(1));
//! # Ok(()) }
//! ```
//!
//! # Guarantees
//! Those of [`CarriedStore`](session_core::CarriedStore): what is loaded is what a commit gave, under a key of the ring, for
//! a cookie of that name (`EncryptedCookie::aead`), within both timeouts. Errors and `Debug` show no values and no keys.
//!
//! # Limits
//! - **There is no lock.** Of two requests that change one session at the same time, the answer that the browser gets
//!   last wins, and what the other one changed is lost.
//! - **A logout is not final** without a [revocation list](CookieOptions::revocation_list): whoever has copied the cookie
//!   can use it until it ends by itself.
//! - Older versions of a session can be played back by the client, until they end. What must not be taken back (a balance,
//!   a number of attempts) does not belong here.
//! - Name and value have 4,096 bytes at most (RFC 6265bis, 5.7), of which base64 takes a quarter.
//! - A request carries the whole session, every time.
//!
//! As a copy of sessions that are kept elsewhere, a cookie is written by the web layer, with the answer to the request
//! that made the commit. It is no [secondary](session_core::CarriedStore) to which commits are delivered later.
//!
//! # Cancel safety
//! Only `load`, `open` and `destroy` of a store with a revocation list wait for anything. Each may be dropped at any
//! await; after a `destroy` that was dropped, the session may have ended or not.

mod cookie; // what all formats share: size, timeouts, revocation
mod encrypted; // records that the client cannot read
mod options; // the cookie's name and the session's life
mod signed; // records that the client can read
mod text; // base64, and no other spelling

pub use encrypted::{EncryptedCookie, FernetKey, FernetKeys};
pub use options::CookieOptions;
pub use signed::{SignedCookie, SigningKey, SigningKeys};

mod claims; // what the other side makes of registered names
mod jwt; // header, claims, signature
mod key; // keys, and which of them signs

pub use key::{SigningKey, SigningKeys};
use session_core::ConfigError;

use self::jwt::Jwt;
use crate::{
    CookieOptions,
    cookie::{Cookie, carried_store},
    options::{CookieName, Lives},
};

/// Sessions in a cookie that the client can read and cannot change: a JWT, signed with HS256, whose claims are the
/// session's values. Cheap to clone.
///
/// microdot's `Session` and anything else on `PyJWT` read and write the same cookie.
///
/// ```
/// # use session_core::CarriedStore;
/// # use session_cookie::{SignedCookie, SigningKey, SigningKeys};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
/// // In Python: Session(app, secret_key='a text of 32 bytes or more, secret')
/// let key = SigningKey::from_text("a text of 32 bytes or more, secret")?;
/// let store = SignedCookie::without_expiry(SigningKeys::new(&key), "session")?;
///
/// let mut session = store.open(None).await?;
/// session.insert("username", "susan")?;
/// let cookie = store.commit(&session).await?; // session.save()
///
/// let session = store.open(Some(&cookie)).await?;
/// assert_eq!(session.get::<String>("username")?.as_deref(), Some("susan"));
/// store.destroy(&session).await?; // session.delete(), and the cookie has to go
/// # Ok(()) }
/// ```
///
/// # What is refused
/// Another `alg` than `HS256`, `none` included; a header with `crit`; registered claims that make a JWT invalid
/// (RFC 7519, 4.1), as `PyJWT` checks them: `exp` in the past, `nbf` and `iat` in the future, `aud`, and `iss`, `sub` or
/// `jti` that is no text. microdot would read an empty session there, so a commit refuses a value like that, too:
/// [`CommitCarriedError::Claim`](session_core::CommitCarriedError::Claim).
#[derive(Clone, Debug)]
pub struct SignedCookie {
    cookie: Cookie,
}

impl SignedCookie {
    /// Records end with the session's timeouts, by the claim `exp`, which both sides check. Records of others that have no
    /// `exp` are accepted, unless there is a revocation list: an end that never comes cannot be waited for.
    ///
    /// The absolute end stands beside the values, under a name that begins with U+0000. Python hands both on as they are: its
    /// own `save` moves no end.
    pub fn new(keys: SigningKeys, options: CookieOptions) -> Self {
        Self {
            cookie: Cookie::new(options.into(), Jwt::new(keys)),
        }
    }

    /// Records are just what microdot writes: the values and nothing else. **They never end**, wherever a copy of one
    /// may be, until the key is replaced.
    ///
    /// # Errors
    /// [`ConfigError`] when no cookie can have that name.
    pub fn without_expiry(keys: SigningKeys, name: &str) -> Result<Self, ConfigError> {
        let lives = Lives::endless(CookieName::new(name)?);
        Ok(Self {
            cookie: Cookie::new(lives, Jwt::new(keys)),
        })
    }
}

carried_store!(SignedCookie);

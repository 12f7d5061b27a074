mod aead; // our own format
mod fernet; // the format that other languages have, too
mod fernet_key; // its keys, and which of them seals

pub use fernet_key::{FernetKey, FernetKeys};
use session_core::SealingKeys;

use self::{aead::Aead, fernet::Fernet};
use crate::{
    CookieOptions,
    cookie::{Cookie, carried_store},
};

/// Sessions in a cookie that the client can neither read nor change. Cheap to clone.
///
/// ```
/// # use session_core::CarriedStore;
/// # use session_cookie::{CookieOptions, EncryptedCookie, FernetKey, FernetKeys};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
/// // As printed by Python's `Fernet.generate_key()` or by `FernetKey::generate().expose_base64()`.
/// let key = FernetKey::from_base64("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")?;
/// let store = EncryptedCookie::fernet(FernetKeys::new(&key), CookieOptions::new("SESSION")?);
///
/// let mut session = store.create();
/// session.insert("foo", "bar")?;
/// let cookie = store.commit(&session).await?; // Python: json.loads(Fernet(key).decrypt(cookie))
///
/// let session = store.load(&cookie).await?;
/// assert_eq!(session.get::<String>("foo")?.as_deref(), Some("bar"));
/// store.destroy(&session).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct EncryptedCookie {
    cookie: Cookie,
}

impl EncryptedCookie {
    /// In a format of our own: sealed under the ciphers and keys that also seal records at rest, and bound to the name of
    /// the cookie. The choice for services in Rust.
    ///
    /// A name that is changed makes all cookies unusable. Values are MessagePack.
    /// Source: ASVS 5.0, 11.3.2 and 11.3.3 (authenticated encryption).
    pub fn aead(keys: SealingKeys, options: CookieOptions) -> Self {
        Self {
            cookie: Cookie::new(options.into(), Aead::new(keys)),
        }
    }

    /// In the Fernet format, for services that share their sessions with Python: sanic-cookies' `InCookieEncrypted`, or
    /// whatever else reads JSON with `cryptography.fernet`. Source: github.com/fernet/spec, version 0x80.
    ///
    /// Its timestamp is checked against the idle timeout and 60 s of clock skew, as Python does with `ttl`. The absolute end
    /// stands beside the values under a name that begins with U+0000, which Python hands on with the rest.
    /// A Fernet cookie is not bound to the name of its cookie: two cookies should not have one key.
    pub fn fernet(keys: FernetKeys, options: CookieOptions) -> Self {
        Self {
            cookie: Cookie::new(options.into(), Fernet::new(keys)),
        }
    }
}

carried_store!(EncryptedCookie);

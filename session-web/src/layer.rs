use std::{fmt, marker::PhantomData, sync::Arc};

use http::Response;
use session_core::{ConfigError, Sessions};
use tower_layer::Layer;

#[cfg(feature = "seal")]
use crate::spelling::Form;
use crate::{
    CookiePolicy, HeaderPolicy, SessionError, SessionService, UnknownLimit, spelling::Spelling,
    transport::Transport,
};

/// Gives each request its session, and each answer the cookie that the session needs.
///
/// ```
/// # use session_core::{MemoryStore, Sessions};
/// # use session_web::{CookiePolicy, SessionLayer};
/// struct Cart; // tells the sessions of a service apart
///
/// # fn layers(sessions: Sessions, carts: Sessions) -> Result<(), session_core::ConfigError> {
/// let session = SessionLayer::new(sessions);
/// let cart = SessionLayer::new(carts)
///     .cookie(CookiePolicy::named("cart"))?
///     .kind::<Cart>(); // Session<Cart>, Locked<Cart>
/// # Ok(()) }
/// ```
#[must_use]
pub struct SessionLayer<K = DefaultSession> {
    config: Arc<Config>,
    kind: PhantomData<fn() -> K>,
}

/// The session of a service that has one kind of them.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DefaultSession;

#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) sessions: Sessions,
    pub(crate) transport: Transport,
    pub(crate) spelling: Spelling,
    pub(crate) on_error: Option<OnError>,
    pub(crate) unknown: Option<UnknownLimit>,
}

type OnError = Arc<dyn Fn(&SessionError) -> Response<String> + Send + Sync>;

impl SessionLayer {
    /// Sessions in `sessions`, named by a cookie as [`CookiePolicy::default`] makes it.
    pub fn new(sessions: Sessions) -> Self {
        Self {
            config: Arc::new(Config {
                sessions,
                transport: Transport::Cookie(CookiePolicy::default()),
                spelling: Spelling::default(),
                on_error: None,
                unknown: None,
            }),
            kind: PhantomData,
        }
    }
}

impl<K> SessionLayer<K> {
    /// Another cookie. Two layers of one service need two names.
    ///
    /// # Errors
    /// [`ConfigError`] when browsers would not take it: a name with other characters than those of a token, with a prefix, or
    /// so long that name and value have more than 4,096 bytes; a domain or path with other characters, or of more than
    /// 1,024 bytes; development together with `SameSite=None` or `Partitioned`.
    pub fn cookie(self, policy: CookiePolicy) -> Result<Self, ConfigError> {
        policy.check(self.config.spelling.longest())?;
        if policy.is_development() {
            tracing::warn!(
                "development: session cookies to loopback addresses go without Secure; not for use behind a proxy"
            );
        }
        Ok(self.change(|config| config.transport = Transport::Cookie(policy)))
    }

    /// Headers in place of a cookie.
    pub fn header(self, policy: HeaderPolicy) -> Self {
        self.change(|config| config.transport = Transport::Header(policy))
    }

    /// Seals IDs where they travel, so that what was not made by this service costs no flight to the store. Default: IDs
    /// are sent as they are, which is safe: nobody can guess one.
    ///
    /// A seal is bound to the name of the cookie or header. The first key of the ring seals, all open; what a key that is
    /// no more in the ring has sealed names no session. A client whose ID is sealed by an older key gets it anew with the
    /// next commit of its session: take a key away when the absolute timeout has passed, or that of remembered logins. To
    /// begin, as with [records](session_core::SealingKeys): first [`open_only`](session_core::SealingKeys::open_only) on
    /// all replicas, then [`accept_unsealed`](session_core::SealingKeys::accept_unsealed), then neither.
    ///
    /// # Errors
    /// [`ConfigError`] when the name of the cookie is so long that name and value have more than 4,096 bytes.
    #[cfg(feature = "seal")]
    pub fn seal_ids(self, keys: session_core::SealingKeys) -> Result<Self, ConfigError> {
        self.spelling(Spelling::keyed(keys, Form::Sealed))
    }

    /// Signs IDs where they travel, in place of [sealing](Self::seal_ids) them: with HMAC-SHA-256, in 115 characters in
    /// place of 126. The rules are the same, for names, the ring of keys and its beginning; the ID itself can be read, which
    /// a seal keeps from those who look at the cookie. A service can change from one to the other: both are read, and
    /// written anew with the next commit.
    ///
    /// # Errors
    /// As [`seal_ids`](Self::seal_ids).
    #[cfg(feature = "seal")]
    pub fn sign_ids(self, keys: session_core::SealingKeys) -> Result<Self, ConfigError> {
        self.spelling(Spelling::keyed(keys, Form::Signed))
    }

    #[cfg(feature = "seal")]
    fn spelling(self, spelling: Spelling) -> Result<Self, ConfigError> {
        if let Transport::Cookie(policy) = &self.config.transport {
            policy.check(spelling.longest())?;
        }
        Ok(self.change(|config| config.spelling = spelling))
    }

    /// Refuses clients that send many IDs that name no session. Default: none is refused.
    pub fn limit_unknown(self, limit: UnknownLimit) -> Self {
        self.change(|config| config.unknown = Some(limit))
    }

    /// The sessions that handlers find as `Session<Kind>` and `Locked<Kind>`.
    pub fn kind<Kind>(self) -> SessionLayer<Kind> {
        SessionLayer {
            config: self.config,
            kind: PhantomData,
        }
    }

    /// Answers errors otherwise than [`SessionError::answer`]: those of the layer, and those that handlers and extractors
    /// return. Headers that are not in the new answer stay as they are usually, except for those of the body.
    pub fn on_error(
        self,
        answer: impl Fn(&SessionError) -> Response<String> + Send + Sync + 'static,
    ) -> Self {
        self.change(|config| config.on_error = Some(Arc::new(answer)))
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }
}

impl<S, K> Layer<S> for SessionLayer<K> {
    type Service = SessionService<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, Arc::clone(&self.config))
    }
}

impl<K> Clone for SessionLayer<K> {
    fn clone(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for SessionLayer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer")
            .field("config", &self.config)
            .finish()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("sessions", &self.sessions)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

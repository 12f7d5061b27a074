use std::{fmt, sync::Arc, time::Duration};

use session_core::{
    Capabilities, Clock, ConfigError, Promise, RevocationList, StoreTime, SystemClock, Timeouts,
};

/// The name of the cookie, and how long its sessions live.
///
/// Default: 30 minutes unused, 12 hours in all, by the clock of this process; no revocation list.
#[derive(Clone)]
#[must_use]
pub struct CookieOptions {
    name: CookieName,
    timeouts: Timeouts,
    revocations: Option<Arc<dyn RevocationList>>,
    clock: Arc<dyn Clock>,
}

impl CookieOptions {
    /// For a cookie of that name. Browsers take one whose name begins with `__Host-` only from the host itself, over TLS
    /// (RFC 6265bis, 4.1.3.2).
    ///
    /// # Errors
    /// [`ConfigError`] when the name is empty, longer than 128 bytes, or has characters that may not stand in one
    /// (RFC 6265, 4.1.1).
    pub fn new(name: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            name: CookieName::new(name)?,
            timeouts: Timeouts::default(),
            revocations: None,
            clock: Arc::new(SystemClock),
        })
    }

    /// How long sessions live, unused and in all. Each commit gives a record that lives for the idle timeout; to keep a
    /// session alive that is only read, commit it when it
    /// [needs it](session_core::CarriedSession::needs_commit).
    pub const fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Where sessions are noted that were ended before their time, as `RedisStore` or
    /// [`MemoryRevocationList`](session_core::MemoryRevocationList): `destroy` then holds against copies of the cookie. Costs
    /// a look into the list with each load.
    ///
    /// Records then carry a [handle](session_core::SessionHandle). One without, made before there was a list or by
    /// somebody else, goes by a hash of itself, and so do those that follow it.
    pub fn revocation_list(mut self, list: impl RevocationList) -> Self {
        self.revocations = Some(Arc::new(list));
        self
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl fmt::Debug for CookieOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieOptions")
            .field("name", &self.name.0)
            .field("timeouts", &self.timeouts)
            .field("revocations", &self.revocations)
            .finish_non_exhaustive()
    }
}

/// A name that a cookie can have.
#[derive(Clone, Debug)]
pub(crate) struct CookieName(Arc<str>);

impl CookieName {
    pub(crate) fn new(name: &str) -> Result<Self, ConfigError> {
        // Source: RFC 9110, 5.6.2, token.
        let in_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(in_token) {
            let allowed = "1 to 128 letters, digits and !#$%&'*+-.^_`|~";
            return Err(ConfigError::new(
                "cookie name",
                format!("{name:?}"),
                allowed,
            ));
        }
        Ok(Self(name.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

// What is left for the value should be worth it.
const LONGEST_NAME: usize = 128;

/// How the sessions of a cookie end.
#[derive(Clone, Debug)]
pub(crate) struct Lives {
    pub(crate) name: CookieName,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) revocations: Option<Arc<dyn RevocationList>>,
    clock: Arc<dyn Clock>,
}

impl Lives {
    pub(crate) fn endless(name: CookieName) -> Self {
        Self {
            name,
            timeouts: None,
            revocations: None,
            clock: Arc::new(SystemClock),
        }
    }

    pub(crate) fn now(&self) -> StoreTime {
        StoreTime::default().after(self.clock.unix_time())
    }

    /// How long a record lives that is made now, of a session with that absolute end.
    pub(crate) fn time_to_live(&self, now: StoreTime, end: Option<StoreTime>) -> Option<Duration> {
        let idle = self.timeouts?.idle();
        Some(end.map_or(idle, |end| idle.min(end.saturating_since(now))))
    }

    pub(crate) const fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::NONE.with(Promise::SurvivesRestart);
        if self.timeouts.is_some() {
            capabilities = capabilities.with(Promise::BothClocks);
        }
        if self.revocations.is_some() {
            capabilities = capabilities.with(Promise::LogoutIsFinal);
        }
        capabilities
    }
}

impl From<CookieOptions> for Lives {
    fn from(options: CookieOptions) -> Self {
        Self {
            name: options.name,
            timeouts: Some(options.timeouts),
            revocations: options.revocations,
            clock: options.clock,
        }
    }
}

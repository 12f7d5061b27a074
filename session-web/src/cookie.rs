use std::{borrow::Cow, time::Duration};

use cookie::Cookie;
pub use cookie::SameSite;
use http::HeaderValue;
use session_core::ConfigError;

/// How the cookie of a session is named and guarded. Checked by [`SessionLayer::cookie`](crate::SessionLayer::cookie).
///
/// It is always `HttpOnly`, and `Secure` except in [development](Self::development). It ends with the browser's session,
/// unless the session is [persistent](session_core::SessionGuard::set_persistent): then its `Max-Age` is the time left to
/// the absolute deadline, at most 400 days, so that the cookie never ends before the session of an active user.
/// Source: ASVS 5.0, 3.3.1 to 3.3.5; RFC 6265bis.
#[derive(Clone, Debug)]
#[must_use]
pub struct CookiePolicy {
    name: Cow<'static, str>,
    domain: Option<String>,
    path: String,
    same_site: SameSite,
    partitioned: bool,
    development: bool,
}

impl Default for CookiePolicy {
    /// `__Host-session`, `SameSite=Lax`, `Path=/`.
    fn default() -> Self {
        Self::named("session")
    }
}

impl CookiePolicy {
    /// A cookie of that name, behind a prefix that browsers check: `__Host-`, or `__Secure-` if it has a domain or another
    /// path than `/`.
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            domain: None,
            path: "/".to_owned(),
            same_site: SameSite::Lax,
            partitioned: false,
            development: false,
        }
    }

    /// Sends the cookie to that domain and all below it, too. Any of their hosts can then set it. Default: to this host
    /// alone.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sends the cookie to that path and all below it alone. Protects from nothing: pages of one host can read each other.
    /// Default: `/`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Whether requests that other sites cause carry the cookie. Default: [`SameSite::Lax`], only when a link is followed.
    pub const fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Gives each site that embeds this one a cookie of its own (CHIPS). Default: not.
    pub const fn partitioned(mut self) -> Self {
        self.partitioned = true;
        self
    }

    /// For development without TLS: to a loopback host that no proxy has written (`localhost`, `127.0.0.1`, `[::1]`), the
    /// cookie goes without `Secure` and without prefix. All other hosts get the usual one. Each layer that is made with it
    /// logs a warning.
    pub const fn development(mut self) -> Self {
        self.development = true;
        self
    }

    pub(crate) const fn is_development(&self) -> bool {
        self.development
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `value`: how long the value of the cookie gets.
    pub(crate) fn check(&self, value: usize) -> Result<(), ConfigError> {
        let longest = LONGEST_COOKIE - value - "__Secure-".len();
        let name = &*self.name;
        if name.is_empty() || name.len() > longest || !name.bytes().all(is_token) {
            return Err(refused(
                "cookie name",
                name,
                "letters, digits and !#$%&'*+-.^_`|~",
            ));
        }
        if PREFIXES.iter().any(|prefix| begins_with(name, prefix)) {
            return Err(refused("cookie name", name, "a name without its prefix"));
        }
        if let Some(domain) = &self.domain {
            let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
            if domain.is_empty() || domain.len() > LONGEST_ATTRIBUTE || !domain.bytes().all(is_host)
            {
                return Err(refused("cookie domain", domain, "a host name"));
            }
        }
        let is_path = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b';';
        if !self.path.starts_with('/')
            || self.path.len() > LONGEST_ATTRIBUTE
            || !self.path.bytes().all(is_path)
        {
            return Err(refused(
                "cookie path",
                &self.path,
                "a path that begins with /",
            ));
        }
        let needs_secure = self.partitioned || self.same_site == SameSite::None;
        if self.development && needs_secure {
            return Err(refused(
                "cookie",
                "development with SameSite=None or Partitioned",
                "Secure with these two, as browsers demand",
            ));
        }
        Ok(())
    }

    /// The name with its prefix.
    pub(crate) fn full_name(&self, secure: bool) -> String {
        let prefix = match (secure, self.is_host_only()) {
            (true, true) => HOST,
            (true, false) => SECURE,
            (false, _) => "",
        };
        format!("{prefix}{}", self.name)
    }

    /// The header that sets the cookie.
    pub(crate) fn set(&self, id: &str, max_age: Option<Duration>, secure: bool) -> HeaderValue {
        self.header(id, max_age, secure)
    }

    /// The header that removes the cookie.
    pub(crate) fn remove(&self, secure: bool) -> HeaderValue {
        self.header("", Some(Duration::ZERO), secure)
    }

    fn header(&self, value: &str, max_age: Option<Duration>, secure: bool) -> HeaderValue {
        let mut cookie = Cookie::build((self.full_name(secure), value))
            .http_only(true)
            .secure(secure)
            .same_site(self.same_site)
            .path(&*self.path)
            .build();
        if let Some(domain) = &self.domain {
            cookie.set_domain(&**domain);
        }
        if self.partitioned {
            cookie.set_partitioned(true);
        }
        if let Some(max_age) = max_age {
            let seconds = max_age.min(LONGEST_AGE).as_secs();
            cookie.set_max_age(cookie::time::Duration::seconds(
                i64::try_from(seconds).unwrap_or(i64::MAX),
            ));
        }
        let text = cookie.to_string();
        let mut value = HeaderValue::try_from(text).expect("a checked policy is visible ASCII");
        value.set_sensitive(true);
        value
    }

    fn is_host_only(&self) -> bool {
        self.domain.is_none() && self.path == "/"
    }
}

const HOST: &str = "__Host-";
const SECURE: &str = "__Secure-";

// Browsers give all of these a meaning, in any case (RFC 6265bis, section 4.1.3 and its successors).
const PREFIXES: [&str; 4] = [HOST, SECURE, "__Http-", "__Host-Http-"];

// RFC 6265bis, section 5.7: name and value together, and each attribute.
const LONGEST_COOKIE: usize = 4096;
const LONGEST_ATTRIBUTE: usize = 1024;
// RFC 6265bis, section 5.5.
const LONGEST_AGE: Duration = Duration::from_secs(400 * 24 * 3600);

/// The characters of a token: RFC 9110, section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

fn begins_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

fn refused(setting: &'static str, found: &str, allowed: &'static str) -> ConfigError {
    ConfigError::new(setting, format!("{found:?}"), allowed)
}

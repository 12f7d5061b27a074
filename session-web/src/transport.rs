use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    mem,
    net::IpAddr,
    time::Duration,
};

use cookie::Cookie;
use http::{HeaderMap, HeaderValue, Request, header};
use session_core::SessionId;

use crate::{CookiePolicy, HeaderPolicy, spelling::Spelling};

/// How the ID of a session travels.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    Cookie(CookiePolicy),
    Header(HeaderPolicy),
}

/// What a request says about its session.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) named: Named,
    /// Whether the ID would be written otherwise now.
    pub(crate) is_outdated: bool,
    /// Whether the client takes secure cookies.
    secure: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Nothing,
    /// Something that is no ID, and a hash of it.
    Nonsense(u64),
    One(SessionId),
    /// Two different ones: it cannot be told which the client means.
    Several,
}

impl Transport {
    pub(crate) fn read<B>(&self, request: &Request<B>, spelling: &Spelling) -> Incoming {
        let mut reading = Reading {
            spelling,
            name: self.name(),
            named: Named::Nothing,
            is_outdated: false,
        };
        let mut secure = true;
        match self {
            Self::Cookie(policy) => {
                secure = !(policy.is_development() && is_loopback(request));
                read_cookies(request.headers(), &policy.full_name(secure), &mut reading);
            }
            Self::Header(policy) => policy.read(request.headers(), &mut reading),
        }
        Incoming {
            named: reading.named,
            is_outdated: reading.is_outdated,
            secure,
        }
    }

    /// What sealed and signed IDs are bound to.
    fn name(&self) -> &str {
        match self {
            Self::Cookie(policy) => policy.name(),
            Self::Header(policy) => policy.name(),
        }
    }

    /// Tells the client its new ID.
    pub(crate) fn set(
        &self,
        incoming: &Incoming,
        (id, spelling): (&SessionId, &Spelling),
        max_age: Option<Duration>,
        answer: &mut HeaderMap,
    ) {
        let text = spelling.write(self.name(), id);
        match self {
            Self::Cookie(policy) => {
                let cookie = policy.set(&text, max_age, incoming.secure);
                add(cookie, answer);
            }
            Self::Header(policy) => policy.set(&text, answer),
        }
    }

    /// Tells the client that it has no session any more, if it named one.
    pub(crate) fn remove(&self, incoming: &Incoming, answer: &mut HeaderMap) {
        match self {
            Self::Cookie(_) if incoming.named == Named::Nothing => {}
            Self::Cookie(policy) => add(policy.remove(incoming.secure), answer),
            Self::Header(_) => {}
        }
    }

    /// How a client that is refused may say who it is: of headers only, for cookies know no such thing.
    pub(crate) fn challenge(&self, incoming: &Incoming) -> Option<HeaderValue> {
        match self {
            Self::Cookie(_) => None,
            Self::Header(policy) => Some(policy.challenge(incoming.named != Named::Nothing)),
        }
    }
}

fn add(cookie: HeaderValue, answer: &mut HeaderMap) {
    answer.append(header::SET_COOKIE, cookie);
}

fn read_cookies(headers: &HeaderMap, name: &str, reading: &mut Reading<'_>) {
    for header in headers.get_all(header::COOKIE) {
        // Cookies of others may be in any encoding, and must not hide ours.
        let text = String::from_utf8_lossy(header.as_bytes());
        for cookie in Cookie::split_parse(text.as_ref()).flatten() {
            if cookie.name() == name {
                reading.take(cookie.value());
            }
        }
    }
}

/// What was found in a request so far.
pub(crate) struct Reading<'a> {
    spelling: &'a Spelling,
    name: &'a str,
    named: Named,
    is_outdated: bool,
}

impl Reading<'_> {
    /// One more that was found.
    pub(crate) fn take(&mut self, text: &str) {
        let found = match self.spelling.read(self.name, text) {
            Some(spelled) => {
                self.is_outdated |= spelled.is_outdated;
                Named::One(spelled.id)
            }
            None => Named::Nonsense(hash(text)),
        };
        self.named = match (mem::replace(&mut self.named, Named::Several), found) {
            (Named::Nothing, found) => found,
            (Named::Nonsense(one), Named::Nonsense(_)) => Named::Nonsense(one),
            (one, other) if one == other => one,
            _ => Named::Several,
        };
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Whether the client has reached this server under a loopback address, and no proxy says that it stands in between.
fn is_loopback<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let is_proxied = [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "via",
    ]
    .iter()
    .any(|name| headers.contains_key(*name));
    let authority = request.uri().authority().cloned().or_else(|| {
        let host = headers.get(header::HOST)?.as_bytes();
        http::uri::Authority::try_from(host).ok()
    });
    !is_proxied && authority.is_some_and(|authority| is_loopback_host(authority.host()))
}

fn is_loopback_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

use std::{fmt, net::IpAddr, sync::Arc};

use http::{Extensions, HeaderMap, Request, header};
use session_core::{ConfigError, CountedName};

use crate::network::{Network, household, plain, written};

/// From which address a client comes, for limits.
///
/// That is the address of the connection, unless that is a proxy which is trusted: then the one that the proxy says, and so
/// on. What a client writes into the header itself stands further to the left, and is never reached.
///
/// ```
/// use std::net::{IpAddr, SocketAddr};
/// use axum::extract::ConnectInfo;
/// use session_web::ClientAddress;
///
/// // `axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())`
/// let addresses = ClientAddress::new(|extensions| {
///     let peer: &ConnectInfo<SocketAddr> = extensions.get()?;
///     Some(peer.0.ip())
/// })
/// .x_forwarded_for(["10.0.0.0/8"])?; // where the load balancer stands
/// # Ok::<(), session_core::ConfigError>(())
/// ```
///
/// Of an IPv6 address the first 64 bits count. Addresses are hashed before they are counted, and appear in no log. Requests
/// without one count as one client; behind a Unix socket, say that the peer is `127.0.0.1`, and trust it.
#[derive(Clone)]
#[must_use]
pub struct ClientAddress {
    peer: Arc<Peer>,
    told: Told,
    trusted: Arc<[Network]>,
}

type Peer = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

/// Where proxies say from whom they have a request.
#[derive(Clone, Copy, Debug)]
enum Told {
    Nowhere,
    XForwardedFor,
    Forwarded,
}

impl ClientAddress {
    /// The other end of the connection, as `peer` finds it in the extensions of a request. No proxy is trusted.
    pub fn new(peer: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self {
            peer: Arc::new(peer),
            told: Told::Nowhere,
            trusted: Arc::default(),
        }
    }

    /// Proxies in these networks (`10.0.0.0/8`, `fd00::/8`, `192.0.2.7`) say in `X-Forwarded-For` whom they serve. It has to
    /// be them who write it: a proxy that hands on what it was sent lets clients choose their address.
    ///
    /// # Errors
    /// [`ConfigError`] when one is no network.
    pub fn x_forwarded_for<N: AsRef<str>>(
        self,
        trusted: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        self.trusting(Told::XForwardedFor, trusted)
    }

    /// Proxies in these networks say it in `Forwarded` (RFC 7239), and not in `X-Forwarded-For`.
    ///
    /// # Errors
    /// [`ConfigError`] when one is no network.
    pub fn forwarded<N: AsRef<str>>(
        self,
        trusted: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        self.trusting(Told::Forwarded, trusted)
    }

    fn trusting<N: AsRef<str>>(
        mut self,
        told: Told,
        trusted: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let networks = trusted
            .into_iter()
            .map(|text| Network::parse(text.as_ref()));
        self.trusted = networks.collect::<Result<_, _>>()?;
        self.told = told;
        Ok(self)
    }

    /// The address that a request comes from; `None` if nobody says it.
    pub fn of<B>(&self, request: &Request<B>) -> Option<IpAddr> {
        let mut address = plain((self.peer)(request.extensions())?);
        let chain = self.told.in_headers(request.headers());
        for said in chain.iter().rev() {
            if !self.trusts(address) {
                break;
            }
            // A name in place of an address: whoever is behind it, the proxy answers for it.
            let Some(next) = said else { break };
            address = *next;
        }
        Some(address)
    }

    /// What the client of a request is counted under by that limit: each limit counts for itself.
    pub(crate) fn name<B>(&self, limit: &str, request: &Request<B>) -> CountedName {
        let Some(address) = self.of(request) else {
            tracing::warn!(
                "the address of a client is not known; such requests count as one client"
            );
            return CountedName::new(limit, "");
        };
        CountedName::new(limit, &household(address).to_string())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }
}

impl Told {
    /// What was said, the first proxy first; `None` for what is no address.
    fn in_headers(self, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
        let name = match self {
            Self::Nowhere => return Vec::new(),
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => header::FORWARDED.as_str(),
        };
        let lines = headers.get_all(name).into_iter();
        let text = lines.map(|line| line.to_str().unwrap_or_default());
        let elements = text.flat_map(|line| line.split(','));
        elements
            .map(|element| match self {
                Self::Forwarded => for_in(element).and_then(written),
                _ => written(element),
            })
            .collect()
    }
}

/// What `for=` says in one element of `Forwarded`.
fn for_in(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })
}

impl fmt::Debug for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAddress")
            .field("told", &self.told)
            .field("trusted", &self.trusted)
            .finish_non_exhaustive()
    }
}

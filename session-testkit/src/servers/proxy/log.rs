use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A command that a client sent through a [`Proxy`](super::Proxy).
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub(super) name: String,
    pub(super) args: Vec<Vec<u8>>,
    pub(super) connection: u64,
    pub(super) flight: u64,
}

impl Request {
    /// Name of the command in upper case, without its subcommand.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Arguments as they were sent.
    pub fn args(&self) -> &[Vec<u8>] {
        &self.args
    }

    /// The connection that it came on, counted from 1.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// The flight that it belongs to; see [`Flight`].
    pub fn flight(&self) -> u64 {
        self.flight
    }
}

/// Arguments can be secrets: only their number is shown.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} args)", self.name, self.args.len())
    }
}

/// A burst of requests on one connection: it begins when the client waits for no reply there.
///
/// One flight costs its client one round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    requests: Vec<Request>,
}

impl Flight {
    /// Its requests, in the order in which they were sent.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The names of its requests.
    pub fn names(&self) -> Vec<&str> {
        self.requests.iter().map(Request::name).collect()
    }
}

/// A redirection of the cluster that the proxy followed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirect {
    /// Name of the command that was redirected.
    pub name: String,
    /// The node that answered it instead.
    pub to: SocketAddr,
    /// Whether the slot was on its way (`ASK`) and not yet there (`MOVED`).
    pub ask: bool,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    flights: u64,
    requests: Vec<Request>,
    redirects: Vec<Redirect>,
}

impl Log {
    pub(super) fn begin_flight(&self) -> u64 {
        let mut entries = self.entries();
        entries.flights += 1;
        entries.flights
    }

    pub(super) fn request(&self, request: Request) {
        self.entries().requests.push(request);
    }

    pub(super) fn redirect(&self, redirect: Redirect) {
        self.entries().redirects.push(redirect);
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.entries().requests.clone()
    }

    pub(super) fn redirects(&self) -> Vec<Redirect> {
        self.entries().redirects.clone()
    }

    pub(super) fn flights(&self) -> Vec<Flight> {
        let mut requests = self.requests();
        // Stable: requests of one flight keep their order.
        requests.sort_by_key(Request::flight);
        requests
            .chunk_by(|one, next| one.flight == next.flight)
            .map(|requests| Flight {
                requests: requests.to_vec(),
            })
            .collect()
    }

    pub(super) fn clear(&self) {
        let mut entries = self.entries();
        entries.requests.clear();
        entries.redirects.clear();
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

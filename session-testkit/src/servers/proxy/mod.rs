//! A proxy between clients and a server that counts, delays, holds and cuts.

mod exchange; // which reply answers which request
mod link; // one connection
mod log; // requests and flights
mod redirect; // following MOVED and ASK
mod trap; // a fault that waits for a script

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::link::{Link, Path, Replies};
use self::log::Log;
pub use self::log::{Flight, Redirect, Request};
pub use self::trap::LinkFault;
use self::trap::Trap;
use super::endpoint::Endpoint;
use super::port::Port;
use super::{RedisServer, ServerError};

/// A TCP proxy in front of a Redis server that understands requests and replies.
///
/// It logs requests and counts flights, and it breaks the link between client and server in ways
/// that a server cannot: a connection that is cut, delayed, half-open, or whose requests arrive
/// only after the client has given up. Dropping it cuts everything.
///
/// Holding and dropping concern the connections open at that moment; connections opened later work
/// normally.
///
/// ```no_run
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// use session_testkit::servers::{Proxy, RedisServer};
///
/// let server = RedisServer::start().await?;
/// let proxy = Proxy::start(&server).await?;
/// let client = redis::Client::open(proxy.url())?;
/// let mut connection = client.get_multiplexed_async_connection().await?;
/// proxy.clear_log();
/// redis::pipe().ping().ping().exec_async(&mut connection).await?;
/// assert_eq!(proxy.flights().len(), 1);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Proxy {
    path: Arc<Path>,
    links: Arc<Links>,
    upstream: Endpoint,
    listener: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    // After the tasks: the port is free when they have ended.
    port: Port,
}

/// Listens where one has listened before. A process that another thread starts just now holds a copy of the old socket
/// until it runs its own program.
async fn listen_again(addr: SocketAddr) -> io::Result<TcpListener> {
    for _ in 0..LONGEST_START.as_millis() {
        match TcpListener::bind(addr).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            bound => return bound,
        }
    }
    TcpListener::bind(addr).await
}

const LONGEST_START: Duration = Duration::from_secs(5);

/// What a [`Proxy`] stands in front of: a [`RedisServer`], or an address without credentials.
#[derive(Clone, Debug)]
pub struct Upstream {
    endpoint: Endpoint,
}

impl From<&RedisServer> for Upstream {
    fn from(server: &RedisServer) -> Self {
        Self {
            endpoint: server.endpoint().clone(),
        }
    }
}

impl From<SocketAddr> for Upstream {
    fn from(addr: SocketAddr) -> Self {
        Self {
            endpoint: Endpoint::new(addr),
        }
    }
}

impl Proxy {
    /// Starts a proxy that passes everything on as it is.
    ///
    /// # Errors
    /// [`ServerError`]: no port to listen on.
    pub async fn start(upstream: impl Into<Upstream>) -> Result<Self, ServerError> {
        Self::launch(upstream.into(), false).await
    }

    /// Starts a proxy that follows redirections as a cluster client does: when the server answers
    /// `MOVED` or `ASK`, that one command is sent to the named node, and its reply takes the place
    /// of the redirection. Other commands, also of the same pipeline, are not affected.
    ///
    /// # Errors
    /// [`ServerError`]: no port to listen on.
    pub async fn following_redirects(upstream: impl Into<Upstream>) -> Result<Self, ServerError> {
        Self::launch(upstream.into(), true).await
    }

    async fn launch(upstream: Upstream, follow_redirects: bool) -> Result<Self, ServerError> {
        let proxy = Self {
            path: Arc::new(Path {
                upstream: upstream.endpoint.addr,
                follow_redirects,
                delay: watch::Sender::new(Duration::ZERO),
                redirects_held: watch::Sender::new(false),
                trap: Trap::default(),
                log: Log::default(),
            }),
            links: Arc::default(),
            upstream: upstream.endpoint,
            listener: tokio::sync::Mutex::default(),
            port: Port::lease()?,
        };
        proxy.heal().await?;
        Ok(proxy)
    }

    /// URL for clients, with the server's credentials and database.
    pub fn url(&self) -> String {
        self.upstream.url_at(self.addr())
    }

    /// Where the proxy listens; the same after [`cut`](Self::cut) and [`heal`](Self::heal).
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Closes all connections of clients and refuses new ones until [`heal`](Self::heal).
    ///
    /// Requests that are held stay held.
    pub async fn cut(&self) {
        if let Some(listener) = self.listener.lock().await.take() {
            listener.abort();
            // The socket is closed when the task that owns it has ended.
            let _ended = listener.await;
        }
        for link in self.links.open() {
            link.close_client().await;
        }
    }

    /// Makes the link whole: accepts connections, delivers held replies, and closes connections
    /// whose replies were dropped. Held requests stay held.
    ///
    /// # Errors
    /// [`ServerError::Io`] when the port has been taken by another program.
    pub async fn heal(&self) -> Result<(), ServerError> {
        for link in self.links.open() {
            match link.drops_replies() {
                true => link.close_client().await,
                false => link.set_replies(Replies::Pass),
            }
        }
        let mut listener = self.listener.lock().await;
        if listener.is_none() {
            let socket = listen_again(self.addr())
                .await
                .map_err(ServerError::io("listen for clients of a proxy"))?;
            let accepting = accept(socket, Arc::clone(&self.path), Arc::clone(&self.links));
            *listener = Some(tokio::spawn(accepting));
        }
        Ok(())
    }

    /// Reads requests from the connections open now, but does not forward them until
    /// [`release_held`](Self::release_held).
    pub fn hold_requests(&self) {
        for link in self.links.open() {
            link.hold_requests();
        }
    }

    /// Forwards the requests that were held, also those whose client has gone meanwhile, and waits
    /// until the server has answered them or closed their connection.
    pub async fn release_held(&self) {
        let mut released = self.links.open();
        released.retain(|link| link.release_requests());
        for link in released {
            link.answered().await;
        }
    }

    /// Keeps replies of the connections open now back until
    /// [`release_replies`](Self::release_replies) or [`heal`](Self::heal).
    pub fn hold_replies(&self) {
        for link in self.links.open() {
            link.set_replies(Replies::Hold);
        }
    }

    /// Delivers the replies that were held.
    pub fn release_replies(&self) {
        for link in self.links.open() {
            link.set_replies(Replies::Pass);
        }
    }

    /// As [`hold_replies`](Self::hold_replies), of one connection, by [its number](Request::connection).
    pub fn hold_replies_on(&self, connection: u64) {
        self.links.set_replies(connection, Replies::Hold);
    }

    /// As [`drop_replies`](Self::drop_replies), of one connection, by [its number](Request::connection).
    pub fn drop_replies_on(&self, connection: u64) {
        self.links.set_replies(connection, Replies::Drop);
    }

    /// Makes the connections open now half-open: requests arrive, and nothing comes back, not even
    /// the end of the connection, until [`heal`](Self::heal) closes them.
    pub fn drop_replies(&self) {
        for link in self.links.open() {
            link.set_replies(Replies::Drop);
        }
    }

    /// Lets a fault befall the connection on which the `number`-th script from now on is called, counted from 1: that
    /// script and all that comes later there. One such fault is set at a time.
    ///
    /// For the steps of an operation that follow each other by themselves.
    pub fn fault_at_script(&self, number: usize, fault: LinkFault) {
        self.path.trap.set(number.saturating_sub(1), fault);
    }

    /// Waits until the fault that was set has happened.
    pub async fn fault_happened(&self) {
        self.path.trap.sprung().await;
    }

    /// Forwards each request this long after it was received; zero ends it.
    pub fn delay(&self, delay: Duration) {
        self.path.delay.send_replace(delay);
    }

    /// Notes redirections, but does not follow them until [`release_redirects`](Self::release_redirects). Replies of
    /// the first node stand meanwhile, as for a client that is slow to ask the second one.
    pub fn hold_redirects(&self) {
        self.path.redirects_held.send_replace(true);
    }

    /// Follows the redirections that were held.
    pub fn release_redirects(&self) {
        self.path.redirects_held.send_replace(false);
    }

    /// Requests since the log was cleared, in the order in which they were received.
    pub fn requests(&self) -> Vec<Request> {
        self.path.log.requests()
    }

    /// The same requests by flight, in the order in which the flights began.
    pub fn flights(&self) -> Vec<Flight> {
        self.path.log.flights()
    }

    /// Redirections that were followed since the log was cleared.
    pub fn redirects(&self) -> Vec<Redirect> {
        self.path.log.redirects()
    }

    /// Forgets all requests and redirections.
    pub fn clear_log(&self) {
        self.path.log.clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.get_mut().take() {
            listener.abort();
        }
        self.links.open().iter().for_each(|link| link.abort());
    }
}

/// Connections that are not over on both sides.
#[derive(Debug, Default)]
struct Links {
    open: Mutex<Vec<Arc<Link>>>,
}

impl Links {
    fn add(&self, link: Arc<Link>) {
        let mut open = self.lock();
        open.retain(|link| !link.is_finished());
        open.push(link);
    }

    fn open(&self) -> Vec<Arc<Link>> {
        self.lock().clone()
    }

    fn set_replies(&self, connection: u64, replies: Replies) {
        let mut links = self.open();
        links.retain(|link| link.number() == connection);
        links.iter().for_each(|link| link.set_replies(replies));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, path: Arc<Path>, links: Arc<Links>) {
    let mut number = 0;
    while let Ok((client, _)) = listener.accept().await {
        // A client of a server that is down finds its connection closed.
        let Ok(server) = connect(path.upstream, &client).await else {
            continue;
        };
        number += 1;
        links.add(Link::open(number, &path, client, server));
    }
}

async fn connect(upstream: SocketAddr, client: &TcpStream) -> io::Result<TcpStream> {
    client.set_nodelay(true)?;
    let server = TcpStream::connect(upstream).await?;
    server.set_nodelay(true)?;
    Ok(server)
}

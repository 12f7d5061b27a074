//! A private PostgreSQL server.

mod process; // its process
mod programs; // where its programs are, and as whom they run

use std::io::{Write as _, stderr};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::sleep;

use self::process::Process;
use self::programs::Programs;
use super::ServerError;
use super::port::Port;
use super::redis_server::last_lines;

/// Generous: a test that waits for a slow server must fail for its own reason.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(5);

/// The name of tests with PostgreSQL in `LATCHKEY_SKIP`.
const PART: &str = "postgresql";

/// A real PostgreSQL server for tests: a process of its own in a temporary directory. Dropping it removes it with its data.
///
/// Every commit is on disk, as far as the server knows, before it is acknowledged, so data survive [`kill`](Self::kill). It
/// listens on a port of 127.0.0.1; user and database are called `postgres`, and there is no password.
///
/// `initdb` and `postgres` are looked for in the `PATH` and where Debian puts them. They refuse to work for root: then
/// they run as the user `postgres`.
///
/// ```no_run
/// # async fn test() -> Result<(), session_testkit::servers::ServerError> {
/// use session_testkit::servers::PostgresServer;
///
/// let server = PostgresServer::start().await?;
/// let url = server.url(); // for any client
/// server.kill().await?; // as in a crash
/// server.restart().await?; // same port, same data
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct PostgresServer {
    // Before the port, so that the server is gone when the port is free for others.
    process: Process,
    port: Port,
}

impl PostgresServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// [`ServerError::NoPostgres`] where it is not installed.
    pub async fn start() -> Result<Self, ServerError> {
        let programs = Programs::find()?;
        let port = Port::lease()?;
        let process = Process::start(programs, port.addr()).await?;
        let server = Self { process, port };
        server.wait_ready().await?;
        Ok(server)
    }

    /// The server that all tests of this process share; the first caller starts it, and the end of the process ends it.
    ///
    /// For tests that leave the server running and use tables of their own.
    ///
    /// # Errors
    /// As [`start`](Self::start); a failed start is tried again by the next caller.
    pub async fn shared() -> Result<&'static Self, ServerError> {
        static SHARED: LazyLock<OnceCell<&'static PostgresServer>> = LazyLock::new(OnceCell::new);
        let start = async || {
            let server: &'static Self = Box::leak(Box::new(Self::start().await?));
            Ok(server)
        };
        SHARED.get_or_try_init(start).await.copied()
    }

    /// Whether `LATCHKEY_SKIP` leaves out the tests with PostgreSQL; says so on the terminal.
    ///
    /// # Errors
    /// [`ServerError::Io`] when the terminal cannot be written to.
    pub fn is_skipped() -> Result<bool, ServerError> {
        let parts = std::env::var("LATCHKEY_SKIP").unwrap_or_default();
        let skipped = parts.split(',').any(|part| part.trim() == PART);
        if skipped {
            // Past the test harness, which keeps what a test prints to itself.
            writeln!(stderr().lock(), "skipped by LATCHKEY_SKIP: {PART}")
                .map_err(ServerError::io("write to the terminal"))?;
        }
        Ok(skipped)
    }

    /// URL for clients; the same over restarts.
    pub fn url(&self) -> String {
        format!("postgresql://postgres@{}/postgres", self.addr())
    }

    /// The TCP address where the server listens; the same over restarts.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Shuts the server down and waits until it has ended. Open connections are closed, their transactions rolled back.
    ///
    /// # Errors
    /// [`ServerError::Io`]: refused by the system.
    pub async fn stop(&self) -> Result<(), ServerError> {
        self.process.stop().await
    }

    /// Ends the server without any order, as a crash does: what was committed is in its log and nowhere else, and the next
    /// start recovers it from there.
    ///
    /// # Errors
    /// [`ServerError::Io`]: refused by the system.
    pub async fn kill(&self) -> Result<(), ServerError> {
        self.process.kill().await
    }

    /// Starts the server again on the same port with its data, and waits until it is ready. One that still runs is
    /// stopped first.
    ///
    /// # Errors
    /// [`ServerError`]: refused by the system, or not ready in time.
    pub async fn restart(&self) -> Result<(), ServerError> {
        self.stop().await?;
        self.process.spawn()?;
        self.wait_ready().await
    }

    /// Waits until the server accepts connections.
    ///
    /// # Errors
    /// [`ServerError::Ended`] when the server is not running, [`ServerError::NotReady`] after a minute.
    pub async fn wait_ready(&self) -> Result<(), ServerError> {
        let asked_since = Instant::now();
        loop {
            if self.process.says_ready() && TcpStream::connect(self.addr()).await.is_ok() {
                return Ok(());
            }
            let (addr, log) = (self.addr(), last_lines(&self.process.log()));
            if !self.process.is_running()? {
                return Err(ServerError::Ended { addr, log });
            }
            let waited = asked_since.elapsed();
            if waited > READY_TIMEOUT {
                return Err(ServerError::NotReady {
                    addr,
                    waited,
                    reason: log,
                });
            }
            sleep(READY_POLL).await;
        }
    }
}

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, Value};
use tokio::time::sleep;

use super::config::Config;
use super::container::Container;
use super::endpoint::Endpoint;
use super::kind::{URL, non_empty_var};
use super::port::Port;
use super::process::{self, Process};
use super::{RedisServerBuilder, ServerError, ServerKind};

/// Generous: a test that waits for a slow server must fail for its own reason.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

const READY_TIMEOUT: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(5);

/// A port can be taken by a program that knows nothing of our locks.
const START_ATTEMPTS: usize = 5;

/// A real Redis server for tests. Dropping it removes it with its data.
///
/// All methods take `&self`, so that tasks can work against the server while a test breaks it;
/// faults of one server are for one task at a time.
#[derive(Debug)]
pub struct RedisServer {
    // Before the port, so that the server is gone when the port is free for others.
    pub(super) backend: Backend,
    endpoint: Endpoint,
    cluster: bool,
    _port: Option<Port>,
}

#[derive(Debug)]
pub(super) enum Backend {
    Container(Box<Container>),
    Process(Process),
    Url,
}

/// What a server still lacks, once it has been asked.
pub(super) type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

impl RedisServer {
    /// Starts a server with default options and waits until it answers.
    ///
    /// # Errors
    /// [`ServerError`]: no server can be had.
    pub async fn start() -> Result<Self, ServerError> {
        Self::builder().start().await
    }

    /// The server with default options that all tests of this process share.
    ///
    /// See [`RedisServerBuilder::shared`].
    ///
    /// # Errors
    /// [`ServerError`]: no server can be had.
    pub async fn shared() -> Result<&'static Self, ServerError> {
        Self::builder().shared().await
    }

    /// Options for a server.
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder::default()
    }

    pub(super) async fn launch(
        kind: ServerKind,
        config: &Config,
        unix_socket: bool,
    ) -> Result<Self, ServerError> {
        let server = Self::launch_without_slots(kind, config, unix_socket).await?;
        if config.cluster {
            server.add_slots(0..16_384).await?;
            server.wait_ready().await?;
        }
        Ok(server)
    }

    /// The server as it starts: a node of a cluster owns nothing yet.
    pub(super) async fn launch_without_slots(
        kind: ServerKind,
        config: &Config,
        unix_socket: bool,
    ) -> Result<Self, ServerError> {
        let mut attempt = 1;
        loop {
            match Self::launch_once(kind, config, unix_socket).await {
                Err(ServerError::Ended { log, .. })
                    if attempt < START_ATTEMPTS && log.contains("Address already in use") =>
                {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn launch_once(
        kind: ServerKind,
        config: &Config,
        unix_socket: bool,
    ) -> Result<Self, ServerError> {
        let mut server = match kind {
            ServerKind::Url if !config.is_default() || unix_socket => {
                return Err(ServerError::Unsupported {
                    what: "a server with settings of its own",
                    kind,
                });
            }
            ServerKind::Url => Self::at_url()?,
            ServerKind::Container => Self::in_container(config, unix_socket).await?,
            ServerKind::Process => Self::as_process(config, unix_socket).await?,
        };
        server.wait_answering().await?;
        server.cluster = config.cluster;
        Ok(server)
    }

    fn at_url() -> Result<Self, ServerError> {
        let expected = "redis://[user:password@]host:port[/database]";
        let refused = || ServerError::Environment {
            variable: URL,
            found: "(not shown)".to_owned(),
            expected,
        };
        let url = non_empty_var(URL).ok_or_else(refused)?;
        let info = url
            .as_str()
            .into_connection_info()
            .map_err(|_secret| refused())?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            return Err(refused());
        };
        let addr = (host.as_str(), *port)
            .to_socket_addrs()
            .map_err(ServerError::io("find the host of LATCHKEY_TEST_REDIS_URL"))?
            .next()
            .ok_or_else(refused)?;
        let settings = info.redis_settings();
        let mut endpoint =
            Endpoint::new(addr).with_credentials(settings.username(), settings.password());
        endpoint.database = settings.db();
        Ok(Self {
            backend: Backend::Url,
            endpoint,
            cluster: false,
            _port: None,
        })
    }

    async fn in_container(config: &Config, unix_socket: bool) -> Result<Self, ServerError> {
        if unix_socket {
            return Err(ServerError::Unsupported {
                what: "a unix socket",
                kind: ServerKind::Container,
            });
        }
        let port = Port::lease()?;
        let container = Container::start(config, port.addr()).await?;
        Ok(Self {
            backend: Backend::Container(Box::new(container)),
            endpoint: Endpoint::new(port.addr()).with_credentials(None, config.password.as_deref()),
            cluster: false,
            _port: Some(port),
        })
    }

    async fn as_process(config: &Config, unix_socket: bool) -> Result<Self, ServerError> {
        if process::server_version().await.is_none() {
            return Err(ServerError::NoServer {
                reason: "processes: redis-server is not installed".to_owned(),
            });
        }
        let port = Port::lease()?;
        let process = Process::start(config, port.addr(), unix_socket)?;
        let mut endpoint =
            Endpoint::new(port.addr()).with_credentials(None, config.password.as_deref());
        endpoint.unix_socket = unix_socket.then(|| process.unix_socket());
        Ok(Self {
            backend: Backend::Process(process),
            endpoint,
            cluster: false,
            _port: Some(port),
        })
    }

    /// Where the server runs.
    pub fn kind(&self) -> ServerKind {
        match self.backend {
            Backend::Container(_) => ServerKind::Container,
            Backend::Process(_) => ServerKind::Process,
            Backend::Url => ServerKind::Url,
        }
    }

    /// URL for clients, with the password if there is one; the same over restarts.
    pub fn url(&self) -> String {
        self.endpoint.url()
    }

    /// The TCP address where the server listens; the same over restarts.
    pub fn addr(&self) -> SocketAddr {
        self.endpoint.addr
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A new connection that gives the server 10 s to accept it and 30 s for each answer.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when the server does not accept it.
    pub async fn connection(&self) -> Result<MultiplexedConnection, ServerError> {
        self.connect(CONNECT_TIMEOUT, RESPONSE_TIMEOUT)
            .await
            .map_err(self.redis_error())
    }

    /// Sends one command on a connection of its own.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when the server answers with an error, or not at all.
    ///
    /// # Panics
    /// If `command` is empty.
    pub async fn command(&self, command: &[&str]) -> Result<Value, ServerError> {
        let (name, args) = command.split_first().expect("a command has a name");
        self.query(redis::cmd(name).arg(args)).await
    }

    /// All keys that match the glob `pattern`, sorted.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when the server cannot be asked.
    pub async fn keys(&self, pattern: &str) -> Result<Vec<String>, ServerError> {
        let mut connection = self.connection().await?;
        let keys = scan(&mut connection, pattern)
            .await
            .map_err(self.redis_error())?;
        Ok(sorted_text(&keys))
    }

    /// Keys that would stay for ever, sorted.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when the server cannot be asked.
    pub async fn keys_without_ttl(&self) -> Result<Vec<String>, ServerError> {
        self.keys_without_ttl_like("*").await
    }

    /// Of the keys that match, those that would stay for ever, sorted.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when the server cannot be asked.
    pub async fn keys_without_ttl_like(&self, pattern: &str) -> Result<Vec<String>, ServerError> {
        const NO_TTL: i64 = -1;
        let mut connection = self.connection().await?;
        let keys = scan(&mut connection, pattern).await;
        let keys = keys.map_err(self.redis_error())?;
        let mut found = Vec::new();
        for keys in keys.chunks(1000) {
            let mut ask = redis::Pipeline::with_capacity(keys.len());
            for key in keys {
                ask.cmd("PTTL").arg(key);
            }
            let asked = ask.query_async(&mut connection).await;
            let ttls_ms: Vec<i64> = asked.map_err(self.redis_error())?;
            let eternal = keys.iter().zip(ttls_ms).filter(|(_, ttl)| *ttl == NO_TTL);
            found.extend(eternal.map(|(key, _)| key.clone()));
        }
        Ok(sorted_text(&found))
    }

    /// Waits until the server answers commands; a node of a cluster, until its cluster is up.
    ///
    /// # Errors
    /// [`ServerError::Ended`] when the server is not running, [`ServerError::NotReady`] after 30 s.
    pub async fn wait_ready(&self) -> Result<(), ServerError> {
        self.wait_answering().await?;
        if self.cluster {
            self.wait_until(|| Box::pin(self.cluster_is_up())).await?;
        }
        Ok(())
    }

    async fn wait_answering(&self) -> Result<(), ServerError> {
        self.wait_until(|| Box::pin(self.ping())).await
    }

    /// Asks again and again until `ready` has no objection.
    ///
    /// Boxed, because the compiler cannot yet show that an async closure is `Send` for all its lifetimes.
    pub(super) async fn wait_until<'a>(
        &'a self,
        ready: impl Fn() -> Answer<'a>,
    ) -> Result<(), ServerError> {
        let asked_since = Instant::now();
        loop {
            let Err(reason) = ready().await else {
                return Ok(());
            };
            if !self.is_running().await? {
                return Err(ServerError::Ended {
                    addr: self.addr(),
                    log: last_lines(&self.log().await),
                });
            }
            let waited = asked_since.elapsed();
            if waited > READY_TIMEOUT {
                return Err(ServerError::NotReady {
                    addr: self.addr(),
                    waited,
                    reason,
                });
            }
            sleep(READY_POLL).await;
        }
    }

    async fn ping(&self) -> Result<(), String> {
        // Short, so that a server that is paused meanwhile is asked again.
        const PATIENCE: Duration = Duration::from_secs(1);
        let pong = async {
            let mut connection = self.connect(PATIENCE, PATIENCE).await?;
            redis::cmd("PING")
                .query_async::<String>(&mut connection)
                .await
        };
        pong.await
            .map(|_| ())
            .map_err(|error: redis::RedisError| error.to_string())
    }

    async fn cluster_is_up(&self) -> Result<(), String> {
        let info: String = self
            .query(redis::cmd("CLUSTER").arg("INFO"))
            .await
            .map_err(|error| error.to_string())?;
        match info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384") {
            true => Ok(()),
            false => Err("its cluster is not up".to_owned()),
        }
    }

    pub(super) async fn add_slots(&self, slots: std::ops::Range<u16>) -> Result<(), ServerError> {
        // ADDSLOTSRANGE is not known before Redis 7.
        self.query(
            redis::cmd("CLUSTER")
                .arg("ADDSLOTS")
                .arg(slots.collect::<Vec<_>>()),
        )
        .await
    }

    pub(super) async fn query<T: redis::FromRedisValue>(
        &self,
        command: &redis::Cmd,
    ) -> Result<T, ServerError> {
        let mut connection = self.connection().await?;
        command
            .query_async(&mut connection)
            .await
            .map_err(self.redis_error())
    }

    pub(super) fn redis_error(&self) -> impl Fn(redis::RedisError) -> ServerError + use<> {
        let addr = self.addr();
        move |source| ServerError::Redis { addr, source }
    }

    async fn connect(
        &self,
        connection_timeout: Duration,
        response_timeout: Duration,
    ) -> Result<MultiplexedConnection, redis::RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connection_timeout))
            .set_response_timeout(Some(response_timeout));
        Client::open(self.url())?
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    async fn is_running(&self) -> Result<bool, ServerError> {
        match &self.backend {
            Backend::Container(container) => container.is_running().await,
            Backend::Process(process) => process.is_running(),
            Backend::Url => Ok(true),
        }
    }

    async fn log(&self) -> String {
        match &self.backend {
            Backend::Container(container) => container.log().await,
            Backend::Process(process) => process.log(),
            Backend::Url => String::new(),
        }
    }
}

async fn scan(
    connection: &mut MultiplexedConnection,
    pattern: &str,
) -> Result<Vec<Vec<u8>>, redis::RedisError> {
    let mut cursor = 0_u64;
    let mut keys = Vec::new();
    loop {
        let (next, page): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg(&["MATCH", pattern, "COUNT", "1000"])
            .query_async(connection)
            .await?;
        keys.extend(page);
        if next == 0 {
            return Ok(keys);
        }
        cursor = next;
    }
}

/// SCAN may return a key twice.
fn sorted_text(keys: &[Vec<u8>]) -> Vec<String> {
    let mut keys: Vec<_> = keys
        .iter()
        .map(|key| String::from_utf8_lossy(key).into_owned())
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

pub(super) fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(5)..].join("; ")
}

use super::config::Config;
use super::{RedisServer, ServerError, ServerKind};

/// A master with replicas, and three sentinels that watch over them: always private processes.
///
/// A master that does not answer for a second is replaced.
///
/// ```no_run
/// # async fn test() -> Result<(), session_testkit::servers::ServerError> {
/// use session_testkit::servers::RedisService;
///
/// let service = RedisService::start(2).await?;
/// service.servers()[0].kill().await?;
/// let master = service.successor_of(0).await?;
/// assert_ne!(master, 0);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RedisService {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

const SENTINELS: usize = 3;

impl RedisService {
    /// The name by which the sentinels know the service.
    pub const NAME: &'static str = "shop";

    /// Starts a master, so many replicas and three sentinels, and waits until all know each other.
    ///
    /// # Errors
    /// [`ServerError`]: no server can be had.
    pub async fn start(replicas: usize) -> Result<Self, ServerError> {
        let kind = ServerKind::Process;
        let mut config = Config {
            durable: true,
            ..Config::default()
        };
        let master = RedisServer::launch(kind, &config, false).await?;
        let (host, port) = (
            master.addr().ip().to_string(),
            master.addr().port().to_string(),
        );
        let directive = |name: &str, value: String| (name.to_owned(), value);
        config.directives = vec![directive("replicaof", format!("{host} {port}"))];
        let mut servers = vec![master];
        for _ in 0..replicas {
            servers.push(RedisServer::launch(kind, &config, false).await?);
        }
        let of = |value: &str| format!("{} {value}", Self::NAME);
        let watching = Config {
            sentinel: true,
            directives: vec![
                directive("sentinel monitor", of(&format!("{host} {port} 2"))),
                directive("sentinel down-after-milliseconds", of("1000")),
                directive("sentinel failover-timeout", of("5000")),
            ],
            ..Config::default()
        };
        let mut sentinels = Vec::new();
        for _ in 0..SENTINELS {
            sentinels.push(RedisServer::launch(kind, &watching, false).await?);
        }
        let service = Self { servers, sentinels };
        for sentinel in &service.sentinels {
            let knows_all = format!("slaves={replicas},sentinels={SENTINELS}");
            service
                .wait_until(sentinel, |info| info.contains(&knows_all))
                .await?;
        }
        Ok(service)
    }

    /// All servers, the first master first.
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The sentinels.
    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// A URL that names the service by its sentinels.
    pub fn url(&self) -> String {
        let sentinels = self.sentinels.iter();
        let sentinels: Vec<_> = sentinels.map(|one| one.addr().to_string()).collect();
        format!("redis+sentinel://{}/{}", sentinels.join(","), Self::NAME)
    }

    /// Waits until all sentinels name another master than the server `old`; that one.
    ///
    /// # Errors
    /// [`ServerError::NotReady`] after 30 s.
    ///
    /// # Panics
    /// If a sentinel names a server that is not of this service.
    pub async fn successor_of(&self, old: usize) -> Result<usize, ServerError> {
        let old = format!("address={},", self.servers[old].addr());
        for sentinel in &self.sentinels {
            let is_other = |info: &str| info.contains("address=") && !info.contains(&old);
            self.wait_until(sentinel, is_other).await?;
        }
        let info = info_of(&self.sentinels[0]).await?;
        let is_named = |server: &RedisServer| info.contains(&format!("address={},", server.addr()));
        Ok(self
            .servers
            .iter()
            .position(is_named)
            .expect("it is one of these"))
    }

    async fn wait_until(
        &self,
        sentinel: &RedisServer,
        is_so: impl Fn(&str) -> bool + Sync,
    ) -> Result<(), ServerError> {
        let is_so = &is_so;
        sentinel
            .wait_until(|| {
                Box::pin(async move {
                    let info = info_of(sentinel).await.map_err(|error| error.to_string())?;
                    match is_so(&info) {
                        true => Ok(()),
                        false => Err(format!("it says {info}")),
                    }
                })
            })
            .await
    }
}

async fn info_of(sentinel: &RedisServer) -> Result<String, ServerError> {
    sentinel.query(redis::cmd("INFO").arg("sentinel")).await
}

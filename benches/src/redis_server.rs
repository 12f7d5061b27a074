use std::time::Duration;

use latchkey::{
    MemorySecondary, RedisStore, RedisStoreBuilder, SecondaryPolicy, Sessions, SessionsBuilder,
};
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo as _, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
};
use session_testkit::servers::{self, ServerKind};

use crate::{Plain, Result, Usage, stopwatch};

/// A Redis server, and what is measured on it. Dropped, a private server is removed.
#[derive(Debug)]
pub struct RedisServer {
    url: String,
    prefix: String,
    control: MultiplexedConnection,
    _private: Option<servers::RedisServer>,
}

/// On a busy machine a benchmark shall be slow, not fail. The same for all, as a timer for each call costs something.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Nor does it count who gives up.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

impl RedisServer {
    /// A private server, a process of its own.
    ///
    /// # Errors
    /// None can be started.
    pub async fn start() -> Result<Self> {
        let private = servers::RedisServer::builder()
            .kind(ServerKind::Process)
            .start()
            .await?;
        let mut server = Self::at(&private.url()).await?;
        server._private = Some(private);
        Ok(server)
    }

    /// A server that runs. Its other keys are left alone.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn at(url: &str) -> Result<Self> {
        Self::beside(url, &format!("benches-{}", std::process::id())).await
    }

    /// The server of another process, which keeps its records under this prefix.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn beside(url: &str, prefix: &str) -> Result<Self> {
        Ok(Self {
            url: url.to_owned(),
            prefix: prefix.to_owned(),
            control: connection(url).await?,
            _private: None,
        })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What all keys begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether there is a key of this name.
    pub(crate) async fn has(&self, key: &str) -> Result<bool> {
        let mut exists = redis::cmd("EXISTS");
        exists.arg(key);
        Ok(exists.query_async(&mut self.control.clone()).await?)
    }

    /// Sessions on a connection of their own.
    ///
    /// # Errors
    /// The server cannot be used.
    pub async fn sessions(&self) -> Result<Sessions> {
        self.sessions_in(RedisStore::builder()).await
    }

    /// Sessions on connections of their own, whose snapshots are at most so old.
    ///
    /// # Errors
    /// The server cannot be used.
    pub async fn sessions_that_cache(&self, max_staleness: Duration) -> Result<Sessions> {
        let store = RedisStore::builder().cached_reads(max_staleness);
        self.sessions_in(store).await
    }

    /// Sessions on connections of their own, written through to a secondary in memory that commits do not wait for.
    ///
    /// # Errors
    /// The server cannot be used.
    pub async fn sessions_written_through(&self) -> Result<Sessions> {
        let prefix = format!("{}-through", self.prefix);
        let store = self.patient(RedisStore::builder()).prefix(prefix);
        let sessions = Self::unhurried(store.connect(&self.url).await?);
        let policy = SecondaryPolicy::eventual();
        let sessions = sessions.secondary("memory", MemorySecondary::new(), policy);
        Ok(sessions.open().await?)
    }

    async fn sessions_in(&self, store: RedisStoreBuilder) -> Result<Sessions> {
        let store = self.patient(store).connect(&self.url).await?;
        Ok(Self::unhurried(store).build()?)
    }

    fn patient(&self, store: RedisStoreBuilder) -> RedisStoreBuilder {
        store
            .prefix(&self.prefix)
            .call_timeout(CALL_TIMEOUT)
            .resolve_timeout(CALL_TIMEOUT)
    }

    fn unhurried(store: RedisStore) -> SessionsBuilder {
        Sessions::builder(store)
            .max_waiters(usize::MAX)
            .wait_timeout(WAIT_TIMEOUT)
    }

    /// Plain commands on a connection of their own, of the kind that sessions use.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn plain(&self) -> Result<Plain> {
        Ok(Plain::new(connection(&self.url).await?, &self.prefix))
    }

    /// Deletes all that was stored here by this process.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn clear(&self) -> Result<()> {
        self.each_batch(|keys| {
            let mut pipeline = redis::pipe();
            // Not UNLINK: its work would go on behind the next measurement.
            pipeline.cmd("DEL").arg(keys).ignore();
            pipeline
        })
        .await
    }

    /// Lets all that was stored here by this process end when this much time has passed.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn age(&self, left: Duration) -> Result<()> {
        let left_ms = u64::try_from(left.as_millis())?;
        self.each_batch(|keys| {
            let mut pipeline = redis::pipe();
            for key in keys {
                pipeline.pexpire(key, left_ms.cast_signed()).ignore();
            }
            pipeline
        })
        .await
    }

    async fn each_batch(&self, work: impl Fn(&[Vec<u8>]) -> redis::Pipeline) -> Result<()> {
        let (mut control, pattern) = (self.control.clone(), format!("{}:*", self.prefix));
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern);
            scan.arg("COUNT").arg(1000);
            let (next, keys): (_, Vec<Vec<u8>>) = scan.query_async(&mut control).await?;
            if !keys.is_empty() {
                let () = work(&keys).query_async(&mut control).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Deletes all that is there.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn clear_all(&self) -> Result<()> {
        let mut flush = redis::cmd("FLUSHALL");
        flush.arg("SYNC");
        Ok(flush.query_async(&mut self.control.clone()).await?)
    }

    /// The bytes that its memory's users have asked for.
    ///
    /// # Errors
    /// The server cannot be asked, or does not say.
    pub async fn used_memory(&self) -> Result<u64> {
        Ok(field(&self.info("memory").await?, "used_memory")?.parse()?)
    }

    /// The CPU time used until now.
    ///
    /// # Errors
    /// The server cannot be asked, or does not say.
    pub async fn usage(&self) -> Result<Usage> {
        let cpu = self.info("cpu").await?;
        let [user, system] = [
            field(&cpu, "used_cpu_user")?.parse::<f64>()?,
            field(&cpu, "used_cpu_sys")?.parse::<f64>()?,
        ];
        Ok(Usage {
            server: Duration::from_secs_f64(user + system),
            client: stopwatch::own_cpu_time(),
        })
    }

    /// The server's version.
    ///
    /// # Errors
    /// The server cannot be asked, or does not say.
    pub async fn version(&self) -> Result<String> {
        Ok(field(&self.info("server").await?, "redis_version")?.to_owned())
    }

    async fn info(&self, section: &str) -> Result<String> {
        let mut info = redis::cmd("INFO");
        info.arg(section);
        Ok(info.query_async(&mut self.control.clone()).await?)
    }
}

fn field<'a>(info: &'a str, name: &str) -> Result<&'a str> {
    let mut values = info
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(values
        .next()
        .ok_or_else(|| format!("the server does not tell its {name}"))?
        .trim())
}

async fn connection(url: &str) -> Result<MultiplexedConnection> {
    let tcp = TcpSettings::default().set_nodelay(true);
    let client = Client::open(url.into_connection_info()?.set_tcp_settings(tcp))?;
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(CALL_TIMEOUT));
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

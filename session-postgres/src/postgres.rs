use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{
    Client, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
};
use futures_util::future::join_all;
use session_core::{Fault, StoreError};
use tokio::time::timeout;
use tokio_postgres::{
    Config, NoTls, Row, Socket,
    config::{Host, SslMode},
    tls::{MakeTlsConnect, TlsConnect},
    types::ToSql,
};

use crate::{
    dial::{Dial, Dialer},
    fault::fault,
};

/// The way to a database: a pool of connections, and how long a call may take. Cheap to clone.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool,
    node: Arc<str>,
    call_timeout: Duration,
    /// For connections that hear what others tell.
    dial: Option<Arc<dyn Dial>>,
}

// As for calls of Redis.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_CONNECTIONS: usize = 16;
// Some milliseconds of the server's time.
const REMOVED_AT_ONCE: i64 = 1_000;

impl Postgres {
    /// At most 16 connections, made as they are needed, without TLS; for anything else bring a pool:
    /// [`from_pool`](Self::from_pool).
    ///
    /// # Errors
    /// [`StoreError`] when the URL is none or asks for TLS, or the database does not answer.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::unchecked(url)?.answering().await
    }

    /// The same, first connected to when there is something to do: for a secondary that is down, and keeps no service from
    /// starting.
    ///
    /// # Errors
    /// [`StoreError`] when the URL is none or asks for TLS.
    pub fn unchecked(url: &str) -> Result<Self, StoreError> {
        let config = parse(url)?;
        if config.get_ssl_mode() == SslMode::Require {
            let what = Fault::Unsuitable("the URL asks for TLS: use `connect_tls`".to_owned());
            return Err(StoreError::new(CONNECT, node(&config), what));
        }
        Self::over(config, NoTls)
    }

    /// The same over TLS, and never without, whatever the URL says. `tls` says whose certificates are trusted; the name
    /// in the certificate has to be that in the URL.
    ///
    /// # Errors
    /// [`StoreError`] when the URL is none, or the database does not answer, has no TLS or cannot be trusted.
    ///
    /// # Cancel safety
    /// Cancel safe.
    #[cfg(feature = "tls")]
    pub async fn connect_tls(url: &str, tls: rustls::ClientConfig) -> Result<Self, StoreError> {
        Self::unchecked_tls(url, tls)?.answering().await
    }

    /// [`unchecked`](Self::unchecked) over TLS, as [`connect_tls`](Self::connect_tls).
    ///
    /// # Errors
    /// [`StoreError`] when the URL is none.
    #[cfg(feature = "tls")]
    pub fn unchecked_tls(url: &str, tls: rustls::ClientConfig) -> Result<Self, StoreError> {
        let mut config = parse(url)?;
        config.ssl_mode(SslMode::Require);
        let tls = tokio_postgres_rustls::MakeRustlsConnect::new(tls);
        Self::over(config, tls)
    }

    fn over<T>(config: Config, tls: T) -> Result<Self, StoreError>
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send + Sync,
        T::TlsConnect: Send + Sync,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let node = node(&config);
        let settings = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let dial = Dialer {
            config: config.clone(),
            tls: tls.clone(),
        };
        let manager = Manager::from_config(config, tls, settings);
        let pool = Pool::builder(manager)
            .max_size(MAX_CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .build();
        let pool = pool.map_err(|error| {
            let what = Fault::Unsuitable("the pool cannot be built".to_owned());
            StoreError::new(CONNECT, node.clone(), what).with_source(error)
        })?;
        Ok(Self {
            dial: Some(Arc::new(dial)),
            ..Self::from_pool(pool, &node)
        })
    }

    /// If the database answers.
    async fn answering(self) -> Result<Self, StoreError> {
        self.query(CONNECT, "SELECT 1", &[]).await?;
        Ok(self)
    }

    /// With a pool that is there already, as one over TLS. `node` stands for it in errors.
    pub fn from_pool(pool: Pool, node: &str) -> Self {
        Self {
            pool,
            node: node.into(),
            call_timeout: CALL_TIMEOUT,
            dial: None,
        }
    }

    /// How long a call may take, with waiting for a connection. Default 1 s.
    #[must_use]
    pub const fn call_timeout(mut self, limit: Duration) -> Self {
        self.call_timeout = limit;
        self
    }

    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// How connections are made that hear what others tell; `None` over a pool that somebody else has made.
    pub(crate) fn dial(&self) -> Option<Arc<dyn Dial>> {
        self.dial.clone()
    }

    pub(crate) const fn limit(&self) -> Duration {
        self.call_timeout
    }

    /// What a statement returns.
    pub(crate) async fn query(
        &self,
        action: &'static str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let rows = self.call(action, sql, params).await;
        rows.map_err(|error| error.error)
    }

    /// What a statement returns; if it fails, with whether it may have been executed.
    pub(crate) async fn call(
        &self,
        action: &'static str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, CallError> {
        let sent = AtomicBool::new(false);
        let rows = async {
            let mut checkout = self.checkout(action).await?;
            let client = checkout.client();
            let rows = match client.prepare_cached(sql).await {
                Ok(statement) => {
                    sent.store(true, Ordering::Relaxed);
                    client.query(&statement, params).await
                }
                Err(error) => Err(error),
            };
            checkout.is_idle();
            rows.map_err(|error| self.failed(action, &error))
        };
        let rows = self.in_time(action, rows).await;
        rows.map_err(|error| CallError::new(error, sent.into_inner()))
    }

    /// Several statements in one transaction and one flight: none waits for what another one returns. What each of
    /// them returns.
    pub(crate) async fn together(
        &self,
        action: &'static str,
        statements: &[(&str, &[&(dyn ToSql + Sync)])],
    ) -> Result<Vec<Vec<Row>>, CallError> {
        let sent = AtomicBool::new(false);
        let rows = async {
            let mut checkout = self.checkout(action).await?;
            let client = checkout.client();
            let rows = in_one_flight(client, statements, &sent).await;
            checkout.is_idle();
            rows.map_err(|error| self.failed(action, &error))
        };
        let rows = self.in_time(action, rows).await;
        rows.map_err(|error| CallError::new(error, sent.into_inner()))
    }

    /// Begins a transaction. Dropped before its commit, it changes nothing.
    pub(crate) async fn begin(&self, action: &'static str) -> Result<Transaction<'_>, CallError> {
        let begun = async {
            let checkout = self.checkout(action).await?;
            let begun = checkout.client().batch_execute(BEGIN).await;
            begun.map_err(|error| self.failed(action, &error))?;
            Ok(Transaction {
                postgres: self,
                action,
                checkout,
            })
        };
        let begun = self.in_time(action, begun).await;
        begun.map_err(|error| CallError::new(error, false))
    }

    /// How many rows a statement has changed.
    pub(crate) async fn execute(
        &self,
        action: &'static str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
        let changed = async {
            let mut checkout = self.checkout(action).await?;
            let client = checkout.client();
            let statement = client.prepare_cached(sql).await;
            let changed = match statement {
                Ok(statement) => client.execute(&statement, params).await,
                Err(error) => Err(error),
            };
            checkout.is_idle();
            changed.map_err(|error| self.failed(action, &error))
        };
        self.in_time(action, changed).await
    }

    /// Executes a statement that removes rows, a thousand at once, until nothing is left to remove; how many.
    pub(crate) async fn remove(&self, action: &'static str, sql: &str) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let step = self.execute(action, sql, &[&REMOVED_AT_ONCE]).await?;
            removed += step;
            if step < REMOVED_AT_ONCE.unsigned_abs() {
                return Ok(removed);
            }
        }
    }

    async fn in_time<T>(
        &self,
        action: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let limit = self.call_timeout;
        let result = timeout(limit, call).await;
        result.unwrap_or_else(|_late| Err(self.error(action, Fault::TimedOut(limit))))
    }

    async fn checkout(&self, action: &'static str) -> Result<Checkout, StoreError> {
        match self.pool.get().await {
            Ok(client) => Ok(Checkout(Some(client))),
            Err(PoolError::Backend(error)) => Err(self.failed(action, &error)),
            Err(PoolError::Timeout(_)) => {
                Err(self.error(action, Fault::TimedOut(self.call_timeout)))
            }
            Err(error) => Err(self.error(action, Fault::Unreachable).with_source(error)),
        }
    }

    fn failed(&self, action: &'static str, error: &tokio_postgres::Error) -> StoreError {
        match fault(error) {
            (fault, Some(refusal)) => self.error(action, fault).with_source(refusal),
            (fault, None) => self.error(action, fault),
        }
    }

    pub(crate) fn error(&self, action: &'static str, fault: Fault) -> StoreError {
        StoreError::new(action, self.node.to_string(), fault)
    }
}

// Statements that wait for a row have to see what it has become, whatever the database's default is.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

async fn in_one_flight(
    client: &Client,
    statements: &[(&str, &[&(dyn ToSql + Sync)])],
    sent: &AtomicBool,
) -> Result<Vec<Vec<Row>>, tokio_postgres::Error> {
    let mut prepared = Vec::with_capacity(statements.len());
    for (sql, params) in statements {
        prepared.push((client.prepare_cached(sql).await?, *params));
    }
    sent.store(true, Ordering::Relaxed);
    // They are sent in the order in which they are polled first.
    let all = join_all(
        prepared
            .iter()
            .map(|(sql, params)| client.query(sql, params)),
    );
    let (begun, answers, committed) = futures_util::join!(
        client.batch_execute(BEGIN),
        all,
        client.batch_execute("COMMIT")
    );
    begun?;
    // Behind the first error all others only say that the transaction is aborted.
    let answers = answers.into_iter().collect::<Result<_, _>>()?;
    committed?;
    Ok(answers)
}

/// A call that failed.
#[derive(Debug)]
pub(crate) struct CallError {
    pub(crate) error: StoreError,
    /// Whether it may have been executed all the same, now or later.
    pub(crate) sent: bool,
}

impl CallError {
    /// `sent`: whether all of it was on its way.
    pub(crate) fn new(error: StoreError, sent: bool) -> Self {
        // An answer of the database, whatever it says, is that it did nothing.
        let silent = matches!(error.fault(), Fault::TimedOut(_) | Fault::Unreachable);
        Self {
            sent: sent && silent,
            error,
        }
    }
}

/// A transaction that looks at what it has read before it goes on.
pub(crate) struct Transaction<'a> {
    postgres: &'a Postgres,
    action: &'static str,
    checkout: Checkout,
}

impl Transaction<'_> {
    pub(crate) async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, CallError> {
        let client = self.checkout.client();
        let rows = async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, params).await
        };
        self.step(rows, false).await
    }

    /// Several statements without parameters.
    pub(crate) async fn run(&self, sql: &str) -> Result<(), CallError> {
        self.step(self.checkout.client().batch_execute(sql), false)
            .await
    }

    pub(crate) async fn commit(mut self) -> Result<(), CallError> {
        let committed = self.step(self.checkout.client().batch_execute("COMMIT"), true);
        committed.await?;
        self.checkout.is_idle();
        Ok(())
    }

    /// Changes nothing. The connection stays in use.
    pub(crate) async fn roll_back(mut self) {
        let over = self.step(self.checkout.client().batch_execute("ROLLBACK"), false);
        if over.await.is_ok() {
            self.checkout.is_idle();
        }
    }

    async fn step<T>(
        &self,
        step: impl Future<Output = Result<T, tokio_postgres::Error>>,
        last: bool,
    ) -> Result<T, CallError> {
        let step = async {
            step.await
                .map_err(|error| self.postgres.failed(self.action, &error))
        };
        let done = self.postgres.in_time(self.action, step).await;
        done.map_err(|error| CallError::new(error, last))
    }
}

const CONNECT: &str = "connect";

fn parse(url: &str) -> Result<Config, StoreError> {
    // The parser's error might quote the password.
    url.parse().map_err(|_quotes| {
        let what = Fault::Unsuitable("the URL is no URL of PostgreSQL".to_owned());
        StoreError::new(CONNECT, "the database", what)
    })
}

fn node(config: &Config) -> String {
    let ports = config.get_ports();
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    format!("{host}:{}", ports.first().unwrap_or(&5_432))
}

/// A connection of the pool. Dropped in the middle of a call it is closed: whoever got it next would wait for that call.
struct Checkout(Option<Client>);

impl Checkout {
    fn client(&self) -> &Client {
        self.0.as_ref().expect("it is given back once")
    }

    /// The call is over: the connection goes back to the pool.
    fn is_idle(&mut self) {
        drop(self.0.take());
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Client::take(client));
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("node", &self.node)
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}

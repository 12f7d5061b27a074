//! A schema of one test's own, with the tables of Latchkey.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use session_core::SessionKey;
use session_postgres::{Postgres, migrations};
use session_testkit::servers::PostgresServer;
use tokio_postgres::Client;

use crate::support::{TestResult, connect};

pub(crate) struct Schema {
    pub(crate) url: String,
    pub(crate) client: Client,
}

/// Nothing of the shared server has to survive a crash, and disks of test machines are slow.
const NO_DISK: &str = "%20-csynchronous_commit%3Doff";

impl Schema {
    /// Without tables.
    pub(crate) async fn empty_on(server: &PostgresServer) -> TestResult<Self> {
        Self::with(server, "").await
    }

    /// `settings` of its connections, beyond the search path.
    async fn with(server: &PostgresServer, settings: &str) -> TestResult<Self> {
        static SCHEMAS: AtomicU32 = AtomicU32::new(0);
        let schema = format!("latchkey{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
        let url = server.url();
        let url = format!("{url}?options=-csearch_path%3D{schema}{settings}");
        let client = connect(&url).await?;
        let create = format!("CREATE SCHEMA {schema}");
        client.batch_execute(&create).await?;
        Ok(Self { url, client })
    }

    pub(crate) async fn on(server: &PostgresServer) -> TestResult<Self> {
        let schema = Self::empty_on(server).await?;
        migrations::up(&schema.postgres().await?).await?;
        Ok(schema)
    }

    /// On the server that tests share; `None`: tests with PostgreSQL are left out.
    pub(crate) async fn empty() -> TestResult<Option<Self>> {
        if PostgresServer::is_skipped()? {
            return Ok(None);
        }
        let server = PostgresServer::shared().await?;
        Self::with(server, NO_DISK).await.map(Some)
    }

    pub(crate) async fn new() -> TestResult<Option<Self>> {
        let Some(schema) = Self::empty().await? else {
            return Ok(None);
        };
        migrations::up(&schema.postgres().await?).await?;
        Ok(Some(schema))
    }

    /// Connections of their own, as another process has them.
    pub(crate) async fn postgres(&self) -> TestResult<Postgres> {
        let postgres = Postgres::connect(&self.url).await?;
        // On a busy machine calls are slow, and not lost.
        Ok(postgres.call_timeout(Duration::from_secs(20)))
    }

    /// Puts bytes in the place of a session.
    pub(crate) async fn plant(&self, key: &SessionKey, bytes: &[u8]) -> TestResult {
        let key = [&key.digest()[..], &key.bucket().number().to_be_bytes()].concat();
        let (head, body) = match session_core::Header::decode(bytes) {
            Ok((_, end)) => (&bytes[24..end], &bytes[end..]),
            Err(_) if bytes.len() > 24 => (&bytes[24..], &[][..]),
            Err(_) => (bytes, &[][..]),
        };
        let sql = "INSERT INTO latchkey_records (key, head, body, revision, created_ms, \
            absolute_end_ms, idle_ms, expires_ms) \
            SELECT $1, $2, $3, 1, 1, ms + 120000, 60000, ms + 60000 \
            FROM (SELECT (extract(epoch FROM now()) * 1000)::bigint AS ms) AS clock \
            ON CONFLICT (key) DO UPDATE SET head = excluded.head, body = excluded.body, \
            absolute_end_ms = excluded.absolute_end_ms, expires_ms = excluded.expires_ms";
        self.client.execute(sql, &[&key, &head, &body]).await?;
        Ok(())
    }

    pub(crate) async fn count(&self, table: &str) -> TestResult<i64> {
        let sql = format!("SELECT count(*) FROM {table}");
        Ok(self.client.query_one(&sql, &[]).await?.get(0))
    }
}

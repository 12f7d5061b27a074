use std::sync::atomic::{AtomicU32, Ordering};

use session_postgres::{PiccoloSessions, Postgres};
use session_testkit::servers::PostgresServer;
use tokio_postgres::{Client, NoTls, types::ToSql};

pub(crate) type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A table of one test's own, as piccolo_api makes it.
pub(crate) struct Table {
    pub(crate) url: String,
    pub(crate) client: Client,
}

pub(crate) const TABLE: &str = "CREATE TABLE sessions (id serial PRIMARY KEY, \
    token varchar(100) NOT NULL DEFAULT '', user_id integer NOT NULL DEFAULT 0, \
    expiry_date timestamp NOT NULL, max_expiry_date timestamp NOT NULL)";

impl Table {
    /// `None`: tests with PostgreSQL are left out.
    pub(crate) async fn new() -> TestResult<Option<Self>> {
        let empty = Self::schema().await?;
        if let Some(table) = &empty {
            table.client.batch_execute(TABLE).await?;
        }
        Ok(empty)
    }

    /// A schema without a table.
    pub(crate) async fn schema() -> TestResult<Option<Self>> {
        if PostgresServer::is_skipped()? {
            return Ok(None);
        }
        Self::on(PostgresServer::shared().await?).await.map(Some)
    }

    pub(crate) async fn on(server: &PostgresServer) -> TestResult<Self> {
        static SCHEMAS: AtomicU32 = AtomicU32::new(0);
        let schema = format!("test{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
        let url = format!("{}?options=-csearch_path%3D{schema}", server.url());
        let client = connect(&url).await?;
        client
            .batch_execute(&format!("CREATE SCHEMA {schema}"))
            .await?;
        Ok(Self { url, client })
    }

    pub(crate) async fn sessions(&self, zone: &str) -> TestResult<PiccoloSessions> {
        let postgres = Postgres::connect(&self.url).await?;
        // On a busy machine calls are slow, and not lost.
        let postgres = postgres.call_timeout(std::time::Duration::from_secs(20));
        Ok(PiccoloSessions::new(&postgres, zone).await?)
    }

    /// A row that ends in so many seconds, and at the latest in so many.
    pub(crate) async fn insert(&self, token: &str, left: f64, limit: f64) -> TestResult {
        let sql = "INSERT INTO sessions (token, user_id, expiry_date, max_expiry_date) \
            SELECT $1, 7, utc + make_interval(secs => $2), utc + make_interval(secs => $3) \
            FROM (SELECT now() AT TIME ZONE 'UTC' AS utc) AS clock";
        self.client.execute(sql, &[&token, &left, &limit]).await?;
        Ok(())
    }

    /// How many seconds a session has left, and at the most, in UTC.
    pub(crate) async fn left(&self, token: &str) -> TestResult<(f64, f64)> {
        let sql = "SELECT extract(epoch FROM expiry_date - utc)::float8, \
            extract(epoch FROM max_expiry_date - utc)::float8 \
            FROM sessions, (SELECT now() AT TIME ZONE 'UTC' AS utc) AS clock WHERE token = $1";
        let row = self.client.query_one(sql, &[&token]).await?;
        Ok((row.get(0), row.get(1)))
    }

    /// The row as text, to the last digit.
    pub(crate) async fn row(&self, token: &str) -> TestResult<String> {
        let params: [&(dyn ToSql + Sync); 1] = [&token];
        let sql = "SELECT sessions::text FROM sessions WHERE token = $1";
        Ok(self.client.query_one(sql, &params).await?.get(0))
    }
}

pub(crate) async fn connect(url: &str) -> TestResult<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends with its client.
    drop(tokio::spawn(connection));
    Ok(client)
}

/// Whether two numbers of seconds are the same but for the time that a test takes.
pub(crate) fn about(found: f64, expected: f64) -> bool {
    (expected - 120.0..=expected + 1.0).contains(&found)
}

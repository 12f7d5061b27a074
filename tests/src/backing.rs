use std::time::Duration;

use session_testkit::servers::RedisServer;
use tokio::time::sleep;
use tokio_postgres::{NoTls, Row};

use crate::TestResult;

/// Where the sessions of a run stand.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "tests match on it")]
pub enum Backing<'a> {
    /// In Redis, locked there.
    Redis(&'a RedisServer),
    /// On several servers: a cluster, or a master and its replicas.
    Several {
        /// What names them all.
        url: &'a str,
        /// The servers.
        servers: &'a [RedisServer],
    },
    /// In PostgreSQL.
    Postgres {
        /// The database, with its tables.
        url: &'a str,
        /// Where they are locked; `None`: in PostgreSQL too.
        redlock: Option<&'a RedisServer>,
    },
}

impl<'a> From<&'a RedisServer> for Backing<'a> {
    fn from(server: &'a RedisServer) -> Self {
        Self::Redis(server)
    }
}

impl Backing<'_> {
    /// What tells the counter of it.
    pub(crate) fn args(self) -> Vec<String> {
        match self {
            Self::Redis(server) => vec!["--redis".to_owned(), server.url()],
            Self::Several { url, .. } => vec!["--redis".to_owned(), url.to_owned()],
            Self::Postgres { url, redlock } => {
                let mut args = vec!["--primary".to_owned(), url.to_owned()];
                args.push("--locker".to_owned());
                match redlock {
                    None => args.push("postgres".to_owned()),
                    Some(server) => {
                        args.extend(["redlock", "--redis"].map(str::to_owned));
                        args.push(server.url());
                    }
                }
                args
            }
        }
    }
}

// A server that restarts refuses connections for a moment.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// Asks over a connection of its own.
pub(crate) async fn query(url: &str, sql: &str) -> TestResult<Vec<Row>> {
    let mut tries = 0;
    let (client, connection) = loop {
        tries += 1;
        match tokio_postgres::connect(url, NoTls).await {
            Ok(connected) => break connected,
            Err(error) if tries == TRIES => return Err(error.into()),
            Err(_starting) => sleep(PAUSE).await,
        }
    };
    // It ends with its client.
    drop(tokio::spawn(connection));
    Ok(client.query(sql, &[]).await?)
}

use std::time::Duration;

use futures_util::future::try_join_all;
use session_testkit::servers::RedisServer;
use tokio::time::{sleep, timeout};

use crate::{Replica, TestResult};

/// Several processes of the example `web` on a Redis of their own.
#[derive(Debug)]
pub struct Shop {
    /// Its Redis.
    pub server: RedisServer,
    /// Its processes.
    pub replicas: Vec<Replica>,
}

impl Shop {
    /// Starts so many replicas.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn open(replicas: usize) -> TestResult<Self> {
        let server = RedisServer::start().await?;
        let url = server.url();
        let arguments = ["--redis", &url];
        let replicas = (0..replicas).map(|_| Replica::start(&arguments));
        let replicas = try_join_all(replicas).await?;
        Ok(Self { server, replicas })
    }

    /// Returns the key of the lock as soon as one is held.
    ///
    /// # Errors
    /// When none is for a minute.
    pub async fn locked(&self) -> TestResult<String> {
        let held = async {
            loop {
                if let Some(lock) = self.server.keys("*:lock:*").await?.pop() {
                    return TestResult::Ok(lock);
                }
                sleep(POLL).await;
            }
        };
        let held = timeout(PATIENCE, held).await;
        held.map_err(|_late| format!("no lock for {PATIENCE:?}"))?
    }

    /// How many records of sessions stand in Redis, ended ones included.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn records(&self) -> TestResult<usize> {
        Ok(self.server.keys("*:session:*").await?.len())
    }
}

const POLL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);

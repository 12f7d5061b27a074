use futures_util::future::try_join_all;
use session_testkit::servers::RedisServer;

use crate::TestResult;

/// The independent servers that a lock is spread over.
#[derive(Debug)]
pub struct Nodes(Vec<RedisServer>);

impl Nodes {
    /// So many servers that forget everything when they end.
    ///
    /// # Errors
    /// When one cannot be started.
    pub async fn start(count: usize) -> TestResult<Self> {
        Self::start_with(count, 0).await
    }

    /// So many servers, the first of which keep their data, whatever befalls them.
    ///
    /// # Errors
    /// When one cannot be started.
    pub async fn start_with(count: usize, durable: usize) -> TestResult<Self> {
        let start = |number| {
            let server = RedisServer::builder();
            if number < durable {
                server.durable()
            } else {
                server
            }
            .start()
        };
        Ok(Self(try_join_all((0..count).map(start)).await?))
    }

    /// The servers.
    pub fn servers(&self) -> &[RedisServer] {
        &self.0
    }

    /// Their URLs.
    pub fn urls(&self) -> Vec<String> {
        self.0.iter().map(RedisServer::url).collect()
    }

    /// What stands under a key, on each node.
    ///
    /// # Errors
    /// When one cannot be asked.
    pub async fn values(&self, key: &str) -> TestResult<Vec<redis::Value>> {
        let mut values = Vec::with_capacity(self.0.len());
        for server in &self.0 {
            values.push(server.command(&["GET", key]).await?);
        }
        Ok(values)
    }
}

use crate::{RedisServer, Result, Usage};

/// The independent servers that a lock is spread over.
#[derive(Debug)]
pub struct Nodes(Vec<RedisServer>);

impl Nodes {
    /// So many private servers.
    ///
    /// # Errors
    /// One cannot be started.
    pub async fn start(count: usize) -> Result<Self> {
        let mut servers = Vec::with_capacity(count);
        for _ in 0..count {
            servers.push(RedisServer::start().await?);
        }
        Ok(Self(servers))
    }

    /// The addresses.
    pub fn urls(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|server| server.url().to_owned())
            .collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// There are none.
    pub fn first(&self) -> Result<&RedisServer> {
        Ok(self.0.first().ok_or("no nodes")?)
    }

    /// How many nodes make a majority.
    pub fn quorum(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// How many nodes have the lock of this name.
    pub(crate) async fn holding(&self, name: &str) -> Result<usize> {
        let mut holding = 0;
        for server in &self.0 {
            holding += usize::from(server.has(name).await?);
        }
        Ok(holding)
    }

    /// The CPU time used until now, by all of them and by this process.
    ///
    /// # Errors
    /// One cannot be asked.
    pub async fn usage(&self) -> Result<Usage> {
        let mut sum = Usage::default();
        for server in &self.0 {
            let usage = server.usage().await?;
            sum.server += usage.server;
            sum.client = usage.client;
        }
        Ok(sum)
    }

    /// Their version.
    ///
    /// # Errors
    /// They cannot be asked.
    pub async fn version(&self) -> Result<String> {
        self.first()?.version().await
    }
}

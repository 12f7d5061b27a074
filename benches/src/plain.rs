use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{AsyncCommands as _, aio::MultiplexedConnection};

use crate::{Record, Result, Subject, tasks};

/// Records by plain GET and SET: the least that Redis and its client can do, with no promise at all.
///
/// A record is its counter, eight bytes, and then as many bytes as a session's values take.
#[derive(Clone, Debug)]
pub struct Plain {
    connection: MultiplexedConnection,
    prefix: Arc<str>,
    created: Arc<AtomicU64>,
}

const COUNT_LEN: usize = size_of::<u64>();

impl Plain {
    pub(crate) fn new(connection: MultiplexedConnection, prefix: &str) -> Self {
        Self {
            connection,
            prefix: prefix.into(),
            created: Arc::default(),
        }
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>> {
        let record: Option<Vec<u8>> = self.connection.clone().get(key).await?;
        Ok(record.ok_or("the record is gone")?)
    }

    /// Stores so many bytes that end in an hour.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn set_for_an_hour(&self, key: &str, bytes: usize) -> Result<()> {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(vec![b'x'; bytes]).arg("PX").arg(3_600_000);
        Ok(set.query_async(&mut self.connection.clone()).await?)
    }

    /// Adds 1, with so much time between GET and SET. Returns the new count.
    ///
    /// # Errors
    /// The record is gone, or the server cannot be asked.
    pub async fn add_one(&self, key: &str, work: Duration) -> Result<u64> {
        let mut record = self.get(key).await?;
        tasks::pause(work).await;
        let count = count(&record)? + 1;
        record[..COUNT_LEN].copy_from_slice(&count.to_be_bytes());
        self.set(key, &record).await?;
        Ok(count)
    }

    async fn set(&self, key: &str, record: &[u8]) -> Result<()> {
        Ok(self.connection.clone().set(key, record).await?)
    }
}

impl Subject for Plain {
    type Name = Arc<str>;

    async fn create(&self, record: &Record) -> Result<Arc<str>> {
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        let key = format!("{}:plain:{number}", self.prefix);
        let mut bytes = vec![b'x'; record.bytes()];
        bytes[..COUNT_LEN].fill(0);
        self.set(&key, &bytes).await?;
        Ok(key.into())
    }

    async fn cycle(&self, key: &Arc<str>) -> Result<u64> {
        self.add_one(key, Duration::ZERO).await
    }

    async fn update(&self, key: &Arc<str>) -> Result<u64> {
        self.cycle(key).await
    }

    async fn read(&self, key: &Arc<str>) -> Result<u64> {
        count(&self.get(key).await?)
    }
}

fn count(record: &[u8]) -> Result<u64> {
    let count = record.first_chunk().ok_or("the record is cut off")?;
    Ok(u64::from_be_bytes(*count))
}

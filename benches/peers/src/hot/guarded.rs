use std::{sync::Arc, time::Duration};

use latchkey_benches::{Plain, Result, Stopwatch, hot::Contender, locks::Locker};

/// A record by GET and SET, under a lock of some library, or of none.
#[derive(Clone)]
pub(super) struct Guarded<L> {
    plain: Plain,
    record: Arc<str>,
    lock: String,
    locker: Option<L>,
}

impl<L> Guarded<L> {
    pub(super) fn new(plain: Plain, record: &str, locker: Option<L>) -> Self {
        Self {
            plain,
            record: record.into(),
            lock: format!("{record}:lock"),
            locker,
        }
    }
}

impl<L: Locker> Contender for Guarded<L> {
    async fn turn(&self, work: Duration) -> Result<Duration> {
        let Some(locker) = &self.locker else {
            self.plain.add_one(&self.record, work).await?;
            return Ok(Duration::ZERO);
        };
        let asked = Stopwatch::start();
        let lease = locker.acquire(&self.lock).await?;
        let waited = asked.elapsed();
        self.plain.add_one(&self.record, work).await?;
        locker.release(lease).await?;
        Ok(waited)
    }
}

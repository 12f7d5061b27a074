use std::{future::Future, time::Duration};

use session_core::StoreError;

use super::PostgresRecords;

impl PostgresRecords {
    /// Removes the rows of sessions whose time is up, a thousand at once; how many. Several processes may do so at the
    /// same time: none waits for another one, and none for a session that is in use.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer. What was removed until then stays removed.
    ///
    /// # Cancel safety
    /// Cancelled, some rows are removed.
    pub async fn clean_up(&self) -> Result<u64, StoreError> {
        let records = include_str!("../../sql/records_sweep.sql");
        let users = include_str!("../../sql/users_sweep.sql");
        let postgres = self.postgres();
        let removed = postgres.remove("remove dead sessions", records).await?;
        let forget = "forget users without sessions";
        postgres.remove(forget, users).await?;
        Ok(removed)
    }

    /// [`clean_up`](Self::clean_up) for ever, with that time between: to be spawned. What fails is logged and tried
    /// again the next time.
    ///
    /// # Cancel safety
    /// As [`clean_up`](Self::clean_up).
    pub fn clean_up_every(&self, interval: Duration) -> impl Future<Output = ()> + Send + 'static {
        let records = self.clone();
        async move {
            loop {
                if let Err(error) = records.clean_up().await {
                    tracing::warn!(%error, "could not remove dead sessions");
                }
                tokio::time::sleep(interval).await;
            }
        }
    }
}

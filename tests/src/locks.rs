use std::collections::BTreeMap;

use redis::Cmd;
use session_testkit::servers::RedisServer;

use crate::{Backing, TestResult, backing, values};

/// The locks that were held at a moment, and under which owner values.
#[derive(Clone, PartialEq, Eq)]
pub struct HeldLocks(BTreeMap<String, Vec<u8>>);

impl HeldLocks {
    /// Those that are held now.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn on(server: &RedisServer) -> TestResult<Self> {
        let locks = values::read(server, "*:lock:*", |lock| Cmd::get(lock)).await?;
        let held = locks.into_iter();
        Ok(Self(
            held.filter_map(|(lock, owner)| Some((lock, owner?)))
                .collect(),
        ))
    }

    /// Those that are held now, wherever they are.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn in_backing(backing: Backing<'_>) -> TestResult<Self> {
        match backing {
            Backing::Redis(server) => Self::on(server).await,
            Backing::Several { servers, .. } => {
                let mut all = BTreeMap::new();
                for server in servers {
                    all.extend(Self::on(server).await?.0);
                }
                Ok(Self(all))
            }
            Backing::Postgres { url, .. } => {
                let sql = "SELECT encode(key, 'hex'), owner FROM latchkey_locks \
                    WHERE until_ms > extract(epoch FROM clock_timestamp()) * 1000 \
                    AND owner IS NOT NULL";
                let rows = backing::query(url, sql).await?;
                let held = rows.iter().map(|row| (row.get(0), row.get(1)));
                Ok(Self(held.collect()))
            }
        }
    }

    /// Those of these locks that are held in `later` by the same owner still.
    pub(crate) fn still_in(&self, later: &Self) -> usize {
        (self.0.iter())
            .filter(|(lock, owner)| later.0.get(*lock) == Some(owner))
            .count()
    }
}

impl std::fmt::Debug for HeldLocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Whoever knows an owner value can release the lock.
        f.debug_tuple("HeldLocks").field(&self.0.len()).finish()
    }
}

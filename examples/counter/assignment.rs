use std::{io, io::BufRead, sync::Arc, time::Duration};

use latchkey::{
    RedisStore, SessionId, Sessions, Timeouts,
    core::{Composed, PrimaryStore, RedlockLocker},
    lock::{RedisNode, Redlock},
    postgres::{Postgres, PostgresLocker, PostgresRecords},
};
use serde::{Deserialize, Serialize};

use crate::{
    BoxError,
    args::{Limit, Locker, Mode},
};

/// What the parent tells a worker. It goes through the worker's standard input, one line of JSON: session IDs and
/// passwords are secrets, and everybody on the machine can read a command line.
#[derive(Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) worker: u32,
    pub(crate) tasks: u32,
    pub(crate) limit: Limit,
    pub(crate) mode: Mode,
    pub(crate) hold: Duration,
    pub(crate) store: StoreSettings,
    ids: Vec<String>,
}

impl Assignment {
    pub(crate) fn new(worker: u32, args: &crate::args::Args, ids: &[SessionId]) -> Self {
        Self {
            worker,
            tasks: args.tasks,
            limit: args.limit(),
            mode: args.mode,
            hold: args.hold(),
            store: args.store(),
            ids: ids.iter().map(|id| id.expose().to_owned()).collect(),
        }
    }

    pub(crate) fn read(input: &mut impl BufRead) -> Result<Self, BoxError> {
        let mut line = String::new();
        input.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    pub(crate) fn to_line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    pub(crate) fn ids(&self) -> Result<Vec<SessionId>, BoxError> {
        self.ids.iter().map(|id| Ok(id.parse()?)).collect()
    }

    pub(crate) fn sessions(&self) -> usize {
        self.ids.len()
    }
}

/// Which session a round works on. It follows from the round alone, so that the parent knows, without being told,
/// what a killed worker was working on.
pub(crate) fn session_of(worker: u32, task: u32, round: u64, sessions: usize) -> usize {
    let task = u64::from(worker) << 32 | u64::from(task);
    let hash = mix(mix(task).wrapping_add(round));
    (hash >> 32) as u32 as usize % sessions
}

/// The mixing step of SplitMix64 (Steele, Lea, Flood 2014): neighbours end up far apart.
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// How parent and workers reach the sessions.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoreSettings {
    pub(crate) redis: Option<String>,
    pub(crate) primary: Option<String>,
    pub(crate) locker: Locker,
    pub(crate) lease: Option<Duration>,
    pub(crate) wait: Option<Duration>,
    pub(crate) max_waiters: u32,
}

impl StoreSettings {
    pub(crate) async fn open(&self) -> Result<Sessions, BoxError> {
        match &self.primary {
            None => self.configure(RedisStore::connect(self.redis()?).await?),
            Some(url) => {
                let postgres = Postgres::connect(url).await?;
                let records = PostgresRecords::new(&postgres).await?;
                match self.locker {
                    Locker::Postgres => {
                        let locker = PostgresLocker::new(&postgres).await?;
                        self.configure(Composed::new(records, locker))
                    }
                    Locker::Redlock => {
                        let node = Arc::new(RedisNode::connect(self.redis()?)?);
                        let lock = Redlock::builder(vec![node]).longest_ttl(LONGEST_LEASE);
                        let locker = RedlockLocker::new(lock.build()?)?;
                        self.configure(Composed::new(records, locker))
                    }
                }
            }
        }
    }

    fn redis(&self) -> Result<&str, BoxError> {
        Ok(self.redis.as_deref().ok_or("--redis is needed")?)
    }

    fn configure(&self, store: impl PrimaryStore) -> Result<Sessions, BoxError> {
        let mut sessions = Sessions::builder(store)
            .timeouts(Timeouts::new(DAY, 30 * DAY)?)
            .max_waiters(self.max_waiters as usize)
            .warn_unlocked(false);
        if let Some(lease) = self.lease {
            sessions = sessions.lease(lease);
        }
        if let Some(wait) = self.wait {
            sessions = sessions.wait_timeout(wait);
        }
        Ok(sessions.build()?)
    }
}

// Of a session.
const LONGEST_LEASE: Duration = Duration::from_secs(60);
// No session may end by itself while it is counted; after a parent that was killed, all are gone a day later.
const DAY: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_spread_over_all_sessions() {
        let mut rounds = [0_u32; 100];
        for (task, round) in (0..16).flat_map(|task| (0..1_000).map(move |round| (task, round))) {
            rounds[session_of(1, task, round, rounds.len())] += 1;
        }
        assert!(
            rounds.iter().all(|rounds| (100..220).contains(rounds)),
            "{rounds:?}"
        );
    }
}

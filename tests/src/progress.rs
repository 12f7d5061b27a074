use std::collections::HashMap;

use redis::Cmd;
use session_testkit::servers::RedisServer;

use crate::{Backing, TestResult, backing, values};

/// The newest stored commit of each process that has one: the process' random number and the commit's, as the digest
/// in the records has them (layout: `session-core/src/record.rs`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Commits(HashMap<[u8; PROCESS_LEN], u32>);

const ATTEMPT_COUNT_AT: usize = 69;
const ATTEMPTS_AT: usize = 70;
const ATTEMPT_LEN: usize = 12;
const PROCESS_LEN: usize = 8;
// An attempt of each of eight processes.
const HEAD_LEN: isize = 70 + 8 * 12;

impl Commits {
    pub(crate) async fn stored_in(backing: Backing<'_>) -> TestResult<Self> {
        match backing {
            Backing::Redis(server) => Self::in_redis(server).await,
            Backing::Several { servers, .. } => Ok(Self::on_several(servers).await),
            Backing::Postgres { url, .. } => Self::in_postgres(url).await,
        }
    }

    /// There the first three numbers of a head stand in columns of their own.
    async fn in_postgres(url: &str) -> TestResult<Self> {
        let mut commits = Self::default();
        for row in backing::query(url, "SELECT head FROM latchkey_records").await? {
            let head: &[u8] = row.get(0);
            commits.note(&[&[0; 24], head].concat());
        }
        Ok(commits)
    }

    async fn in_redis(server: &RedisServer) -> TestResult<Self> {
        let head = |record: &str| Cmd::getrange(record, 0, HEAD_LEN - 1);
        let mut commits = Self::default();
        for (_record, head) in values::read(server, "*:session:*", head).await? {
            commits.note(&head.unwrap_or_default());
        }
        Ok(commits)
    }

    /// As far as they answer: one may be down, and a record on its way to another one.
    async fn on_several(servers: &[RedisServer]) -> Self {
        let mut commits = Self::default();
        for server in servers {
            let stored = Self::in_redis(server).await.unwrap_or_default();
            for (process, number) in stored.0 {
                let newest = commits.0.entry(process).or_default();
                *newest = number.max(*newest);
            }
        }
        commits
    }

    fn note(&mut self, head: &[u8]) {
        let count = head.get(ATTEMPT_COUNT_AT).copied().unwrap_or_default();
        let attempts = head.get(ATTEMPTS_AT..).unwrap_or_default();
        let (attempts, _) = attempts.as_chunks::<ATTEMPT_LEN>();
        for attempt in attempts.iter().take(count.into()) {
            let [process @ .., n0, n1, n2, n3] = *attempt;
            let newest = self.0.entry(process).or_default();
            *newest = (*newest).max(u32::from_be_bytes([n0, n1, n2, n3]));
        }
    }

    /// How many processes have committed since `earlier`.
    pub(crate) fn advanced_since(&self, earlier: &Self) -> usize {
        self.0
            .iter()
            .filter(|(process, number)| earlier.0.get(*process).is_none_or(|then| then < number))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(attempts: &[(u8, u32)]) -> Vec<u8> {
        let mut head = vec![0; ATTEMPTS_AT];
        head[ATTEMPT_COUNT_AT] = u8::try_from(attempts.len()).unwrap();
        for (process, number) in attempts {
            head.extend([*process; PROCESS_LEN]);
            head.extend(number.to_be_bytes());
        }
        head
    }

    fn commits(heads: &[&[(u8, u32)]]) -> Commits {
        let mut commits = Commits::default();
        heads
            .iter()
            .for_each(|attempts| commits.note(&head(attempts)));
        commits
    }

    #[test]
    fn the_newest_commit_of_a_process_counts_in_whichever_session_it_is() {
        assert_eq!(
            commits(&[&[(1, 5), (2, 9)], &[(2, 7), (1, 6)]]),
            commits(&[&[(1, 6), (2, 9)]])
        );
    }

    #[test]
    fn a_process_has_advanced_when_it_has_committed_for_the_first_time_or_again() {
        let earlier = commits(&[&[(1, 5), (2, 9)]]);
        assert_eq!(earlier.advanced_since(&earlier), 0);
        assert_eq!(
            commits(&[&[(1, 6), (2, 9), (3, 0)]]).advanced_since(&earlier),
            2
        );
    }

    #[test]
    fn what_is_no_record_counts_for_nothing() {
        let mut commits = Commits::default();
        commits.note(b"");
        commits.note(&[255; 75]);
        assert_eq!(commits, Commits::default());
    }
}

use std::{collections::BTreeMap, mem, time::Duration};

use session_testkit::servers::RedisServer;
use tokio::time::{Instant, sleep};

use crate::{Chance, Holders, Stopped, TestResult};

/// Faults at random, of servers and of the processes that use them; which, the seed decides.
#[derive(Debug)]
pub struct Chaos<'a> {
    nodes: Vec<Node<'a>>,
    holders: &'a Holders,
    stopped: Vec<Option<Stopped>>,
    chance: Chance,
    /// How often each kind of fault has happened.
    counts: BTreeMap<Fault, usize>,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "tests count them")]
pub enum Fault {
    /// A server is killed; its port refuses connections until it is restarted, with its data or without.
    Killed,
    /// A server keeps its connections and answers nothing.
    Paused,
    /// More servers are down than a quorum can do without.
    NoQuorum,
    /// A process that uses them is stopped.
    Stopped,
}

#[derive(Debug)]
struct Node<'a> {
    server: &'a RedisServer,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Killed,
    Paused,
}

impl<'a> Chaos<'a> {
    /// On these servers and processes, none of which has a fault yet.
    pub fn new(servers: &'a [RedisServer], holders: &'a Holders, seed: u64) -> Self {
        let up = |server| Node {
            server,
            state: State::Up,
        };
        Self {
            nodes: servers.iter().map(up).collect(),
            holders,
            stopped: (0..holders.count()).map(|_| None).collect(),
            chance: Chance::new(seed),
            counts: BTreeMap::new(),
        }
    }

    /// Lets things happen for some time, then mends everything.
    ///
    /// # Errors
    /// When a server or a process cannot be broken or mended.
    #[expect(clippy::disallowed_methods, reason = "faults happen in real time")]
    pub async fn reign(mut self, span: Duration) -> TestResult<BTreeMap<Fault, usize>> {
        let end = Instant::now() + span;
        while Instant::now() < end {
            if self.chance.below(4) == 0 {
                self.stop_or_resume()?;
            } else {
                self.break_or_mend().await?;
            }
            sleep(Duration::from_millis(self.chance.below(LONGEST_PAUSE_MS))).await;
        }
        self.stopped.clear();
        for at in 0..self.nodes.len() {
            self.mend(at).await?;
        }
        Ok(self.counts)
    }

    fn stop_or_resume(&mut self) -> TestResult {
        let at = self.pick(self.stopped.len());
        if mem::take(&mut self.stopped[at]).is_some() {
            return Ok(());
        }
        self.stopped[at] = Some(self.holders.stop(at)?);
        self.count(Fault::Stopped);
        Ok(())
    }

    async fn break_or_mend(&mut self) -> TestResult {
        let at = self.pick(self.nodes.len());
        if self.nodes[at].state != State::Up {
            return self.mend(at).await;
        }
        let minority = (self.nodes.len() - 1) / 2;
        let down = self
            .nodes
            .iter()
            .filter(|node| node.state != State::Up)
            .count();
        if down >= minority {
            // Now and then nobody can get the lock; mostly some have to.
            if down > minority || self.chance.below(8) > 0 {
                return Ok(());
            }
            self.count(Fault::NoQuorum);
        }
        let node = &mut self.nodes[at];
        let fault = if self.chance.below(2) == 0 {
            node.server.kill().await?;
            node.state = State::Killed;
            Fault::Killed
        } else {
            node.server.pause().await?;
            node.state = State::Paused;
            Fault::Paused
        };
        self.count(fault);
        Ok(())
    }

    async fn mend(&mut self, at: usize) -> TestResult {
        let node = &mut self.nodes[at];
        match mem::replace(&mut node.state, State::Up) {
            State::Up => {}
            State::Killed => node.server.restart().await?,
            State::Paused => node.server.resume().await?,
        }
        Ok(())
    }

    fn count(&mut self, fault: Fault) {
        *self.counts.entry(fault).or_default() += 1;
    }

    fn pick(&mut self, count: usize) -> usize {
        let picked = self.chance.below(count as u64);
        usize::try_from(picked).unwrap_or_default()
    }
}

const LONGEST_PAUSE_MS: u64 = 300;

use std::{io, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{Backing, Counter, HeldLocks, Report, TestResult, Worker, progress::Commits};

/// A run of the counter that is on. Dropping it ends it, workers included.
#[derive(Debug)]
pub struct Run<'a> {
    process: Child,
    workers: Vec<Worker>,
    stdout: JoinHandle<io::Result<String>>,
    stderr: JoinHandle<io::Result<Vec<String>>>,
    settings: Counter,
    backing: Backing<'a>,
}

impl<'a> Run<'a> {
    pub(crate) async fn begin(
        mut process: Child,
        settings: Counter,
        backing: Backing<'a>,
    ) -> TestResult<Self> {
        let (Some(stdout), Some(stderr)) = (process.stdout.take(), process.stderr.take()) else {
            return Err("the pipes of the counter are missing".into());
        };
        let mut stderr = BufReader::new(stderr).lines();
        let mut workers = Vec::with_capacity(settings.processes);
        while workers.len() < settings.processes {
            let line = timeout(LONGEST_START, stderr.next_line()).await??;
            let line = line.ok_or("the counter ended before its workers were started")?;
            workers.push(Worker::announced_by(&line).ok_or(line)?);
        }
        Ok(Self {
            process,
            workers,
            stdout: tokio::spawn(whole(stdout)),
            stderr: tokio::spawn(remaining(stderr)),
            settings,
            backing,
        })
    }

    /// Where its sessions stand.
    pub const fn backing(&self) -> Backing<'a> {
        self.backing
    }

    /// One of its workers.
    ///
    /// # Panics
    /// If there is none of that number.
    pub fn worker(&self, number: usize) -> &Worker {
        &self.workers[number]
    }

    /// Waits until every worker that was not killed has committed again since this call.
    ///
    /// # Errors
    /// When it takes longer than a lease and a wait timeout, with some time for a slow machine.
    pub async fn all_commit(&self) -> TestResult {
        self.commits_of(self.alive().count()).await
    }

    /// Waits until so many workers have committed again since this call.
    ///
    /// # Errors
    /// As [`all_commit`](Self::all_commit).
    pub async fn commits_of(&self, workers: usize) -> TestResult {
        let before = Commits::stored_in(self.backing).await?;
        let mut advanced = 0;
        let all = async {
            while advanced < workers {
                sleep(POLL).await;
                let now = Commits::stored_in(self.backing).await?;
                advanced = now.advanced_since(&before);
            }
            TestResult::Ok(())
        };
        let limit = self.longest_wait() + SLOW_MACHINE;
        timeout(limit, all).await.unwrap_or_else(|_late| {
            Err(format!("only {advanced} of {workers} workers committed within {limit:?}").into())
        })
    }

    /// Waits until none of these locks is held by the same owner still.
    ///
    /// # Errors
    /// When it takes longer than a lease, with some time for a slow machine.
    pub async fn none_still_held(&self, locks: &HeldLocks) -> TestResult {
        let all_gone = async {
            while locks.still_in(&HeldLocks::in_backing(self.backing).await?) > 0 {
                sleep(POLL).await;
            }
            TestResult::Ok(())
        };
        let limit = self.settings.lease + SLOW_MACHINE;
        timeout(limit, all_gone)
            .await
            .unwrap_or_else(|_late| Err(format!("a lock is held still after {limit:?}").into()))
    }

    /// Has the workers finish their rounds, unless their number is limited, and waits for the result.
    ///
    /// # Errors
    /// When the counter gives no result, or none in time.
    pub async fn finish(mut self) -> TestResult<Report> {
        let limit = if self.settings.is_endless() {
            for worker in self.alive() {
                worker.end()?;
            }
            self.longest_wait() + SLOW_MACHINE
        } else {
            LONGEST_RUN
        };
        let status = timeout(limit, self.process.wait()).await;
        let status =
            status.map_err(|_late| format!("the counter did not end within {limit:?}"))??;
        let (stdout, remarks) = (self.stdout.await??, self.stderr.await??);
        Report::new(
            status,
            &stdout,
            remarks,
            self.settings.lease + self.settings.wait,
        )
    }

    fn alive(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(|worker| worker.is_alive())
    }

    fn longest_wait(&self) -> Duration {
        self.settings.lease + self.settings.wait
    }
}

const POLL: Duration = Duration::from_millis(5);
const LONGEST_START: Duration = Duration::from_secs(30);
// Rounds are chosen to take a few seconds on two busy cores.
const LONGEST_RUN: Duration = Duration::from_secs(60);
const SLOW_MACHINE: Duration = Duration::from_secs(10);

async fn whole(mut stdout: ChildStdout) -> io::Result<String> {
    let mut text = String::new();
    stdout.read_to_string(&mut text).await?;
    Ok(text)
}

async fn remaining(mut stderr: Lines<BufReader<ChildStderr>>) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    while let Some(line) = stderr.next_line().await? {
        lines.push(line);
    }
    Ok(lines)
}

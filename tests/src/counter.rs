use std::{process::Stdio, time::Duration};

use tokio::{process::Command, task::spawn_blocking};

use crate::{Backing, Report, Run, TestResult, binary};

/// A run of the counter that is to be started: by default 4 processes with 16 tasks each on one session, until it is
/// told to end.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is started"]
pub struct Counter {
    pub(crate) processes: usize,
    sessions: usize,
    rounds: u64,
    mode: Mode,
    pub(crate) lease: Duration,
    pub(crate) wait: Duration,
    hold: Duration,
}

/// How the counter changes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "tests match on it")]
pub enum Mode {
    /// Under the lock of the session.
    Locked,
    /// Without a lock: the last writer wins.
    Unlocked,
    /// By `Sessions::update`.
    Update,
}

impl Counter {
    /// The tasks of each process.
    pub const TASKS: usize = 16;

    /// The default run, in a mode.
    pub const fn new(mode: Mode) -> Self {
        Self {
            processes: 4,
            sessions: 1,
            rounds: ENDLESS,
            mode,
            lease: Duration::from_secs(10),
            wait: Duration::from_secs(5),
            hold: Duration::ZERO,
        }
    }

    /// How many sessions the tasks share.
    pub const fn sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// How many rounds each task makes.
    pub const fn rounds(mut self, rounds: u64) -> Self {
        self.rounds = rounds;
        self
    }

    /// How long a lock outlives its holder; the library's default is 10 s.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a task waits for a lock; the library's default is 5 s.
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How long a round takes between reading and writing.
    pub const fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// Starts it; returns when all workers have been started.
    ///
    /// # Errors
    /// When the counter cannot be built or started.
    pub async fn start<'a>(self, backing: impl Into<Backing<'a>>) -> TestResult<Run<'a>> {
        let backing = backing.into();
        let binary = spawn_blocking(|| binary::example("counter")).await??;
        let process = Command::new(binary)
            .arg("--json")
            .args(backing.args())
            .args(self.args())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Run::begin(process, self, backing).await
    }

    /// Starts it and sees it through.
    ///
    /// # Errors
    /// When it cannot be started, or ends without a report.
    pub async fn run<'a>(self, backing: impl Into<Backing<'a>>) -> TestResult<Report> {
        self.start(backing).await?.finish().await
    }

    fn args(&self) -> Vec<String> {
        let mode = match self.mode {
            Mode::Locked => "locked",
            Mode::Unlocked => "unlocked",
            Mode::Update => "update",
        };
        [
            ("--processes", self.processes.to_string()),
            ("--tasks", Self::TASKS.to_string()),
            ("--sessions", self.sessions.to_string()),
            ("--rounds", self.rounds.to_string()),
            ("--mode", mode.to_owned()),
            ("--lease-ms", self.lease.as_millis().to_string()),
            ("--wait-ms", self.wait.as_millis().to_string()),
            ("--hold-ms", self.hold.as_millis().to_string()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }

    pub(crate) const fn is_endless(&self) -> bool {
        self.rounds == ENDLESS
    }
}

const ENDLESS: u64 = u64::MAX;

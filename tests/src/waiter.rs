use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{Stopped, TestResult, signal};

/// A process that waits for the lock of a session. Dropping it kills it.
#[derive(Debug)]
pub struct Waiter {
    process: Child,
    pid: Pid,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Waiter {
    /// Starts the program `waiter` with `arguments`, and returns when it is ready to wait.
    ///
    /// # Errors
    /// When it cannot be started, or is not ready within two minutes.
    pub async fn start(program: &str, arguments: &[&str]) -> TestResult<Self> {
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = process
            .id()
            .and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let (Some(pid), Some(input), Some(output)) =
            (pid, process.stdin.take(), process.stdout.take())
        else {
            return Err("a waiter ended at once".into());
        };
        let mut waiter = Self {
            process,
            pid,
            input,
            output: BufReader::new(output).lines(),
        };
        waiter.says("ready").await?;
        Ok(waiter)
    }

    /// Lets it wait.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn wait(&mut self) -> TestResult {
        Ok(self.input.write_all(b"wait\n").await?)
    }

    /// Returns when it has got the lock.
    ///
    /// # Errors
    /// When it does not within two minutes.
    pub async fn holds(&mut self) -> TestResult {
        self.says("held").await
    }

    /// Stops it in its tracks.
    ///
    /// # Errors
    /// When it is gone.
    pub fn stop(&self) -> TestResult<Stopped> {
        Ok(Stopped::new(self.pid)?)
    }

    /// Ends it by `SIGKILL`, and returns when it is gone.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn kill(&mut self) -> TestResult {
        signal(self.pid, Signal::KILL)?;
        self.process.wait().await?;
        Ok(())
    }

    async fn says(&mut self, word: &str) -> TestResult {
        let line = timeout(PATIENCE, self.output.next_line()).await;
        let line = line.map_err(|_late| format!("no `{word}` for {PATIENCE:?}"))??;
        if line.as_deref() == Some(word) {
            return Ok(());
        }
        Err(format!("a waiter said {line:?} instead of `{word}`").into())
    }
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

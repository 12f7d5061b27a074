use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    task::spawn_blocking,
    time::timeout,
};

use crate::{Stopped, TestResult, binary, signal};

/// The example `lock`, with arguments.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is started"]
pub struct LockCommand {
    arguments: Vec<String>,
}

/// The example `lock`, as a process. Dropping it kills it.
#[derive(Debug)]
pub struct LockProcess {
    process: Child,
    pid: Pid,
    lines: Lines<BufReader<ChildStdout>>,
}

impl LockCommand {
    /// A lock of this name on these nodes.
    pub fn new(nodes: &[String], resource: &str, ttl: Duration) -> Self {
        Self {
            arguments: Vec::new(),
        }
        .with("--nodes", nodes.join(","))
        .with("--resource", resource)
        .with("--ttl-ms", ttl.as_millis().to_string())
    }

    /// With these arguments and no others.
    pub fn raw(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().copied().map(str::to_owned).collect();
        Self { arguments }
    }

    /// Waits while somebody else has the lock.
    pub fn wait(self, wait: Duration) -> Self {
        self.with("--wait-ms", wait.as_millis().to_string())
    }

    /// With a prefix before the name.
    pub fn key_prefix(self, prefix: &str) -> Self {
        self.with("--key-prefix", prefix)
    }

    /// Runs `try`; the line that it prints, and its exit status.
    ///
    /// # Errors
    /// When it cannot be started, does not end, or prints more than one line.
    pub async fn attempt(self) -> TestResult<(String, i32)> {
        self.start("try").await?.only_line().await
    }

    /// Starts `hold`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn hold(self) -> TestResult<LockProcess> {
        self.start("hold").await
    }

    /// Starts it with one more argument.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(self, action: &str) -> TestResult<LockProcess> {
        let binary = spawn_blocking(|| binary::example("lock")).await??;
        let mut process = Command::new(binary)
            .args(self.arguments)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = process
            .id()
            .and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let (Some(pid), Some(output)) = (pid, process.stdout.take()) else {
            return Err("the example lock ended at once".into());
        };
        let lines = BufReader::new(output).lines();
        Ok(LockProcess {
            process,
            pid,
            lines,
        })
    }

    fn with(mut self, flag: &str, value: impl Into<String>) -> Self {
        self.arguments.extend([flag.to_owned(), value.into()]);
        self
    }
}

impl LockProcess {
    /// The next line that it prints.
    ///
    /// # Errors
    /// When it ends, or prints nothing for half a minute.
    pub async fn line(&mut self) -> TestResult<String> {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.map_err(|_late| format!("no line within {PATIENCE:?}"))??;
        line.ok_or_else(|| "the example lock has ended".into())
    }

    /// Reads `ACQUIRED`, and returns the fencing token.
    ///
    /// # Errors
    /// When it prints something else.
    pub async fn acquired(&mut self) -> TestResult<u64> {
        fence_in(&self.line().await?)
    }

    /// Tells it, by a line, to give the lock back.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn say_line(&mut self) -> TestResult {
        let input = self.process.stdin.as_mut().ok_or("its input has ended")?;
        Ok(input.write_all(b"\n").await?)
    }

    /// Tells it, by the end of its input, to give the lock back.
    pub fn end_input(&mut self) {
        drop(self.process.stdin.take());
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// When it has ended.
    pub fn terminate(&self) -> TestResult {
        Ok(signal(self.pid, Signal::TERM)?)
    }

    /// Stops it in its tracks.
    ///
    /// # Errors
    /// When it has ended.
    pub fn stop(&self) -> TestResult<Stopped> {
        Ok(Stopped::new(self.pid)?)
    }

    /// Waits for its end; all lines that were not read, and the exit status.
    ///
    /// # Errors
    /// When it goes on for half a minute, or is killed.
    pub async fn ended(mut self) -> TestResult<(Vec<String>, i32)> {
        let all = async {
            let mut lines = Vec::new();
            while let Some(line) = self.lines.next_line().await? {
                lines.push(line);
            }
            let status = self.process.wait().await?;
            TestResult::Ok((lines, status.code().ok_or("it was killed")?))
        };
        let ended = timeout(PATIENCE, all).await;
        ended.map_err(|_late| format!("it did not end within {PATIENCE:?}"))?
    }

    async fn only_line(self) -> TestResult<(String, i32)> {
        let (lines, status) = self.ended().await?;
        match <[String; 1]>::try_from(lines) {
            Ok([line]) => Ok((line, status)),
            Err(lines) => Err(format!("one line was due, found {lines:?}").into()),
        }
    }
}

/// The fencing token in an `ACQUIRED` line.
fn fence_in(line: &str) -> TestResult<u64> {
    let unexpected = || format!("ACQUIRED was due, found {line:?}");
    let rest = line
        .strip_prefix("ACQUIRED fence=")
        .ok_or_else(unexpected)?;
    let (fence, validity) = rest.split_once(" validity_ms=").ok_or_else(unexpected)?;
    validity.parse::<u64>()?;
    Ok(fence.parse()?)
}

const PATIENCE: Duration = Duration::from_secs(30);

use std::{process::Stdio, time::Duration};

use latchkey::{
    RedisStore, RedisStoreBuilder, Sessions, SessionsBuilder,
    core::Composed,
    postgres::{Postgres, PostgresLocker, PostgresRecords},
};
use rustix::process::{Pid, Signal};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{Stopped, TestResult, signal, waiter::PATIENCE};

/// On a busy machine a call is slow, and not lost.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The sessions at a URL: in PostgreSQL, or on Redis.
///
/// # Errors
/// When they cannot be reached.
pub async fn primary(url: &str) -> TestResult<SessionsBuilder> {
    if url.starts_with("postgres") {
        let postgres = Postgres::connect(url).await?.call_timeout(CALL_TIMEOUT);
        let records = PostgresRecords::new(&postgres).await?;
        let records = records.resolve_timeout(CALL_TIMEOUT);
        let locker = PostgresLocker::new(&postgres).await?;
        return Ok(Sessions::builder(Composed::new(records, locker)));
    }
    Ok(Sessions::builder(redis().connect(url).await?))
}

/// A store on Redis that is patient.
pub fn redis() -> RedisStoreBuilder {
    RedisStore::builder()
        .call_timeout(CALL_TIMEOUT)
        .resolve_timeout(CALL_TIMEOUT)
}

/// A process that changes sessions which are written through. Dropping it kills it.
#[derive(Debug)]
pub struct Writer {
    process: Child,
    pid: Pid,
    output: Lines<BufReader<ChildStdout>>,
    stored: u64,
    is_done: bool,
}

impl Writer {
    /// Starts the program `writer` with `arguments`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &str, arguments: &[&str]) -> TestResult<Self> {
        let mut process = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = process
            .id()
            .and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let (Some(pid), Some(output)) = (pid, process.stdout.take()) else {
            return Err("a writer ended at once".into());
        };
        Ok(Self {
            process,
            pid,
            output: BufReader::new(output).lines(),
            stored: 0,
            is_done: false,
        })
    }

    /// Returns when so many more changes are stored, or all; whether there is more to come.
    ///
    /// # Errors
    /// When it ends before, or stores nothing for two minutes.
    pub async fn stores(&mut self, changes: u64) -> TestResult<bool> {
        let until = self.stored + changes;
        while self.stored < until && !self.is_done {
            let line = timeout(PATIENCE, self.output.next_line()).await;
            let line = line.map_err(|_late| format!("nothing stored for {PATIENCE:?}"))??;
            match line.as_deref() {
                Some(".") => self.stored += 100,
                Some("done") => self.is_done = true,
                other => return Err(format!("a writer said {other:?}").into()),
            }
        }
        Ok(!self.is_done)
    }

    /// How many changes it has stored, as far as it was heard.
    pub const fn stored(&self) -> u64 {
        self.stored
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
}

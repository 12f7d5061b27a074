use std::{
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

use crate::{TestResult, binary, signal};

/// A process of the example `web`. Dropping it kills it.
#[derive(Debug)]
pub struct Replica {
    process: Child,
    pid: Pid,
    addr: SocketAddr,
}

impl Replica {
    /// Starts one on a free port, and returns when it listens.
    ///
    /// # Errors
    /// When it does not listen within two minutes.
    pub async fn start(arguments: &[&str]) -> TestResult<Self> {
        let program = tokio::task::spawn_blocking(|| binary::example("web")).await??;
        let mut process = Command::new(program)
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = process
            .id()
            .and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let (Some(pid), Some(output), Some(errors)) =
            (pid, process.stdout.take(), process.stderr.take())
        else {
            return Err("a replica ended at once".into());
        };
        let log = Log::of(errors);
        let mut output = BufReader::new(output).lines();
        let line = timeout(LONGEST_START, output.next_line()).await;
        let line = line.map_err(|_late| format!("no address for {LONGEST_START:?}"))??;
        let addr = line
            .as_deref()
            .and_then(|line| line.strip_prefix("http://"));
        let Some(addr) = addr else {
            process.wait().await?;
            return Err(format!("a replica ended: {}", log.text()).into());
        };
        Ok(Self {
            addr: addr.parse()?,
            process,
            pid,
        })
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
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

const LONGEST_START: Duration = Duration::from_secs(120);

/// What a process complains of, read as it comes: a full pipe would stop it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn of(errors: ChildStderr) -> Self {
        let log = Self::default();
        let copy = log.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(errors).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut text = copy.0.lock().unwrap_or_else(PoisonError::into_inner);
                *text += &line;
                *text += "\n";
            }
        });
        log
    }

    fn text(&self) -> String {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone()
    }
}

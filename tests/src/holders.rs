use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use rustix::process::Pid;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::{Hold, Stopped, TestResult};

/// Processes that take one lock, hold it for a while and give it back, over and over, until they are told to end.
#[derive(Debug)]
pub struct Holders {
    processes: Vec<Holder>,
}

/// What the processes are told.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "tests fill it in")]
pub struct HolderOptions<'a> {
    /// The lock.
    pub resource: &'a str,
    /// How long a node keeps the lock; they hold it from nothing to twice that time.
    pub ttl: Duration,
    /// Whether a holder that has lost its lease stops acting. If not, it goes on: what must never happen does.
    pub heeds_loss: bool,
}

/// What became of a run of holders.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "what there is to know of it")]
pub struct Held {
    /// By process.
    pub holds: Vec<Vec<Hold>>,
    /// How often acquiring failed, by the kind of the error.
    pub failures: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Holder {
    process: Child,
    pid: Pid,
    /// The lines that it has printed.
    printed: watch::Receiver<Vec<String>>,
    reading: JoinHandle<TestResult>,
}

impl Holders {
    /// Starts so many processes of the program `holder`.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start(
        holder: &str,
        count: usize,
        options: HolderOptions<'_>,
        urls: &[String],
    ) -> TestResult<Self> {
        let start = |_| Holder::start(holder.as_ref(), options, urls);
        let processes: TestResult<_> = (0..count).map(start).collect();
        Ok(Self {
            processes: processes?,
        })
    }

    /// How many processes there are.
    pub fn count(&self) -> usize {
        self.processes.len()
    }

    /// Stops one process in its tracks.
    ///
    /// # Errors
    /// When it is gone.
    pub fn stop(&self, number: usize) -> TestResult<Stopped> {
        Ok(Stopped::new(self.processes[number].pid)?)
    }

    /// Waits until every process has held the lock, or failed to, once more since this call.
    ///
    /// # Errors
    /// When that takes longer than half a minute, or one has ended.
    pub async fn all_go_on(&mut self) -> TestResult {
        for (number, holder) in self.processes.iter_mut().enumerate() {
            let before = holder.printed.borrow_and_update().len();
            let more = holder.printed.wait_for(|printed| printed.len() > before);
            let more = timeout(PATIENCE, more).await;
            more.map_err(|_late| format!("holder {number} said nothing for {PATIENCE:?}"))??;
        }
        Ok(())
    }

    /// What the processes have said until now.
    ///
    /// # Errors
    /// When one has said what cannot be understood.
    pub fn held(&self) -> TestResult<Held> {
        let mut held = Held {
            holds: Vec::new(),
            failures: BTreeMap::new(),
        };
        for holder in &self.processes {
            let mut holds = Vec::new();
            for line in &*holder.printed.borrow() {
                match line.strip_prefix("failed ") {
                    Some(kind) => *held.failures.entry(kind.to_owned()).or_default() += 1,
                    None => holds.push(line.parse()?),
                }
            }
            held.holds.push(holds);
        }
        Ok(held)
    }

    /// Has the processes finish, and collects what they have said.
    ///
    /// # Errors
    /// When one fails, or does not finish within half a minute.
    pub async fn finish(mut self) -> TestResult<Held> {
        for holder in &mut self.processes {
            // The end of its input is the sign to finish.
            drop(holder.process.stdin.take());
        }
        for holder in &mut self.processes {
            let status = timeout(PATIENCE, holder.process.wait()).await??;
            if !status.success() {
                return Err(format!("a holder failed: {status}").into());
            }
            (&mut holder.reading).await??;
        }
        self.held()
    }
}

impl Holder {
    fn start(program: &Path, options: HolderOptions<'_>, urls: &[String]) -> TestResult<Self> {
        let HolderOptions {
            resource,
            ttl,
            heeds_loss,
        } = options;
        let mut process = Command::new(program)
            .args([resource, &ttl.as_millis().to_string()])
            .arg(if heeds_loss { "heeds-loss" } else { "goes-on" })
            .args(urls)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = process
            .id()
            .and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let (Some(pid), Some(output)) = (pid, process.stdout.take()) else {
            return Err("a holder ended at once".into());
        };
        let (print, printed) = watch::channel(Vec::new());
        let reading = tokio::spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Some(line) = output.next_line().await? {
                print.send_modify(|printed| printed.push(line));
            }
            Ok(())
        });
        Ok(Self {
            process,
            pid,
            printed,
            reading,
        })
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

use std::{io, path::PathBuf, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    ChaosResult, Fault, FaultKind, Nanos, Stopped, history::Event, recorder::now, signal,
    wall_clock::WallClock, workload::Orders,
};

/// The worker processes of a run.
#[derive(Debug)]
pub(crate) struct Crew {
    program: PathBuf,
    arguments: Vec<String>,
    orders: Vec<Orders>,
    workers: Vec<Worker>,
    started: u64,
    events: mpsc::UnboundedSender<Event>,
    clocks: Vec<Option<WallClock>>,
    /// Which process was stopped, and from when until when.
    pub(crate) stops: Vec<(u64, Nanos, Nanos)>,
}

#[derive(Debug)]
struct Worker {
    process: Child,
    number: u64,
    pid: Pid,
    reading: JoinHandle<ChaosResult>,
}

const PATIENCE: Duration = Duration::from_secs(60);

impl Crew {
    /// One process for each of the orders. `arguments` come before them.
    pub(crate) fn start(
        program: PathBuf,
        arguments: Vec<String>,
        orders: Vec<Orders>,
        events: mpsc::UnboundedSender<Event>,
    ) -> ChaosResult<Self> {
        let workers = Vec::new();
        let clocks = orders.iter().enumerate();
        let clocks = clocks.map(|(at, orders)| WallClock::new(&orders.board, at));
        let clocks = clocks.collect::<io::Result<_>>()?;
        let mut crew = Self {
            program,
            arguments,
            orders,
            workers,
            started: 0,
            events,
            clocks,
            stops: Vec::new(),
        };
        for at in 0..crew.orders.len() {
            let worker = crew.worker(at)?;
            crew.workers.push(worker);
        }
        Ok(crew)
    }

    fn worker(&mut self, at: usize) -> ChaosResult<Worker> {
        self.started += 1;
        let orders = Orders {
            process: self.started,
            ..self.orders[at].clone()
        };
        let mut command = Command::new(&self.program);
        if let Some(clock) = &self.clocks[at] {
            clock.govern(&mut command);
        }
        let mut process = command
            .args(&self.arguments)
            .arg(serde_json::to_string(&orders)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = process
            .id()
            .and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let (Some(pid), Some(output)) = (pid, process.stdout.take()) else {
            return Err("a worker ended at once".into());
        };
        let events = self.events.clone();
        let reading = tokio::spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Some(line) = output.next_line().await? {
                // The last line of a process that was killed may be half a line.
                let Ok(event) = serde_json::from_str(&line) else {
                    continue;
                };
                drop(events.send(event));
            }
            Ok(())
        });
        Ok(Worker {
            process,
            number: self.started,
            pid,
            reading,
        })
    }

    /// Lets a fault of a worker happen and ends it; when it was over.
    pub(crate) async fn suffer(&mut self, fault: &Fault) -> ChaosResult<Nanos> {
        let at = fault.worker;
        if fault.kind == FaultKind::KillWorker {
            let worker = &mut self.workers[at];
            signal(worker.pid, Signal::KILL)?;
            worker.process.wait().await?;
            // What it had printed.
            timeout(PATIENCE, &mut worker.reading).await???;
            self.workers[at] = self.worker(at)?;
        } else if fault.kind == FaultKind::StepClock {
            let Some(clock) = &self.clocks[at] else {
                return Ok(now());
            };
            let (by, back) = fault.step();
            clock.step(by, back)?;
            sleep(fault.span).await;
            clock.right()?;
        } else {
            let from = now();
            let stopped = Stopped::new(self.workers[at].pid)?;
            sleep(fault.span).await;
            stopped.resume();
            self.stops.push((self.workers[at].number, from, now()));
        }
        Ok(now())
    }

    /// Whether their clocks can be set.
    pub(crate) fn has_clocks(&self) -> bool {
        self.clocks.iter().all(Option::is_some)
    }

    /// Has all of them finish what they do, and begin nothing more.
    pub(crate) async fn finish(mut self) -> ChaosResult<Vec<(u64, Nanos, Nanos)>> {
        for worker in &mut self.workers {
            // The end of its input is the sign to finish.
            drop(worker.process.stdin.take());
        }
        for worker in &mut self.workers {
            let status = timeout(PATIENCE, worker.process.wait()).await??;
            if !status.success() {
                return Err(format!("a worker failed: {status}").into());
            }
            timeout(PATIENCE, &mut worker.reading).await???;
        }
        Ok(self.stops)
    }
}

use std::{future::Future, mem, time::Duration};

use tokio::task::JoinSet;

use crate::{Action, Record, Result, Stopwatch, Subject};

/// Tasks that work at the same time, each on a record of its own.
#[derive(Debug)]
pub struct Load<S: Subject> {
    subject: S,
    record: Record,
    workers: Vec<Worker<S::Name>>,
}

/// When the tasks stop.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "counted or timed")]
pub enum Until {
    /// Each has done it this many times.
    Times(u64),
    /// This much time has passed.
    Passed(Duration),
}

/// What came of a run.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "two numbers")]
pub struct Outcome {
    /// How often the action was done, by all tasks together.
    pub actions: u64,
    /// How long that took.
    pub elapsed: Duration,
}

impl<S: Subject> Load<S> {
    /// Stores a record for each of the `tasks`.
    ///
    /// # Errors
    /// The subject fails.
    pub async fn new(subject: S, record: Record, tasks: usize) -> Result<Self> {
        let mut workers = Vec::with_capacity(tasks);
        for _ in 0..tasks {
            workers.push(Worker::new(subject.create(&record).await?));
        }
        Ok(Self {
            subject,
            record,
            workers,
        })
    }

    /// Lets all tasks do the action over and over.
    ///
    /// # Errors
    /// The subject fails, or answers another count than the one that is due.
    pub async fn run(&mut self, action: Action, until: Until) -> Result<Outcome> {
        let (before, start) = (self.actions(), Stopwatch::start());
        let record = self.record;
        self.each(|subject, mut worker| async move {
            let mut times = 0;
            while match until {
                Until::Times(limit) => times < limit,
                Until::Passed(limit) => start.elapsed() < limit,
            } {
                worker.act(action, &subject, &record).await?;
                times += 1;
            }
            worker.actions += times;
            Ok(worker)
        })
        .await?;
        Ok(Outcome {
            elapsed: start.elapsed(),
            actions: self.actions() - before,
        })
    }

    /// Reads all records again: every count is exact, and all that was created is there.
    ///
    /// # Errors
    /// Something is missing, or was counted twice.
    pub async fn check(&mut self) -> Result<()> {
        self.each(|subject, mut worker| async move {
            due(worker.count, subject.read(&worker.name).await?)?;
            for name in mem::take(&mut worker.created) {
                due(0, subject.read(&name).await?)?;
            }
            Ok(worker)
        })
        .await
    }

    fn actions(&self) -> u64 {
        self.workers.iter().map(|worker| worker.actions).sum()
    }

    async fn each<F>(&mut self, work: impl Fn(S, Worker<S::Name>) -> F) -> Result<()>
    where
        F: Future<Output = Result<Worker<S::Name>>> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        for worker in self.workers.drain(..) {
            tasks.spawn(work(self.subject.clone(), worker));
        }
        while let Some(worker) = tasks.join_next().await {
            self.workers.push(worker??);
        }
        Ok(())
    }
}

/// What one task works on.
#[derive(Debug)]
struct Worker<N> {
    name: N,
    count: u64,
    actions: u64,
    created: Vec<N>,
}

impl<N> Worker<N> {
    const fn new(name: N) -> Self {
        Self {
            name,
            count: 0,
            actions: 0,
            created: Vec::new(),
        }
    }

    async fn act<S>(&mut self, action: Action, subject: &S, record: &Record) -> Result<()>
    where
        S: Subject<Name = N>,
    {
        let count = match action {
            Action::Cycle => {
                self.count += 1;
                subject.cycle(&self.name).await?
            }
            Action::Update => {
                self.count += 1;
                subject.update(&self.name).await?
            }
            Action::Read => subject.read(&self.name).await?,
            Action::Create => {
                self.created.push(subject.create(record).await?);
                return Ok(());
            }
        };
        due(self.count, count)
    }
}

fn due(due: u64, found: u64) -> Result<()> {
    if found == due {
        Ok(())
    } else {
        Err(format!("a counter is {found} where {due} is due").into())
    }
}

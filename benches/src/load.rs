use std::{future::Future, mem, time::Duration};

use crate::{Action, Cost, Record, RedisServer, Result, Stopwatch, Subject, tasks};

/// Tasks that work at the same time, each on records of its own.
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
        Self::over(subject, record, tasks, tasks).await
    }

    /// Stores so many `records`, as many for each of the `tasks`, rounded up. A task takes its own in turn, in leaps.
    ///
    /// # Errors
    /// The subject fails.
    pub async fn over(subject: S, record: Record, tasks: usize, records: usize) -> Result<Self> {
        let each = records.div_ceil(tasks);
        let fill = |_| {
            let subject = subject.clone();
            async move {
                let mut records = Vec::with_capacity(each);
                for _ in 0..each {
                    let name = subject.create(&record).await?;
                    records.push(Kept { name, count: 0 });
                }
                Ok(Worker::new(records))
            }
        };
        let workers = tasks::all((0..tasks).map(fill).collect()).await?;
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

    /// What the action costs on this server, measured for a `slice` of time after a short warm-up.
    ///
    /// # Errors
    /// The subject fails, or answers another count than the one that is due.
    pub async fn cost(
        &mut self,
        action: Action,
        slice: Duration,
        server: &RedisServer,
    ) -> Result<Cost> {
        self.run(action, Until::Passed(slice / 10)).await?;
        let before = server.usage().await?;
        let outcome = self.run(action, Until::Passed(slice)).await?;
        let usage = server.usage().await?.since(before);
        Ok(Cost::of(outcome, usage))
    }

    /// Reads all records again: every count is exact, and all that was created is there.
    ///
    /// # Errors
    /// Something is missing, or was counted twice.
    pub async fn check(&mut self) -> Result<()> {
        self.each(|subject, mut worker| async move {
            for kept in &worker.records {
                due(kept.count, subject.read(&kept.name).await?)?;
            }
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
        let workers = mem::take(&mut self.workers).into_iter();
        let works = workers.map(|worker| work(self.subject.clone(), worker));
        let works = works.collect();
        self.workers = tasks::all(works).await?;
        Ok(())
    }
}

/// What one task works on.
#[derive(Debug)]
struct Worker<N> {
    records: Vec<Kept<N>>,
    next: usize,
    actions: u64,
    created: Vec<N>,
}

/// A record, and what it must say.
#[derive(Debug)]
struct Kept<N> {
    name: N,
    count: u64,
}

/// Neighbours were stored at the same time and stand close to each other in the server's memory. A prime: all have their
/// turn.
const LEAP: usize = 7_919;

impl<N> Worker<N> {
    const fn new(records: Vec<Kept<N>>) -> Self {
        Self {
            records,
            next: 0,
            actions: 0,
            created: Vec::new(),
        }
    }

    async fn act<S>(&mut self, action: Action, subject: &S, record: &Record) -> Result<()>
    where
        S: Subject<Name = N>,
    {
        let at = self.next;
        self.next = (at + LEAP) % self.records.len();
        let kept = &mut self.records[at];
        let count = match action {
            Action::Cycle => {
                kept.count += 1;
                subject.cycle(&kept.name).await?
            }
            Action::Update => {
                kept.count += 1;
                subject.update(&kept.name).await?
            }
            Action::Read => subject.read(&kept.name).await?,
            Action::Create => {
                self.created.push(subject.create(record).await?);
                return Ok(());
            }
        };
        due(kept.count, count)
    }
}

fn due(due: u64, found: u64) -> Result<()> {
    if found == due {
        Ok(())
    } else {
        Err(format!("a counter is {found} where {due} is due").into())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        sync::{Arc, Mutex},
    };

    use super::*;

    /// Counters in memory, with a fault.
    #[derive(Clone, Default)]
    struct Counters {
        counts: Arc<Mutex<HashMap<usize, u64>>>,
        fault: Option<Fault>,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Fault {
        AddsNothing,
        ForgetsAtTheThird,
        StoresNothingNew,
    }

    impl Subject for Counters {
        type Name = usize;

        async fn create(&self, _: &Record) -> Result<usize> {
            let mut counts = self.counts.lock().unwrap();
            let name = counts.len();
            let is_lost = self.fault == Some(Fault::StoresNothingNew) && name > 1;
            counts.insert(if is_lost { usize::MAX } else { name }, 0);
            Ok(name)
        }

        async fn cycle(&self, name: &usize) -> Result<u64> {
            let mut counts = self.counts.lock().unwrap();
            let count = counts.get_mut(name).ok_or("gone")?;
            if self.fault == Some(Fault::AddsNothing) {
                return Ok(*count);
            }
            *count += 1;
            if self.fault == Some(Fault::ForgetsAtTheThird) && *count == 3 {
                *count -= 1;
                return Ok(3);
            }
            Ok(*count)
        }

        async fn update(&self, name: &usize) -> Result<u64> {
            self.cycle(name).await
        }

        async fn read(&self, name: &usize) -> Result<u64> {
            Ok(*self.counts.lock().unwrap().get(name).ok_or("gone")?)
        }
    }

    async fn load(fault: Option<Fault>) -> Load<Counters> {
        let counters = Counters {
            fault,
            ..Counters::default()
        };
        Load::new(counters, Record::USUAL, 2).await.unwrap()
    }

    #[tokio::test]
    async fn every_action_is_counted() {
        let mut load = load(None).await;
        for action in [Action::Cycle, Action::Update, Action::Read, Action::Create] {
            let outcome = load.run(action, Until::Times(5)).await.unwrap();
            assert_eq!(outcome.actions, 10, "{action:?}");
        }
        load.check().await.unwrap();
    }

    #[tokio::test]
    async fn each_record_has_its_turn() {
        let counters = Counters::default();
        let counts = Arc::clone(&counters.counts);
        let mut load = Load::over(counters, Record::USUAL, 3, 300).await.unwrap();
        load.run(Action::Cycle, Until::Times(100)).await.unwrap();
        assert!(counts.lock().unwrap().values().all(|count| *count == 1));
        load.check().await.unwrap();
    }

    #[tokio::test]
    async fn a_run_of_some_time_takes_that_time() {
        let time = Duration::from_millis(5);
        let outcome = load(None)
            .await
            .run(Action::Read, Until::Passed(time))
            .await;
        assert!(outcome.unwrap().elapsed >= time);
    }

    #[tokio::test]
    async fn an_action_that_does_nothing_voids_the_run() {
        let mut load = load(Some(Fault::AddsNothing)).await;
        let outcome = load.run(Action::Cycle, Until::Times(1)).await;
        assert_eq!(
            outcome.unwrap_err().to_string(),
            "a counter is 0 where 1 is due"
        );
    }

    #[tokio::test]
    async fn a_lost_update_is_found_by_the_check() {
        let mut load = load(Some(Fault::ForgetsAtTheThird)).await;
        load.run(Action::Cycle, Until::Times(3)).await.unwrap();
        assert_eq!(
            load.check().await.unwrap_err().to_string(),
            "a counter is 2 where 3 is due"
        );
    }

    #[tokio::test]
    async fn a_new_record_that_is_not_there_is_found_by_the_check() {
        let mut load = load(Some(Fault::StoresNothingNew)).await;
        load.run(Action::Create, Until::Times(1)).await.unwrap();
        assert_eq!(load.check().await.unwrap_err().to_string(), "gone");
    }
}

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::try_join_all;
use latchkey_benches::{Outcome, Record, Result, Stopwatch, Subject};
use rand::{SeedableRng as _, distr::Distribution as _, rngs::SmallRng};
use rand_distr::Zipf;
use tokio::{
    runtime::Handle,
    time::{MissedTickBehavior, interval},
};

/// Records of which each is wanted half as often as the one of half its rank, and what is known of them.
pub(crate) struct Crowd<N> {
    names: Vec<N>,
    known: Vec<Known>,
    picks: Vec<usize>,
    sight: Sight,
}

/// What readers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Every change that was acknowledged before they asked.
    Exact,
    /// Changes of others a moment later. That they come is looked at where the delay is measured.
    Lagging,
}

#[derive(Default)]
struct Known {
    asked: AtomicU64,
    acknowledged: AtomicU64,
    read: AtomicBool,
}

/// What came of a slice.
pub(crate) struct Reading {
    pub(crate) outcome: Outcome,
    /// Changes in a second.
    pub(crate) changes: f64,
    /// Of all reads, so many were the first of their record.
    pub(crate) first: f64,
}

/// Drawn beforehand: drawing costs more than some reads.
const PICKS: usize = 1 << 18;

impl<N: Clone + Send + Sync + 'static> Crowd<N> {
    pub(crate) async fn create<S>(subject: &S, count: usize, sight: Sight) -> Result<Arc<Self>>
    where
        S: Subject<Name = N>,
    {
        let mut names = Vec::with_capacity(count);
        while names.len() < count {
            let some = AT_ONCE.min(count - names.len());
            let created = (0..some).map(|_| subject.create(&Record::USUAL));
            names.extend(try_join_all(created).await?);
        }
        let zipf = Zipf::new(count as f64, 1.0)?;
        let mut random = SmallRng::seed_from_u64(5);
        #[expect(clippy::cast_possible_truncation, reason = "1 to the count")]
        let mut pick = || zipf.sample(&mut random) as usize - 1;
        Ok(Arc::new(Self {
            picks: (0..PICKS).map(|_| pick()).collect(),
            known: names.iter().map(|_| Known::default()).collect(),
            names,
            sight,
        }))
    }

    /// The one that is wanted most.
    pub(crate) fn first(&self) -> &N {
        &self.names[0]
    }

    /// So many tasks read for this long, while one writer in another runtime changes 1,000 records in a second.
    pub(crate) async fn read<S>(
        self: &Arc<Self>,
        reader: &S,
        writer: &S,
        elsewhere: &Handle,
        tasks: usize,
        slice: Duration,
    ) -> Result<Reading>
    where
        S: Subject<Name = N>,
    {
        self.known
            .iter()
            .for_each(|known| known.read.store(false, Ordering::Relaxed));
        let (start, over) = (Stopwatch::start(), Arc::new(AtomicBool::new(false)));
        let each = |task| {
            let (crowd, reader) = (Arc::clone(self), reader.clone());
            tokio::spawn(async move { crowd.task(&reader, task, start, slice).await })
        };
        let changing = elsewhere.spawn({
            let (crowd, writer, over) = (Arc::clone(self), writer.clone(), Arc::clone(&over));
            async move { crowd.write(&writer, &over).await }
        });
        let times = try_join_all((0..tasks).map(each)).await;
        let elapsed = start.elapsed();
        over.store(true, Ordering::Relaxed);
        let changes = changing.await??;
        let outcome = Outcome {
            actions: times?.into_iter().sum::<Result<u64>>()?,
            elapsed,
        };
        let first = self
            .known
            .iter()
            .filter(|known| known.read.load(Ordering::Relaxed));
        Ok(Reading {
            changes: changes as f64 / outcome.elapsed.as_secs_f64(),
            first: first.count() as f64 / outcome.actions as f64,
            outcome,
        })
    }

    async fn task<S>(
        &self,
        reader: &S,
        task: usize,
        start: Stopwatch,
        slice: Duration,
    ) -> Result<u64>
    where
        S: Subject<Name = N>,
    {
        let mut times = 0;
        // Each begins elsewhere.
        let picks = self.picks.iter().cycle().skip(task * 4_099 % PICKS);
        for &at in picks {
            if start.elapsed() >= slice {
                break;
            }
            let known = &self.known[at];
            let at_least = match self.sight {
                Sight::Exact => known.acknowledged.load(Ordering::Acquire),
                Sight::Lagging => 0,
            };
            let count = reader.read(&self.names[at]).await?;
            let at_most = known.asked.load(Ordering::Acquire);
            if !(at_least..=at_most).contains(&count) {
                let error = format!("read {count}, which is not {at_least} to {at_most}");
                return Err(error.into());
            }
            known.read.store(true, Ordering::Relaxed);
            times += 1;
        }
        Ok(times)
    }

    /// Returns how many records were changed.
    async fn write<S>(&self, writer: &S, over: &AtomicBool) -> Result<u64>
    where
        S: Subject<Name = N>,
    {
        let mut ticks = interval(BETWEEN_CHANGES);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut written = 0;
        for &at in self.picks.iter().rev().cycle() {
            if over.load(Ordering::Relaxed) {
                break;
            }
            ticks.tick().await;
            self.change(writer, at).await?;
            written += 1;
        }
        Ok(written)
    }

    /// Adds 1 to a record. Nobody else may do so meanwhile.
    pub(crate) async fn change<S>(&self, writer: &S, at: usize) -> Result<u64>
    where
        S: Subject<Name = N>,
    {
        let known = &self.known[at];
        known.asked.fetch_add(1, Ordering::Release);
        let count = writer.update(&self.names[at]).await?;
        known.acknowledged.store(count, Ordering::Release);
        Ok(count)
    }
}

const AT_ONCE: usize = 256;
const BETWEEN_CHANGES: Duration = Duration::from_millis(1);

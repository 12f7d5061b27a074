use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::{Contender, Pace, READY, Told};
use crate::{Result, Stopwatch, stopwatch::own_cpu_time, tasks};

/// One of the processes: says that it is ready, is told the pace, and says what came of it.
///
/// # Errors
/// A turn fails, or the pipes do.
pub async fn work<C: Contender>(contender: C) -> Result<()> {
    say(READY).await?;
    let mut input = BufReader::new(tokio::io::stdin());
    let mut line = String::new();
    input.read_line(&mut line).await?;
    let told = take_turns(contender, serde_json::from_str(&line)?).await?;
    say(&serde_json::to_string(&told)?).await
}

async fn take_turns<C: Contender>(contender: C, pace: Pace) -> Result<Told> {
    let (cpu, start) = (own_cpu_time(), Stopwatch::start());
    let contender = Arc::new(contender);
    let task = |_| task(Arc::clone(&contender), pace, start);
    let mut all = Told::default();
    for told in tasks::all((0..pace.tasks).map(task).collect()).await? {
        all.turns.extend(told.turns);
        all.waits_us.extend(told.waits_us);
        all.added += told.added;
    }
    let cpu = own_cpu_time().saturating_sub(cpu);
    all.cpu_us = u64::try_from(cpu.as_micros())?;
    Ok(all)
}

async fn task<C: Contender>(contender: Arc<C>, pace: Pace, start: Stopwatch) -> Result<Told> {
    let (begin, end) = (pace.warm_up(), pace.warm_up() + pace.measure());
    let (mut turns, mut waits_us, mut added) = (0, Vec::new(), 0);
    loop {
        let asked = start.elapsed();
        if asked >= end {
            break;
        }
        let waited = contender.turn(pace.work()).await?;
        added += 1;
        let done = start.elapsed();
        turns += u64::from(done >= begin && done < end);
        // Also of a turn that comes too late: who waits longest must not be left out.
        if asked >= begin {
            waits_us.push(waited.as_secs_f64() * 1e6);
        }
        tasks::pause(pace.think()).await;
    }
    Ok(Told {
        turns: vec![turns],
        waits_us,
        added,
        cpu_us: 0,
    })
}

async fn say(line: &str) -> Result<()> {
    let mut output = tokio::io::stdout();
    output.write_all(format!("{line}\n").as_bytes()).await?;
    Ok(output.flush().await?)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Counter(Arc<AtomicU64>);

    impl Contender for Counter {
        async fn turn(&self, work: Duration) -> Result<Duration> {
            tasks::pause(work).await;
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Duration::from_micros(7))
        }
    }

    #[tokio::test]
    async fn all_that_was_added_is_told_and_what_came_in_time_is_counted() {
        let counter = Counter::default();
        let pace = Pace {
            tasks: 3,
            work_us: 500,
            think_us: 0,
            warm_up_ms: 10,
            measure_ms: 20,
        };
        let told = take_turns(counter.clone(), pace).await.unwrap();
        assert_eq!(told.added, counter.0.load(Ordering::Relaxed));
        assert_eq!(told.turns.len(), 3);
        assert!(told.turns.iter().sum::<u64>() < told.added, "{told:?}");
        assert!(told.waits_us.iter().all(|wait| *wait == 7.0));
    }
}

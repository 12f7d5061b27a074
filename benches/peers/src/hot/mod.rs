//! One session that many want: each reads it, works, and writes it, under a lock that excludes the others.

mod guarded; // GET and SET under a lock of some library
mod member; // one of the processes
mod python; // the rivals that are not Rust
mod report; // tables and plots
mod rival; // who takes part

use std::{path::Path, time::Duration};

use clap::value_parser;
use latchkey_benches::{Comparison, RedisServer, Result, Run, hot::Pace};

use self::{
    python::Python,
    report::{Measured, Report},
    rival::{Ground, Rival},
};

pub(crate) use member::{Member, work};

/// One session that many want.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many tasks want it, in how many processes: 32x4
    #[arg(long, value_delimiter = ',', default_values = ["2x1", "2x2", "8x1", "8x2", "8x4", "32x1", "32x2", "32x4"])]
    waiters: Vec<Waiters>,

    /// For how long each works while it has the session and thinks before it comes again, in milliseconds
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1])]
    work_ms: Vec<u64>,

    /// Who takes part; ratios are taken to the first
    #[arg(long, value_delimiter = ',', default_values = Rival::NAMES)]
    rivals: Vec<Rival>,

    /// How long it goes on before it counts, in milliseconds
    #[arg(long, default_value_t = 300, value_parser = value_parser!(u64))]
    warm_up_ms: u64,
}

/// Tasks, and the processes that share them.
#[derive(Clone, Copy, Debug)]
struct Waiters {
    tasks: usize,
    processes: usize,
}

impl std::str::FromStr for Waiters {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('x')
            .and_then(|(tasks, processes)| Some((tasks.parse().ok()?, processes.parse().ok()?)));
        match numbers {
            Some((tasks, processes)) if tasks > 0 && processes > 0 && tasks % processes == 0 => {
                Ok(Self { tasks, processes })
            }
            _ => Err("tasks x processes, as 32x4, and as many tasks in each process".to_owned()),
        }
    }
}

const SLICE: Duration = Duration::from_millis(1500);

/// Many who want one session.
pub(crate) async fn measure(args: &Args, python: &Path, run: &Run) -> Result<String> {
    let python = Python::find(python).await;
    let rivals = args.rivals.iter().copied();
    let rivals: Vec<_> = rivals.filter(|rival| python.runs(*rival)).collect();
    let mut report = Report::new(&rivals, &python);
    let ground = Ground {
        server: RedisServer::start().await?,
        python,
    };
    for &work_ms in &args.work_ms {
        for &waiters in &args.waiters {
            let pace = Pace {
                tasks: waiters.tasks / waiters.processes,
                work_us: work_ms * 1000,
                think_us: work_ms * 1000,
                warm_up_ms: if run.is_short() { 10 } else { args.warm_up_ms },
                measure_ms: u64::try_from(run.slice(SLICE).as_millis())?,
            };
            let mut comparison = Comparison::of(rivals.len());
            for round in 0..run.rounds() {
                let measure = async |at: usize| {
                    let contest = ground.contest(rivals[at], waiters.processes, pace).await?;
                    Ok(Measured::of(contest))
                };
                comparison.round(measure).await?;
                let Waiters { tasks, processes } = waiters;
                eprintln!(
                    "{tasks} tasks in {processes} processes, {work_ms} ms of work: round {} of {}",
                    round + 1,
                    run.rounds()
                );
            }
            report.add(waiters, work_ms, comparison);
        }
    }
    report.plot(run)?;
    Ok(report.to_string())
}

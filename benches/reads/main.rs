//! Reading while somebody else writes: 10,000 sessions, some wanted far more often than others (Zipf), and a writer on
//! connections of its own.
//!
//! `cargo bench -p latchkey-benches --bench reads -- [--rounds N] [--slice-ms MS] [--tasks 1,64] [--plots FOLDER]`
//!
//! Every count that is read lies between what was acknowledged before the read began and what was asked for when it ended.

mod crowd; // the records, and what they may say
mod delay; // until a change is seen elsewhere
mod reader; // the ways to read
mod table;

use std::io::{self, Write as _};

use clap::Parser;
use latchkey_benches::{Comparison, Result, Run};
use tokio::runtime::Handle;

use crate::{
    reader::{Bench, READERS},
    table::Table,
};

/// Reading while somebody else writes.
#[derive(Debug, Parser)]
#[command(name = "reads")]
struct Args {
    /// How many tasks read at the same time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64], value_parser = clap::value_parser!(u32).range(1..))]
    tasks: Vec<u32>,

    /// How many sessions there are [default: 10,000; 200 in a short run]
    #[arg(long)]
    sessions: Option<usize>,

    #[command(flatten)]
    run: Run,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let elsewhere = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.run.threads())
        .enable_all()
        .build()?
        .block_on(measure(&args, elsewhere.handle()))
}

async fn measure(args: &Args, elsewhere: &Handle) -> Result<()> {
    let run = &args.run;
    let usual = if run.is_short() { 200 } else { 10_000 };
    let bench = Bench::new(args.sessions.unwrap_or(usual), elsewhere.clone(), run);
    let bench = bench.await?;
    let mut table = Table::default();
    for &tasks in &args.tasks {
        let mut comparison = Comparison::of(READERS.len());
        for round in 0..run.rounds() {
            let measure = async |at: usize| bench.measure(READERS[at], tasks as usize).await;
            comparison.round(measure).await?;
            eprintln!("{tasks} tasks: round {} of {}", round + 1, run.rounds());
        }
        table.add(tasks, comparison);
    }
    table.plot(run)?;
    let conditions = run.conditions(&bench.version().await?);
    Ok(write!(io::stdout().lock(), "{conditions}\n{table}")?)
}

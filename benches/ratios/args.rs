use std::{num::NonZero, thread::available_parallelism, time::Duration};

use clap::Parser;
use latchkey_benches::Record;

/// Latchkey on Redis against plain commands of the same client, in one run.
#[derive(Debug, Parser)]
#[command(name = "ratios")]
pub(crate) struct Args {
    /// How often everything is measured [default: 9; 1 in a short run]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,

    /// How long one thing is measured in a round, in milliseconds [default: 400; 20 in a short run]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    slice_ms: Option<u64>,

    /// How many tasks work at the same time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64], value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tasks: Vec<u32>,

    /// The size of the records
    #[arg(long, value_delimiter = ',', default_values_t = [Record::USUAL, Record::LARGE])]
    pub(crate) bytes: Vec<Record>,

    /// On how many threads they work [default: one CPU is left to the server]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// A Redis that runs already [default: a private one]
    #[arg(long)]
    pub(crate) url: Option<String>,

    /// Only measure what has this in its name: cycle, update, snapshot or create
    #[arg(default_value = "")]
    pub(crate) what: String,

    /// A short run, to see that it works
    #[arg(long)]
    quick: bool,

    // What cargo and criterion's callers pass to all benchmarks. Without `--bench` it is a test.
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true)]
    noplot: bool,
    #[arg(long, hide = true)]
    discard_baseline: bool,
}

impl Args {
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.is_short() { 1 } else { 9 })
    }

    pub(crate) fn slice(&self) -> Duration {
        let default = if self.is_short() { 20 } else { 400 };
        Duration::from_millis(self.slice_ms.unwrap_or(default))
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
            .map_or_else(|| cpus().saturating_sub(1).max(1), usize::from)
    }

    const fn is_short(&self) -> bool {
        self.quick || !self.bench
    }
}

pub(crate) fn cpus() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

use std::time::Duration;

use clap::Parser;
use latchkey_benches::{Record, Run};

/// Latchkey on Redis against plain commands of the same client, in one run.
#[derive(Debug, Parser)]
#[command(name = "ratios")]
pub(crate) struct Args {
    /// How many tasks work at the same time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64], value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tasks: Vec<u32>,

    /// The size of the records
    #[arg(long, value_delimiter = ',', default_values_t = [Record::USUAL, Record::LARGE])]
    pub(crate) bytes: Vec<Record>,

    /// A Redis that runs already [default: a private one]
    #[arg(long)]
    pub(crate) url: Option<String>,

    /// Compare sessions that are written through to a secondary in memory with those that are not
    #[arg(long)]
    pub(crate) through: bool,

    /// Only measure what has this in its name: cycle, update, snapshot or create
    #[arg(default_value = "")]
    pub(crate) what: String,

    #[command(flatten)]
    pub(crate) run: Run,
}

impl Args {
    pub(crate) fn slice(&self) -> Duration {
        self.run.slice(Duration::from_millis(400))
    }
}

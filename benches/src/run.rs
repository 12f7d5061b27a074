use std::{num::NonZero, path::PathBuf, thread::available_parallelism, time::Duration};

use clap::{Args, value_parser};

use crate::{Result, plot::Plot};

/// How much is measured: what all programs are told alike. A build without optimisation measures nothing, so its runs are
/// short.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// How often everything is measured [default: 9; 1 in a short run]
    #[arg(long, global = true, value_parser = value_parser!(u32).range(1..))]
    rounds: Option<u32>,

    /// How long one thing is measured in a round, in milliseconds [default: hundreds; 20 in a short run]
    #[arg(long, global = true, value_parser = value_parser!(u64).range(1..))]
    slice_ms: Option<u64>,

    /// On how many threads the client works [default: one CPU is left to the server]
    #[arg(long, global = true, value_parser = value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// The folder for plots [default: none are made]
    #[arg(long, global = true)]
    plots: Option<PathBuf>,

    /// A short run, to see that it works
    #[arg(long, global = true)]
    quick: bool,

    // What cargo and criterion's callers pass to all benchmarks.
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true)]
    noplot: bool,
    #[arg(long, hide = true)]
    discard_baseline: bool,
}

impl Run {
    /// How often everything is measured.
    pub fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.is_short() { 1 } else { 9 })
    }

    /// How long one thing is measured in a round, unless a run is short or was told otherwise.
    pub fn slice(&self, usual: Duration) -> Duration {
        let short = Duration::from_millis(20);
        let default = if self.is_short() { short } else { usual };
        self.slice_ms.map_or(default, Duration::from_millis)
    }

    /// On how many threads the client works.
    pub fn threads(&self) -> usize {
        self.threads
            .map_or_else(|| cpus().saturating_sub(1).max(1), usize::from)
    }

    /// Whether it is only to be seen that it works.
    pub const fn is_short(&self) -> bool {
        self.quick || cfg!(debug_assertions)
    }

    /// One line of a report: where it was measured.
    pub fn conditions(&self, redis: &str) -> String {
        let (rounds, threads) = (self.rounds(), self.threads());
        format!(
            "Redis {redis}; {} CPUs, {threads} threads of the client; rounds: {rounds}.",
            cpus()
        )
    }

    /// Writes this plot, if any are wanted.
    ///
    /// # Errors
    /// There is nothing to show, or the file cannot be written.
    pub fn plot(&self, plot: &Plot, name: &str) -> Result<()> {
        match &self.plots {
            Some(folder) => plot.write(folder, name),
            None => Ok(()),
        }
    }
}

fn cpus() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum, value_parser};

use crate::hand_over::Turns;

/// Latchkey's locks beside those of other Rust libraries, in one run.
#[derive(Debug, Parser)]
#[command(name = "latchkey-peers")]
pub(crate) struct Args {
    /// How often everything is measured
    #[arg(long, default_value_t = 9, value_parser = value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// How long one thing is measured in a round, in milliseconds
    #[arg(long, default_value_t = 400, value_parser = value_parser!(u64).range(1..))]
    slice_ms: u64,

    /// Over how many nodes a lock is spread
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3, 5], value_parser = value_parser!(u32).range(1..=9))]
    pub(crate) nodes: Vec<u32>,

    /// How many tasks work at the same time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64], value_parser = value_parser!(u32).range(1..))]
    pub(crate) tasks: Vec<u32>,

    /// How often the lock is handed over in each round
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..))]
    pub(crate) turns: u32,

    /// Which libraries; ratios are taken to the first
    #[arg(long, value_delimiter = ',', default_values = ["latchkey", "rslock", "redlock", "plain"])]
    pub(crate) libraries: Vec<Library>,

    /// On how many threads they work
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u16).range(1..))]
    pub(crate) threads: u16,

    /// Only one of the two: cycles (acquire and release) or hand-over (between two processes)
    #[arg(long)]
    only: Option<Part>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    Cycles,
    HandOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Library {
    Latchkey,
    Rslock,
    Redlock,
    /// No library: plain commands, up to a quorum
    Plain,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One of the two processes of the hand-over
    #[command(hide = true)]
    TakeTurns(Turns),
}

impl Args {
    pub(crate) const fn slice(&self) -> Duration {
        Duration::from_millis(self.slice_ms)
    }

    pub(crate) fn measures(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

impl Library {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Latchkey => "latchkey",
            Self::Rslock => "rslock",
            Self::Redlock => "redlock",
            Self::Plain => "plain",
        }
    }
}

//! Latchkey's locks beside those of other Rust libraries, in one run.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- [--rounds N] [--slice-ms MS] [--nodes 1,3,5]
//! [--tasks 1,16,64] [--turns N] [--libraries latchkey,rslock] [--threads N] [--only cycles]`
//!
//! Each round measures everything once, the libraries next to each other, and the next round goes backwards: whatever
//! else the machine does at a time meets all of them. A ratio is taken within a round; of the rounds, the median and the
//! two ends are shown.

mod args;
mod cycles; // acquire + release
mod hand_over; // from one process to another
mod plain; // no library
mod redlock; // the library of this name
mod rslock; // the library of this name
mod table;

use std::io::{self, Write as _};

use clap::Parser as _;
use latchkey_benches::Result;

use crate::args::{Args, Command, Part};

/// How long a lock outlives its holder, in all libraries.
const TTL: std::time::Duration = std::time::Duration::from_secs(10);

fn main() -> Result<()> {
    let args = Args::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.threads.into())
        .enable_all()
        .build()?
        .block_on(run(&args))
}

async fn run(args: &Args) -> Result<()> {
    if let Some(Command::TakeTurns(turns)) = &args.command {
        return hand_over::take_turns(turns).await;
    }
    let mut report = String::new();
    if args.measures(Part::Cycles) {
        report += &cycles::measure(args).await?;
    }
    if args.measures(Part::HandOver) {
        report += &hand_over::measure(args).await?;
    }
    Ok(write!(io::stdout().lock(), "{report}")?)
}

//! Latchkey on Redis against plain commands of the same client, in one run.
//!
//! `cargo bench -p latchkey-benches --bench ratios -- [--rounds N] [--slice-ms MS] [--tasks 1,64] [--bytes 923,16384]
//! [--threads N] [--url URL] [--through] [what]`
//!
//! Each round measures everything once, in turn, each next to what it is compared with; the next round goes backwards.
//! So whatever else the machine does at a time meets both sides. A ratio is taken within a round; of the rounds, the
//! median and the two ends are shown. CPU times say what the work costs also when the machine is busy.

mod args;
mod measure; // one slice of a round
mod table;

use std::io::{self, Write as _};

use clap::Parser as _;
use latchkey_benches::{RedisServer, Result};

use crate::{args::Args, measure::Bench, table::Table};

fn main() -> Result<()> {
    let args = Args::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.run.threads())
        .enable_all()
        .build()?
        .block_on(run(&args))
}

async fn run(args: &Args) -> Result<()> {
    let server = match &args.url {
        Some(url) => RedisServer::at(url).await?,
        None => RedisServer::start().await?,
    };
    let version = server.version().await?;
    let bench = Bench::new(server, args.slice(), args.through).await?;
    let mut table = Table::new(args);
    let rounds = args.run.rounds();
    for round in 0..rounds {
        table.measure(&bench, round % 2 == 1).await?;
        eprintln!("round {} of {rounds}", round + 1);
    }
    let conditions = args.run.conditions(&version);
    Ok(write!(io::stdout().lock(), "{conditions}\n\n{table}")?)
}

//! What becomes of the cost of an operation when one thing grows: the number of sessions, the size of a record, the number of
//! those who want one session.
//!
//! `cargo bench -p latchkey-benches --bench growth -- [--rounds N] [--slice-ms MS] [--only sessions] [--plots FOLDER]`

mod axis; // one thing that grows, and its table
mod records; // more records, larger records
mod waiters; // more who want one session

use std::io::{self, Write as _};

use clap::{Parser, Subcommand, ValueEnum};
use latchkey_benches::{RedisServer, Result, Run};

/// What becomes of the cost when one thing grows.
#[derive(Debug, Parser)]
#[command(name = "growth")]
struct Args {
    /// Only this
    #[arg(long)]
    only: Option<What>,

    #[command(flatten)]
    run: Run,

    #[command(subcommand)]
    command: Option<Command>,
}

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Sessions,
    Bytes,
    Waiters,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One of the processes that want the same session
    #[command(hide = true)]
    Member(waiters::Member),
}

fn main() -> Result<()> {
    let args = Args::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.run.threads())
        .enable_all()
        .build()?
        .block_on(perform(&args))
}

async fn perform(args: &Args) -> Result<()> {
    if let Some(Command::Member(member)) = &args.command {
        return waiters::work(member).await;
    }
    let run = &args.run;
    let redis = RedisServer::start().await?.version().await?;
    say(&run.conditions(&redis))?;
    for what in What::value_variants() {
        if args.only.is_some_and(|only| only != *what) {
            continue;
        }
        let axis = match what {
            What::Sessions => records::more(run).await?,
            What::Bytes => records::larger(run).await?,
            What::Waiters => waiters::more(run).await?,
        };
        axis.plot(run)?;
        say(&axis.to_string())?;
    }
    Ok(())
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

//! Latchkey's sessions and locks beside those of others, in one run.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- [--rounds N] [--slice-ms MS] [--plots FOLDER]
//! [sessions|hot|web|locks|hand-over]`; `--help` behind a part lists what it can be told.
//!
//! Each round measures everything once, the rivals next to each other, and the next round goes backwards: whatever else
//! the machine does at a time meets all of them. A ratio is taken within a round; of the rounds, the median and the two
//! ends are shown.

mod actix; // the session store of actix-session
mod args;
mod careful; // a session store and a lock
mod cycles; // locks: acquire + release
mod hand_over; // from one process to another
mod hot; // one session that many want
mod library; // whose locks
mod plain; // no library
mod redlock; // the library of this name
mod rslock; // the library of this name
mod sessions; // each task with a session of its own
mod table;
mod tower; // the session store of tower-sessions
mod web; // requests through axum

use std::io::{self, Write as _};

use clap::{Command, Parser as _};
use latchkey_benches::{RedisServer, Result};

use crate::args::{Args, Part};

/// How long a lock outlives its holder, in all libraries.
const TTL: std::time::Duration = std::time::Duration::from_secs(10);

fn main() -> Result<()> {
    let args = Args::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.run.threads())
        .enable_all()
        .build()?
        .block_on(perform(&args))
}

async fn perform(args: &Args) -> Result<()> {
    match &args.part {
        Some(Part::TakeTurns(turns)) => hand_over::take_turns(turns).await,
        Some(Part::HotMember(member)) => hot::work(member).await,
        Some(part) => report(args, &[part]).await,
        None => {
            let parts = [
                Part::Sessions(defaults()?),
                Part::Hot(defaults()?),
                Part::Web(defaults()?),
                Part::Locks(defaults()?),
                Part::HandOver(defaults()?),
            ];
            report(args, &parts.iter().collect::<Vec<_>>()).await
        }
    }
}

/// Each part is printed when it is done, so that a later one that fails takes nothing away.
async fn report(args: &Args, parts: &[&Part]) -> Result<()> {
    let Args { run, python, .. } = args;
    let redis = RedisServer::start().await?.version().await?;
    say(&run.conditions(&redis))?;
    for part in parts {
        let text = match part {
            Part::Sessions(args) => sessions::measure(args, run).await?,
            Part::Hot(args) => hot::measure(args, python, run).await?,
            Part::Web(args) => web::measure(args, run).await?,
            Part::Locks(args) => cycles::measure(args, run).await?,
            Part::HandOver(args) => hand_over::measure(args, run).await?,
            Part::TakeTurns(_) | Part::HotMember(_) => continue,
        };
        say(&text)?;
    }
    Ok(())
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

fn defaults<A: clap::Args>() -> Result<A> {
    let command = A::augment_args(Command::new("defaults"));
    Ok(A::from_arg_matches(
        &command.try_get_matches_from(["defaults"])?,
    )?)
}

//! What a session takes of the server's memory, beside the same bytes under a plain key.
//!
//! `cargo bench -p latchkey-benches --bench memory -- [--sessions N]`
//!
//! Everything is stored on one private server, one kind after the other, and deleted in between; what a server needs when
//! it is empty does not count.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use clap::Parser;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use latchkey::Sessions;
use latchkey_benches::{Plain, RedisServer, Result};

/// What a session takes of the server's memory, beside the same bytes under a plain key.
#[derive(Debug, Parser)]
#[command(name = "memory")]
struct Args {
    /// How many sessions are stored [default: 100000; 1000 in a short run]
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..))]
    sessions: Option<u32>,

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

/// What is stored: a plain value, or a session and whose it is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Anonymous,
    /// Each user has so many sessions.
    OfUsers(u32),
}

const KINDS: [Kind; 4] = [
    Kind::Plain,
    Kind::Anonymous,
    Kind::OfUsers(10),
    Kind::OfUsers(1),
];

const VALUE_LEN: usize = 1024;
// Encoded: the map's length, the name, the lengths of name and text.
const TEXT_LEN: usize = VALUE_LEN - 1 - 5 - 3;
const AT_ONCE: usize = 64;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let is_short = args.quick || !args.bench;
    let sessions = args
        .sessions
        .unwrap_or(if is_short { 1_000 } else { 100_000 });
    let server = RedisServer::start().await?;
    let mut out = io::stdout().lock();
    let version = server.version().await?;
    writeln!(out, "Redis {version}; {sessions} of each, 1 KiB.\n")?;
    writeln!(
        out,
        "| stored | bytes each | times plain | more than without a user |"
    )?;
    writeln!(out, "|---|--:|--:|--:|")?;
    let (mut plain, mut anonymous) = (None, None);
    for kind in KINDS {
        let each = measure(&server, kind, sessions).await?;
        let plain = *plain.get_or_insert(each);
        let more = match kind {
            Kind::Plain => String::new(),
            Kind::Anonymous => {
                anonymous = Some(each);
                String::new()
            }
            Kind::OfUsers(_) => format!("{:.0}", each - anonymous.unwrap_or(each)),
        };
        writeln!(
            out,
            "| {} | {each:.0} | {:.3} | {more} |",
            name(kind),
            each / plain
        )?;
    }
    Ok(())
}

fn name(kind: Kind) -> String {
    match kind {
        Kind::Plain => "`SET` with `PX`, key of 43 characters".to_owned(),
        Kind::Anonymous => "session".to_owned(),
        Kind::OfUsers(1) => "session of a user who has no other".to_owned(),
        Kind::OfUsers(count) => format!("session of a user who has {count}"),
    }
}

/// The bytes that one of them takes.
async fn measure(server: &RedisServer, kind: Kind, count: u32) -> Result<f64> {
    let (sessions, plain) = (server.sessions().await?, server.plain().await?);
    let before = server.used_memory().await?;
    let text: Arc<str> = "x".repeat(TEXT_LEN).into();
    stream::iter(0..count)
        .map(|number| store(kind, number, &sessions, &plain, Arc::clone(&text)))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let after = server.used_memory().await?;
    server.clear_all().await?;
    Ok((after as f64 - before as f64) / f64::from(count))
}

async fn store(
    kind: Kind,
    number: u32,
    sessions: &Sessions,
    plain: &Plain,
    text: Arc<str>,
) -> Result<()> {
    let per_user = match kind {
        Kind::Plain => {
            return plain
                .set_for_an_hour(&format!("{number:043}"), VALUE_LEN)
                .await;
        }
        Kind::Anonymous => None,
        Kind::OfUsers(each) => Some(each),
    };
    let mut session = sessions.create();
    session.insert("note", &*text)?;
    if let Some(each) = per_user {
        session.login(u64::from(number / each), &())?;
    }
    session.commit().await?;
    Ok(())
}

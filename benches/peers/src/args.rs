use std::path::PathBuf;

use clap::{Parser, Subcommand};
use latchkey_benches::Run;

use crate::{cycles, hand_over, hot, sessions, web};

/// Latchkey's sessions and locks beside those of others, in one run.
#[derive(Debug, Parser)]
#[command(name = "latchkey-peers")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) run: Run,

    /// A Python with redis-py and python-redis-lock
    #[arg(long, global = true, default_value = "python3")]
    pub(crate) python: PathBuf,

    #[command(subcommand)]
    pub(crate) part: Option<Part>,
}

/// What is measured; all of it, if none is named.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Sessions, each task with one of its own
    Sessions(sessions::Args),
    /// One session that many want
    Hot(hot::Args),
    /// Requests through axum: session ignored, read, changed
    Web(web::Args),
    /// Locks over several nodes: acquire and release
    Locks(cycles::Args),
    /// A lock, or a session, from one process to another
    HandOver(hand_over::Args),

    /// One of the two processes of the hand-over
    #[command(hide = true)]
    TakeTurns(hand_over::Turns),
    /// One of the processes that want the same session
    #[command(hide = true)]
    HotMember(hot::Member),
}

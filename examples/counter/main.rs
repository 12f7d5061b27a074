//! Counts the updates that get lost when several processes change the same sessions in one Redis.
//!
//! `cargo run --release --example counter -- --redis redis://127.0.0.1 --processes 4 --tasks 16 --seconds 5`
//!
//! With `--primary postgresql://user@localhost/app` the sessions stand in PostgreSQL, locked by `--locker`.
//!
//! The parent creates the sessions and starts this program again for each worker process. Every task of a worker adds
//! 1 to one of the sessions, tells the parent what came of it, and only then begins its next round. At the end the
//! parent compares what the workers were told was committed with what the store holds.

mod args; // what the user asks for
mod assignment; // what the parent tells a worker
mod crew; // all worker processes, from start to end
mod frame; // what a worker tells the parent
mod member; // one of them
mod outcome; // what the store said of it
mod parent; // the whole run
mod progress; // what the terminal shows meanwhile
mod report; // all of that against what is stored
mod round; // one round: add 1 to one session
mod stopwatch;
mod tally; // what one worker was told by the store
mod worker; // the other side: the tasks of one process

use std::{env, error::Error, process::ExitCode};

use clap::Parser as _;

type BoxError = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let is_worker = env::args_os()
        .nth(1)
        .is_some_and(|flag| flag == worker::FLAG);
    let result = if is_worker {
        worker::main().map(|()| ExitCode::SUCCESS)
    } else {
        parent::main(&args::Args::parse())
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", with_causes(&*error));
        ExitCode::from(COULD_NOT_COUNT)
    })
}

/// The exit status for wrong arguments too.
const COULD_NOT_COUNT: u8 = 2;

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some libraries repeat their causes.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

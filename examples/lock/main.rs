//! A distributed lock for the shell.
//!
//! `cargo run --example lock -- --nodes URL[,URL...] --resource NAME --ttl-ms N [--wait-ms W] (try|hold)`
//!
//! Each line that it prints is one event: `ACQUIRED fence=N validity_ms=M`, `BUSY`, `RELEASED`, `LOST cause` or
//! `ERROR kind: text`.

mod args; // what the user asks for
mod command; // try and hold
mod event; // what is printed
mod failure; // what went wrong, in a word and in a line
mod input; // when the user has done with the lock

use std::process::ExitCode;

use crate::{args::Args, event::Event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Args::from_command_line() {
        Ok(args) => command::run(&args).await,
        Err(failure) => Event::Error(failure).print_last(),
    }
}

//! A small shop on Latchkey: `cargo run --example web -- --listen 127.0.0.1:3000 [--redis URL] [--postgres URL]`.
//!
//! Pages for a login, a cart and "your devices", the same as JSON under `/api`, and a race lab that fires many requests at
//! one cart, with and without the lock, and draws what came of it. With `--redis`, any number of them share their sessions.

use std::process::ExitCode;

use clap::Parser as _;
use shop::{Args, with_causes};

#[tokio::main]
async fn main() -> ExitCode {
    // Boxed, because the compiler gives up on futures that are nested too deeply.
    match Box::pin(shop::run(Args::parse())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

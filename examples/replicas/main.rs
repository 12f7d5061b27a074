//! Three servers of the example `web` behind a proxy, on one Redis, and a client that hammers at them:
//! `cargo run --example replicas [-- --redis URL]`.
//!
//! Without `--redis` it starts a `redis-server` of its own. The proxy sends each request to the next server, so that a
//! session has no home. The client logs in, adds to its cart from many tasks at once, with the lock and without it, kills one
//! of the servers, logs out, and reports.

mod args; // what the user asks for
mod client; // a browser that is in a hurry
mod process; // programs that end with this one
mod proxy; // one request to each server in turn
mod redis; // a server of our own
mod replica; // one server of the shop
mod report; // what came of it
mod round; // many requests at one cart

use std::{env, process::ExitCode};

use clap::Parser as _;
use shop::{BoxError, with_causes};
use tokio::signal::unix::{SignalKind, signal};

use self::{
    args::Args,
    client::Client,
    proxy::Proxy,
    redis::PrivateRedis,
    replica::Replica,
    report::Report,
    round::{Mode, round},
};

#[tokio::main]
async fn main() -> ExitCode {
    start().await.unwrap_or_else(|error| {
        eprintln!("error: {}", with_causes(&*error));
        ExitCode::from(2)
    })
}

async fn start() -> Result<ExitCode, BoxError> {
    let is_server = env::args_os()
        .nth(1)
        .is_some_and(|word| word == replica::FLAG);
    if is_server {
        let words = env::args_os().enumerate().filter(|(at, _)| *at != 1);
        let args = shop::Args::parse_from(words.map(|(_, word)| word));
        // Boxed, because the compiler gives up on futures that are nested too deeply.
        Box::pin(shop::run(args)).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = Box::pin(run(Args::parse())) => ended,
        // Dropping the run ends its processes.
        _ = terminate.recv() => Err("told to end".into()),
    }
}

async fn run(args: Args) -> Result<ExitCode, BoxError> {
    let own = match &args.redis {
        None => Some(PrivateRedis::start().await?),
        Some(_) => None,
    };
    let url = own.as_ref().map(PrivateRedis::url).or(args.redis);
    let url = url.ok_or("no Redis")?;
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(Replica::start(&url).await?);
    }
    let servers: Vec<_> = replicas.iter().map(Replica::addr).collect();
    let proxy = Proxy::start(args.listen, &servers).await?;
    let mut report = Report::begin(&proxy, &servers, own.is_some());

    let client = Client::new(proxy.addr());
    client.log_in().await?;
    report.says("logged in as ada");
    for mode in [Mode::Locked, Mode::Unlocked] {
        report.add(mode, &round(&client, mode, args.requests).await?);
    }
    if let Some(replica) = replicas.pop() {
        replica.kill().await?;
        proxy.forget(servers[REPLICAS - 1]);
        report.says("server 3 killed");
    }
    report.add(
        Mode::Locked,
        &round(&client, Mode::Locked, args.requests).await?,
    );
    client.log_out().await?;
    let (last, rest) = servers.split_last().ok_or("no servers")?;
    let mut is_out = true;
    for server in rest.iter().filter(|server| *server != last) {
        is_out &= !client.was_logged_in(*server).await?;
    }
    report.says(if is_out {
        "logged out, on every server"
    } else {
        "still logged in somewhere"
    });
    if args.stay {
        report.says("the shop stays open until you press Ctrl-C");
        tokio::signal::ctrl_c().await?;
    }
    let is_fine = is_out && report.nothing_was_lost();
    Ok(ExitCode::from(u8::from(!is_fine)))
}

const REPLICAS: usize = 3;

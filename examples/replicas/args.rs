use std::net::SocketAddr;

use clap::Parser;

/// Three shops behind a proxy, on one Redis, and a client that hammers at them.
///
/// The exit status is 0 if nothing was lost under the lock, 1 if something was, and 2 if it could not be tried.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The Redis of all servers; without it, a `redis-server` is started that ends with this program.
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
    /// Where the proxy listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// How many requests are sent at once.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) requests: u32,
    /// Leaves the shop open at the end, to be visited with a browser.
    #[arg(long)]
    pub(crate) stay: bool,
}

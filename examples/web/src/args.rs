use std::net::SocketAddr;

use clap::Parser;

/// A small shop that keeps its carts and logins in sessions.
///
/// Users: ada (lovelace) and grace (hopper).
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// Where to listen. Without TLS, and so for the loopback address alone.
    #[arg(long, default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,
    /// Keeps the sessions in this Redis, for as many of these servers as you like; without it, in the memory of this process.
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
    /// Keeps the users in a table of this database; without it, in the memory of this process.
    #[arg(long, value_name = "URL")]
    pub postgres: Option<String>,
    /// Logs errors only, and no warnings.
    #[arg(long)]
    pub quiet: bool,
}

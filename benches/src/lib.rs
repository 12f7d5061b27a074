//! What the benchmarks share.

mod comparison; // several things, round by round
mod cost; // what one action cost
mod load; // tasks that do one thing over and over, and check what comes of it
mod plain; // GET and SET without any session
mod record; // what is stored
mod redis_server; // the server, its clean-up and its CPU time
mod run; // how much is measured
mod session; // sessions in any store
mod spread; // median and ends
mod stopwatch; // wall and CPU time
mod subject; // what all that is measured can do
mod tasks; // several at the same time

pub mod hot;
pub mod locks;
pub mod plot;

pub use comparison::Comparison;
pub use cost::Cost;
pub use load::{Load, Outcome, Until};
pub use plain::Plain;
pub use record::Record;
pub use redis_server::RedisServer;
pub use run::Run;
pub use spread::Spread;
pub use stopwatch::{Stopwatch, Usage};
pub use subject::{Action, Subject};

/// Why a measurement is void.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

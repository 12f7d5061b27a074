//! The shop of the example `web`, which the example `replicas` runs three times.

mod args; // what the user asks for
mod serve; // from there to a server that listens, and its end

mod service; // which path leads where, and through what
mod sessions; // where sessions are
mod users; // who may log in

mod cart; // what a session holds, and the two ways to change it
mod device; // what a login is called in the list of devices
mod login; // logging in, for pages and the API

mod api; // JSON
mod lab; // many requests at one cart
mod pages; // HTML

mod cause; // errors with their causes
mod stopwatch;
mod times; // moments as text

pub use args::Args;
pub use cause::with_causes;
pub use serve::run;

/// What ends the program.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

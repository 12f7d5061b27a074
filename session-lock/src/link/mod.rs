//! The way to one Redis server, for this project's own crates: connections, scripts, and what errors mean.
//!
//! Not part of the public API: it may change in any release.

mod call; // what one caller asks for, and how calls of several are joined
mod client; // from a URL to a client
mod connection; // one multiplexed connection that all tasks share, or a pool
mod error; // what Redis and the network say, as faults
mod flights; // who goes out together
mod info; // what a server says of itself
mod redirect; // where a node of a cluster sends a command
mod script; // Lua by its hash
mod slot; // where in a cluster a key is

pub use call::{Call, Entry, Routine};
pub use client::{URL_FORM, open, open_pushing, parse_url};
pub use connection::{Finder, Greeting, Hearing, Link, Settings, Source, listen, within};
pub use error::{CallError, connection_fault, is_wrong_type, lost_script, server_error};
pub use info::ServerInfo;
pub use redirect::{Redirect, at_address};
pub use script::{NOW, Script};
pub use slot::{SLOTS, slot_of};

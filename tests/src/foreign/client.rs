use std::time::Duration;

use super::{Library, process::Process};
use crate::TestResult;

/// One process that takes and gives back a lock with another library. Dropping it ends it, and leaves the lock to its
/// TTL.
#[derive(Debug)]
pub struct ForeignClient {
    process: Process,
}

impl ForeignClient {
    /// A client for the lock `name` on these nodes.
    ///
    /// # Errors
    /// When the library cannot be installed or the process cannot be started.
    pub async fn start(
        library: Library,
        name: &str,
        ttl: Duration,
        nodes: impl IntoIterator<Item = String>,
    ) -> TestResult<Self> {
        let ttl_ms = ttl.as_millis().to_string();
        let words = [library.name(), name, &ttl_ms].map(str::to_owned);
        let args = words.into_iter().chain(nodes);
        let process = Process::start(library.name(), library.requirements(), CLIENT, args);
        Ok(Self {
            process: process.await?,
        })
    }

    /// Tries once to take the lock; whether it has it.
    ///
    /// # Errors
    /// When the library fails.
    pub async fn acquire(&mut self) -> TestResult<bool> {
        match self.process.ask("acquire").await?.as_str() {
            "acquired" => Ok(true),
            "busy" => Ok(false),
            other => Err(other.into()),
        }
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// When the library fails.
    pub async fn release(&mut self) -> TestResult {
        match self.process.ask("release").await?.as_str() {
            "released" => Ok(()),
            other => Err(other.into()),
        }
    }
}

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/client.py");

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::ServerKind;

/// Why a test server could not be started, reached or broken as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// No kind of server can be used here.
    #[error(
        "no Redis server for tests: {reason}; start Docker, install redis-server \
         (apt-get install redis-server), or set LATCHKEY_TEST_REDIS_URL"
    )]
    NoServer {
        /// What was tried and what was found.
        reason: String,
    },
    /// PostgreSQL is not installed.
    #[error(
        "no PostgreSQL server for tests: neither the PATH nor /usr/lib/postgresql has initdb and postgres; install \
         them (apt-get install postgresql), or leave these tests out with LATCHKEY_SKIP=postgresql"
    )]
    NoPostgres,
    /// An environment variable holds something else than it may.
    #[error("{variable} is {found:?}; expected {expected}")]
    Environment {
        /// Name of the variable.
        variable: &'static str,
        /// Its value; left out where it could hold a password.
        found: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// This kind of server cannot do that.
    #[error("{what} is not possible with {kind}")]
    Unsupported {
        /// The fault or option asked for.
        what: &'static str,
        /// The kind of server it was asked of.
        kind: ServerKind,
    },
    /// The server did not answer in time.
    #[error("server at {addr} was not ready after {waited:?}: {reason}")]
    NotReady {
        /// Where the server should listen.
        addr: SocketAddr,
        /// How long it was asked.
        waited: Duration,
        /// Its last answer, or the end of its log.
        reason: String,
    },
    /// The server ended instead of starting.
    #[error("server at {addr} ended while starting: {log}")]
    Ended {
        /// Where the server should have listened.
        addr: SocketAddr,
        /// The end of its log.
        log: String,
    },
    /// Only a server with a limit that refuses writes can be filled.
    #[error("filling needs maxmemory above 0 and noeviction; found {maxmemory} and {policy}")]
    NotFillable {
        /// The limit in bytes.
        maxmemory: u64,
        /// The eviction policy.
        policy: String,
    },
    /// No free port was found in the range that test servers use.
    #[error("no free port between {first} and {last}")]
    NoPort {
        /// Lowest port tried.
        first: u16,
        /// Highest port tried.
        last: u16,
    },
    /// A tool on this machine (Docker's client, `tar`, `ldd`) failed.
    #[error("{tool} failed: {output}")]
    Tool {
        /// The tool and its subcommand.
        tool: String,
        /// The end of its error output.
        output: String,
    },
    /// The Docker daemon refused.
    #[error("docker could not {attempted}")]
    Docker {
        /// What was asked of it.
        attempted: &'static str,
        /// Its answer.
        #[source]
        source: Box<testcontainers::TestcontainersError>,
    },
    /// The operating system refused.
    #[error("could not {attempted}")]
    Io {
        /// What was attempted.
        attempted: &'static str,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// The server answered with an error, or not at all.
    #[error("server at {addr} could not be asked")]
    Redis {
        /// The server's address.
        addr: SocketAddr,
        /// The client's error.
        #[source]
        source: redis::RedisError,
    },
}

impl ServerError {
    pub(super) fn io(attempted: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { attempted, source }
    }

    pub(super) fn docker(
        attempted: &'static str,
    ) -> impl FnOnce(testcontainers::TestcontainersError) -> Self {
        move |source| Self::Docker {
            attempted,
            source: Box::new(source),
        }
    }
}

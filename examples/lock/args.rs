use std::time::Duration;

use clap::{Parser, ValueEnum, error::ErrorKind};

use crate::failure::Failure;

/// Takes a lock that is spread over independent Redis servers, and tells what becomes of it, one line for each event.
///
/// `try` tries to get the lock, prints ACQUIRED, BUSY or ERROR, and gives the lock back before it ends: it tells whether
/// the lock is free, and what its next fencing token is larger than. To do something under the lock, use `hold`.
///
/// `hold` prints ACQUIRED and keeps the lock, renewed, until it reads a line or the end of its input, or is told to end
/// (SIGINT, SIGTERM); then it gives the lock back and prints RELEASED. If the lock is lost before, it prints LOST and the
/// cause at once: expired, stolen, gone, quorum_lost, node_restarted or held_too_long (24 h).
///
/// Exit status: 0 acquired, and released if held; 1 BUSY; 2 ERROR or LOST.
#[derive(Debug, Parser)]
#[command(name = "lock", max_term_width = 100)]
pub(crate) struct Args {
    /// The Redis or Valkey servers, as redis://[user:password@]host[:port][/database]; more than half of them have to
    /// grant the lock
    #[arg(long, value_name = "URL[,URL...]", value_delimiter = ',')]
    pub(crate) nodes: Vec<String>,

    /// What is locked
    #[arg(long, value_name = "NAME")]
    pub(crate) resource: String,

    /// How long the servers keep the lock if it is not renewed: 10 to 3,600,000
    #[arg(long, value_name = "N")]
    ttl_ms: u64,

    /// How long to wait while somebody else has the lock; 0 tries once
    #[arg(long, value_name = "W", default_value_t = 0)]
    wait_ms: u64,

    /// What stands before the name in the key of the lock. By default nothing: the key is the name, as redlock-py, rslock
    /// and redis-py have it; pottery puts `redlock:` there, python-redis-lock `lock:`. All who shall exclude each other
    /// have to use the same
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) key_prefix: String,

    #[arg(value_enum, value_name = "try|hold")]
    pub(crate) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// Get the lock, and give it back
    Try,
    /// Get the lock, and keep it until the input ends
    Hold,
}

impl Args {
    /// The arguments of this process. Prints the help, if that is asked for, and ends.
    pub(crate) fn from_command_line() -> Result<Self, Failure> {
        Self::try_parse().map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
            _ => Failure::usage(&error),
        })
    }

    pub(crate) const fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }

    pub(crate) const fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    const LEAST: &str = "lock --nodes redis://a,redis://b --resource r --ttl-ms 1000";

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_flags_fit_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn nodes_are_separated_by_commas() {
        let args = parse(&format!("{LEAST} try")).unwrap();
        assert_eq!(args.nodes, ["redis://a", "redis://b"]);
        assert_eq!((args.action, args.wait()), (Action::Try, Duration::ZERO));
        assert_eq!(args.key_prefix, "");
    }

    #[test]
    fn a_wrong_argument_is_told_in_one_line_that_names_it() {
        for (line, named) in [
            (LEAST.to_owned(), "try|hold"),
            (format!("{LEAST} seize"), "seize"),
            (format!("{LEAST} try --ttl-ms many"), "--ttl-ms"),
            (format!("{LEAST} try --fast"), "--fast"),
        ] {
            let text = Failure::usage(&parse(&line).unwrap_err()).to_string();
            assert!(text.starts_with("usage: "), "{text}");
            assert!(text.contains(named), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }
}

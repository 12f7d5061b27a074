use std::time::Duration;

use clap::{Args as ClapArgs, Parser, ValueEnum, value_parser};
use serde::{Deserialize, Serialize};

use crate::assignment::StoreSettings;

/// Counts the updates that get lost when several processes change the same sessions in one Redis, or one PostgreSQL.
///
/// Each worker process is named with its ID. SIGTERM lets one finish its rounds; SIGKILL is a crash.
///
/// Exit status: 0 nothing was lost (or the mode is unlocked, which loses); 1 something was lost or counted twice;
/// 2 the run could not be made.
#[derive(Parser)]
#[command(name = "counter", max_term_width = 100)]
pub(crate) struct Args {
    /// The Redis or Valkey to use, as redis://[user:password@]host[:port][/database]
    #[arg(long, value_name = "URL", required_unless_present = "primary")]
    pub(crate) redis: Option<String>,

    /// Keep the sessions in PostgreSQL, as postgresql://user[:password]@host[:port]/database; tables by `migrate`
    #[arg(long, value_name = "URL")]
    pub(crate) primary: Option<String>,

    /// Where sessions in PostgreSQL are locked [default: redlock with --redis, else postgres]
    #[arg(long, value_enum, requires = "primary")]
    locker: Option<Locker>,

    /// Worker processes
    #[arg(long, value_name = "P", default_value_t = 4, value_parser = value_parser!(u32).range(1..=256))]
    pub(crate) processes: u32,

    /// Tasks in each process
    #[arg(long, value_name = "T", default_value_t = 16, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) tasks: u32,

    #[command(flatten)]
    limit: LimitArgs,

    /// Sessions that the tasks share
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) sessions: u32,

    /// How long a round takes between reading and writing
    #[arg(long, value_name = "H", default_value_t = 0, value_parser = value_parser!(u64).range(..=3_600_000))]
    hold_ms: u64,

    /// How a session is changed
    #[arg(long, value_enum, default_value_t = Mode::Locked)]
    pub(crate) mode: Mode,

    /// How long a lock outlives a holder that died [default: the library's]
    #[arg(long, value_name = "L")]
    lease_ms: Option<u64>,

    /// How long a task waits for a lock [default: the library's]
    #[arg(long, value_name = "W")]
    wait_ms: Option<u64>,

    /// Print the result as one JSON object, on the last line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs)]
#[group(required = true, multiple = false)]
struct LimitArgs {
    /// Rounds of each task, failed ones included
    #[arg(long, value_name = "R", value_parser = value_parser!(u64).range(1..))]
    rounds: Option<u64>,

    /// Seconds in which rounds are begun
    #[arg(long, value_name = "S", value_parser = value_parser!(u64).range(1..=1_000_000))]
    seconds: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Mode {
    /// Under the lock of the session
    Locked,
    /// Without a lock: the last writer wins
    Unlocked,
    /// By `Sessions::update`: optimistic where possible
    Update,
}

/// Who locks sessions that are kept in PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Locker {
    /// The Redis of --redis, as the one node of a Redlock
    Redlock,
    /// PostgreSQL itself
    Postgres,
}

/// When a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Limit {
    Rounds(u64),
    Time(Duration),
}

impl Args {
    /// What the parser cannot say by itself.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.mode == Mode::Update && self.hold_ms > 0 {
            return Err("--hold-ms needs --mode locked or unlocked: an update cannot pause");
        }
        if self.locker == Some(Locker::Redlock) && self.redis.is_none() {
            return Err("--locker redlock needs --redis: its node");
        }
        Ok(())
    }

    pub(crate) fn limit(&self) -> Limit {
        match (self.limit.rounds, self.limit.seconds) {
            (Some(rounds), _) => Limit::Rounds(rounds),
            (None, seconds) => Limit::Time(Duration::from_secs(seconds.unwrap_or_default())),
        }
    }

    pub(crate) const fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms)
    }

    pub(crate) fn store(&self) -> StoreSettings {
        StoreSettings {
            redis: self.redis.clone(),
            primary: self.primary.clone(),
            locker: self.locker.unwrap_or(match self.redis {
                Some(_) => Locker::Redlock,
                None => Locker::Postgres,
            }),
            lease: self.lease_ms.map(Duration::from_millis),
            wait: self.wait_ms.map(Duration::from_millis),
            max_waiters: self.tasks,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(words: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(format!("counter {words}").split_whitespace())
    }

    #[test]
    fn the_flags_fit_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn rounds_or_seconds_limit_the_run() {
        let limit = |words: &str| parse(words).ok().map(|args| args.limit());
        assert_eq!(
            limit("--redis redis://h --rounds 7"),
            Some(Limit::Rounds(7))
        );
        let five = Duration::from_secs(5);
        assert_eq!(
            limit("--redis redis://h --seconds 5"),
            Some(Limit::Time(five))
        );
        assert_eq!(limit("--redis redis://h"), None);
        assert_eq!(limit("--redis redis://h --rounds 7 --seconds 5"), None);
    }

    #[test]
    fn arguments_that_make_no_sense_end_with_status_2() {
        for words in [
            "--rounds 1",
            "--redis redis://h --rounds 0",
            "--redis redis://h --seconds 0",
            "--redis redis://h --rounds 1 --processes 0",
            "--redis redis://h --rounds 1 --tasks 0",
            "--redis redis://h --rounds 1 --sessions 0",
            "--redis redis://h --rounds many",
            "--redis redis://h --rounds 1 --mode careful",
        ] {
            assert_eq!(
                parse(words).err().map(|error| error.exit_code()),
                Some(2),
                "{words}"
            );
        }
    }

    #[test]
    fn sessions_in_postgresql_are_locked_where_the_flags_say() {
        let locker = |words: &str| {
            let args = parse(&format!("--primary postgresql://h/app --rounds 1 {words}")).unwrap();
            args.check().map(|()| args.store().locker)
        };
        assert_eq!(locker(""), Ok(Locker::Postgres));
        assert_eq!(locker("--redis redis://h"), Ok(Locker::Redlock));
        let both = "--redis redis://h --locker postgres";
        assert_eq!(locker(both), Ok(Locker::Postgres));
        assert!(locker("--locker redlock").is_err());
        let without = parse("--redis redis://h --rounds 1 --locker postgres");
        assert_eq!(without.err().map(|error| error.exit_code()), Some(2));
    }

    #[test]
    fn an_update_cannot_pause() {
        let args = |mode| {
            parse(&format!(
                "--redis redis://h --rounds 1 --hold-ms 5 --mode {mode}"
            ))
            .unwrap()
        };
        assert!(args("update").check().is_err());
        assert!(args("locked").check().is_ok());
    }
}

//! What in the set-up of the servers would break a promise, or make it weaker.

use std::{fmt, time::Duration};

use futures_util::future::join_all;
use redis::{Pipeline, Value};
use session_core::{Error, StoreTime};
use session_lock::link::{self, Link, ServerInfo};

use crate::{RedisStore, builder::read_time, server_time::millis, waiters::Ears, way::Way};

/// What was found at one server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The address of the server.
    pub node: String,
    /// What is the matter with it.
    pub problem: Problem,
}

/// What is the matter with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// It does not answer; with the fault.
    Unreachable(String),
    /// It is a replica, and refuses writes.
    Replica,
    /// It evicts keys when it is full, by this policy: sessions and locks vanish.
    Evicts(String),
    /// It is older than 6.2, where needed commands are missing.
    TooOld(String),
    /// It keeps nothing over a restart but what a snapshot has: no append-only file.
    ForgetsOnRestart,
    /// It writes to its append-only file less often than after each command: what is younger is lost with the machine.
    SyncsSeldom(String),
    /// Some of its replicas may lag, and it takes writes however many of them it has lost (`min-replicas-to-write`).
    WritesWithoutReplicas,
    /// This command is not permitted, and what it is for goes without.
    NotPermitted {
        /// The command.
        command: &'static str,
        /// What it is for.
        purpose: &'static str,
    },
    /// A node of a cluster older than 7.0: locks are waited for by looking.
    NoShardedChannels,
    /// Its clock is that far from another server's of the cluster, or, with a single one, from this machine's.
    ClockIsOff(Duration),
}

impl Problem {
    /// Whether a promise is broken by it. Else it is slower, or protects less from the loss of a machine.
    pub const fn breaks_promises(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::Replica | Self::Evicts(_) | Self::TooOld(_)
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(fault) => write!(f, "it cannot be asked: {fault}"),
            Self::Replica => f.write_str("it is a replica and refuses writes; connect to the primary"),
            Self::Evicts(policy) => write!(
                f,
                "it evicts keys when it is full (maxmemory-policy {policy}): sessions vanish; set noeviction"
            ),
            Self::TooOld(version) => write!(f, "it has version {version}; needed is 6.2 or newer"),
            Self::ForgetsOnRestart => f.write_str(
                "without an append-only file, a restart loses the sessions since the last snapshot; set appendonly yes",
            ),
            Self::SyncsSeldom(policy) => write!(
                f,
                "appendfsync is {policy}: what is younger is lost with the machine; always is slower and loses nothing"
            ),
            Self::WritesWithoutReplicas => f.write_str(
                "it has replicas and takes writes without them; set min-replicas-to-write, or a fail-over loses more",
            ),
            Self::NotPermitted { command, purpose } => {
                write!(f, "{command} is not permitted; it is for {purpose}")
            }
            Self::NoShardedChannels => f.write_str(
                "it is older than 7.0 and has no sharded channels: locks are waited for by looking",
            ),
            Self::ClockIsOff(span) => write!(f, "its clock is off by {span:?}"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.problem)
    }
}

/// More than that between two clocks is worth a look.
const FAR_OFF: Duration = Duration::from_secs(1);

/// What is asked for its permission alone, and what it is for. None of it changes anything.
const NEEDED: [(&[&str], &str, &str); 4] = [
    (&["EVAL", "return 1", "0"], "EVAL", "every change"),
    (
        &["PUBSUB", "NUMSUB", "latchkey"],
        "PUBSUB",
        "handing locks over to processes that live",
    ),
    (
        &["SCAN", "0", "COUNT", "1"],
        "SCAN",
        "ending all sessions, and telling a new secondary of them",
    ),
    (&["CLIENT", "ID"], "CLIENT", "cached reads"),
];

impl RedisStore {
    /// Looks at the set-up of all servers, for an administrator: eviction, persistence, role, version, permissions, clocks.
    /// Takes two flights to each. Nothing found: an empty list. What breaks promises, connecting refuses as well.
    ///
    /// # Errors
    /// [`Error::Store`] when it cannot be learnt which servers there are. One that does not answer is a finding.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn diagnose(&self) -> Result<Vec<Finding>, Error> {
        let server = &self.inner.server;
        let links = server.way.links().await;
        let (links, _) = links.map_err(|error| server.failed("diagnose the servers", error))?;
        let clustered = matches!(server.way, Way::Cluster(_));
        let examined = join_all(links.iter().map(examine)).await;
        let (mut findings, mut clocks) = (Vec::new(), Vec::new());
        for (found, clock) in examined {
            findings.extend(found);
            clocks.extend(clock);
        }
        let here = millis(server.clock.unix_time());
        let here = (!clustered).then(|| (StoreTime::from_millis(here), String::new()));
        let earliest = clocks.iter().chain(&here).map(|(time, _)| *time).min();
        for (time, node) in clocks {
            let apart = earliest.map_or(Duration::ZERO, |earliest| time.saturating_since(earliest));
            let behind = here
                .as_ref()
                .map_or(Duration::ZERO, |(here, _)| here.saturating_since(time));
            let span = apart.max(behind);
            if span > FAR_OFF {
                let problem = Problem::ClockIsOff(span);
                findings.push(Finding { node, problem });
            }
        }
        if clustered && matches!(self.inner.ears(), Ears::None) {
            let node = server.way.node().to_owned();
            let problem = Problem::NoShardedChannels;
            findings.push(Finding { node, problem });
        }
        if let Some(problem) = self.subscribes().await {
            let node = server.way.node().to_owned();
            findings.push(Finding { node, problem });
        }
        Ok(findings)
    }

    /// Whether messages can be heard.
    async fn subscribes(&self) -> Option<Problem> {
        let Ears::Server(finder) = self.inner.ears() else {
            return None;
        };
        let limit = self.inner.server.way.call_timeout();
        let client = finder.find().await.ok()?;
        let hear = |_message| Ok::<_, std::convert::Infallible>(());
        let mut connection = link::listen(&client, hear, limit).await.ok()?;
        let channel = self.inner.prefix.channel(0);
        let subscribed = link::within(limit, connection.subscribe(channel)).await;
        subscribed.is_err().then_some(Problem::NotPermitted {
            command: "SUBSCRIBE",
            purpose: "hearing of free locks: they are waited for by looking",
        })
    }
}

type Examined = (Vec<Finding>, Option<(StoreTime, String)>);

async fn examine(link: &Link) -> Examined {
    let found = |problem| Finding {
        node: link.node().to_owned(),
        problem,
    };
    let mut questions = Pipeline::new();
    questions.cmd("TIME").cmd("INFO");
    questions.cmd("CONFIG").arg("GET").arg("appendfsync");
    questions
        .cmd("CONFIG")
        .arg("GET")
        .arg("min-replicas-to-write");
    for (words, ..) in NEEDED {
        questions.cmd(words[0]).arg(&words[1..]);
    }
    let answers = match link.call(&questions).await {
        Ok(answers) => answers,
        Err(error) => {
            let problem = Problem::Unreachable(error.fault.to_string());
            return (vec![found(problem)], None);
        }
    };
    let [time, info, sync, replicas, needed @ ..] = &answers[..] else {
        return (
            vec![found(Problem::Unreachable("no answers".to_owned()))],
            None,
        );
    };
    let mut problems = Vec::new();
    match ServerInfo::read(info) {
        Some(info) => look_at(&info, sync, replicas, &mut problems),
        None => problems.push(Problem::NotPermitted {
            command: "INFO",
            purpose: "seeing version, role and eviction",
        }),
    }
    for (answer, (_, command, purpose)) in needed.iter().zip(NEEDED) {
        if let Value::ServerError(error) = answer
            && link::server_error(error) == session_core::Fault::Denied
        {
            problems.push(Problem::NotPermitted { command, purpose });
        }
    }
    let clock = read_time(time).map(|time| (time, link.node().to_owned()));
    (problems.into_iter().map(found).collect(), clock)
}

fn look_at(info: &ServerInfo, sync: &Value, replicas: &Value, problems: &mut Vec<Problem>) {
    if info.version() < (6, 2) {
        let version = info.field("redis_version").unwrap_or_default();
        problems.push(Problem::TooOld(version.to_owned()));
    }
    if info.field("role").is_some_and(|role| role != "master") {
        problems.push(Problem::Replica);
    }
    if let Some(policy) = info.field("maxmemory_policy")
        && policy != "noeviction"
    {
        problems.push(Problem::Evicts(policy.to_owned()));
    }
    if info.field("aof_enabled") == Some("0") {
        problems.push(Problem::ForgetsOnRestart);
    } else if let Some(policy) = setting(sync)
        && policy != "always"
    {
        problems.push(Problem::SyncsSeldom(policy));
    }
    let has_replicas = info
        .field("connected_slaves")
        .is_some_and(|count| count != "0");
    if has_replicas && setting(replicas).as_deref() == Some("0") {
        problems.push(Problem::WritesWithoutReplicas);
    }
}

/// The value that `CONFIG GET` answers, if it may be asked.
fn setting(answer: &Value) -> Option<String> {
    let pair: (String, String) = redis::from_redis_value_ref(answer).ok()?;
    Some(pair.1)
}

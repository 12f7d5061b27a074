use std::{fmt, time::Duration};

use serde::Serialize;

use crate::Chance;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "tests ask for each")]
pub enum FaultKind {
    /// `SIGKILL` to a worker; another one takes its place.
    KillWorker,
    /// `SIGSTOP` to a worker, then `SIGCONT`.
    StopWorker,
    /// `SIGKILL` to the server; it starts again with its data.
    KillServer,
    /// `SIGSTOP` to the server, then `SIGCONT`.
    StopServer,
    /// A worker's connections are closed, and new ones refused.
    CutLink,
    /// What a worker asks for arrives late.
    DelayLink,
    /// A worker's requests arrive when the fault ends, whoever waits for them.
    HoldRequests,
    /// The answers to a worker arrive when the fault ends.
    HoldReplies,
    /// A worker's requests arrive, and nothing comes back: half-open connections.
    HalfOpen,
    /// A worker's wall clock is set forward or back by some seconds, then right again.
    StepClock,
    /// `CLIENT KILL` of everybody.
    KillClients,
    /// `SCRIPT FLUSH`.
    FlushScripts,
    /// The server is at `maxmemory`.
    FullMemory,
    /// `SIGKILL` to the secondary's server; it starts again with its data.
    KillMirror,
}

/// Something that is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "what there is to know of it")]
pub struct Fault {
    /// When, from the beginning of the run.
    pub at: Duration,
    /// For how long.
    pub span: Duration,
    /// What.
    pub kind: FaultKind,
    /// To which worker, if it concerns one.
    pub worker: usize,
    /// How late requests arrive, if they do; a clock is set to another time by a hundred times that.
    pub delay: Duration,
}

impl Fault {
    /// By how much a clock is set to another time, and whether back.
    pub(crate) fn step(&self) -> (Duration, bool) {
        (self.delay * 100, self.delay.as_millis() % 2 == 1)
    }
}

/// Faults of servers come one after the other, and beside them those of workers and their connections.
const SERVER: [FaultKind; 6] = [
    FaultKind::KillServer,
    FaultKind::StopServer,
    FaultKind::FullMemory,
    FaultKind::KillClients,
    FaultKind::FlushScripts,
    FaultKind::KillMirror,
];
const WORKER: [FaultKind; 8] = [
    FaultKind::KillWorker,
    FaultKind::StopWorker,
    FaultKind::CutLink,
    FaultKind::DelayLink,
    FaultKind::HoldRequests,
    FaultKind::HoldReplies,
    FaultKind::HalfOpen,
    FaultKind::StepClock,
];

/// What is to happen in a run, as the seed has it: servers, and workers and their connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "what there is to know of it")]
pub struct Schedule {
    /// Faults of servers.
    pub servers: Vec<Fault>,
    /// Faults of workers.
    pub workers: Vec<Fault>,
}

impl Schedule {
    /// For so many workers and so long.
    pub fn new(seed: u64, span: Duration, workers: usize) -> Self {
        Self {
            servers: lane(Chance::new(seed ^ 0x5e), &SERVER, span, workers),
            workers: lane(Chance::new(seed ^ 0x30), &WORKER, span, workers),
        }
    }

    /// All faults, by their beginning.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = [&self.servers[..], &self.workers].concat();
        faults.sort_by_key(|fault| fault.at);
        faults
    }
}

/// All kinds in a random order, again and again, with quiet times in between.
fn lane(mut chance: Chance, kinds: &[FaultKind], span: Duration, workers: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut at = Duration::from_millis(1_000 + chance.below(1_000));
    loop {
        let mut round = kinds.to_vec();
        while !round.is_empty() {
            let picked = chance.below(round.len() as u64);
            let kind = round.swap_remove(usize::try_from(picked).unwrap_or_default());
            let fault = Fault {
                at,
                span: Duration::from_millis(length(kind, &mut chance)),
                kind,
                worker: usize::try_from(chance.below(workers as u64)).unwrap_or_default(),
                delay: Duration::from_millis(20 + chance.below(180)),
            };
            at += fault.span + Duration::from_millis(300 + chance.below(1_200));
            if at > span {
                return faults;
            }
            faults.push(fault);
        }
    }
}

/// In milliseconds. Leases are of two seconds: some faults outlive them.
const fn length(kind: FaultKind, chance: &mut Chance) -> u64 {
    let drawn = chance.below(1_000);
    match kind {
        FaultKind::KillWorker | FaultKind::KillClients | FaultKind::FlushScripts => drawn / 10,
        FaultKind::KillServer | FaultKind::CutLink => 100 + drawn,
        FaultKind::StopServer | FaultKind::FullMemory | FaultKind::KillMirror => 500 + 2 * drawn,
        FaultKind::StopWorker => 1_000 + 4 * drawn,
        FaultKind::StepClock => 2_500 + 2 * drawn,
        FaultKind::DelayLink
        | FaultKind::HoldRequests
        | FaultKind::HoldReplies
        | FaultKind::HalfOpen => 500 + 3 * drawn,
    }
}

impl FaultKind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KillWorker => "kill worker",
            Self::StopWorker => "stop worker",
            Self::KillServer => "kill server",
            Self::StopServer => "stop server",
            Self::CutLink => "cut link",
            Self::DelayLink => "delay link",
            Self::HoldRequests => "hold requests",
            Self::HoldReplies => "hold replies",
            Self::HalfOpen => "half-open link",
            Self::StepClock => "step clock",
            Self::KillClients => "kill clients",
            Self::FlushScripts => "flush scripts",
            Self::FullMemory => "full memory",
            Self::KillMirror => "kill secondary",
        }
    }

    /// Whether it concerns the process itself and not its connections.
    pub(crate) const fn is_of_process(self) -> bool {
        matches!(self, Self::KillWorker | Self::StopWorker | Self::StepClock)
    }

    pub(crate) fn is_of_worker(self) -> bool {
        WORKER.contains(&self)
    }

    /// What is left out as well where there is no libfaketime.
    pub(crate) const WITHOUT_LIBRARY: (&'static str, &'static str) =
        ("clock steps of workers", "libfaketime is not installed");

    /// What is not done, and why: said with every result.
    pub const LEFT_OUT: [(&'static str, &'static str); 1] = [(
        "clock steps of the server",
        "redis-server does not start under libfaketime: its allocator asks for the time before it is set up",
    )];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:6.2} s  {} for {:?}",
            self.at.as_secs_f64(),
            self.kind.name(),
            self.span
        )?;
        if self.kind.is_of_worker() {
            write!(f, " (worker {})", self.worker)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_what_happens_and_every_kind_does() {
        let span = Duration::from_secs(60);
        let schedule = Schedule::new(7, span, 3);
        assert_eq!(schedule, Schedule::new(7, span, 3));
        assert_ne!(schedule, Schedule::new(8, span, 3));
        for kind in SERVER.into_iter().chain(WORKER) {
            let faults = schedule.faults();
            assert!(faults.iter().any(|fault| fault.kind == kind), "{kind:?}");
        }
        assert!(
            schedule
                .faults()
                .iter()
                .all(|fault| fault.at + fault.span < span && fault.worker < 3)
        );
    }
}

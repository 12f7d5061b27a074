use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use crate::{
    Action, Fault, FaultKind, History, Nanos, Op, Options, Outcome, Schedule, Topology, Violation,
    check::{Broken, void_overlaps},
};

/// What a run has come to.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What the sessions stood on.
    pub topology: Topology,
    /// The seed.
    pub seed: u64,
    /// How long faults happened, in seconds.
    pub seconds: u64,
    /// How to do it once more.
    pub replay: String,
    /// Operations by what they were told.
    pub operations: Operations,
    /// Acknowledged changes that were lost, as far as they can be counted: updates that replaced the same version, and
    /// sessions for whose history there is no order.
    pub lost: usize,
    /// Everything that must never be, and was.
    pub violations: Vec<Violation>,
    /// Guards that held a session while another did, and were told at their end that nothing of it counts.
    pub void_overlaps: usize,
    /// Errors that nobody expects.
    pub odd: BTreeMap<String, usize>,
    /// How often each fault has happened.
    pub faults: BTreeMap<&'static str, usize>,
    /// What was not done, and why.
    pub left_out: BTreeMap<&'static str, &'static str>,
    /// The longest time from the end of a fault of the server to the next acknowledged write, in ms.
    pub longest_recovery_ms: u64,
    /// How long clients waited for sessions that they got, in ms.
    pub waits: Waits,
    /// What has happened, and when.
    pub happened: Vec<Happened>,
    /// What was done in each quarter of a second.
    pub beats: Beats,
    #[serde(skip)]
    schedule: Schedule,
}

/// Operations by what they were told.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Operations {
    /// Done.
    pub done: usize,
    /// Of these, writes.
    pub written: usize,
    /// Surely not done.
    pub failed: usize,
    /// Perhaps done.
    pub unknown: usize,
}

/// Waits in ms.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Waits {
    /// Half of them were shorter.
    pub median: u64,
    /// One of a hundred was longer.
    pub p99: u64,
    /// The longest.
    pub longest: u64,
}

/// A fault, and when it was there, in ms from the beginning of the run.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Happened {
    /// What.
    pub kind: FaultKind,
    /// To which worker, if it concerns one.
    pub worker: Option<usize>,
    /// Its beginning.
    pub from_ms: u64,
    /// Its end.
    pub until_ms: u64,
}

/// What was done in each quarter of a second.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Beats {
    /// Operations that were done.
    pub done: Vec<u32>,
    /// Operations that failed, or whose outcome is unknown.
    pub failed: Vec<u32>,
    /// The longest wait for a session that ended then, in ms.
    pub longest_wait_ms: Vec<u64>,
}

impl Beats {
    /// How long one is.
    pub const LENGTH: Duration = Duration::from_millis(250);

    pub(crate) fn count(&mut self, op: &Op, began: Nanos) {
        let Some(returned) = op.returned else {
            return;
        };
        let at =
            millis(returned.saturating_sub(began)) / millis(crate::recorder::nanos(Self::LENGTH));
        let at = usize::try_from(at).unwrap_or_default();
        if self.done.len() <= at {
            self.done.resize(at + 1, 0);
            self.failed.resize(at + 1, 0);
            self.longest_wait_ms.resize(at + 1, 0);
        }
        if let Action::Lock { .. } = op.action {
            let waited = millis(returned.saturating_sub(op.invoked));
            self.longest_wait_ms[at] = self.longest_wait_ms[at].max(waited);
        } else if op.is_done() {
            self.done[at] += 1;
        } else {
            self.failed[at] += 1;
        }
    }
}

pub(crate) const fn millis(span: Nanos) -> u64 {
    span / 1_000_000
}

impl Happened {
    pub(crate) fn new(fault: &Fault, from: Nanos, until: Nanos) -> Self {
        let worker = fault.kind.is_of_worker().then_some(fault.worker);
        Self {
            kind: fault.kind,
            worker,
            from_ms: millis(from),
            until_ms: millis(until),
        }
    }
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        schedule: Schedule,
        mut happened: Vec<Happened>,
        (history, began): (&History, Nanos),
        beats: Beats,
        violations: Vec<Violation>,
        odd: BTreeMap<String, usize>,
    ) -> Self {
        happened.sort_by_key(|fault| fault.from_ms);
        let mut faults = BTreeMap::new();
        for fault in &happened {
            *faults.entry(fault.kind.name()).or_default() += 1;
        }
        let is_loss =
            |one: &&Violation| matches!(one.broken, Broken::LostUpdate | Broken::Disorder);
        Self {
            topology: options.topology,
            seed: options.seed,
            seconds: options.span.as_secs(),
            replay: options.replay(),
            operations: Operations::count(history),
            lost: violations.iter().filter(is_loss).count(),
            violations,
            void_overlaps: void_overlaps(history),
            odd,
            faults,
            left_out: FaultKind::LEFT_OUT.into(),
            longest_recovery_ms: longest_recovery(history, began, &happened),
            waits: Waits::of(history),
            happened,
            beats,
            schedule,
        }
    }

    /// A fault that was due and could not happen.
    pub(crate) fn leave_out(&mut self, kind: FaultKind, (what, why): (&'static str, &'static str)) {
        self.happened.retain(|fault| fault.kind != kind);
        self.faults.remove(kind.name());
        self.left_out.insert(what, why);
    }

    /// Whether no promise was broken.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.odd.is_empty()
    }
}

impl Operations {
    fn count(history: &History) -> Self {
        let mut counts = Self::default();
        for op in history
            .ops
            .iter()
            .filter(|op| !matches!(op.action, Action::Lock { .. }))
        {
            match op.outcome {
                Outcome::Done => counts.done += 1,
                Outcome::Failed => counts.failed += 1,
                Outcome::Unknown => counts.unknown += 1,
            }
            counts.written += usize::from(op.is_done() && !op.action.is_pure());
        }
        counts
    }
}

impl Waits {
    fn of(history: &History) -> Self {
        let granted = |op: &&Op| {
            matches!(
                op.action,
                Action::Lock {
                    told: Some(crate::Told::Granted),
                    ..
                }
            )
        };
        let waited = |op: &Op| Some(millis(op.returned?.saturating_sub(op.invoked)));
        let mut waits: Vec<u64> = history
            .ops
            .iter()
            .filter(granted)
            .filter_map(waited)
            .collect();
        waits.sort_unstable();
        let at = |share: usize| {
            waits
                .get(waits.len() * share / 100)
                .copied()
                .unwrap_or_default()
        };
        Self {
            median: at(50),
            p99: at(99),
            longest: waits.last().copied().unwrap_or_default(),
        }
    }
}

/// In ms.
fn longest_recovery(history: &History, began: Nanos, happened: &[Happened]) -> u64 {
    let is_write = |op: &&Op| op.is_done() && !op.action.is_pure();
    let mut writes: Vec<u64> = history
        .ops
        .iter()
        .filter(is_write)
        .map(|op| millis(op.end().saturating_sub(began)))
        .collect();
    writes.sort_unstable();
    let recovery = |fault: &Happened| {
        let next = writes.partition_point(|write| *write < fault.until_ms);
        Some(writes.get(next)? - fault.until_ms)
    };
    let of_server = happened.iter().filter(|fault| fault.worker.is_none());
    of_server.filter_map(recovery).max().unwrap_or_default()
}

/// For people; with the whole schedule if something is wrong.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operations {
            done,
            written,
            failed,
            unknown,
        } = self.operations;
        writeln!(
            f,
            "{}, seed {}, {} s of faults",
            self.topology, self.seed, self.seconds
        )?;
        writeln!(
            f,
            "operations: {done} done ({written} writes), {failed} failed, {unknown} unknown"
        )?;
        let Waits {
            median,
            p99,
            longest,
        } = self.waits;
        writeln!(
            f,
            "waits for a session: median {median} ms, 99 % within {p99} ms, longest {longest} ms"
        )?;
        writeln!(
            f,
            "longest time to the next write after a fault of the server: {} ms",
            self.longest_recovery_ms
        )?;
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        writeln!(f, "faults: {}", faults.join(", "))?;
        for (what, why) in &self.left_out {
            writeln!(f, "left out: {what}: {why}")?;
        }
        writeln!(
            f,
            "guards beside another one, told at their end that nothing of it counts: {}",
            self.void_overlaps
        )?;
        writeln!(
            f,
            "lost: {}, broken promises: {}",
            self.lost,
            self.violations.len()
        )?;
        if self.is_good() {
            return Ok(());
        }
        for violation in &self.violations {
            writeln!(
                f,
                "{:?} in session {}: {}",
                violation.broken, violation.session, violation.what
            )?;
        }
        for (what, count) in &self.odd {
            writeln!(f, "odd, {count} times: {what}")?;
        }
        writeln!(f, "the schedule:")?;
        for fault in self.schedule.faults() {
            writeln!(f, "{fault}")?;
        }
        writeln!(f, "again: {}", self.replay)
    }
}

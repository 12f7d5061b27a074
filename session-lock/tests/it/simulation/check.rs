use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use session_lock::{FencingToken, RedlockLease};

use super::time::TrueTime;

/// What the simulation has seen, and what of it must not be.
#[derive(Debug)]
pub(super) struct Record {
    time: TrueTime,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// `None`: nobody reads it.
    trace: Option<Vec<String>>,
    violations: Vec<String>,
    resources: BTreeMap<String, Grants>,
    grants: usize,
}

#[derive(Debug, Default)]
struct Grants {
    holders: Vec<Arc<RedlockLease>>,
    tokens: BTreeSet<FencingToken>,
}

impl Record {
    pub(super) fn new(time: TrueTime, traced: bool) -> Self {
        let seen = Seen {
            trace: traced.then(Vec::new),
            violations: Vec::new(),
            resources: BTreeMap::new(),
            grants: 0,
        };
        Self {
            time,
            seen: Mutex::new(seen),
        }
    }

    pub(super) fn note(&self, what: impl FnOnce() -> String) {
        let now = self.time.elapsed();
        if let Some(trace) = &mut self.seen().trace {
            trace.push(format!("{now:>10.3?} {}", what()));
        }
    }

    pub(super) fn violated(&self, what: &str) {
        self.note(|| format!("VIOLATION {what}"));
        let now = self.time.elapsed();
        self.seen()
            .violations
            .push(format!("after {now:?}: {what}"));
    }

    /// The largest token that was handed out until now: whatever is asked for from now on gets a larger one.
    pub(super) fn highest_token(&self, resource: &str) -> FencingToken {
        let seen = self.seen();
        let grants = seen.resources.get(resource);
        let highest = grants.and_then(|grants| grants.tokens.last());
        highest.copied().unwrap_or_default()
    }

    pub(super) fn granted(&self, resource: &str, lease: &Arc<RedlockLease>, floor: FencingToken) {
        let token = lease.fencing_token();
        let mut seen = self.seen();
        seen.grants += 1;
        let grants = seen.resources.entry(resource.to_owned()).or_default();
        grants.holders.push(Arc::clone(lease));
        let is_new = grants.tokens.insert(token);
        drop(seen);
        if !is_new {
            self.violated(&format!("{token:?} of {resource} was granted twice"));
        }
        if token <= floor {
            self.violated(&format!("{token:?} of {resource} came after {floor:?}"));
        }
        self.check_holders(resource);
    }

    /// Nobody may act while somebody else may.
    pub(super) fn check_holders(&self, resource: &str) {
        let seen = self.seen();
        let holders = seen.resources[resource].holders.iter();
        let valid: Vec<_> = holders
            .filter(|lease| lease.is_valid())
            .map(|lease| lease.fencing_token())
            .collect();
        drop(seen);
        if valid.len() > 1 {
            self.violated(&format!("{resource} has several holders: {valid:?}"));
        }
    }

    /// The holder acts no more.
    pub(super) fn ended(&self, resource: &str, lease: &Arc<RedlockLease>) {
        let mut seen = self.seen();
        let grants = seen.resources.get_mut(resource).unwrap();
        grants.holders.retain(|other| !Arc::ptr_eq(other, lease));
    }

    pub(super) fn outcome(&self) -> Outcome {
        let mut seen = self.seen();
        Outcome {
            trace: seen.trace.take().unwrap_or_default(),
            violations: std::mem::take(&mut seen.violations),
            grants: seen.grants,
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

/// What came of one schedule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) trace: Vec<String>,
    pub(super) violations: Vec<String>,
    pub(super) grants: usize,
}

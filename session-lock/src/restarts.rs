use std::sync::{Mutex, PoisonError};

use crate::{Clock, LockNode, Moment, Ttl};

/// Which nodes are known to have started anew within the last TTL. Only told to the holder as a likely cause.
#[derive(Debug)]
pub(crate) struct Restarts {
    ttl: Ttl,
    /// By node: how often it had started anew when that was seen last, and when the number had changed.
    seen: Mutex<Vec<(u64, Option<Moment>)>>,
}

impl Restarts {
    pub(crate) fn new(nodes: usize, ttl: Ttl) -> Self {
        Self {
            ttl,
            seen: Mutex::new(vec![(0, None); nodes]),
        }
    }

    pub(crate) fn is_recent(&self, node: usize, server: &dyn LockNode, clock: &dyn Clock) -> bool {
        let (now, restarts) = (clock.now(), server.restarts());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, changed) = &mut seen[node];
        if *before != restarts {
            (*before, *changed) = (restarts, Some(now));
        }
        changed.is_some_and(|moment| now.saturating_since(moment) < self.ttl.get())
    }
}

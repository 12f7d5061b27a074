use std::{fmt, sync::Arc};

use futures_util::stream::FuturesUnordered;

use crate::{
    Clock, Held, LockNode, Resource,
    admission::Admissions,
    config::{Dice, Settings},
    quorum_of,
    reaper::Reaper,
    restarts::Restarts,
};

/// The nodes of a lock, and what all its leases share.
pub(crate) struct Nodes {
    pub(crate) all: Arc<[Arc<dyn LockNode>]>,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dice: Arc<dyn Dice>,
    pub(crate) reaper: Reaper,
    pub(crate) admissions: Admissions,
    pub(crate) restarts: Restarts,
}

impl Nodes {
    pub(crate) fn new(
        nodes: Vec<Arc<dyn LockNode>>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        dice: Arc<dyn Dice>,
    ) -> Self {
        let all: Arc<[_]> = nodes.into();
        let reaper = Reaper::new(
            Arc::clone(&all),
            Arc::clone(&clock),
            settings.release_timeout,
        );
        Self {
            admissions: Admissions::new(all.len()),
            restarts: Restarts::new(all.len(), settings.terms.ttl),
            all,
            settings,
            clock,
            dice,
            reaper,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn quorum(&self) -> usize {
        quorum_of(self.all.len())
    }

    pub(crate) fn name(&self, node: usize) -> &str {
        self.all[node].name()
    }

    /// The same call to each node, in parallel. What it returns is sent when it is polled first.
    pub(crate) fn call_all<F>(
        &self,
        call: impl Fn(usize, Arc<dyn LockNode>) -> F,
    ) -> FuturesUnordered<F> {
        let nodes = self.all.iter().enumerate();
        nodes
            .map(|(index, node)| call(index, Arc::clone(node)))
            .collect()
    }

    pub(crate) fn give_back(&self, node: usize, held: &Held<Resource>) {
        self.reaper.give_back(node, held.clone());
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.all.iter().map(|node| node.name()))
            .finish()
    }
}

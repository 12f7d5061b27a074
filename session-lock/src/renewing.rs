//! Giving leases their full TTL again on a quorum of nodes.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream::FuturesUnordered};

use crate::{
    Extension, Fault, Held, LeaseBackend, LeaseTerms, LockNode, LossCause, NodeFault, Renewal,
    Resource, Ttl, nodes::Nodes,
};

/// What the nodes said to an extension of some leases.
pub(crate) struct Extended {
    /// By lease.
    pub(crate) counts: Vec<Count>,
    pub(crate) faults: Vec<NodeFault>,
}

/// What the nodes said to the extension of one lease.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) extended: usize,
    stolen: usize,
    gone: usize,
    /// Whether one of those on which it is gone has started anew a short while ago.
    restarted: bool,
}

impl Count {
    fn note(&mut self, extension: Extension, restarted: bool) {
        match extension {
            Extension::Extended => self.extended += 1,
            Extension::Stolen => self.stolen += 1,
            Extension::Gone => {
                self.gone += 1;
                self.restarted |= restarted;
            }
            Extension::Failed => {}
        }
    }

    /// What this comes to: lost only if a quorum is out of reach whatever the others say.
    pub(crate) fn renewal(&self, nodes: usize, quorum: usize) -> Renewal {
        let not_held = self.stolen + self.gone;
        if self.extended >= quorum {
            Renewal::Extended
        } else if nodes - not_held >= quorum {
            Renewal::Unknown
        } else if self.gone == 0 {
            Renewal::Lost(LossCause::Stolen)
        } else if self.stolen > 0 {
            Renewal::Lost(LossCause::QuorumLost)
        } else if self.restarted {
            Renewal::Lost(LossCause::NodeRestarted)
        } else {
            Renewal::Lost(LossCause::Gone)
        }
    }
}

type Batch = Arc<[(Held<Resource>, Ttl)]>;
type Answer = Result<Vec<Extension>, NodeFault>;

impl Nodes {
    /// Extends leases, all in one call to each node, and returns when it is known of each whether a quorum extended it,
    /// or when `patience` has passed.
    pub(crate) async fn extend(self: &Arc<Self>, batch: Batch, patience: Duration) -> Extended {
        let leases = batch.len();
        let calls = self.call_all(|index, node| extend(index, node, Arc::clone(&batch)));
        let mut stragglers = Stragglers { nodes: self, calls };
        let mut found = Extended {
            counts: vec![Count::default(); leases],
            faults: Vec::new(),
        };
        let mut open: Vec<usize> = (0..self.len()).collect();
        let mut timer = pin!(self.clock.sleep_until(self.clock.now() + patience));
        let is_known = |found: &Extended| {
            let renewals = found
                .counts
                .iter()
                .map(|count| count.renewal(self.len(), self.quorum()));
            renewals
                .into_iter()
                .all(|renewal| renewal != Renewal::Unknown)
        };
        while !is_known(&found) {
            tokio::select! {
                biased;
                answer = stragglers.calls.next() => {
                    let Some((node, answer)) = answer else { return found };
                    open.retain(|silent| *silent != node);
                    match answer {
                        Ok(extensions) => {
                            let restarted = self.restarts.is_recent(node, &*self.all[node], &*self.clock);
                            for (count, extension) in found.counts.iter_mut().zip(extensions) {
                                count.note(extension, restarted);
                            }
                        }
                        Err(fault) => found.faults.push(fault),
                    }
                }
                () = &mut timer => {
                    let silent = |node| NodeFault::new(self.name(node), Fault::TimedOut(patience));
                    found.faults.extend(open.into_iter().map(silent));
                    return found;
                }
            }
        }
        found
    }
}

async fn extend(index: usize, node: Arc<dyn LockNode>, batch: Batch) -> (usize, Answer) {
    (index, node.extend(&batch).await)
}

/// Leaves slow nodes to the reaper: a connection that is being made for this call is made for the next one too.
struct Stragglers<'a, F: Future<Output = (usize, Answer)> + Send + 'static> {
    nodes: &'a Arc<Nodes>,
    calls: FuturesUnordered<F>,
}

impl<F: Future<Output = (usize, Answer)> + Send + 'static> Drop for Stragglers<'_, F> {
    fn drop(&mut self) {
        let mut calls = std::mem::take(&mut self.calls);
        if calls.is_empty() {
            return;
        }
        let nodes = Arc::clone(self.nodes);
        self.nodes.reaper.adopt(Box::pin(async move {
            let until = nodes.clock.now() + nodes.reaper.limit();
            crate::clock::by(&*nodes.clock, until, async {
                while calls.next().await.is_some() {}
            })
            .await;
        }));
    }
}

/// What the keeper needs of the nodes.
#[derive(Debug)]
pub(crate) struct Backend(pub(crate) Arc<Nodes>);

#[async_trait]
impl LeaseBackend<Resource> for Backend {
    async fn renew(&self, leases: &[(Held<Resource>, LeaseTerms)]) -> Vec<Renewal> {
        let Self(nodes) = self;
        let batch: Vec<_> = leases
            .iter()
            .map(|(held, terms)| (held.clone(), terms.ttl))
            .collect();
        // Nobody waits for it, and a slow answer is in time as well; the next renewal is a third of the TTL away.
        let patience = nodes
            .settings
            .node_timeout
            .max(nodes.settings.terms.ttl.get() / 4);
        let extended = nodes.extend(batch.into(), patience).await;
        for fault in &extended.faults {
            tracing::debug!(%fault, "could not renew leases");
        }
        let counts = extended.counts.iter();
        counts
            .map(|count| count.renewal(nodes.len(), nodes.quorum()))
            .collect()
    }

    async fn release(&self, leases: &[Held<Resource>]) {
        self.0.reaper.give_back_everywhere(leases);
    }
}

//! Waiting for a lock that others hold: until its nodes say that it is free, or it may have run out.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};

use crate::{
    LockNode, Moment, Resource, Watch,
    clock::{by, up},
    nodes::Nodes,
    refusal::{Reason, Refusal},
    retry::{after_collisions, jittered},
};

/// One caller who waits for one lock.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// By node; `None` where nothing is heard. Empty before the first wait.
    ears: Vec<Option<Watch>>,
    /// How many attempts in a row got some votes, but not a quorum.
    collisions: u32,
}

impl Waiting {
    pub(crate) const fn new() -> Self {
        Self {
            ears: Vec::new(),
            collisions: 0,
        }
    }

    /// What was heard so far does not count: the nodes are asked after it.
    pub(crate) fn forget_what_was_heard(&mut self) {
        for ear in self.ears.iter_mut().flatten() {
            ear.freed().now_or_never();
        }
    }

    /// Waits until the lock is worth asking for again, at most until `deadline`.
    pub(crate) async fn pause(
        &mut self,
        nodes: &Nodes,
        resource: &Resource,
        refusal: &Refusal,
        deadline: Moment,
    ) {
        if refusal.reason() != Reason::Held {
            let pause = jittered(nodes.settings.retry_pause, nodes.dice.roll());
            return nodes
                .clock
                .sleep_until((nodes.clock.now() + pause).min(deadline))
                .await;
        }
        if refusal.granted > 0 {
            self.collisions += 1;
        } else {
            self.collisions = 0;
        }
        if self.ears.is_empty() {
            self.ears = listen(nodes, resource, nodes.all.iter().map(|_| None).collect()).await;
            if self.collisions == 0 {
                // What was freed before nobody heard: asked for at once.
                return;
            }
        }
        let until = (nodes.clock.now() + self.look_after(nodes, refusal)).min(deadline);
        if by(&*nodes.clock, until, self.freed(nodes, refusal))
            .await
            .is_some()
        {
            // Whoever collided has woken at the same time.
            if self.collisions > 0 {
                let pause = after_collisions(self.collisions, nodes.dice.roll());
                nodes
                    .clock
                    .sleep_until((nodes.clock.now() + pause).min(deadline))
                    .await;
            }
        } else if !self.hears_all() {
            let ears = std::mem::take(&mut self.ears);
            self.ears = listen(nodes, resource, ears).await;
        }
    }

    /// How long to wait for a message before looking.
    fn look_after(&self, nodes: &Nodes, refusal: &Refusal) -> Duration {
        let look = if self.hears_all() && self.collisions == 0 {
            LOOK
        } else {
            jittered(nodes.settings.retry_pause, nodes.dice.roll())
        };
        match refusal.free_after() {
            // Servers expire on a millisecond grid. Chance keeps those apart who wait for the same holder.
            Some(left) => look.min(left + GRAIN + after_collisions(1, nodes.dice.roll())),
            None => look,
        }
    }

    fn hears_all(&self) -> bool {
        self.ears.iter().all(Option::is_some)
    }

    /// Resolves when so many nodes have freed the lock that a quorum can be free.
    ///
    /// A message of fewer is no reason to ask: it may be somebody who got some votes and gave them back while the lock
    /// is held, and whoever asks then does the same to the others.
    async fn freed(&mut self, nodes: &Nodes, refusal: &Refusal) {
        let mut free: Vec<bool> = (0..nodes.len())
            .map(|node| refusal.was_granted(node))
            .collect();
        let ears = self.ears.iter().enumerate();
        let unknown: Vec<bool> = ears
            .map(|(node, ear)| ear.is_none() || refusal.is_unknown(node))
            .collect();
        let ears = self.ears.iter_mut().enumerate();
        let mut messages: FuturesUnordered<_> = ears
            .filter_map(|(node, ear)| Some(hear(node, ear.as_mut()?)))
            .collect();
        let mut hurry = None;
        loop {
            let node = tokio::select! {
                biased;
                Some(node) = messages.next() => node,
                () = up(&mut hurry) => return,
            };
            free[node] = true;
            if free.iter().filter(|free| **free).count() >= nodes.quorum() {
                return;
            }
            let either = free.iter().zip(&unknown);
            let perhaps = either.filter(|(free, unknown)| **free || **unknown).count();
            if perhaps >= nodes.quorum() {
                let soon = nodes.clock.now() + GRAIN;
                hurry.get_or_insert_with(|| nodes.clock.sleep_until(soon));
            }
        }
    }
}

// How long a waiter relies on messages, which can be lost.
const LOOK: Duration = Duration::from_secs(1);
// A release reaches all nodes within about this time of each other.
const GRAIN: Duration = Duration::from_millis(1);

async fn hear(node: usize, ear: &mut Watch) -> usize {
    ear.freed().await;
    node
}

/// Listens on the nodes on which nothing is heard yet.
async fn listen(
    nodes: &Nodes,
    resource: &Resource,
    mut ears: Vec<Option<Watch>>,
) -> Vec<Option<Watch>> {
    let deaf = nodes
        .all
        .iter()
        .enumerate()
        .filter(|(node, _)| ears[*node].is_none());
    let mut watches: FuturesUnordered<_> = deaf
        .map(|(index, node)| watch(index, Arc::clone(node), resource))
        .collect();
    let until = nodes.clock.now() + nodes.settings.node_timeout;
    by(&*nodes.clock, until, async {
        while let Some((node, ear)) = watches.next().await {
            ears[node] = ear;
        }
    })
    .await;
    ears
}

async fn watch(
    index: usize,
    node: Arc<dyn LockNode>,
    resource: &Resource,
) -> (usize, Option<Watch>) {
    (index, node.watch(resource).await)
}

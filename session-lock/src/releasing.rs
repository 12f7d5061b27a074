//! Freeing one lock on all nodes, with somebody who waits for it.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};

use crate::{
    Fault, Held, LockNode, LossCause, NodeFault, ReleaseError, Resource, clock::by, nodes::Nodes,
    reaper::Busy,
};

type Answer = Result<Vec<bool>, NodeFault>;

impl Nodes {
    /// Frees a lock on all nodes, and returns when a quorum has confirmed it. The others are left to the reaper, also
    /// when the caller is cancelled.
    pub(crate) async fn release(
        self: &Arc<Self>,
        held: Held<Resource>,
    ) -> Result<(), ReleaseError> {
        let held = Arc::new([held]);
        let calls = self.call_all(|index, node| release(index, node, Arc::clone(&held)));
        let mut releasing = Releasing {
            nodes: self,
            held,
            calls,
            answers: (0..self.len()).map(|_| None).collect(),
            _busy: self.reaper.busy(),
        };
        let patience = self.settings.release_timeout;
        let mut timer = pin!(self.clock.sleep_until(self.clock.now() + patience));
        loop {
            tokio::select! {
                biased;
                Some((node, answer)) = releasing.calls.next() => releasing.note(node, answer),
                () = &mut timer => return releasing.outcome(Some(patience)),
            }
            if releasing.released() >= self.quorum() || releasing.calls.is_empty() {
                return releasing.outcome(None);
            }
        }
    }
}

async fn release(
    index: usize,
    node: Arc<dyn LockNode>,
    held: Arc<[Held<Resource>; 1]>,
) -> (usize, Answer) {
    (index, node.release(&held[..]).await)
}

struct Releasing<'a, F: Future<Output = (usize, Answer)> + Send + 'static> {
    nodes: &'a Arc<Nodes>,
    held: Arc<[Held<Resource>; 1]>,
    calls: FuturesUnordered<F>,
    /// By node: whether the lock was held there.
    answers: Vec<Option<Result<bool, NodeFault>>>,
    _busy: Busy,
}

impl<F: Future<Output = (usize, Answer)> + Send + 'static> Releasing<'_, F> {
    fn note(&mut self, node: usize, answer: Answer) {
        self.note_one(node, answer);
        // All have been sent when this has gone through them.
        while let Some(Some((node, answer))) = self.calls.next().now_or_never() {
            self.note_one(node, answer);
        }
    }

    fn note_one(&mut self, node: usize, answer: Answer) {
        if answer.is_err() {
            self.nodes.give_back(node, &self.held[0]);
        }
        self.answers[node] = Some(answer.map(|held| held.first() == Some(&true)));
    }

    fn released(&self) -> usize {
        let answers = self.answers.iter();
        answers
            .filter(|answer| matches!(answer, Some(Ok(true))))
            .count()
    }

    /// What the answers come to, after nothing was heard of the others for `silence`.
    fn outcome(mut self, silence: Option<Duration>) -> Result<(), ReleaseError> {
        let (released, required) = (self.released(), self.nodes.quorum());
        if released >= required {
            return Ok(());
        }
        let answers = self.answers.iter();
        let not_held = answers.filter(|answer| matches!(answer, Some(Ok(false))));
        if self.nodes.len() - not_held.count() < required {
            let cause = LossCause::QuorumLost;
            return Err(ReleaseError::Lost { cause });
        }
        let answers = std::mem::take(&mut self.answers).into_iter().enumerate();
        let fault = |(node, answer)| match answer {
            Some(Ok(_)) => None,
            Some(Err(fault)) => Some(fault),
            None => Some(NodeFault::new(
                self.nodes.name(node),
                Fault::TimedOut(silence?),
            )),
        };
        Err(ReleaseError::NoQuorum {
            released,
            required,
            faults: answers.filter_map(fault).collect(),
        })
    }
}

impl<F: Future<Output = (usize, Answer)> + Send + 'static> Drop for Releasing<'_, F> {
    fn drop(&mut self) {
        let mut calls = std::mem::take(&mut self.calls);
        if calls.is_empty() {
            return;
        }
        let (nodes, held) = (Arc::clone(self.nodes), Arc::clone(&self.held));
        self.nodes.reaper.adopt(Box::pin(async move {
            let until = nodes.clock.now() + nodes.reaper.limit();
            by(&*nodes.clock, until, async {
                while let Some((node, answer)) = calls.next().await {
                    if answer.is_err() {
                        nodes.give_back(node, &held[0]);
                    }
                }
            })
            .await;
        }));
    }
}

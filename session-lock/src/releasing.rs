//! Freeing one lock on all nodes, with somebody who waits for it.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};

use crate::{
    Fault, Held, LockNode, LossCause, NodeAnswer, NodeFault, ReleaseError, Resource,
    nodes::Nodes,
    reaper::Busy,
    round::{Late, may_be_held, unheard},
};

type Answer = Result<Vec<bool>, NodeFault>;

impl Nodes {
    /// Frees a lock on all nodes, and returns when a quorum has confirmed it. The others are left to the reaper, also
    /// when the caller is cancelled; and so are the requests for the lock that are still on their way, `late`.
    pub(crate) async fn release(
        self: &Arc<Self>,
        held: Held<Resource>,
        late: Option<Late>,
    ) -> Result<(), ReleaseError> {
        let held = Arc::new([held]);
        let calls = self.call_all(|index, node| release(index, node, Arc::clone(&held)));
        let mut releasing = Releasing {
            nodes: self,
            held,
            calls,
            freed: vec![Freed::Unknown; self.len()],
            faults: Vec::new(),
            late,
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
    /// By node.
    freed: Vec<Freed>,
    faults: Vec<(usize, NodeFault)>,
    late: Option<Late>,
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
        self.freed[node] = Freed::by(&answer);
        if let Err(fault) = answer {
            self.nodes.give_back(node, &self.held[0]);
            self.faults.push((node, fault));
        }
    }

    fn released(&self) -> usize {
        let freed = self.freed.iter();
        freed.filter(|freed| **freed == Freed::Yes).count()
    }

    /// What the answers come to, after nothing was heard of the others for `silence`.
    fn outcome(mut self, silence: Option<Duration>) -> Result<(), ReleaseError> {
        let (released, required) = (self.released(), self.nodes.quorum());
        if released >= required {
            return Ok(());
        }
        let not_freed = self.freed.iter().filter(|freed| **freed == Freed::No);
        let not_held = not_freed.count() - self.faults.len();
        if self.nodes.len() - not_held < required {
            let cause = LossCause::QuorumLost;
            return Err(ReleaseError::Lost { cause });
        }
        let mut faults = std::mem::take(&mut self.faults);
        if let Some(silence) = silence {
            let silent = (0..self.nodes.len()).filter(|node| self.freed[*node] == Freed::Unknown);
            faults.extend(silent.map(|node| {
                let fault = Fault::TimedOut(silence);
                (node, NodeFault::new(self.nodes.name(node), fault))
            }));
        }
        faults.sort_unstable_by_key(|(node, _)| *node);
        Err(ReleaseError::NoQuorum {
            released,
            required,
            faults: faults.into_iter().map(|(_, fault)| fault).collect(),
        })
    }
}

impl<F: Future<Output = (usize, Answer)> + Send + 'static> Drop for Releasing<'_, F> {
    fn drop(&mut self) {
        let is_done = self.released() >= self.nodes.quorum();
        let mut rest = Rest {
            freed: std::mem::take(&mut self.freed),
            nodes: Arc::clone(self.nodes),
            held: Arc::clone(&self.held),
            calls: std::mem::take(&mut self.calls),
            late: self.late.take(),
        };
        if is_done {
            rest.hear_what_is_there();
            if !rest.is_done() {
                self.nodes.reaper.adopt_later(Box::pin(rest.see_through()));
            }
        } else if !rest.is_done() {
            self.nodes.reaper.adopt(Box::pin(rest.see_through()));
        }
    }
}

/// What is left when nobody waits for the release any more.
struct Rest<F> {
    nodes: Arc<Nodes>,
    held: Arc<[Held<Resource>; 1]>,
    calls: FuturesUnordered<F>,
    /// By node.
    freed: Vec<Freed>,
    late: Option<Late>,
}

/// Whether a node has freed the lock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Freed {
    Unknown,
    /// It was held there, so it was asked for before, and is not granted there any more.
    Yes,
    /// It was not held there, or it is being freed by the reaper. What is granted from now on is left behind.
    No,
    /// As unknown, and a late grant waits for it to be known.
    UnknownAndGranted,
}

impl Freed {
    fn by(answer: &Answer) -> Self {
        match answer {
            Ok(held) if held.first() == Some(&true) => Self::Yes,
            _ => Self::No,
        }
    }
}

impl<F: Future<Output = (usize, Answer)> + Send + 'static> Rest<F> {
    fn is_done(&self) -> bool {
        self.calls.is_empty() && self.late.as_ref().is_none_or(|late| late.open.is_empty())
    }

    fn hear_what_is_there(&mut self) {
        while let Some((node, answer)) = unheard(&mut self.calls) {
            self.note(node, &answer);
        }
        while let Some(late) = &mut self.late
            && let Some((node, answer)) = unheard(&mut late.calls)
        {
            self.note_late(node, &answer);
        }
    }

    async fn see_through(mut self) {
        let clock = Arc::clone(&self.nodes.clock);
        let mut timer = pin!(clock.sleep_until(clock.now() + self.nodes.reaper.limit()));
        while !self.is_done() {
            let late = self.late.as_mut();
            let late = late.filter(|late| !late.open.is_empty());
            tokio::select! {
                biased;
                Some((node, answer)) = self.calls.next() => self.note(node, &answer),
                Some((node, answer)) = next(late) => self.note_late(node, &answer),
                () = &mut timer => break,
            }
        }
        self.give_up();
    }

    fn note(&mut self, node: usize, answer: &Answer) {
        let granted = self.freed[node] == Freed::UnknownAndGranted;
        self.freed[node] = Freed::by(answer);
        if answer.is_err() || granted && self.freed[node] == Freed::No {
            self.nodes.give_back(node, &self.held[0]);
        }
    }

    fn note_late(&mut self, node: usize, answer: &Result<NodeAnswer, NodeFault>) {
        self.nodes.heard_late(node, answer);
        if let Some(late) = &mut self.late {
            late.open.retain(|silent| *silent != node);
        }
        if may_be_held(answer) {
            match self.freed[node] {
                Freed::Unknown => self.freed[node] = Freed::UnknownAndGranted,
                Freed::No => self.nodes.give_back(node, &self.held[0]),
                Freed::Yes | Freed::UnknownAndGranted => {}
            }
        }
    }

    /// The time is up. A node that has not said anything of its lock may have granted it since, or do so soon.
    fn give_up(self) {
        let open = self.late.map(|late| late.open).unwrap_or_default();
        for (node, freed) in self.freed.into_iter().enumerate() {
            if freed == Freed::UnknownAndGranted || freed != Freed::Yes && open.contains(&node) {
                self.nodes.give_back(node, &self.held[0]);
            }
        }
    }
}

async fn next(late: Option<&mut Late>) -> Option<(usize, Result<NodeAnswer, NodeFault>)> {
    match late {
        Some(late) => late.calls.next().await,
        None => None,
    }
}

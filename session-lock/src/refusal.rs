//! What the answers of the nodes mean to somebody who did not get the lock.

use std::time::Duration;

use crate::{
    AcquireError, Fault, FencingToken, NodeAnswer, NodeFault, Resource, nodes::Nodes, quorum_of,
};

/// By node; `None` where the answer was not waited for.
pub(crate) type Answers = Vec<Option<Result<NodeAnswer, NodeFault>>>;

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) answers: Answers,
    pub(crate) granted: usize,
}

/// What a refusal amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Others hold the lock, or some of the votes for it.
    Held,
    /// All nodes are new.
    AllNew,
    /// Too few nodes are there.
    NoQuorum,
    /// Under the name of the lock stands something else, on so many nodes that it can never be had.
    WrongType,
}

impl Refusal {
    /// A quorum granted the lock, but nothing of its time was left then.
    pub(crate) fn too_late(nodes: &Nodes) -> Self {
        let late = Fault::TimedOut(nodes.settings.terms.ttl.get());
        let late = |node| Some(Err(NodeFault::new(nodes.name(node), late.clone())));
        Self {
            answers: (0..nodes.len()).map(late).collect(),
            granted: 0,
        }
    }

    pub(crate) fn reason(&self) -> Reason {
        let all = self.answers.len();
        let is = |wanted: fn(&NodeAnswer) -> bool| {
            let answers = self.answers.iter().flatten().flatten();
            answers.filter(|answer| wanted(answer)).count()
        };
        let open = self
            .answers
            .iter()
            .filter(|answer| answer.is_none())
            .count();
        let wrong = is(|answer| *answer == NodeAnswer::WrongType);
        let lives = open
            + is(|answer| matches!(answer, NodeAnswer::Granted { .. } | NodeAnswer::Held { .. }));
        if is(|answer| *answer == NodeAnswer::NotAdmitted) == all {
            Reason::AllNew
        } else if lives >= quorum_of(all) {
            Reason::Held
        } else if wrong > 0 && lives + wrong >= quorum_of(all) {
            Reason::WrongType
        } else {
            Reason::NoQuorum
        }
    }

    /// Whether waiting can help at all.
    pub(crate) fn may_pass(&self) -> bool {
        match self.reason() {
            Reason::Held | Reason::AllNew => true,
            Reason::WrongType => false,
            // Too few nodes are there. They may come back, unless they are set up wrongly.
            Reason::NoQuorum => {
                let for_good = self.answers.iter().flatten().filter(|answer| match answer {
                    Ok(answer) => *answer == NodeAnswer::WrongType,
                    Err(found) => !found.fault().is_retryable(),
                });
                self.answers.len() - for_good.count() >= quorum_of(self.answers.len())
            }
        }
    }

    /// Whether this node may be free now: it granted the lock and was told to free it.
    pub(crate) fn was_granted(&self, node: usize) -> bool {
        matches!(self.answers[node], Some(Ok(NodeAnswer::Granted { .. })))
    }

    /// Whether nothing is known about the lock on this node.
    pub(crate) fn is_unknown(&self, node: usize) -> bool {
        !matches!(
            self.answers[node],
            Some(Ok(NodeAnswer::Granted { .. } | NodeAnswer::Held { .. }))
        )
    }

    /// The largest fence that was given: the next attempt asks for a larger one everywhere, and gets the same from all.
    pub(crate) fn highest_fence(&self) -> FencingToken {
        let fences = self
            .answers
            .iter()
            .flatten()
            .flatten()
            .map(|answer| match answer {
                NodeAnswer::Granted { fence } => *fence,
                _ => 0,
            });
        FencingToken(fences.max().unwrap_or(0))
    }

    /// When a quorum of nodes is free at the latest, if nobody extends what stands there. `None`: nobody knows.
    pub(crate) fn free_after(&self) -> Option<Duration> {
        let mut left: Vec<_> = self
            .answers
            .iter()
            .flatten()
            .flatten()
            .filter_map(|answer| match answer {
                NodeAnswer::Granted { .. } => Some(Duration::ZERO),
                NodeAnswer::Held { left } => *left,
                _ => None,
            })
            .collect();
        left.sort_unstable();
        left.get(quorum_of(self.answers.len()) - 1).copied()
    }

    pub(crate) fn into_error(
        self,
        nodes: &Nodes,
        resource: &Resource,
        waited: Duration,
    ) -> AcquireError {
        match self.reason() {
            Reason::Held => AcquireError::Held {
                waited,
                retry_after: self.free_after(),
            },
            Reason::WrongType => {
                let wrong = self
                    .answers
                    .iter()
                    .position(|answer| matches!(answer, Some(Ok(NodeAnswer::WrongType))));
                AcquireError::WrongType {
                    node: nodes.name(wrong.unwrap_or(0)).to_owned(),
                    resource: resource.clone(),
                }
            }
            Reason::NoQuorum | Reason::AllNew => AcquireError::NoQuorum {
                granted: self.granted,
                required: nodes.quorum(),
                faults: self.faults(nodes),
            },
        }
    }

    fn faults(self, nodes: &Nodes) -> Vec<NodeFault> {
        let answers = self.answers.into_iter().enumerate();
        answers
            .filter_map(|(node, answer)| {
                let fault = |fault| Some(NodeFault::new(nodes.name(node), fault));
                match answer? {
                    Err(found) => Some(found),
                    Ok(NodeAnswer::NotAdmitted) => fault(Fault::NotAdmitted(
                        nodes.admissions.left(node, &*nodes.clock),
                    )),
                    Ok(NodeAnswer::WrongType) => fault(Fault::Unsuitable(NOT_A_LOCK.to_owned())),
                    Ok(_) => None,
                }
            })
            .collect()
    }
}

const NOT_A_LOCK: &str =
    "under the name of the lock stands something else; use another name or prefix";

//! One attempt to get a lock: the request to all nodes, and what is done with their answers.

use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use futures_util::{
    FutureExt as _, Stream, StreamExt as _,
    stream::{BoxStream, FuturesUnordered},
};

use crate::{
    Fault, FencingToken, LockNode, Moment, NodeAnswer, NodeFault, NodeRequest, Outcome, Tally,
    Vote,
    nodes::Nodes,
    refusal::{Answers, Refusal},
};

/// A request that is made of all nodes under one owner value.
pub(crate) struct Attempt {
    pub(crate) request: Arc<NodeRequest>,
    /// Whether nobody wants the lock any more: what is granted from now on is given back.
    over: AtomicBool,
    /// The calls that were open when the lock was granted, until somebody sees them through: the reaper, or the release
    /// if that comes first. A std mutex: held to take them out.
    late: Mutex<Option<Late>>,
}

/// Calls whose answers come too late to count.
pub(crate) struct Late {
    pub(crate) calls: BoxStream<'static, (usize, Answer)>,
    /// The nodes that have not answered.
    pub(crate) open: Vec<usize>,
}

impl Attempt {
    pub(crate) fn new(request: NodeRequest) -> Arc<Self> {
        Arc::new(Self {
            request: Arc::new(request),
            over: AtomicBool::new(false),
            late: Mutex::default(),
        })
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    fn put_late(&self, late: Late) {
        *self.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(late);
    }

    /// Whoever takes them sees them through.
    pub(crate) fn take_late(&self) -> Option<Late> {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        late.take()
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}

/// Ends an attempt when it is dropped. Has to be dropped before the lock is given back: a grant that comes in between
/// is then given back by one or the other.
#[derive(Debug)]
pub(crate) struct EndOfAttempt(pub(crate) Arc<Attempt>);

impl EndOfAttempt {
    pub(crate) fn now(self) -> Arc<Attempt> {
        Arc::clone(&self.0)
    }
}

impl Drop for EndOfAttempt {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
    }
}

pub(crate) type Answer = Result<NodeAnswer, NodeFault>;

/// Asks all nodes, and returns when a quorum stands at the token or is out of reach. Slower nodes are left to the
/// reaper. Refused or cancelled, all that was or will be granted is given back.
pub(crate) async fn ask_all(
    nodes: &Arc<Nodes>,
    attempt: &Arc<Attempt>,
    sent_at: Moment,
) -> Result<FencingToken, Refusal> {
    let calls = nodes.call_all(|index, node| ask(index, node, Arc::clone(&attempt.request)));
    let mut round = Round {
        nodes,
        attempt,
        answers: (0..nodes.len()).map(|_| None).collect(),
        tally: Tally::new(nodes.len()),
        calls,
        end: End::Cancelled,
    };
    let clock = &*nodes.clock;
    let patience = nodes.settings.node_timeout;
    let mut timer = clock.sleep_until(sent_at + patience);
    let mut raises = FuturesUnordered::new();
    let mut asked_to_raise = Vec::new();
    loop {
        match round.tally.outcome() {
            Outcome::Granted { token } => return Ok(round.keep(FencingToken(token))),
            Outcome::Refused if !round.may_be_first_use() => return Err(round.refuse(End::Refused)),
            Outcome::Raise {
                token,
                nodes: behind,
                ..
            } => {
                if asked_to_raise.is_empty() {
                    timer = clock.sleep_until(clock.now() + patience);
                }
                for node in behind {
                    if !asked_to_raise.contains(&node) {
                        asked_to_raise.push(node);
                        raises.push(raise(nodes, node, attempt, FencingToken(token)));
                    }
                }
            }
            Outcome::Open | Outcome::Refused => {}
        }
        tokio::select! {
            biased;
            Some((node, answer)) = round.calls.next() => round.note(node, answer),
            Some((node, held)) = raises.next() => round.note_raise(node, held),
            () = &mut timer => return Err(round.refuse(End::TimedOut)),
        }
    }
}

async fn ask(index: usize, node: Arc<dyn LockNode>, request: Arc<NodeRequest>) -> (usize, Answer) {
    (index, node.acquire(&request).await)
}

async fn raise(
    nodes: &Nodes,
    node: usize,
    attempt: &Attempt,
    token: FencingToken,
) -> (usize, Result<bool, NodeFault>) {
    (
        node,
        nodes.all[node].raise(&attempt.request.held, token).await,
    )
}

struct Round<'a, F: Future<Output = (usize, Answer)> + Send + 'static> {
    nodes: &'a Arc<Nodes>,
    attempt: &'a Arc<Attempt>,
    answers: Answers,
    tally: Tally,
    calls: FuturesUnordered<F>,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Granted,
    Refused,
    TimedOut,
    Cancelled,
}

impl<F: Future<Output = (usize, Answer)> + Send + 'static> Round<'_, F> {
    fn note(&mut self, node: usize, answer: Answer) {
        self.note_one(node, answer);
        // What has arrived at nearly the same time may make a raise needless.
        while let Some(Some((node, answer))) = self.calls.next().now_or_never() {
            self.note_one(node, answer);
        }
    }

    fn note_one(&mut self, node: usize, answer: Answer) {
        self.nodes.heard(&answer);
        self.tally.note(
            node,
            match answer {
                Ok(NodeAnswer::Granted { fence }) => Vote::Granted(fence),
                _ => Vote::Not,
            },
        );
        self.answers[node] = Some(answer);
    }

    fn note_raise(&mut self, node: usize, held: Result<bool, NodeFault>) {
        self.tally.note_raise(node, matches!(held, Ok(true)));
        if let Err(fault) = held {
            self.answers[node] = Some(Err(fault));
        }
    }

    /// Whether all nodes may turn out to be new: that is worth waiting for all answers.
    fn may_be_first_use(&self) -> bool {
        let all_new =
            |answer: &Option<Answer>| matches!(answer, None | Some(Ok(NodeAnswer::NotAdmitted)));
        !self.calls.is_empty()
            && !self.nodes.admissions.any_seen()
            && self.answers.iter().all(all_new)
    }

    fn keep(mut self, token: FencingToken) -> FencingToken {
        self.end = End::Granted;
        self.nodes.seek_admissions(&self.answers);
        token
    }

    fn refuse(mut self, end: End) -> Refusal {
        self.end = end;
        let silent = self.nodes.settings.node_timeout;
        let mut answers = std::mem::take(&mut self.answers);
        self.give_back(&answers);
        if end == End::TimedOut {
            for (node, answer) in answers.iter_mut().enumerate() {
                answer.get_or_insert_with(|| {
                    Err(NodeFault::new(
                        self.nodes.name(node),
                        Fault::TimedOut(silent),
                    ))
                });
            }
        }
        Refusal {
            answers,
            granted: self.tally.granted(),
        }
    }

    /// Gives back what was granted or may have been. Nodes that have not answered are told at once if they seem slow;
    /// the reaper tells them again when they have answered.
    fn give_back(&self, answers: &[Option<Answer>]) {
        drop(EndOfAttempt(Arc::clone(self.attempt)));
        for (node, answer) in answers.iter().enumerate() {
            let owed = match answer {
                Some(answer) => may_be_held(answer),
                None => self.end != End::Refused,
            };
            if owed {
                self.nodes.give_back(node, &self.attempt.request.held);
            }
        }
    }
}

impl<F: Future<Output = (usize, Answer)> + Send + 'static> Drop for Round<'_, F> {
    fn drop(&mut self) {
        if self.end == End::Cancelled {
            self.give_back(&self.answers);
        }
        let mut calls = std::mem::take(&mut self.calls);
        if self.end == End::Granted {
            while let Some((node, answer)) = unheard(&mut calls) {
                self.nodes.heard_late(node, &answer);
                self.note_one(node, answer);
            }
        }
        if calls.is_empty() {
            return;
        }
        let open = (0..self.nodes.len()).filter(|node| !self.tally.has_answered(*node));
        let late = Late {
            open: open.collect(),
            calls: calls.boxed(),
        };
        let (nodes, attempt) = (Arc::clone(self.nodes), Arc::clone(self.attempt));
        if self.end == End::Granted {
            self.attempt.put_late(late);
            let work = see_through_unless_released(nodes, attempt);
            self.nodes.reaper.adopt_later(Box::pin(work));
        } else {
            let work = see_through(nodes, attempt, late);
            self.nodes.reaper.adopt(Box::pin(work));
        }
    }
}

/// The next answer that is there. If none is, nobody is woken by the next one, until somebody polls `calls` again.
pub(crate) fn unheard<T>(calls: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
    match calls.poll_next_unpin(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => None,
    }
}

pub(crate) const fn may_be_held(answer: &Answer) -> bool {
    matches!(answer, Ok(NodeAnswer::Granted { .. }) | Err(_))
}

async fn see_through_unless_released(nodes: Arc<Nodes>, attempt: Arc<Attempt>) {
    if let Some(late) = attempt.take_late() {
        see_through(nodes, attempt, late).await;
    }
}

/// Waits for the answers that came too late to count. A late grant is given back, unless its lease still lives: then it
/// is given back with it.
async fn see_through(nodes: Arc<Nodes>, attempt: Arc<Attempt>, late: Late) {
    let Late {
        mut calls,
        mut open,
    } = late;
    let until = nodes.clock.now() + nodes.reaper.limit();
    let mut timer = pin!(nodes.clock.sleep_until(until));
    loop {
        let owed = tokio::select! {
            biased;
            answer = calls.next() => {
                let Some((node, answer)) = answer else { return };
                nodes.heard_late(node, &answer);
                open.retain(|silent| *silent != node);
                if may_be_held(&answer) { vec![node] } else { Vec::new() }
            }
            () = &mut timer => std::mem::take(&mut open),
        };
        if attempt.is_over() {
            for node in &owed {
                nodes.give_back(*node, &attempt.request.held);
            }
        }
        if open.is_empty() {
            return;
        }
    }
}

impl Nodes {
    /// Takes note of what an answer that comes too late to count says about the admission of its node.
    pub(crate) fn heard_late(self: &Arc<Self>, node: usize, answer: &Answer) {
        if matches!(answer, Ok(NodeAnswer::NotAdmitted)) && self.admissions.any_seen() {
            self.seek_admission(node);
        }
    }
}

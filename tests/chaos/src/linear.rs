//! Whether there is an order of all operations on a session that its specification allows: each at one moment between its
//! call and its answer.
//!
//! Source: Wing, Gong, "Testing and verifying concurrent objects" (1993), with the memory of Lowe, "Testing for
//! linearizability" (2017). An operation whose outcome is unknown happens at any time after its call, or never.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::{
    Nanos, Op, Outcome,
    model::{Session, Terms},
};

/// An operation as the search sees it.
#[derive(Clone, Debug)]
pub(crate) struct Step<'a> {
    pub(crate) op: &'a Op,
    /// From when on it can have happened: before its call, if it may show what was.
    pub(crate) from: Nanos,
    /// An operation that has happened before it.
    pub(crate) after: Option<usize>,
}

/// No order was found.
#[derive(Clone, Debug)]
pub(crate) enum Disorder<'a> {
    /// There is none. How far the longest one goes, and what cannot follow it.
    Impossible {
        ordered: usize,
        state: Session,
        next: Vec<&'a Op>,
    },
    /// The search was given up.
    Undecided,
}

/// More than a thousand times what a history of a long run takes.
const MOST_STEPS: usize = 20_000_000;

/// Looks for an order; `steps` are those of one session, by the time from which they can have happened.
pub(crate) fn order<'a>(steps: &[Step<'a>], terms: &Terms) -> Result<(), Disorder<'a>> {
    Search::new(steps, terms).run()
}

struct Search<'s, 'a> {
    steps: &'s [Step<'a>],
    terms: &'s Terms,
    /// Those that are not ordered yet, as a list: who follows, who precedes; the last place is the list's head.
    next: Vec<usize>,
    before: Vec<usize>,
    is_ordered: Vec<bool>,
    /// How many are to be ordered yet: those that were surely done.
    due: usize,
    /// Names the set of what is ordered.
    signature: u128,
    known: HashSet<(u128, u64)>,
    deepest: Option<(usize, Session, Vec<&'a Op>)>,
}

struct Frame {
    ordered: Vec<usize>,
    options: Vec<(usize, Session)>,
}

impl<'s, 'a> Search<'s, 'a> {
    fn new(steps: &'s [Step<'a>], terms: &'s Terms) -> Self {
        let count = steps.len();
        Self {
            steps,
            terms,
            next: (1..=count).chain([0]).collect(),
            before: (0..=count)
                .map(|at| at.checked_sub(1).unwrap_or(count))
                .collect(),
            is_ordered: vec![false; count],
            due: steps
                .iter()
                .filter(|step| step.op.outcome == Outcome::Done)
                .count(),
            signature: 0,
            known: HashSet::new(),
            deepest: None,
        }
    }

    fn run(mut self) -> Result<(), Disorder<'a>> {
        let mut stack = vec![self.enter(&Session::default(), Vec::new())];
        for _ in 0..MOST_STEPS {
            if self.due == 0 {
                return Ok(());
            }
            let Some(frame) = stack.last_mut() else {
                let (ordered, state, next) = self.deepest.unwrap_or_default();
                return Err(Disorder::Impossible {
                    ordered,
                    state,
                    next,
                });
            };
            if let Some((step, state)) = frame.options.pop() {
                self.take(step);
                let frame = self.enter(&state, vec![step]);
                stack.push(frame);
            } else if let Some(frame) = stack.pop() {
                for step in frame.ordered.into_iter().rev() {
                    self.give_back(step);
                }
            }
        }
        Err(Disorder::Undecided)
    }

    /// Orders what can be ordered without a choice, and finds the choices.
    fn enter(&mut self, state: &Session, mut ordered: Vec<usize>) -> Frame {
        // A read that fits can always be ordered at once: it changes nothing for those that follow.
        loop {
            let candidates = self.candidates();
            let fitting = candidates.into_iter().find(|&at| {
                let op = self.steps[at].op;
                op.action.is_pure() && state.shows(op)
            });
            let Some(read) = fitting else {
                break;
            };
            self.take(read);
            ordered.push(read);
        }
        let candidates = self.candidates();
        let depth = self.steps.len() - self.due;
        if self
            .deepest
            .as_ref()
            .is_none_or(|(deepest, ..)| depth > *deepest)
        {
            let next = candidates.iter().map(|&at| self.steps[at].op).collect();
            self.deepest = Some((depth, state.clone(), next));
        }
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        if !self.known.insert((self.signature, hasher.finish())) {
            return Frame {
                ordered,
                options: Vec::new(),
            };
        }
        let mut options: Vec<(usize, Session)> = Vec::new();
        for at in candidates {
            let op = self.steps[at].op;
            options.extend(
                op.after_in(state, self.terms)
                    .into_iter()
                    .map(|state| (at, state)),
            );
        }
        // The last one is tried first: what is known to have happened, the earliest end first.
        options.sort_by_key(|(at, _)| {
            let op = self.steps[*at].op;
            std::cmp::Reverse((op.outcome != Outcome::Done, op.end()))
        });
        Frame { ordered, options }
    }

    /// What can come next: nothing that is still to be ordered was over before it began.
    fn candidates(&self) -> Vec<usize> {
        let head = self.steps.len();
        let mut found = Vec::new();
        let mut earliest_end = Nanos::MAX;
        let mut at = self.next[head];
        while at != head {
            let step = &self.steps[at];
            if step.from > earliest_end {
                break;
            }
            if step.op.outcome == Outcome::Done {
                earliest_end = earliest_end.min(step.op.end());
            }
            if step.after.is_none_or(|before| self.is_ordered[before]) {
                found.push(at);
            }
            at = self.next[at];
        }
        found
    }

    fn take(&mut self, step: usize) {
        let (before, next) = (self.before[step], self.next[step]);
        self.next[before] = next;
        self.before[next] = before;
        self.note(step, true);
    }

    fn give_back(&mut self, step: usize) {
        let (before, next) = (self.before[step], self.next[step]);
        self.next[before] = step;
        self.before[next] = step;
        self.note(step, false);
    }

    fn note(&mut self, step: usize, is_ordered: bool) {
        self.is_ordered[step] = is_ordered;
        self.signature ^= signature(step);
        if self.steps[step].op.outcome == Outcome::Done {
            self.due = if is_ordered {
                self.due - 1
            } else {
                self.due + 1
            };
        }
    }
}

/// A number for each step, so that the numbers of a set, combined, name the set. Source: Zobrist, "A new hashing method
/// with application for game playing" (1970).
fn signature(step: usize) -> u128 {
    let mut chance = crate::Chance::new(step as u64);
    let mut draw = || u128::from(chance.below(u64::MAX));
    draw() << 64 | draw()
}

impl Op {
    fn after_in(&self, state: &Session, terms: &Terms) -> Vec<Session> {
        if self.action.is_pure() {
            Vec::new()
        } else {
            state.after(self, terms)
        }
    }
}

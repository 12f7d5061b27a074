use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Action, Hold, Nanos, Op, Outcome, Recorder};

/// What all clients have done and seen.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "what there is to check")]
pub struct History {
    /// Their operations.
    pub ops: Vec<Op>,
    /// When they were sure to hold which session.
    pub holds: Vec<Hold>,
    /// When the server's clock was set to another time.
    pub clock_steps: Vec<Nanos>,
}

impl History {
    /// Of clients in this process.
    pub fn of<'a>(recorders: impl IntoIterator<Item = &'a Recorder>) -> Self {
        let mut gathering = Gathering::default();
        for event in recorders.into_iter().flat_map(Recorder::take) {
            gathering.take(event);
        }
        gathering.finish().0
    }
}

/// A line of a client's record. It is written before a call and after its answer, so a client that is killed leaves
/// behind what it has begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    Begun {
        process: u64,
        number: u64,
        client: u64,
        session: u64,
        at: Nanos,
        action: Action,
    },
    Ended {
        process: u64,
        number: u64,
        at: Nanos,
        action: Action,
        outcome: Outcome,
        revision: Option<u64>,
    },
    Held(Hold),
    /// An error that the workload does not expect.
    Odd(String),
}

/// Puts lines together to a history.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    open: BTreeMap<(u64, u64), Op>,
    history: History,
    odd: BTreeMap<String, usize>,
}

impl Gathering {
    /// Takes a line; the operation that it ends, if it does.
    pub(crate) fn take(&mut self, event: Event) -> Option<&Op> {
        match event {
            Event::Begun {
                process,
                number,
                client,
                session,
                at,
                action,
            } => {
                let op = Op {
                    process,
                    client,
                    session,
                    invoked: at,
                    returned: None,
                    action,
                    outcome: Outcome::Unknown,
                    revision: None,
                };
                self.open.insert((process, number), op);
                None
            }
            Event::Ended {
                process,
                number,
                at,
                action,
                outcome,
                revision,
            } => {
                let op = self.open.remove(&(process, number))?;
                self.history.ops.push(Op {
                    returned: Some(at),
                    action,
                    outcome,
                    revision,
                    ..op
                });
                self.history.ops.last()
            }
            Event::Held(hold) => {
                self.history.holds.push(hold);
                None
            }
            Event::Odd(what) => {
                *self.odd.entry(what).or_default() += 1;
                None
            }
        }
    }

    /// The history, with what was begun and never answered, and the errors that nobody expects.
    pub(crate) fn finish(self) -> (History, BTreeMap<String, usize>) {
        let mut history = self.history;
        history.ops.extend(self.open.into_values());
        history.ops.sort_by_key(|op| op.invoked);
        (history, self.odd)
    }
}

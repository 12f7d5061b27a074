use crate::{Action, Nanos, Op, Seen, Told, Value};

/// What a session may be, as far as clients can tell: the specification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    life: Stage,
    value: Value,
    user: Option<u64>,
    /// IDs of before, the newest last.
    former: Vec<Former>,
    /// The times between which it ends by itself: when that may happen, and when it must have.
    end: Option<(Nanos, Nanos)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Stage {
    #[default]
    Unborn,
    /// Under this ID.
    Alive(u64),
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Former {
    id: u64,
    shows: Shows,
    /// Until when it is there, and from when it is not.
    ends: (Nanos, Nanos),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shows {
    /// The session.
    It,
    /// What the session was before a login.
    Copy(Value),
    /// Nothing. Whoever wants to lock it may be told that there is another ID, or nothing.
    Nothing,
}

impl Former {
    const fn showing_nothing(self) -> Self {
        Self {
            shows: Shows::Nothing,
            ends: (0, self.ends.1),
            ..self
        }
    }
}

/// What the specification needs to know of the settings, in nanoseconds.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "tests fill it in")]
pub struct Terms {
    /// How long an old ID is good for reading.
    pub grace: Nanos,
    /// By how much the server's idea of a span may be off: its clock is set, the machine is busy.
    pub slack: Nanos,
}

/// The store remembers so many IDs of before; a still earlier one is nothing at once.
const REMEMBERED: usize = 8;

impl Session {
    /// What the session may be after this operation, if that can happen to it now and give that answer.
    pub(crate) fn after(&self, op: &Op, terms: &Terms) -> Vec<Self> {
        match &op.action {
            Action::Create { id, write, life } => self.created(
                *id,
                *write,
                op,
                life.map(|life| (life.idle, life.absolute)),
                terms,
            ),
            Action::Change { id, read, write } => {
                if !self.is(*id, *read, op) {
                    return Vec::new();
                }
                vec![Self {
                    value: *write,
                    ..self.clone()
                }]
            }
            Action::Rotate {
                id,
                to,
                read,
                write,
            } => {
                if !self.is(*id, Some(*read), op) {
                    return Vec::new();
                }
                let mut next = self.clone();
                next.leave(*id, Shows::It, op, terms);
                vec![Self {
                    life: Stage::Alive(*to),
                    value: *write,
                    ..next
                }]
            }
            Action::Login {
                id,
                to,
                read,
                write,
                user,
                ..
            } => {
                if !self.is(*id, Some(*read), op) {
                    return Vec::new();
                }
                let mut next = self.clone();
                if self.user.is_some() {
                    // Copies of what was before another login stand for themselves.
                    for former in next.former.iter_mut().filter(|one| one.shows == Shows::It) {
                        *former = former.showing_nothing();
                    }
                    next.leave(*id, Shows::Nothing, op, terms);
                } else {
                    for former in next.former.iter_mut().filter(|one| one.shows == Shows::It) {
                        former.shows = Shows::Copy(self.value);
                    }
                    next.leave(*id, Shows::Copy(self.value), op, terms);
                }
                vec![Self {
                    life: Stage::Alive(*to),
                    value: *write,
                    user: Some(*user),
                    end: None,
                    ..next
                }]
            }
            Action::End { id, read } if self.is(*id, Some(*read), op) => vec![self.ended()],
            // It does not matter who has ended it.
            Action::End { .. } if self.life == Stage::Ended => vec![self.clone()],
            Action::End { .. } => Vec::new(),
            Action::Destroy { id } => self.destroyed(*id, op),
            Action::RevokeAll { user } if self.user == Some(*user) => vec![self.ended()],
            Action::RevokeAll { .. } => vec![self.clone()],
            Action::Read { .. } | Action::Lock { .. } => Vec::new(),
        }
    }

    /// Whether an operation that changes nothing can have been told that.
    pub(crate) fn shows(&self, op: &Op) -> bool {
        match op.action {
            Action::Read {
                id,
                seen: Some(seen),
                ..
            } => match seen {
                Seen::Current(value) => self.is(id, Some(value), op),
                Seen::Former(value) => self.shows_former(id, value, op),
                Seen::Nothing => self.may_lack(id, op),
            },
            Action::Lock {
                id,
                told: Some(Told::Absent),
            } => self.may_lack(id, op),
            Action::Lock {
                id,
                told: Some(Told::Moved),
            } => self
                .former(id)
                .is_some_and(|former| op.from() <= former.ends.1),
            _ => true,
        }
    }

    /// Whether it is alive under this ID, with this value.
    fn is(&self, id: u64, value: Option<Value>, op: &Op) -> bool {
        self.life == Stage::Alive(id)
            && value.is_none_or(|value| value == self.value)
            && self.end.is_none_or(|(_, latest)| op.from() <= latest)
    }

    fn may_be_gone(&self, op: &Op) -> bool {
        match self.life {
            Stage::Alive(_) => self.end.is_some_and(|(earliest, _)| op.end() >= earliest),
            Stage::Unborn | Stage::Ended => true,
        }
    }

    fn may_lack(&self, id: u64, op: &Op) -> bool {
        if self.life == Stage::Alive(id) {
            return self.may_be_gone(op);
        }
        match self.former(id) {
            None => true,
            Some(former) if op.end() >= former.ends.0 => true,
            Some(former) => former.shows == Shows::It && self.may_be_gone(op),
        }
    }

    fn shows_former(&self, id: u64, value: Value, op: &Op) -> bool {
        let Some(former) = self.former(id).filter(|former| op.from() <= former.ends.1) else {
            return false;
        };
        match former.shows {
            Shows::Copy(copy) => copy == value,
            Shows::Nothing => false,
            Shows::It => matches!(self.life, Stage::Alive(now) if self.is(now, Some(value), op)),
        }
    }

    fn former(&self, id: u64) -> Option<&Former> {
        self.former.iter().find(|former| former.id == id)
    }

    fn created(
        &self,
        id: u64,
        write: Value,
        op: &Op,
        life: Option<(Nanos, Nanos)>,
        terms: &Terms,
    ) -> Vec<Self> {
        if self.life != Stage::Unborn {
            return Vec::new();
        }
        let end = life.map(|(idle, absolute)| {
            let earliest = (op.invoked + idle).saturating_sub(terms.slack);
            (earliest, op.end().saturating_add(absolute + terms.slack))
        });
        vec![Self {
            life: Stage::Alive(id),
            value: write,
            end,
            ..Self::default()
        }]
    }

    fn ended(&self) -> Self {
        Self {
            life: Stage::Ended,
            ..self.clone()
        }
    }

    fn destroyed(&self, id: u64, op: &Op) -> Vec<Self> {
        let Stage::Alive(now) = self.life else {
            return vec![self.clone()];
        };
        if now == id {
            return vec![self.ended()];
        }
        let former = self.former(id).filter(|former| op.from() <= former.ends.1);
        match former {
            Some(former) if former.shows == Shows::It && op.end() < former.ends.0 => {
                vec![self.ended()]
            }
            Some(former) if former.shows == Shows::It => vec![self.ended(), self.clone()],
            // A copy is ended alone, and may be there or not.
            Some(_) => {
                let mut without = self.clone();
                without.former.retain(|former| former.id != id);
                vec![without, self.clone()]
            }
            None => vec![self.clone()],
        }
    }

    /// An ID that it had before this operation.
    fn leave(&mut self, id: u64, shows: Shows, op: &Op, terms: &Terms) {
        let earliest = (op.invoked + terms.grace).saturating_sub(terms.slack);
        let latest = op.end().saturating_add(terms.grace + terms.slack);
        let former = Former {
            id,
            shows,
            ends: (earliest, latest),
        };
        self.former.push(match shows {
            Shows::Nothing => former.showing_nothing(),
            Shows::It | Shows::Copy(_) => former,
        });
        if let Some(forgotten) = self.former.len().checked_sub(REMEMBERED) {
            for former in &mut self.former[..forgotten] {
                former.ends.0 = 0;
            }
        }
        // What is surely over makes no difference any more.
        self.former.retain(|former| former.ends.1 >= op.invoked);
    }
}

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::{
    Action, Hold, Nanos, Op, Outcome, Seen, Value,
    history::History,
    linear::{Disorder, Step, order},
    model::Terms,
};

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "tests ask for each")]
pub enum Broken {
    /// Two changes that were acknowledged have replaced the same version.
    LostUpdate,
    /// Something was seen whose writer had been told that it is not stored.
    RefusedButStored,
    /// A read showed a version that had been replaced longer ago than it may.
    StaleRead,
    /// A session was alive after its end had been acknowledged.
    Resurrection,
    /// Two guards were sure to hold one session at one time.
    TwoHolders,
    /// Somebody else wrote while a guard was sure to hold the session.
    WriteUnderLock,
    /// An ID of before a login showed what came after it.
    OldIdShowsLogin,
    /// An ID of before was good for longer than the grace.
    OldIdOutlivesGrace,
    /// A session was alive after its absolute end.
    OutlivesEnd,
    /// A login succeeded that had begun before all sessions of its user were revoked.
    LateLogin,
    /// A later commit was given a smaller revision.
    RevisionFell,
    /// Somebody waited longer for a session than they had said.
    WaitedTooLong,
    /// No order of the operations explains what was seen.
    Disorder,
    /// The search for an order was given up.
    Undecided,
    /// A key was left that nobody deletes.
    LeakedKey,
    /// A secondary does not show what the primary has.
    SecondaryDiffers,
}

/// Something that must never be, and was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "what there is to know of it")]
pub struct Violation {
    /// What.
    pub broken: Broken,
    /// Of which session.
    pub session: u64,
    /// How it was seen.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(broken: Broken, session: u64, what: impl Into<String>) -> Self {
        Self {
            broken,
            session,
            what: what.into(),
        }
    }
}

/// Everything that is wrong with a history.
pub fn check(history: &History, terms: &Terms) -> Vec<Violation> {
    let mut violations = Vec::new();
    let sessions = by_session(history);
    for (session, ops) in &sessions {
        let mut note = |broken, what| violations.push(Violation::new(broken, *session, what));
        lost_updates(ops, &mut note);
        stored_though_refused(ops, &mut note);
        stale_reads(ops, &mut note);
        resurrections(ops, &mut note);
        old_ids(ops, terms, &mut note);
        absolute_ends(ops, terms, &mut note);
        late_logins(ops, &mut note);
        revisions(ops, &mut note);
        orders(ops, terms, &mut note);
    }
    holders(history, &sessions, &mut violations);
    violations
}

/// The operations of each session by the time of their call, with what concerns its user.
fn by_session(history: &History) -> BTreeMap<u64, Vec<&Op>> {
    let mut sessions: BTreeMap<u64, Vec<&Op>> = BTreeMap::new();
    for op in history.ops.iter().filter(|op| op.session != 0) {
        sessions.entry(op.session).or_default().push(op);
    }
    for ops in sessions.values_mut() {
        let mut users: Vec<u64> = ops.iter().filter_map(|op| login_of(op)).collect();
        users.sort_unstable();
        let of_user =
            |op: &&Op| matches!(op.action, Action::RevokeAll { user } if users.contains(&user));
        ops.extend(history.ops.iter().filter(of_user));
        ops.sort_by_key(|op| op.invoked);
    }
    sessions
}

const fn login_of(op: &Op) -> Option<u64> {
    match op.action {
        Action::Login { user, .. } => Some(user),
        _ => None,
    }
}

type Note<'n> = dyn FnMut(Broken, String) + 'n;

fn lost_updates(ops: &[&Op], note: &mut Note<'_>) {
    let mut replaced: HashMap<Value, &Op> = HashMap::new();
    for op in ops.iter().filter(|op| op.is_done()) {
        let Some((Some(read), _)) = op.action.writes() else {
            continue;
        };
        if let Some(other) = replaced.insert(read, op) {
            note(
                Broken::LostUpdate,
                format!("both replaced {read}: {other:?} and {op:?}"),
            );
        }
    }
}

fn stored_though_refused(ops: &[&Op], note: &mut Note<'_>) {
    let is_refused = |op: &&&Op| op.outcome == Outcome::Failed;
    let refused: HashMap<Value, &&Op> = ops
        .iter()
        .filter(is_refused)
        .filter_map(|op| Some((op.action.writes()?.1, op)))
        .collect();
    for op in ops.iter().filter(|op| op.is_done()) {
        if let Some((value, _)) = op.action.saw()
            && let Some(writer) = refused.get(&value)
        {
            note(
                Broken::RefusedButStored,
                format!("{writer:?} was seen by {op:?}"),
            );
        }
    }
}

fn stale_reads(ops: &[&Op], note: &mut Note<'_>) {
    let mut replacements: HashMap<Value, &&Op> = HashMap::new();
    for op in ops.iter().filter(|op| op.is_done()) {
        if let Some((Some(read), _)) = op.action.writes() {
            replacements.insert(read, op);
        }
    }
    for op in ops.iter().filter(|op| op.is_done()) {
        // What an ID of before shows may be a copy.
        if let Some((value, false)) = op.action.saw()
            && let Some(later) = replacements.get(&value)
            && later.end() < op.from()
        {
            note(Broken::StaleRead, format!("{op:?} after {later:?}"));
        }
    }
}

fn resurrections(ops: &[&Op], note: &mut Note<'_>) {
    let is_end = |op: &&&Op| op.is_done() && matches!(op.action, Action::End { .. });
    let Some(end) = ops.iter().filter(is_end).min_by_key(|op| op.end()) else {
        return;
    };
    for op in ops
        .iter()
        .filter(|op| op.is_done() && op.from() > end.end())
    {
        if let Some((_, false)) = op.action.saw() {
            note(Broken::Resurrection, format!("{op:?} after {end:?}"));
        }
    }
}

fn old_ids(ops: &[&Op], terms: &Terms, note: &mut Note<'_>) {
    let writers: HashMap<Value, &&Op> = ops
        .iter()
        .filter_map(|op| Some((op.action.writes()?.1, op)))
        .collect();
    let mut left: HashMap<u64, &Op> = HashMap::new();
    for op in ops.iter().filter(|op| op.is_done()) {
        if let Action::Rotate { id, .. } | Action::Login { id, .. } = op.action {
            left.insert(id, op);
        }
    }
    for op in ops.iter().filter(|op| op.is_done()) {
        let Action::Read {
            id,
            seen: Some(Seen::Current(value) | Seen::Former(value)),
            ..
        } = op.action
        else {
            continue;
        };
        let Some(leaving) = left.get(&id) else {
            continue;
        };
        if op.from() > leaving.end().saturating_add(terms.grace + terms.slack) {
            note(
                Broken::OldIdOutlivesGrace,
                format!("{op:?} after {leaving:?}"),
            );
        }
        if let (Action::Login { write, .. }, Some(writer)) = (&leaving.action, writers.get(&value))
            && (value == *write || writer.invoked > leaving.end())
        {
            note(Broken::OldIdShowsLogin, format!("{op:?} after {leaving:?}"));
        }
    }
}

fn absolute_ends(ops: &[&Op], terms: &Terms, note: &mut Note<'_>) {
    // A login begins a new life.
    if ops.iter().any(|op| login_of(op).is_some()) {
        return;
    }
    for birth in ops.iter().filter(|op| op.is_done()) {
        let Action::Create {
            life: Some(life), ..
        } = birth.action
        else {
            continue;
        };
        let end = birth.end() + life.absolute + terms.slack;
        for op in ops.iter().filter(|op| op.is_done() && op.from() > end) {
            if op.action.saw().is_some() {
                note(Broken::OutlivesEnd, format!("{op:?} of {birth:?}"));
            }
        }
    }
}

fn late_logins(ops: &[&Op], note: &mut Note<'_>) {
    for op in ops.iter().filter(|op| op.is_done()) {
        let Action::Login {
            user,
            ticket: Some(ticket),
            ..
        } = op.action
        else {
            continue;
        };
        let superseded = ops.iter().find(|revocation| {
            revocation.is_done()
                && revocation.action == Action::RevokeAll { user }
                && revocation.invoked > ticket
                && revocation.end() < op.invoked
        });
        if let Some(revocation) = superseded {
            note(
                Broken::LateLogin,
                format!("{op:?} in spite of {revocation:?}"),
            );
        }
    }
}

fn revisions(ops: &[&Op], note: &mut Note<'_>) {
    let told = |op: &&&Op| op.is_done() && op.revision.is_some();
    let mut by_end: Vec<&&Op> = ops.iter().filter(told).collect();
    by_end.sort_by_key(|op| op.end());
    let mut over = by_end.into_iter().peekable();
    let mut newest: Option<&&Op> = None;
    for op in ops.iter().filter(told) {
        while let Some(earlier) = over.next_if(|earlier| earlier.end() < op.invoked) {
            if newest.is_none_or(|newest| newest.revision < earlier.revision) {
                newest = Some(earlier);
            }
        }
        if let Some(earlier) = newest.filter(|earlier| earlier.revision >= op.revision) {
            note(Broken::RevisionFell, format!("{op:?} after {earlier:?}"));
        }
    }
}

fn orders(ops: &[&Op], terms: &Terms, note: &mut Note<'_>) {
    let counts = |op: &&Op| match op.outcome {
        Outcome::Failed => false,
        Outcome::Unknown => !op.action.is_pure(),
        Outcome::Done => match op.action {
            Action::Lock { told, .. } => {
                matches!(told, Some(crate::Told::Absent | crate::Told::Moved))
            }
            _ => true,
        },
    };
    let mut counting: Vec<&Op> = ops.iter().copied().filter(counts).collect();
    counting.sort_by_key(|op| op.from());
    let steps: Vec<Step<'_>> = counting
        .iter()
        .map(|op| {
            let own = own_write_before(&counting, op);
            let since = own.map_or(0, |at| counting[at].invoked);
            Step {
                op,
                from: op.from().max(since),
                after: own,
            }
        })
        .collect();
    match order(&in_order(&steps), terms) {
        Ok(()) => {}
        Err(Disorder::Undecided) => {
            note(Broken::Undecided, format!("{} operations", counting.len()));
        }
        Err(Disorder::Impossible {
            ordered,
            state,
            next,
        }) => note(
            Broken::Disorder,
            format!(
                "after {ordered} of {} the session is {state:?}, and none of these can follow: {next:#?}",
                counting.len()
            ),
        ),
    }
}

/// The write of the same process after which a cached read comes in any case.
fn own_write_before(ops: &[&Op], read: &Op) -> Option<usize> {
    let Action::Read { staleness: 1.., .. } = read.action else {
        return None;
    };
    let is_own = |op: &&Op| {
        op.process == read.process
            && op.is_done()
            && !op.action.is_pure()
            && op.end() < read.invoked
    };
    let own = ops.iter().enumerate().filter(|(_, op)| is_own(op));
    own.max_by_key(|(_, op)| op.end()).map(|(at, _)| at)
}

/// By the time from which they can have happened.
fn in_order<'a>(steps: &[Step<'a>]) -> Vec<Step<'a>> {
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|&at| steps[at].from);
    let mut place = vec![0; steps.len()];
    for (to, &from) in order.iter().enumerate() {
        place[from] = to;
    }
    let moved = |at: &usize| Step {
        after: steps[*at].after.map(|before| place[before]),
        ..steps[*at].clone()
    };
    order.iter().map(moved).collect()
}

/// Guards that were sure to hold a session at the same time, and writes while one did.
fn holders(history: &History, sessions: &BTreeMap<u64, Vec<&Op>>, violations: &mut Vec<Violation>) {
    let mut holds: BTreeMap<u64, Vec<&Hold>> = BTreeMap::new();
    for hold in &history.holds {
        // A clock that is set meanwhile ends leases on the server before their time.
        let is_moved = |step: &&Nanos| (hold.from..=hold.until).contains(*step);
        if !hold.void && history.clock_steps.iter().find(is_moved).is_none() {
            holds.entry(hold.session).or_default().push(hold);
        }
    }
    for (session, holds) in &mut holds {
        holds.sort_by_key(|hold| hold.from);
        let mut longest: Option<&Hold> = None;
        for hold in holds.iter() {
            if let Some(first) = longest.filter(|first| hold.from <= first.until) {
                violations.push(Violation::new(
                    Broken::TwoHolders,
                    *session,
                    format!(
                        "{first:?} and {hold:?}; {}",
                        around(sessions.get(session), first, hold)
                    ),
                ));
            }
            if longest.is_none_or(|longest| longest.until < hold.until) {
                longest = Some(hold);
            }
        }
        let writes = sessions.get(session).into_iter().flatten();
        for op in writes.filter(|op| op.is_done() && is_locked_write(&op.action)) {
            let at = holds.partition_point(|hold| hold.from <= op.invoked);
            let around = at.checked_sub(1).map(|at| holds[at]);
            if let Some(hold) = around.filter(|hold| op.end() <= hold.until) {
                violations.push(Violation::new(
                    Broken::WriteUnderLock,
                    *session,
                    format!("{op:?} during {hold:?}"),
                ));
            }
        }
    }
}

/// How many guards held a session while another did, and were told at their end that nothing of it counts.
pub(crate) fn void_overlaps(history: &History) -> usize {
    let overlaps = |void: &&Hold| {
        let mut others = history.holds.iter().filter(|other| {
            other.session == void.session
                && (other.process, other.client) != (void.process, void.client)
        });
        others.any(|other| other.from <= void.until && void.from <= other.until)
    };
    let voids = history.holds.iter().filter(|hold| hold.void);
    voids.filter(overlaps).count()
}

/// What was done to the session about the time of two holds.
fn around(ops: Option<&Vec<&Op>>, first: &Hold, second: &Hold) -> String {
    const A_WHILE: Nanos = 300_000_000;
    let from = first.from.min(second.from).saturating_sub(A_WHILE);
    let until = first.until.max(second.until) + A_WHILE;
    let ops = ops.into_iter().flatten();
    let about = ops.filter(|op| op.invoked < until && op.returned.is_none_or(|at| at > from));
    format!("about that time: {:#?}", about.collect::<Vec<_>>())
}

/// Whether it is refused while somebody else holds the session.
const fn is_locked_write(action: &Action) -> bool {
    matches!(
        action,
        Action::Change { .. } | Action::Rotate { .. } | Action::Login { .. } | Action::End { .. }
    )
}

/// Waits that took longer than `limit`, where their process was not stopped meanwhile.
pub(crate) fn long_waits(
    history: &History,
    limit: Nanos,
    stops: &[(u64, Nanos, Nanos)],
) -> Vec<Violation> {
    let waits = history
        .ops
        .iter()
        .filter(|op| matches!(op.action, Action::Lock { .. }));
    let too_long = waits.filter(|op| {
        let Some(returned) = op.returned else {
            return false;
        };
        let stopped: Nanos = stops
            .iter()
            .filter(|(process, ..)| *process == op.process)
            .map(|(_, from, until)| returned.min(*until).saturating_sub(op.invoked.max(*from)))
            .sum();
        returned.saturating_sub(op.invoked).saturating_sub(stopped) > limit
    });
    too_long
        .map(|op| Violation::new(Broken::WaitedTooLong, op.session, format!("{op:?}")))
        .collect()
}

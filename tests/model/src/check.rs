use std::fmt;

use stateright::{Checker, HasDiscoveries, Model, Path, Property};

use crate::{
    rules::Rules,
    state::{Attempt, State},
    step::Action,
    walk::Patient,
};

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Promise {
    /// Never do two clients hold a lease that their own clocks call valid.
    OneHolder,
    /// No token is handed out twice.
    TokensAreUnique,
    /// A token is larger than every one that was handed out before it was asked for.
    TokensGrow,
}

impl Promise {
    const ALL: [Self; 3] = [Self::OneHolder, Self::TokensAreUnique, Self::TokensGrow];

    const fn name(self) -> &'static str {
        match self {
            Self::OneHolder => "one holder",
            Self::TokensAreUnique => "tokens are unique",
            Self::TokensGrow => "tokens grow",
        }
    }
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// Whether somebody gets the lock.
    pub granted: bool,
    /// Whether it is granted once more after that.
    pub granted_again: bool,
    /// The promises that are broken, and how.
    pub broken: Vec<(Promise, Trace)>,
}

/// A way to a state: what was the case before each action.
pub struct Trace(Vec<String>);

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

/// Goes through every state that `A` attempts on `N` nodes can lead to, or until a promise is broken.
pub fn exhaustive<const N: usize, const A: usize>(rules: Rules) -> Report {
    let checker = Protocol::<N, A>(rules).checker();
    let checker = checker.finish_when(HasDiscoveries::AnyFailures);
    report(&checker.spawn_dfs().join())
}

/// Looks for a short way to break `promise`.
pub fn counterexample<const N: usize, const A: usize>(
    rules: Rules,
    promise: Promise,
) -> Option<Trace> {
    let checker = Protocol::<N, A>(rules).checker();
    let found = HasDiscoveries::AnyOf([promise.name()].into());
    let mut report = report(&checker.finish_when(found).spawn_bfs().join());
    report.broken.retain(|(broken, _)| *broken == promise);
    report.broken.pop().map(|(_, trace)| trace)
}

/// Goes the one way that follows from `seed`, until nothing can happen any more.
pub fn walk<const N: usize, const A: usize>(rules: Rules, seed: u64) -> Report {
    let checker = Protocol::<N, A>(rules).checker();
    // Looked at after each way.
    let checker = checker.target_state_count(1);
    report(&checker.spawn_simulation(seed, Patient).join())
}

struct Protocol<const N: usize, const A: usize>(Rules);

impl<const N: usize, const A: usize> Model for Protocol<N, A> {
    type State = State<N, A>;
    type Action = Action;

    fn init_states(&self) -> Vec<Self::State> {
        let fences = combinations(self.0.first_fences).into_iter();
        let states = fences.map(|fences| State::with_fences(fences, &self.0));
        states.collect()
    }

    fn actions(&self, state: &Self::State, actions: &mut Vec<Action>) {
        self.0.possible(state, actions);
    }

    fn next_state(&self, state: &Self::State, action: Action) -> Option<Self::State> {
        Some(self.0.next(state, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = |promise: Promise, kept| Property::always(promise.name(), kept);
        vec![
            always(Promise::OneHolder, |Self(rules), state| {
                !rules.one_holder || state.holders() <= 1
            }),
            always(Promise::TokensAreUnique, |_, state| !state.token_twice),
            always(Promise::TokensGrow, |_, state| !state.token_shrank),
            Property::sometimes(GRANTED, |_, state: &Self::State| state.handed_out != 0),
            Property::sometimes(GRANTED_AGAIN, |_, state: &Self::State| {
                state.handed_out.count_ones() > 1
            }),
        ]
    }
}

const GRANTED: &str = "granted";
const GRANTED_AGAIN: &str = "granted again";

/// All combinations of fences up to `highest`, in order.
fn combinations<const N: usize>(highest: u8) -> Vec<[u8; N]> {
    let mut combinations = vec![[0; N]];
    for node in 0..N {
        let with_node = |fences: [u8; N]| {
            let least = if node == 0 { 0 } else { fences[node - 1] };
            (least..=highest).map(move |fence| {
                let mut fences = fences;
                fences[node] = fence;
                fences
            })
        };
        combinations = combinations.into_iter().flat_map(with_node).collect();
    }
    combinations
}

fn report<const N: usize, const A: usize>(checker: &impl Checker<Protocol<N, A>>) -> Report {
    let mut found = checker.discoveries();
    let (granted, granted_again) = (
        found.contains_key(GRANTED),
        found.contains_key(GRANTED_AGAIN),
    );
    let mut broken = |promise: Promise| Some((promise, trace(found.remove(promise.name())?)));
    Report {
        granted,
        granted_again,
        broken: Promise::ALL.into_iter().filter_map(&mut broken).collect(),
    }
}

fn trace<const N: usize, const A: usize>(path: Path<State<N, A>, Action>) -> Trace {
    let line = |(state, action): (State<N, A>, Option<Action>)| {
        let nodes = state
            .nodes
            .map(|node| (node.lock, node.fence, node.standing));
        let attempts = state
            .attempts
            .map(|Attempt { phase, token, .. }| (phase, token));
        let action = action.map_or_else(String::new, |action| format!("\n{action:?}"));
        format!("    nodes {nodes:?}\n    attempts {attempts:?}{action}")
    };
    Trace(path.into_vec().into_iter().map(line).collect())
}

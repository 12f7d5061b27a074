use session_lock::{Outcome, Tally, Vote, quorum_of};

use crate::{
    rules::{Expiry, Floor, Rules, Sabotage},
    state::{Lock, Node, Phase, Reply, Standing, State},
};

/// What can happen next. Nodes are named by their place in the state before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A client begins its next attempt and asks all nodes, for a fence above `floor`.
    Begin {
        attempt: usize,
        floor: u8,
    },
    /// A request for the lock is granted. One that is refused is as good as lost. `again`: a copy is still on its way.
    /// `replaces`: of two grants that are on their way back, this one is heard.
    Grant {
        node: usize,
        attempt: usize,
        again: bool,
        replaces: bool,
    },
    HearGrant {
        node: usize,
        attempt: usize,
    },
    /// A request to raise the fence arrives.
    Raise {
        node: usize,
        attempt: usize,
    },
    HearRaise {
        node: usize,
        attempt: usize,
    },
    /// A holder asks all nodes for its full TTL.
    AskToExtend {
        attempt: usize,
    },
    Extend {
        node: usize,
        attempt: usize,
        round: u8,
    },
    HearExtension {
        node: usize,
        attempt: usize,
    },
    /// An attempt is refused or given up, a lease is given back or at the end of its validity, or a client dies.
    End {
        attempt: usize,
    },
    /// A lock is given back or has run out.
    Vanish {
        node: usize,
    },
    LoseData {
        node: usize,
    },
    /// Somebody asks for the admission of a node, which begins its wait.
    AskAdmission {
        node: usize,
    },
    /// Somebody reads the floor from the other nodes, when the wait is over.
    ReadFloor {
        node: usize,
    },
    /// The node counts from now on. `again`: a copy of the request is still on its way.
    Admit {
        node: usize,
        again: bool,
    },
}

impl Action {
    /// Whether this takes something away that others could go on from.
    pub(crate) const fn ends_something(self) -> bool {
        matches!(
            self,
            Self::End { .. } | Self::Vanish { .. } | Self::LoseData { .. }
        )
    }
}

impl Rules {
    /// What can happen in `state`. Whatever could happen and would change nothing is left out.
    pub(crate) fn possible<const N: usize, const A: usize>(
        &self,
        state: &State<N, A>,
        actions: &mut Vec<Action>,
    ) {
        for (index, attempt) in state.attempts.iter().enumerate() {
            match attempt.phase {
                Phase::NotBegun => {
                    // Clients do not differ, so it does not matter whose turn it is.
                    if state.alive() < self.clients {
                        actions.push(Action::Begin {
                            attempt: index,
                            floor: 0,
                        });
                        if state.refused > 0 {
                            let floor = state.refused;
                            actions.push(Action::Begin {
                                attempt: index,
                                floor,
                            });
                        }
                    }
                    break;
                }
                Phase::Asking => actions.push(Action::End { attempt: index }),
                Phase::Held => {
                    actions.push(Action::End { attempt: index });
                    if attempt.rounds < self.extensions {
                        actions.push(Action::AskToExtend { attempt: index });
                    }
                }
                Phase::Over => {}
            }
        }
        for index in 0..N {
            // Nodes that are alike have the same future.
            if index == 0 || state.nodes[index] != state.nodes[index - 1] {
                self.possible_on(state, index, actions);
            }
        }
    }

    fn possible_on<const N: usize, const A: usize>(
        &self,
        state: &State<N, A>,
        index: usize,
        actions: &mut Vec<Action>,
    ) {
        let node = &state.nodes[index];
        for attempt in 0..A {
            self.possible_between(state, index, attempt, actions);
        }
        if node.lock.is_some_and(|lock| self.may_vanish(state, lock)) {
            actions.push(Action::Vanish { node: index });
        }
        if state.losses > 0 && node.standing != Standing::Empty {
            actions.push(Action::LoseData { node: index });
        }
        self.possible_admission(state, index, actions);
    }

    fn possible_between<const N: usize, const A: usize>(
        &self,
        state: &State<N, A>,
        index: usize,
        attempt: usize,
        actions: &mut Vec<Action>,
    ) {
        let node = &state.nodes[index];
        let talk = node.talks[attempt];
        if talk.request && node.is_admitted() && (node.lock.is_none() || node.is_held_by(attempt)) {
            for again in [false, true]
                .into_iter()
                .take(1 + usize::from(state.copies > 0))
            {
                let grant = |replaces| Action::Grant {
                    node: index,
                    attempt,
                    again,
                    replaces,
                };
                actions.push(grant(true));
                if talk.answer.is_some() {
                    actions.push(grant(false));
                }
            }
        }
        if talk.answer.is_some() {
            actions.push(Action::HearGrant {
                node: index,
                attempt,
            });
        }
        let awaits = state.attempts[attempt].phase == Phase::Asking && talk.raised == Reply::None;
        if talk.raise && (awaits || self.raises(state, index, attempt).is_some()) {
            actions.push(Action::Raise {
                node: index,
                attempt,
            });
        }
        if matches!(talk.raised, Reply::OnItsWay(_)) {
            actions.push(Action::HearRaise {
                node: index,
                attempt,
            });
        }
        for round in 1..=talk.extend {
            let held = node.lock.filter(|_| node.is_held_by(attempt));
            let open = round == talk.extend && talk.extended == Reply::None;
            let counts = held.is_some() || self.sabotage == Sabotage::ExtensionOfNothing;
            if held.is_some_and(|lock| lock.round < round) || open && counts {
                actions.push(Action::Extend {
                    node: index,
                    attempt,
                    round,
                });
            }
        }
        if matches!(talk.extended, Reply::OnItsWay(())) {
            actions.push(Action::HearExtension {
                node: index,
                attempt,
            });
        }
    }

    fn possible_admission<const N: usize, const A: usize>(
        &self,
        state: &State<N, A>,
        index: usize,
        actions: &mut Vec<Action>,
    ) {
        let node = &state.nodes[index];
        if node.standing == Standing::Empty {
            actions.push(Action::AskAdmission { node: index });
        }
        let floor_of_others = match self.floor {
            Floor::Clock => None,
            Floor::Others => floor_of_others(state, index),
        };
        if node.has_waited() && floor_of_others.is_some_and(|floor| node.admission != Some(floor)) {
            actions.push(Action::ReadFloor { node: index });
        }
        let asked = self.floor == Floor::Clock || node.admission.is_some();
        let comes_late =
            node.is_admitted() && node.admission.is_some_and(|floor| floor > node.floor);
        if asked && node.has_waited() || comes_late {
            actions.push(Action::Admit {
                node: index,
                again: false,
            });
            if self.floor == Floor::Others && state.copies > 0 {
                actions.push(Action::Admit {
                    node: index,
                    again: true,
                });
            }
        }
    }

    /// A lock is given back when nobody acts under it, and runs out after the validity that it stands for.
    fn may_vanish<const N: usize, const A: usize>(&self, state: &State<N, A>, lock: Lock) -> bool {
        let owner = state.attempts[usize::from(lock.owner)];
        let anybody_over = || {
            state
                .attempts
                .iter()
                .any(|attempt| attempt.phase == Phase::Over)
        };
        self.expiry == Expiry::AnyTime
            || owner.phase == Phase::Over
            || lock.round < owner.confirmed
            || self.sabotage == Sabotage::ReleaseOfOthers && anybody_over()
    }

    /// The fence that a request to raise it leaves behind, if it moves it.
    fn raises<const N: usize, const A: usize>(
        &self,
        state: &State<N, A>,
        node: usize,
        attempt: usize,
    ) -> Option<u8> {
        let (node, token) = (&state.nodes[node], state.attempts[attempt].token?);
        let may = node.is_held_by(attempt) || self.sabotage == Sabotage::RaiseForAnybody;
        (may && node.fence < token).then_some(token)
    }

    /// What `state` becomes.
    pub(crate) fn next<const N: usize, const A: usize>(
        &self,
        state: &State<N, A>,
        action: Action,
    ) -> State<N, A> {
        let mut next = state.clone();
        next.act(self, action);
        next.simplify();
        next
    }
}

impl<const N: usize, const A: usize> State<N, A> {
    fn act(&mut self, rules: &Rules, action: Action) {
        match action {
            Action::Begin { attempt, floor } => {
                let after = self.highest_token();
                let begun = &mut self.attempts[attempt];
                (begun.phase, begun.after, begun.floor) = (Phase::Asking, after, floor);
                self.refused = 0;
                for node in &mut self.nodes {
                    node.talks[attempt].request = true;
                }
            }
            Action::Grant {
                node,
                attempt,
                again,
                replaces,
            } => {
                self.copies -= u8::from(again);
                let floor = self.attempts[attempt].floor;
                let node = &mut self.nodes[node];
                let round = node.lock.map_or(0, |lock| lock.round);
                let owner = u8::try_from(attempt).unwrap_or(u8::MAX);
                node.lock = Some(Lock { owner, round });
                node.fence = node.highest().max(floor) + 1;
                let talk = &mut node.talks[attempt];
                talk.request = again;
                if replaces && talk.vote.is_none() {
                    talk.answer = Some(node.fence);
                }
            }
            Action::HearGrant { node, attempt } => {
                let talk = &mut self.nodes[node].talks[attempt];
                talk.vote = talk.answer.take();
                self.decide(rules, attempt);
            }
            Action::Raise { node, attempt } => {
                let raised = rules.raises(self, node, attempt);
                let token = self.attempts[attempt].token;
                let node = &mut self.nodes[node];
                let held = node.is_held_by(attempt);
                node.fence = raised.unwrap_or(node.fence);
                let stands = Some(node.fence) == token
                    && (held || rules.sabotage == Sabotage::RaiseForAnybody);
                let says_yes = stands || held && rules.sabotage == Sabotage::RaiseSaysYes;
                let talk = &mut node.talks[attempt];
                if talk.raised == Reply::None {
                    talk.raised = Reply::OnItsWay(says_yes);
                }
            }
            Action::HearRaise { node, attempt } => {
                self.nodes[node].talks[attempt].raised.hear();
                self.decide(rules, attempt);
            }
            Action::AskToExtend { attempt } => {
                self.attempts[attempt].rounds += 1;
                for node in &mut self.nodes {
                    let talk = &mut node.talks[attempt];
                    talk.extend += 1;
                    talk.extended = Reply::None;
                }
            }
            Action::Extend {
                node,
                attempt,
                round,
            } => {
                let node = &mut self.nodes[node];
                let held = node.is_held_by(attempt);
                if let Some(lock) = node.lock.as_mut().filter(|_| held) {
                    lock.round = lock.round.max(round);
                }
                let talk = &mut node.talks[attempt];
                if round == talk.extend && talk.extended == Reply::None {
                    talk.extended = Reply::OnItsWay(());
                }
            }
            Action::HearExtension { node, attempt } => {
                self.nodes[node].talks[attempt].extended.hear();
                let extended = |node: &&Node<A>| node.talks[attempt].extended == Reply::Heard(());
                if self.nodes.iter().filter(extended).count() >= quorum_of(N) {
                    let lease = &mut self.attempts[attempt];
                    lease.confirmed = lease.rounds;
                }
            }
            Action::End { attempt } => {
                if self.attempts[attempt].phase == Phase::Asking && rules.retries_above {
                    let votes = self
                        .nodes
                        .iter()
                        .filter_map(|node| node.talks[attempt].vote);
                    self.refused = votes.max().unwrap_or(0);
                }
                self.attempts[attempt].phase = Phase::Over;
            }
            Action::Vanish { node } => self.nodes[node].lock = None,
            Action::LoseData { node } => self.lose_data(rules, node),
            Action::AskAdmission { node } => {
                let mut validities = [0; A];
                for (validity, attempt) in validities.iter_mut().zip(&self.attempts) {
                    if attempt.phase.is_alive() {
                        *validity = 1 + attempt.rounds;
                    }
                }
                self.nodes[node].standing = Standing::Waiting(validities);
            }
            Action::ReadFloor { node } => self.nodes[node].admission = floor_of_others(self, node),
            Action::Admit { node, again } => {
                self.copies -= u8::from(again);
                let node = &mut self.nodes[node];
                node.standing = Standing::Admitted;
                if rules.sabotage != Sabotage::NoFloor {
                    node.floor = node.floor.max(node.admission.unwrap_or(0));
                }
                node.admission = node.admission.filter(|_| again);
            }
        }
    }

    fn lose_data(&mut self, rules: &Rules, node: usize) {
        self.losses -= 1;
        let clock = self.highest_fence();
        let node = &mut self.nodes[node];
        (node.lock, node.fence) = (None, 0);
        node.floor = match (rules.floor, rules.sabotage) {
            (Floor::Others, _) | (_, Sabotage::NoFloor) => 0,
            (Floor::Clock, _) => clock,
        };
        if rules.sabotage != Sabotage::NoMarker {
            node.standing = Standing::Empty;
        }
        if rules.sabotage != Sabotage::StaleFloor {
            node.admission = None;
        }
    }

    /// What a client does when it has heard something: the decision is that of the lock itself.
    fn decide(&mut self, rules: &Rules, attempt: usize) {
        if self.attempts[attempt].phase != Phase::Asking {
            return;
        }
        let outcome = self.tally(attempt).outcome();
        if let Outcome::Granted { token } | Outcome::Raise { token, .. } = outcome {
            self.attempts[attempt].token = Some(u8::try_from(token).unwrap_or(u8::MAX));
        }
        let stands = match rules.sabotage {
            Sabotage::NaiveMaximum => self.attempts[attempt].token.is_some(),
            Sabotage::StandsAbove => self.standing_above(attempt) >= quorum_of(N),
            _ => matches!(outcome, Outcome::Granted { .. }),
        };
        if stands {
            self.hand_out(attempt);
        } else if let Outcome::Raise { nodes, .. } = outcome {
            for node in nodes {
                self.nodes[node].talks[attempt].raise = true;
            }
        }
    }

    /// The answers that an attempt has heard, counted in an order in which they may have come.
    fn tally(&self, attempt: usize) -> Tally {
        let token = self.attempts[attempt].token;
        let votes = self.nodes.iter().enumerate();
        let mut votes: Vec<_> = votes
            .filter_map(|(node, talks)| Some((node, talks.talks[attempt].vote?)))
            .collect();
        // The token stands in the first quorum, so what is above it came later.
        votes.sort_unstable_by_key(|(_, fence)| {
            let late = token.is_some_and(|token| *fence > token);
            (late, std::cmp::Reverse(*fence))
        });
        let mut tally = Tally::new(N);
        for (node, fence) in votes {
            tally.note(node, Vote::Granted(fence.into()));
        }
        for (node, talks) in self.nodes.iter().enumerate() {
            if let Reply::Heard(raised) = talks.talks[attempt].raised {
                tally.note_raise(node, raised);
            }
        }
        tally
    }

    fn standing_above(&self, attempt: usize) -> usize {
        let token = self.attempts[attempt].token;
        let stands = |node: &&Node<A>| {
            let talk = node.talks[attempt];
            token.is_some() && (talk.vote >= token || talk.raised == Reply::Heard(true))
        };
        self.nodes.iter().filter(stands).count()
    }

    fn hand_out(&mut self, attempt: usize) {
        let granted = &mut self.attempts[attempt];
        let token = granted.token.unwrap_or(0);
        granted.phase = Phase::Held;
        self.token_twice |= self.handed_out & 1 << token != 0;
        self.token_shrank |= token <= granted.after;
        self.handed_out |= 1 << token;
    }
}

impl<T: Copy> Reply<T> {
    fn hear(&mut self) {
        if let Self::OnItsWay(reply) = *self {
            *self = Self::Heard(reply);
        }
    }
}

/// The largest number that any of the other nodes remembers, if so many of them count that each quorum has one of them.
fn floor_of_others<const N: usize, const A: usize>(state: &State<N, A>, node: usize) -> Option<u8> {
    let others = state.nodes.iter().enumerate();
    let counting = others.filter(|(other, found)| *other != node && found.is_admitted());
    let fences: Vec<u8> = counting.map(|(_, found)| found.highest()).collect();
    let highest = fences.iter().max().copied();
    highest.filter(|_| fences.len() > N - quorum_of(N))
}

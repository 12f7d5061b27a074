use crate::rules::Rules;

/// Everything at one moment: `N` nodes, and `A` attempts to get the lock, each with an owner value of its own.
///
/// No rule knows a node by its number, so nodes are kept sorted: states that differ only in the order of their nodes are
/// one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State<const N: usize, const A: usize> {
    pub(crate) nodes: [Node<A>; N],
    pub(crate) attempts: [Attempt; A],
    /// The tokens that were handed out, one bit each.
    pub(crate) handed_out: u64,
    /// The largest fence that a refused attempt has seen: the next one may ask for a larger one.
    pub(crate) refused: u8,
    /// What is left of [`Rules::copies`].
    pub(crate) copies: u8,
    /// What is left of [`Rules::losses`].
    pub(crate) losses: u8,
    /// Whether a token was handed out twice.
    pub(crate) token_twice: bool,
    /// Whether a token was not larger than one that was handed out before it was asked for.
    pub(crate) token_shrank: bool,
}

/// One node, and what is on its way to and from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Node<const A: usize> {
    pub(crate) lock: Option<Lock>,
    pub(crate) fence: u8,
    pub(crate) standing: Standing<A>,
    /// The floor of its admission; for a node that is not admitted, that of its clock.
    pub(crate) floor: u8,
    /// A request to be admitted with this floor.
    pub(crate) admission: Option<u8>,
    pub(crate) talks: [Talk; A],
}

/// A lock that stands on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Lock {
    /// The attempt that holds it.
    pub(crate) owner: u8,
    /// For the validity of which round it stands at least: 0 is the grant, then each extension.
    pub(crate) round: u8,
}

/// Whether a node counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Standing<const A: usize> {
    Admitted,
    /// It has lost its data, and nobody has seen it yet.
    Empty,
    /// Admission was asked for. By attempt, which validities have to end before the longest TTL has passed: those that were
    /// asked for by then. 0: none, 1: that of the grant, then those of each extension as well.
    Waiting([u8; A]),
}

/// What is on its way between an attempt and a node, and what the attempt has heard of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Talk {
    /// The request for the lock is on its way.
    pub(crate) request: bool,
    /// The fence of a grant that is on its way back.
    pub(crate) answer: Option<u8>,
    /// The fence of the grant that was heard.
    pub(crate) vote: Option<u8>,
    /// The request to raise the fence was sent. It may arrive more than once: unlike the one for the lock, it does nothing
    /// the second time that it did not do the first.
    pub(crate) raise: bool,
    pub(crate) raised: Reply<bool>,
    /// How many extensions were sent; the node may hear of the last of them any time, more than once.
    pub(crate) extend: u8,
    /// Whether the last extension was made.
    pub(crate) extended: Reply<()>,
}

/// An answer of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Reply<T> {
    #[default]
    None,
    OnItsWay(T),
    Heard(T),
}

/// One attempt to get the lock, and the lease that comes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    pub(crate) phase: Phase,
    /// The largest fence of the first quorum.
    pub(crate) token: Option<u8>,
    /// The largest token that was handed out before this attempt began.
    pub(crate) after: u8,
    /// The fence has to be larger than this.
    pub(crate) floor: u8,
    /// How many extensions were sent.
    pub(crate) rounds: u8,
    /// The last round that a quorum confirmed: its validity is that of the lease.
    pub(crate) confirmed: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    #[default]
    NotBegun,
    Asking,
    Held,
    /// Given up, given back, dead or no longer valid: nobody acts under it.
    Over,
}

impl<const N: usize, const A: usize> State<N, A> {
    /// Nothing has happened yet, but that the nodes have these fences.
    pub(crate) fn with_fences(fences: [u8; N], rules: &Rules) -> Self {
        let node = |fence| Node {
            lock: None,
            fence,
            standing: Standing::Admitted,
            floor: 0,
            admission: None,
            talks: [Talk::default(); A],
        };
        Self {
            nodes: fences.map(node),
            attempts: [Attempt::default(); A],
            handed_out: 0,
            refused: 0,
            copies: rules.copies,
            losses: rules.losses,
            token_twice: false,
            token_shrank: false,
        }
    }

    /// The largest token that was handed out; 0 if none was.
    pub(crate) fn highest_token(&self) -> u8 {
        (0..64)
            .rev()
            .find(|token| self.handed_out & 1 << token != 0)
            .unwrap_or(0)
    }

    /// How many clients hold a lease that their own clocks call valid.
    pub(crate) fn holders(&self) -> usize {
        let held = self
            .attempts
            .iter()
            .filter(|attempt| attempt.phase == Phase::Held);
        held.count()
    }

    /// How many attempts are on.
    pub(crate) fn alive(&self) -> usize {
        let alive = self
            .attempts
            .iter()
            .filter(|attempt| attempt.phase.is_alive());
        alive.count()
    }

    /// The largest fence on any node.
    pub(crate) fn highest_fence(&self) -> u8 {
        self.nodes.iter().map(Node::highest).max().unwrap_or(0)
    }

    /// Forgets what can have no effect any more, so that states which differ only in that are one.
    pub(crate) fn simplify(&mut self) {
        for (index, attempt) in self.attempts.iter_mut().enumerate() {
            match attempt.phase {
                Phase::NotBegun | Phase::Asking => {}
                Phase::Held => {
                    attempt.after = 0;
                    for node in &mut self.nodes {
                        let talk = &mut node.talks[index];
                        (talk.answer, talk.vote, talk.raised) = (None, None, Reply::None);
                    }
                }
                Phase::Over => {
                    let mut raises = false;
                    for node in &mut self.nodes {
                        node.forget(index, attempt.token, self.losses == 0);
                        raises |= node.talks[index].raise;
                    }
                    *attempt = Attempt {
                        phase: Phase::Over,
                        token: attempt.token.filter(|_| raises),
                        floor: attempt.floor,
                        ..Attempt::default()
                    };
                }
            }
        }
        for node in &mut self.nodes {
            if let Standing::Waiting(validities) = &mut node.standing {
                for (validity, attempt) in validities.iter_mut().zip(&self.attempts) {
                    // The validity of a round can have ended once that of a later one counts.
                    if attempt.phase == Phase::Over || attempt.confirmed >= *validity {
                        *validity = 0;
                    }
                }
            }
        }
        self.nodes.sort_unstable();
    }
}

impl<const A: usize> Node<A> {
    pub(crate) fn is_admitted(&self) -> bool {
        self.standing == Standing::Admitted
    }

    /// Whether the longest TTL has passed since admission was first asked for.
    pub(crate) fn has_waited(&self) -> bool {
        self.standing == Standing::Waiting([0; A])
    }

    pub(crate) fn is_held_by(&self, attempt: usize) -> bool {
        self.lock
            .is_some_and(|lock| usize::from(lock.owner) == attempt)
    }

    /// No fence that it has given out is larger.
    pub(crate) fn highest(&self) -> u8 {
        self.fence.max(self.floor)
    }

    /// Forgets what an attempt that is over has still asked for, where it can have no effect.
    fn forget(&mut self, attempt: usize, token: Option<u8>, keeps_data: bool) {
        let held = self.is_held_by(attempt);
        if let Some(lock) = self.lock.as_mut().filter(|_| held) {
            lock.round = 0;
        }
        let talk = &mut self.talks[attempt];
        let may_be_held = held || talk.request;
        let is_behind = token.is_some_and(|token| token > self.fence) || !keeps_data;
        *talk = Talk {
            request: talk.request,
            raise: talk.raise && may_be_held && is_behind,
            ..Talk::default()
        };
    }
}

impl Phase {
    pub(crate) const fn is_alive(self) -> bool {
        matches!(self, Self::Asking | Self::Held)
    }
}

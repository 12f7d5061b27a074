//! Pure counting: answers of nodes in, outcome out.

/// How many of `nodes` make a quorum: more than half, so that any two quorums share a node.
pub const fn quorum_of(nodes: usize) -> usize {
    nodes / 2 + 1
}

/// The answers to one request for a lock, as they come in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tally {
    /// By node; `None` while it has not answered.
    answers: Vec<Option<Vote>>,
    /// The largest fence of the first quorum, once there is one.
    token: Option<u64>,
}

/// What one node contributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "all there is to count")]
pub enum Vote {
    /// It granted the lock under this fence.
    Granted(u64),
    /// It did not, for whatever reason.
    Not,
}

/// What the answers so far amount to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "all there is to act on")]
pub enum Outcome {
    /// Too few answers to tell.
    Open,
    /// A quorum granted the lock, and a quorum stands at `token` already.
    Granted {
        /// The fencing token.
        token: u64,
    },
    /// A quorum granted the lock, but too few of them stand at the token.
    Raise {
        /// The fencing token, once a quorum has been raised to it.
        token: u64,
        /// The nodes that granted the lock under a smaller fence and have not refused to be raised.
        nodes: Vec<usize>,
        /// How many of them have to be raised.
        needed: usize,
    },
    /// A quorum is out of reach.
    Refused,
}

impl Tally {
    /// No answers yet, of this many nodes.
    pub fn new(nodes: usize) -> Self {
        Self {
            answers: vec![None; nodes],
            token: None,
        }
    }

    /// Counts the answer of a node. The first one stands: a copy of a late reply changes nothing.
    pub fn note(&mut self, node: usize, vote: Vote) {
        if let Some(answer) = self.answers.get_mut(node) {
            answer.get_or_insert(vote);
        }
        if self.token.is_none() && self.granted() >= quorum_of(self.answers.len()) {
            self.token = self.grants().map(|(_, fence)| fence).max();
        }
    }

    /// Counts what a node said when its fence was to be raised to the token: whether it stands at it now.
    pub fn note_raise(&mut self, node: usize, raised: bool) {
        let Some(token) = self.token else { return };
        if let Some(Some(vote)) = self.answers.get_mut(node) {
            *vote = match *vote {
                Vote::Granted(fence) if raised => Vote::Granted(fence.max(token)),
                _ => Vote::Not,
            };
        }
    }

    /// Whether the answer of a node is known.
    pub fn has_answered(&self, node: usize) -> bool {
        self.answers.get(node).is_some_and(Option::is_some)
    }

    /// How many nodes have granted the lock, and not refused to be raised since.
    pub fn granted(&self) -> usize {
        self.grants().count()
    }

    /// What is known now.
    ///
    /// The token is the largest fence of the first quorum. It is good only once a quorum of nodes stands at it: the next
    /// grant shares a node with them and is larger. The plain maximum is not enough, for the node that gave it need not
    /// be in the next quorum. Grants that come later help to make up the quorum, but do not move the token.
    ///
    /// Only a fence that *equals* the token stands at it. Each node gives a number to one owner, so no two owners can have
    /// a quorum at the same one. A late grant above the token may come after that of another owner who was raised to it.
    pub fn outcome(&self) -> Outcome {
        let needed = quorum_of(self.answers.len());
        let open = self.answers.iter().filter(|answer| answer.is_none());
        let open = open.count();
        let Some(token) = self.token else {
            return open_or_refused(self.granted() + open >= needed);
        };
        let standing = self.grants().filter(|(_, fence)| *fence == token);
        let standing = standing.count();
        let behind = self.grants().filter(|(_, fence)| *fence < token);
        let behind: Vec<usize> = behind.map(|(node, _)| node).collect();
        if standing >= needed {
            Outcome::Granted { token }
        } else if standing + behind.len() >= needed {
            Outcome::Raise {
                token,
                nodes: behind,
                needed: needed - standing,
            }
        } else {
            open_or_refused(standing + behind.len() + open >= needed)
        }
    }

    fn grants(&self) -> impl Iterator<Item = (usize, u64)> {
        let answers = self.answers.iter().enumerate();
        answers.filter_map(|(node, answer)| match answer {
            Some(Vote::Granted(fence)) => Some((node, *fence)),
            _ => None,
        })
    }
}

const fn open_or_refused(in_reach: bool) -> Outcome {
    if in_reach {
        Outcome::Open
    } else {
        Outcome::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(nodes: usize, votes: &[(usize, Vote)]) -> Outcome {
        let mut tally = Tally::new(nodes);
        votes
            .iter()
            .for_each(|(node, vote)| tally.note(*node, *vote));
        tally.outcome()
    }

    #[test]
    fn a_quorum_is_more_than_half() {
        assert_eq!([1, 2, 3, 4, 5].map(quorum_of), [1, 2, 2, 3, 3]);
    }

    #[test]
    fn equal_fences_of_a_quorum_need_no_raise() {
        let votes = [(0, Vote::Granted(7)), (2, Vote::Granted(7))];
        assert_eq!(tally(3, &votes), Outcome::Granted { token: 7 });
    }

    #[test]
    fn different_fences_are_raised_to_the_largest() {
        let votes = [(0, Vote::Granted(7)), (2, Vote::Granted(9))];
        let raise = Outcome::Raise {
            token: 9,
            nodes: vec![0],
            needed: 1,
        };
        assert_eq!(tally(3, &votes), raise);
    }

    #[test]
    fn a_late_grant_at_the_token_makes_a_raise_needless() {
        let votes = [(0, Vote::Granted(7)), (2, Vote::Granted(9))];
        let at_the_token = [&votes[..], &[(1, Vote::Granted(9))]].concat();
        assert_eq!(tally(3, &at_the_token), Outcome::Granted { token: 9 });
        let votes = [&votes[..], &[(1, Vote::Granted(8))]].concat();
        let raise = Outcome::Raise {
            token: 9,
            nodes: vec![0, 1],
            needed: 1,
        };
        assert_eq!(tally(3, &votes), raise);
    }

    /// The model check found two owners of one token when this was counted as standing at it: node 0 drops the lock, and
    /// another owner is granted 8 there and 9 on node 1, is raised to 9 on node 0, and gives back. Then node 1 grants 10.
    #[test]
    fn a_late_grant_above_the_token_does_not_stand_at_it() {
        let mut tally = Tally::new(3);
        tally.note(0, Vote::Granted(7));
        tally.note(2, Vote::Granted(9));
        tally.note(1, Vote::Granted(10));
        let raise = Outcome::Raise {
            token: 9,
            nodes: vec![0],
            needed: 1,
        };
        assert_eq!(tally.outcome(), raise);
        tally.note_raise(0, false);
        assert_eq!(tally.outcome(), Outcome::Refused);
    }

    #[test]
    fn a_raised_node_counts_and_one_that_lost_the_lock_does_not() {
        let mut tally = Tally::new(3);
        tally.note(0, Vote::Granted(7));
        tally.note(2, Vote::Granted(9));
        let before = tally.clone();
        tally.note_raise(0, true);
        assert_eq!(tally.outcome(), Outcome::Granted { token: 9 });
        let mut tally = before;
        tally.note_raise(0, false);
        assert_eq!((tally.outcome(), tally.granted()), (Outcome::Open, 1));
        let mut late = tally.clone();
        late.note(1, Vote::Granted(8));
        let raise = Outcome::Raise {
            token: 9,
            nodes: vec![1],
            needed: 1,
        };
        assert_eq!(late.outcome(), raise);
        tally.note(1, Vote::Not);
        assert_eq!(tally.outcome(), Outcome::Refused);
    }

    #[test]
    fn it_stays_open_while_a_quorum_is_in_reach() {
        assert_eq!(
            tally(3, &[(0, Vote::Not), (1, Vote::Granted(1))]),
            Outcome::Open
        );
        assert_eq!(
            tally(3, &[(0, Vote::Not), (1, Vote::Not)]),
            Outcome::Refused
        );
    }

    #[test]
    fn a_second_reply_of_a_node_does_not_count() {
        let votes = [(0, Vote::Granted(3)), (0, Vote::Granted(4))];
        assert_eq!(tally(3, &votes), Outcome::Open);
        let votes = [(0, Vote::Not), (0, Vote::Granted(4)), (1, Vote::Granted(4))];
        assert_eq!(tally(3, &votes), Outcome::Open);
    }
}

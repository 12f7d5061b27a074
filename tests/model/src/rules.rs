/// How far a check goes, and what holds in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many attempts may be on at the same time: each client makes one after the other.
    pub clients: usize,
    /// The nodes start with every combination of fences up to this: what earlier attempts may have left behind.
    pub first_fences: u8,
    /// Whether a client whose attempt was refused may ask for a larger fence than it has seen.
    pub retries_above: bool,
    /// How many requests reach a node once more after they were answered.
    pub copies: u8,
    /// How many times a lease can be extended.
    pub extensions: u8,
    /// How many times a node may lose its data.
    pub losses: u8,
    /// When a lock vanishes from a node though nobody gave it back.
    pub expiry: Expiry,
    /// Whether it is promised that there is one holder only.
    pub one_holder: bool,
    /// Where the fences of a node start that has lost its data.
    pub floor: Floor,
    /// What is wrong with the protocol.
    pub sabotage: Sabotage,
}

/// When a lock vanishes from a node though nobody gave it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiry {
    /// At any step after the validity that it was granted or extended for has ended.
    AfterValidity,
    /// At any step, as if no clock could be trusted. Then nobody can promise that there is one holder only; tokens have to be
    /// good all the same.
    AnyTime,
}

/// Where the fences of a node start that has lost its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Floor {
    /// At the clock, which has passed all numbers that were given out before.
    Clock,
    /// At what so many others remember that each quorum has one of them.
    Others,
}

/// What is wrong with the protocol, so that the check has something to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sabotage {
    /// Nothing is.
    Nothing,
    /// The largest fence of a quorum is the token, wherever the others stand.
    NaiveMaximum,
    /// A fence above the token counts as standing at it.
    StandsAbove,
    /// The fence is raised whoever holds the lock.
    RaiseForAnybody,
    /// A node whose fence is above the token says that it was raised to it.
    RaiseSaysYes,
    /// A lock is freed whoever holds it.
    ReleaseOfOthers,
    /// An extension counts where the lock is gone.
    ExtensionOfNothing,
    /// A node that has lost its data counts at once.
    NoMarker,
    /// A node that has lost its data waits until it counts, and gives out numbers from one.
    NoFloor,
    /// A floor that was read before the data were lost once more is taken for a new one.
    StaleFloor,
}

impl Rules {
    /// Two clients, nothing lost, nothing wrong.
    pub const PLAIN: Self = Self {
        clients: 2,
        first_fences: 0,
        retries_above: false,
        copies: 0,
        extensions: 0,
        losses: 0,
        expiry: Expiry::AfterValidity,
        one_holder: true,
        floor: Floor::Clock,
        sabotage: Sabotage::Nothing,
    };
}

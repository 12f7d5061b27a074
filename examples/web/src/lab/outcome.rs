use std::time::Duration;

/// What came of one run.
pub(crate) struct Outcome {
    /// The requests that were answered with success, in the order in which they got the cart.
    pub(crate) shots: Vec<Shot>,
    /// Those that were answered with an error: nobody was told that they are stored.
    pub(crate) refused: usize,
    /// How many lay in the cart at the end.
    pub(crate) stored: usize,
}

/// One request, counted from the beginning of the run.
#[derive(Clone, Copy)]
pub(crate) struct Shot {
    pub(crate) sent: Duration,
    /// From there to having the lock; nothing without one.
    pub(crate) waited: Duration,
    /// Between reading and writing.
    pub(crate) held: Duration,
    pub(crate) answered: Duration,
}

impl Shot {
    pub(crate) fn got_cart(&self) -> Duration {
        (self.sent + self.waited).min(self.answered)
    }

    pub(crate) fn wrote(&self) -> Duration {
        (self.got_cart() + self.held).min(self.answered)
    }
}

impl Outcome {
    pub(crate) const fn expected(&self) -> usize {
        self.shots.len()
    }

    pub(crate) const fn lost(&self) -> usize {
        self.shots.len().saturating_sub(self.stored)
    }

    pub(crate) fn took(&self) -> Duration {
        let ends = self.shots.iter().map(|shot| shot.answered);
        ends.max().unwrap_or_default()
    }

    /// So long or shorter waited half of them.
    pub(crate) fn median_wait(&self) -> Duration {
        let mut waits: Vec<_> = self.shots.iter().map(|shot| shot.waited).collect();
        waits.sort_unstable();
        waits.get(waits.len() / 2).copied().unwrap_or_default()
    }

    pub(crate) fn longest_wait(&self) -> Duration {
        let waits = self.shots.iter().map(|shot| shot.waited);
        waits.max().unwrap_or_default()
    }
}

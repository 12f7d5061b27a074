use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::cart::Mode;

/// What is asked of the lab, as its form sends it.
#[derive(Clone, Copy, Deserialize)]
pub(crate) struct Plan {
    pub(crate) requests: usize,
    /// How long each handler has something else to do between reading and writing.
    pub(crate) hold_ms: u64,
    pub(crate) mode: Choice,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Choice {
    Both,
    Locked,
    Unlocked,
}

impl Plan {
    pub(crate) const REQUESTS: RangeInclusive<usize> = 2..=200;
    pub(crate) const HOLD_MS: RangeInclusive<u64> = 1..=20;

    pub(crate) fn is_in_range(&self) -> bool {
        Self::REQUESTS.contains(&self.requests) && Self::HOLD_MS.contains(&self.hold_ms)
    }

    pub(crate) const fn modes(&self) -> &'static [Mode] {
        match self.mode {
            Choice::Both => &[Mode::Locked, Mode::Unlocked],
            Choice::Locked => &[Mode::Locked],
            Choice::Unlocked => &[Mode::Unlocked],
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            requests: 50,
            hold_ms: 5,
            mode: Choice::Both,
        }
    }
}

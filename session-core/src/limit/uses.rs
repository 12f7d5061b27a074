use std::time::Duration;

use session_lock::Moment;

use super::{Allowance, Limit};

/// What is counted under one name. The scripts of stores calculate the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uses {
    used: u32,
    end: Moment,
    /// How many windows before this one were used up, one after the other.
    round: u32,
}

impl Uses {
    /// What counts now, beginning a new window if there is none.
    pub(super) fn at(before: Option<Self>, now: Moment, limit: &Limit) -> Self {
        let round = match before {
            Some(uses) if now < uses.end => return uses,
            Some(uses) if uses.used >= limit.uses() => uses.round.saturating_add(1),
            _ => 0,
        };
        Self {
            used: 0,
            end: now + length(limit, round),
            round,
        }
    }

    pub(super) fn answer(&self, now: Moment, limit: &Limit) -> Allowance {
        match limit.uses().checked_sub(self.used) {
            None | Some(0) => Allowance::Refused {
                retry_after: self.end.saturating_since(now),
            },
            Some(left) => Allowance::Granted { left },
        }
    }

    /// One more, which has to be granted.
    pub(super) const fn taken(mut self) -> Self {
        self.used += 1;
        self
    }

    /// One less.
    pub(super) const fn given_back(mut self) -> Self {
        self.used = self.used.saturating_sub(1);
        self
    }

    /// Whether its window has not ended.
    pub(super) fn is_open(&self, now: Moment) -> bool {
        now < self.end
    }

    /// When nothing of it matters any more.
    pub(super) fn forgotten(&self, limit: &Limit) -> Moment {
        self.end + limit.memory()
    }
}

fn length(limit: &Limit, round: u32) -> Duration {
    let times = 1_u32.checked_shl(round).unwrap_or(u32::MAX);
    limit.window().saturating_mul(times).min(limit.longest())
}

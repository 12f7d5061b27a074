use std::time::Duration;

use crate::Moment;

/// How long a server keeps a lock if nobody renews it.
///
/// Whole milliseconds, rounded down. Range 10 ms to 1 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u64);

impl Ttl {
    /// The shortest TTL.
    pub const MIN: Duration = Duration::from_millis(10);
    /// The longest TTL.
    pub const MAX: Duration = Duration::from_secs(3600);

    /// A TTL of `span`.
    ///
    /// # Errors
    /// [`TtlOutOfRange`] outside of [`Ttl::MIN`] to [`Ttl::MAX`].
    pub fn new(span: Duration) -> Result<Self, TtlOutOfRange> {
        match u64::try_from(span.as_millis()) {
            Ok(ms) if (Self::MIN..=Self::MAX).contains(&span) => Ok(Self(ms)),
            _ => Err(TtlOutOfRange { found: span }),
        }
    }

    /// The TTL as a duration.
    pub const fn get(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// The TTL in milliseconds, as it goes over the wire.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

/// A TTL outside of 10 ms to 1 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlOutOfRange {
    /// What was asked for.
    pub found: Duration,
}

impl std::fmt::Display for TtlOutOfRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TTL is {:?}, allowed are 10 ms to 1 h", self.found)
    }
}

impl std::error::Error for TtlOutOfRange {}

/// Allowance for clocks that run at different rates: a share of the TTL and the grain of expiry.
///
/// Default 1 % of the TTL and 2 ms.
/// Source: "Distributed Locks with Redis" (redis.io/topics/distlock), "clock drift".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift {
    percent: u32,
}

impl Default for Drift {
    fn default() -> Self {
        Self { percent: 1 }
    }
}

impl Drift {
    /// That many percent of the TTL, and 2 ms.
    ///
    /// # Errors
    /// [`InvalidDrift`] when it is not 0 to 50.
    pub const fn percent(percent: u32) -> Result<Self, InvalidDrift> {
        if percent > 50 {
            return Err(InvalidDrift { percent });
        }
        Ok(Self { percent })
    }

    /// The allowance for one TTL.
    pub fn of(self, ttl: Ttl) -> Duration {
        ttl.get() * self.percent / 100 + EXPIRY_GRAIN
    }
}

/// The allowance for clocks is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the allowance for clocks is {percent} % of the TTL, allowed is 0 to 50 %")]
#[non_exhaustive]
pub struct InvalidDrift {
    /// What was given.
    pub percent: u32,
}

// Servers expire keys on a millisecond grid: one step for their rounding, one for ours.
const EXPIRY_GRAIN: Duration = Duration::from_millis(2);

/// What a lease was granted for: all arithmetic about its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// How long the server keeps the lock after each grant or renewal.
    pub ttl: Ttl,
    /// Allowance for clocks that run at different rates.
    pub drift: Drift,
    /// The longest time that renewals keep the lease, from its first grant.
    pub longest_hold: Duration,
}

impl LeaseTerms {
    /// The moment until which the holder may act, for a request sent at `sent_at` and granted.
    ///
    /// Counted from before the first byte was sent: the server may have started its TTL any time after that.
    /// Source: "Distributed Locks with Redis": TTL − elapsed − drift.
    pub fn valid_until(&self, sent_at: Moment) -> Moment {
        sent_at + self.ttl.get().saturating_sub(self.drift.of(self.ttl))
    }

    /// How long after each grant the next renewal is sent: a third of the TTL, so that two may fail.
    ///
    /// `keep_alive` is a shorter time that the renewal has to beat as well, if there is one: what the resource
    /// itself has left to live.
    pub fn renew_every(&self, keep_alive: Option<Duration>) -> Duration {
        let third = self.ttl.get() / 3;
        keep_alive
            .map_or(third, |left| third.min(left / 3))
            .max(SHORTEST_RENEWAL)
    }
}

// A resource that is about to end must not turn renewal into a busy loop.
const SHORTEST_RENEWAL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(ttl_ms: u64) -> LeaseTerms {
        LeaseTerms {
            ttl: Ttl::new(Duration::from_millis(ttl_ms)).unwrap(),
            drift: Drift::default(),
            longest_hold: Duration::from_secs(60),
        }
    }

    #[test]
    fn an_allowance_above_half_of_the_ttl_is_refused() {
        assert_eq!(Drift::percent(51), Err(InvalidDrift { percent: 51 }));
        assert_eq!(Drift::percent(1), Ok(Drift::default()));
        let ttl = Ttl::new(Duration::from_secs(1)).unwrap();
        assert_eq!(Drift::percent(50).unwrap().of(ttl).as_millis(), 502);
    }

    #[test]
    fn a_ttl_of_zero_is_refused() {
        assert!(Ttl::new(Duration::ZERO).is_err());
        assert!(Ttl::new(Duration::from_secs(3601)).is_err());
        assert!(Ttl::new(Duration::MAX).is_err());
    }

    #[test]
    fn validity_is_the_ttl_less_one_percent_and_two_milliseconds() {
        let start = Moment::from_origin(Duration::from_secs(5));
        assert_eq!(
            terms(10_000).valid_until(start),
            start + Duration::from_millis(9_898)
        );
    }

    proptest! {
        #[test]
        fn validity_never_reaches_the_ttl(ttl_ms in 10_u64..=3_600_000, sent in 0_u64..1_000_000) {
            let sent_at = Moment::from_origin(Duration::from_millis(sent));
            let left = terms(ttl_ms).valid_until(sent_at).saturating_since(sent_at);
            prop_assert!(left < Duration::from_millis(ttl_ms));
            prop_assert!(left >= Duration::from_millis(ttl_ms * 98 / 100).saturating_sub(Duration::from_millis(3)));
        }

        #[test]
        fn two_renewals_fit_before_the_end(ttl_ms in 100_u64..=3_600_000, alive_ms in 30_u64..100_000) {
            let terms = terms(ttl_ms);
            let every = terms.renew_every(Some(Duration::from_millis(alive_ms)));
            prop_assert!(every * 2 < Duration::from_millis(ttl_ms));
            prop_assert!(every * 2 < Duration::from_millis(alive_ms));
        }
    }
}

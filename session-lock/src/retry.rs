//! Pauses between attempts: pure, with chance as an argument.

use std::time::Duration;

/// A part of `span`, from half of it to one and a half, by the dice `random`.
///
/// Source: "Distributed Locks with Redis" (redis.io/topics/distlock), "Retry on failure": a random delay desynchronises
/// those who want the same lock.
pub(crate) fn jittered(span: Duration, random: u64) -> Duration {
    span / 2 + share(span, random)
}

/// A pause after `collisions` attempts in a row in which the votes of the nodes were split: from nothing to a span that
/// doubles each time.
pub(crate) fn after_collisions(collisions: u32, random: u64) -> Duration {
    let span = FIRST_SPREAD * 2_u32.pow(collisions.saturating_sub(1).min(DOUBLINGS));
    share(span, random)
}

// A round trip in one data centre takes less: two who collided once rarely meet again.
const FIRST_SPREAD: Duration = Duration::from_millis(2);
const DOUBLINGS: u32 = 6;

/// The share `random / 2^64` of `span`.
fn share(span: Duration, random: u64) -> Duration {
    let nanos = span.as_nanos().saturating_mul(u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_jittered_pause_lies_around_its_span(ms in 1_u64..10_000, random in any::<u64>()) {
            let (span, pause) = (Duration::from_millis(ms), jittered(Duration::from_millis(ms), random));
            prop_assert!(span / 2 <= pause && pause <= span * 3 / 2);
        }

        #[test]
        fn a_pause_after_collisions_is_bounded(collisions in 0_u32.., random in any::<u64>()) {
            prop_assert!(after_collisions(collisions, random) <= Duration::from_millis(128));
        }
    }

    #[test]
    fn the_dice_reach_both_ends() {
        let span = Duration::from_millis(100);
        assert_eq!(jittered(span, 0), span / 2);
        assert!(jittered(span, u64::MAX) > span * 149 / 100);
        assert!(after_collisions(1, u64::MAX) > Duration::from_millis(1));
        assert!(after_collisions(3, u64::MAX) > Duration::from_millis(7));
    }
}

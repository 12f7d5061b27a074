//! What every [`UseCounter`] has to show.
//!
//! Implement [`CounterFixture`] and call [`use_counter_suite!`](crate::use_counter_suite).

#![expect(clippy::missing_panics_doc, reason = "a clause fails by panicking")]

mod clauses;

pub use clauses::*;

use std::{future::Future, time::Duration};

use session_core::UseCounter;

/// What the suite needs to know of a counter.
pub trait CounterFixture: Sized + Send + Sync + 'static {
    /// The counter.
    type Counter: UseCounter + Clone;

    /// Makes what one test needs: a counter, or a part of a shared one, that nothing else uses.
    fn fresh() -> impl Future<Output = Self> + Send;

    /// The counter. Every call gives the same one, as on another replica.
    fn counter(&self) -> Self::Counter;

    /// How long windows are: so long that no test needs as much for some calls, and at least a second.
    fn window(&self) -> Duration;

    /// Lets that much time go by, as the counter sees it.
    fn pass(&self, span: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(span)
    }

    /// Whatever the test has left to stay for ever, by name; asked for after each test.
    fn keys_without_ttl(&self) -> impl Future<Output = Vec<String>> + Send {
        async { Vec::new() }
    }
}

/// One named test for each clause of a counter: `use_counter_suite!(MyFixture);`
///
/// Expands to tests of `tokio`, which has to be a dependency with its feature `macros`.
#[macro_export]
macro_rules! use_counter_suite {
    ($fixture:ty) => {
        $crate::suite! { $fixture, $crate::counter, $crate::counter::CounterFixture,
            #[tokio::test]
            as_many_uses_are_granted_as_there_are
            a_refusal_counts_nothing_and_says_when_the_window_ends
            no_more_are_granted_to_takes_at_the_same_moment
            names_are_counted_apart
            a_new_window_grants_again
            a_window_that_follows_one_that_was_used_up_is_longer
            windows_become_no_longer_than_the_longest
            a_window_that_was_not_used_up_is_followed_by_a_short_one
            windows_of_a_limit_that_does_not_grow_are_of_one_length
            what_is_given_back_is_granted_again_once
            what_was_never_taken_cannot_be_given_back
            what_is_forgotten_is_granted_again
            looking_counts_nothing
        }
    };
}

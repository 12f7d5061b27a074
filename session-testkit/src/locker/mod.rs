//! What every [`Locker`] has to show.
//!
//! Implement [`LockerFixture`] and call [`locker_suite!`](crate::locker_suite).

#![expect(clippy::missing_panics_doc, reason = "a clause fails by panicking")]

mod clauses;

pub use clauses::*;

use std::{future::Future, time::Duration};

use session_core::Locker;

/// What the suite needs to know of a locker.
pub trait LockerFixture: Sized + Send + Sync + 'static {
    /// The locker; clones share everything.
    type Locker: Locker + Clone;

    /// Makes what one test needs: a fresh locker, or a part of a shared server that nothing else uses.
    fn fresh() -> impl Future<Output = Self> + Send;

    /// The locker.
    fn locker(&self) -> Self::Locker;

    /// Lets that much time go by, as leases see it.
    fn pass(&self, span: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(span)
    }

    /// Whatever the test has left to stay for ever, by name; asked for after each test.
    fn keys_without_ttl(&self) -> impl Future<Output = Vec<String>> + Send {
        async { Vec::new() }
    }
}

/// One named test for each clause of a locker: `locker_suite!(MyFixture);`
///
/// Expands to tests of `tokio`, which has to be a dependency with its features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! locker_suite {
    ($fixture:ty) => {
        $crate::suite! { $fixture, $crate::locker, $crate::locker::LockerFixture,
            #[tokio::test]
            a_key_is_locked_by_one_at_a_time
            a_released_lock_is_free_at_once
            a_dropped_lease_frees_the_lock
            a_lease_is_renewed_while_it_is_held
            a_lock_that_is_never_given_back_is_free_after_the_longest_hold
            release_by_a_late_holder_leaves_the_next_one_alone
            every_lease_has_a_larger_token
            tokens_grow_beyond_the_floor
            a_lease_that_was_waited_for_has_a_larger_token
            waiters_come_in_the_order_in_which_they_asked
            wait_timeout_is_kept
            one_waiter_too_many_is_busy
            cancelled_lock_leaves_nothing
            cancelled_wait_leaves_nothing
            cancelled_release_frees_the_lock
            drained_waits_for_held_leases

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            many_tasks_never_hold_a_key_together
        }
    };
}

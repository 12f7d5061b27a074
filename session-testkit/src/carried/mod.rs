//! What every [`CarriedStore`] has to show.
//!
//! Implement [`CarriedFixture`] and call [`carried_store_suite!`](crate::carried_store_suite).

#![expect(clippy::missing_panics_doc, reason = "a clause fails by panicking")]

mod clauses;

pub use clauses::*;

use std::{future::Future, time::Duration};

use session_core::{CarriedStore, Timeouts};

/// What the suite needs to know of a store whose records the client carries.
pub trait CarriedFixture: Sized + Send + Sync + 'static {
    /// The store.
    type Store: CarriedStore;

    /// Whether a record says when it was made. One that says only when it ends cannot be known to be from the future.
    const MADE_IS_KNOWN: bool = true;

    /// Makes what one test needs.
    fn fresh() -> impl Future<Output = Self> + Send;

    /// The store. Every call gives the same one, as on another replica.
    fn store(&self) -> Self::Store;

    /// The same on a replica whose clock is ahead by that much.
    fn ahead(&self, span: Duration) -> Self::Store;

    /// The same with another key in place of its own.
    fn under_another_key(&self) -> Self::Store;

    /// The same with another key before its own.
    fn under_a_newer_key(&self) -> Self::Store;

    /// The timeouts of its sessions, if it keeps them; some minutes, and the absolute one a few times the idle one.
    fn timeouts(&self) -> Timeouts;

    /// Lets that much time go by, as the store sees it.
    fn pass(&self, span: Duration) -> impl Future<Output = ()> + Send;

    /// Whatever the test has left to stay for ever, by name; asked for after each test.
    fn keys_without_ttl(&self) -> impl Future<Output = Vec<String>> + Send {
        async { Vec::new() }
    }
}

/// One named test for each clause of a store whose records the client carries: `carried_store_suite!(MyFixture);`
///
/// Expands to tests of `tokio`, which has to be a dependency with its feature `macros`.
#[macro_export]
macro_rules! carried_store_suite {
    ($fixture:ty) => {
        $crate::suite! { $fixture, $crate::carried, $crate::carried::CarriedFixture,
            #[tokio::test]
            what_was_committed_is_loaded
            a_session_without_values_is_carried
            a_session_from_another_codec_is_carried
            nothing_is_due_after_a_load
            no_changed_record_is_loaded
            no_record_is_loaded_under_another_key
            a_record_under_an_older_key_is_loaded_and_due
            a_request_without_a_record_begins_a_session
            an_unusable_record_begins_a_session_that_knows_why
            records_fit_and_may_stand_in_a_cookie
            what_is_too_large_is_refused_and_nothing_is_lost
            what_is_too_long_is_not_read
            an_unused_record_ends
            a_commit_moves_the_idle_end_and_not_the_absolute_one
            a_late_commit_is_refused
            a_record_is_due_after_a_tenth_of_the_idle_timeout
            a_record_from_the_future_is_unusable
            the_last_answer_wins
            destroy_holds_against_copies_as_far_as_is_promised
            destroy_ends_one_session_only
            regenerate_keeps_the_values_and_ends_the_former_session
            a_login_names_the_user_and_ends_the_former_session
            errors_and_debug_show_no_values
        }
    };
}

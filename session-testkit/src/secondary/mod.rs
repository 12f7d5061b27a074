//! What every [`SecondaryStore`] has to show.
//!
//! Implement [`SecondaryFixture`] and call [`secondary_store_suite!`](crate::secondary_store_suite).

#![expect(clippy::missing_panics_doc, reason = "a clause fails by panicking")]

mod clauses;

pub use clauses::*;

use std::future::Future;

use session_core::SecondaryStore;

/// What the suite needs to know of a secondary.
pub trait SecondaryFixture: Sized + Send + Sync + 'static {
    /// The store; clones share everything.
    type Store: SecondaryStore + Clone;

    /// Makes what one test needs: an empty store, or a part of a shared server that nothing else uses.
    fn fresh() -> impl Future<Output = Self> + Send;

    /// The store.
    fn store(&self) -> Self::Store;

    /// The same rows as another process reaches them; the store itself where there is no other.
    fn elsewhere(&self) -> impl Future<Output = Self::Store> + Send {
        async { self.store() }
    }

    /// The codec of the rows that it takes.
    const CODEC: session_core::Codec = session_core::Codec::MessagePack;

    /// Whatever the test has left on the server to stay for ever, by name; asked for after each test.
    fn keys_without_ttl(&self) -> impl Future<Output = Vec<String>> + Send {
        async { Vec::new() }
    }
}

/// One named test for each clause of a secondary: `secondary_store_suite!(MyFixture);`
///
/// Expands to tests of `tokio`, which has to be a dependency with its features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! secondary_store_suite {
    ($fixture:ty) => {
        $crate::suite! { $fixture, $crate::secondary, $crate::secondary::SecondaryFixture,
            #[tokio::test]
            what_was_applied_is_loaded
            a_newer_version_takes_the_place_of_an_older_one
            an_older_version_changes_nothing
            a_change_applied_again_is_known
            what_has_ended_is_nothing
            nothing_comes_back_after_the_end
            the_end_comes_after_the_version_that_it_ends
            the_end_of_an_unknown_session_is_remembered
            a_session_that_goes_on_after_an_end_is_there
            what_has_run_out_is_nothing
            a_version_of_what_has_run_out_is_remembered
            being_seen_moves_the_idle_end_forward_only
            being_seen_never_moves_past_the_absolute_end
            being_seen_brings_nothing_back
            sessions_know_nothing_of_each_other
            everything_about_a_row_is_kept
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            of_two_deliverers_the_newer_change_stands
        }
    };
}

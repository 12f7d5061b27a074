//! What every [`RecordStore`] has to show.
//!
//! Implement [`RecordsFixture`] and call [`record_store_suite!`](crate::record_store_suite). What a composed primary
//! promises on top is the matter of the suite in [`primary`](crate::primary).

#![expect(clippy::missing_panics_doc, reason = "a clause fails by panicking")]

mod clauses;

pub use clauses::*;

use std::{future::Future, time::Duration};

use session_core::RecordStore;

/// What the suite needs to know of a store of records.
pub trait RecordsFixture: Sized + Send + Sync + 'static {
    /// The store; clones share everything.
    type Store: RecordStore + Clone;

    /// Makes what one test needs: an empty store, or a part of a shared one that nothing else uses.
    fn fresh() -> impl Future<Output = Self> + Send;

    /// The store.
    fn store(&self) -> Self::Store;

    /// Lets that much time go by, as the store sees it.
    fn pass(&self, span: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(span)
    }

    /// Whatever the test has left to stay for ever, by name; asked for after each test.
    fn keys_without_ttl(&self) -> impl Future<Output = Vec<String>> + Send {
        async { Vec::new() }
    }
}

/// One named test for each clause of a record store: `record_store_suite!(MyFixture);`
///
/// Expands to tests of `tokio`, which has to be a dependency with its feature `macros`.
#[macro_export]
macro_rules! record_store_suite {
    ($fixture:ty) => {
        $crate::suite! { $fixture, $crate::records, $crate::records::RecordsFixture,
            #[tokio::test]
            ping_succeeds
            a_created_record_is_loaded
            an_unknown_record_is_none
            an_expired_record_is_none_and_takes_no_write
            a_commit_replaces_the_record_and_gives_a_larger_revision
            a_commit_over_another_version_changes_nothing
            a_commit_never_creates
            a_commit_under_an_unregistered_token_changes_nothing
            a_commit_under_an_earlier_token_changes_nothing
            a_smaller_token_is_behind_the_registered_one
            a_token_is_registered_once
            the_registered_token_outlives_a_commit
            loading_without_the_lock_registers_nothing
            create_never_overwrites
            destroy_ends_under_any_token
            destroy_of_unknown_stores_nothing
            a_late_holder_ends_touches_and_moves_nothing
            a_moved_session_is_read_under_both_ids_and_written_under_the_new_one
            a_touch_moves_the_idle_end_only
            a_touch_brings_nothing_back
            times_are_the_stores_own
            cancelled_operations_are_whole
        }
    };
}

//! What every [`PrimaryStore`](session_core::PrimaryStore) with an outbox has to show: promise 9.
//!
//! Implement [`PrimaryFixture`](crate::primary::PrimaryFixture) and call
//! [`write_through_suite!`](crate::write_through_suite).

#![expect(clippy::missing_panics_doc, reason = "a clause fails by panicking")]

mod clauses;
mod support;

pub use clauses::*;

/// One named test for each clause of a primary that writes through: `write_through_suite!(MyFixture);`
///
/// Expands to tests of `tokio`, which has to be a dependency with its features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! write_through_suite {
    ($fixture:ty) => {
        $crate::suite! { $fixture, $crate::write_through, $crate::primary::PrimaryFixture,
            #[tokio::test]
            every_kind_of_write_reaches_the_secondary
            every_kind_of_end_reaches_the_secondary
            a_session_keeps_its_row_under_a_new_id
            a_login_keeps_the_row
            a_revocation_reaches_the_secondary
            a_secondary_that_was_down_gets_everything
            an_outage_costs_one_entry_for_each_session
            what_one_process_leaves_another_one_delivers
            a_late_deliverer_brings_nothing_back
            a_late_deliverer_sets_nothing_back
            an_answer_that_was_lost_harms_nothing
            a_required_secondary_has_it_when_the_commit_returns
            a_required_secondary_that_fails_is_told
            a_required_change_is_delivered_though_a_neighbour_is_not
            a_required_change_that_cannot_be_shown_has_failed
            a_required_change_is_delivered_behind_large_ones
            a_new_session_whose_required_secondary_fails_keeps_its_id
            a_hanging_secondary_does_not_hold_the_lock
            a_commit_waits_for_a_slow_secondary_only_if_told
            a_secondary_sees_what_it_may_and_no_more
            a_secondary_has_a_codec_and_a_seal_of_its_own
            what_a_secondary_does_not_take_is_set_aside
            what_cannot_be_shown_is_set_aside_and_holds_nobody_up
            a_new_secondary_is_told_of_all_that_lives
            a_use_moves_the_idle_end_of_the_row
            what_ran_out_before_it_was_delivered_is_gone
            a_session_is_written_through_to_several
            other_secondaries_than_the_running_ones_are_refused
            bad_names_and_policies_are_refused
            nothing_is_noted_without_secondaries
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            secondaries_equal_the_primary_after_any_faults
        }
    };
}

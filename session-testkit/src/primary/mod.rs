//! What every [`PrimaryStore`] has to show: one named test for each clause of its contract and each promise.
//!
//! Implement [`PrimaryFixture`] for a type of yours and call [`primary_store_suite!`](crate::primary_store_suite) in
//! a module of your tests. The tests need nothing of each other and run in parallel.

#![expect(clippy::missing_panics_doc, reason = "a clause fails by panicking")]

mod aliases; // clause 12: the IDs that a session had
mod cancelling; // clause 10: dropping futures anywhere
mod committing; // clauses 3 to 5: writing under the lease
mod creating; // clause 6: storing for the first time
mod ending; // clause 8: destroy
mod events; // what observers are told
mod guards; // scopes, dropping, shutdown
mod interleaving; // promise 4: writes against endings, in every order
mod json; // the same store under records in JSON
mod lifetimes; // clause 9: idle and absolute timeout
mod locking; // clause 2: one at a time, in order, bounded
mod logging_in; // clauses 12 and 13: binding a session to a user
mod reading; // clauses 1 and 11: loading, and what cannot be loaded
mod revoking; // clauses 13 and 14: all sessions of a user
mod rotating; // clause 12: new IDs
mod sealed; // the same store under sealed records
mod unlocked; // clause 7: writing without the lease

pub use aliases::*;
pub use cancelling::*;
pub use committing::*;
pub use creating::*;
pub use ending::*;
pub use events::*;
pub use guards::*;
pub use interleaving::*;
pub use json::InJson;
pub use lifetimes::*;
pub use locking::*;
pub use logging_in::*;
pub use reading::*;
pub use revoking::*;
pub use rotating::*;
pub use sealed::Sealed;
pub use unlocked::*;

use std::{future::Future, pin::pin, time::Duration};

use session_core::{
    Capabilities, Codec, Error, PrimaryStore, SessionId, SessionKey, Sessions, SessionsBuilder,
    Timeouts,
};

/// What the suite needs to know of a store.
///
/// Each test makes its own fixture, so `fresh` has to give an empty store, or a part of a shared server that nothing
/// else uses. Times in the suite are real ones of at least 100 ms unless [`pass`](Self::pass) says otherwise.
pub trait PrimaryFixture: Sized + Send + Sync + 'static {
    /// The store; clones share everything.
    type Store: PrimaryStore + Clone;

    /// What the store has to claim: no less and no more. Clauses that belong to a promise that is not listed are
    /// then required to be absent.
    const PROMISES: Capabilities;

    /// Whether [`configure`](Self::configure) makes sessions seal their records.
    const SEALED: bool = false;

    /// The codec that [`configure`](Self::configure) makes sessions choose.
    const CODEC: Codec = Codec::MessagePack;

    /// Makes what one test needs.
    fn fresh() -> impl Future<Output = Self> + Send;

    /// The store.
    fn store(&self) -> Self::Store;

    /// The same sessions as another process reaches them: with leases and connections of its own. Needed where
    /// [`Promise::AcrossProcesses`](session_core::Promise::AcrossProcesses) is claimed.
    fn elsewhere(&self) -> impl Future<Output = Option<Self::Store>> + Send {
        async { None }
    }

    /// How sessions use the store, where that is not the default.
    fn configure(&self, builder: SessionsBuilder) -> SessionsBuilder {
        builder
    }

    /// Lets that much time go by, as the store sees it.
    fn pass(&self, span: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(span)
    }

    /// Puts bytes that are no record in the place of a session; whether that can be done. Needed where
    /// [`Promise::AcrossProcesses`](session_core::Promise::AcrossProcesses) is claimed.
    fn plant(&self, _key: &SessionKey, _bytes: &[u8]) -> impl Future<Output = bool> + Send {
        async { false }
    }

    /// Whatever the test has left on the server to stay for ever, by name; asked for after each test.
    fn keys_without_ttl(&self) -> impl Future<Output = Vec<String>> + Send {
        async { Vec::new() }
    }
}

/// One named test for each clause and promise of a primary store: `primary_store_suite!(MyFixture);`
///
/// Expands to tests of `tokio`, which has to be a dependency with its features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! primary_store_suite {
    ($fixture:ty) => {
        $crate::suite! { $fixture, $crate::primary, $crate::primary::PrimaryFixture,
            #[tokio::test]
            claims_exactly_the_promises_of_its_fixture
            ping_succeeds
            unknown_id_is_never_adopted
            records_are_sealed_where_the_fixture_says_so
            records_are_in_the_codec_that_the_fixture_says
            what_was_committed_is_read_back
            what_was_committed_is_read_back_elsewhere
            an_expired_session_is_no_session
            a_destroyed_session_is_no_session
            debug_output_hides_ids_keys_and_values
            a_damaged_body_is_an_error_and_is_left_as_it_is
            a_foreign_record_is_an_error_and_is_left_as_it_is
            a_session_is_locked_by_one_at_a_time
            a_session_locked_elsewhere_is_locked_here
            a_waiter_gets_the_lock_that_is_given_back_elsewhere
            second_waiter_gets_the_lock_in_order
            wait_timeout_is_kept
            one_waiter_too_many_is_busy
            sessions_do_not_wait_for_each_other
            a_lock_that_is_never_given_back_is_free_after_the_longest_hold
            lock_all_gives_the_guards_in_the_order_of_the_ids
            lock_all_in_opposite_orders_never_deadlocks
            lock_all_locks_all_or_none
            lock_all_of_one_session_twice_is_already_held
            a_second_lock_inside_of_a_body_is_already_held
            commit_writes_and_frees_the_lock
            commits_give_growing_revisions
            read_only_guard_commits_without_a_new_revision
            commit_over_another_version_changes_nothing
            commit_after_lease_loss_writes_nothing
            a_late_holder_overwrites_no_newer_commit
            commit_after_the_longest_hold_is_refused
            commit_after_absolute_end_fails
            commit_after_destroy_writes_nothing
            a_read_only_guard_brings_no_destroyed_session_back
            wrong_type_of_value_keeps_the_guard_usable
            set_timeouts_count_from_the_commit_on
            create_never_overwrites
            create_never_overwrites_a_destroyed_session
            a_new_session_is_stored_by_its_first_commit
            a_new_session_without_values_is_not_stored
            a_dropped_new_session_is_not_stored
            update_is_refused_while_locked
            update_over_another_version_changes_nothing
            update_waits_for_the_holder
            update_whose_function_fails_changes_nothing
            update_that_changes_nothing_writes_nothing
            update_after_destroy_writes_nothing
            an_update_never_goes_by_what_others_have_changed
            unlocked_save_is_refused_while_locked
            unlocked_save_never_overwrites_a_commit_under_the_lock
            unlocked_save_after_destroy_writes_nothing
            unlocked_writers_overwrite_each_other
            destroy_ends_for_waiters_and_holders
            destroy_elsewhere_ends_the_session_here
            destroy_of_unknown_stores_nothing
            destroy_twice_succeeds
            destroy_marked_on_a_guard_ends_the_session_at_commit
            destroy_marked_on_a_guard_without_commit_keeps_the_session
            destroy_by_a_late_holder_is_refused
            an_unused_session_ends_at_its_idle_timeout
            every_use_moves_the_idle_end
            a_touch_is_not_more_than_the_session_asked_for
            idle_touch_never_passes_the_absolute_timeout
            held_guard_keeps_its_session_alive
            held_guard_never_passes_the_absolute_timeout
            a_waiter_keeps_a_session_alive_that_became_short_lived
            remaining_counts_down_to_both_ends
            a_session_ends_after_the_span_that_it_was_given
            a_session_ends_at_the_time_that_it_was_given
            a_session_stays_persistent_until_it_is_told_otherwise
            observers_are_told_of_the_life_of_a_session
            observers_are_told_of_logins_and_revocations
            observers_are_told_of_nothing_that_was_not_stored
            observers_are_told_of_lost_leases
            observers_are_told_of_records_that_cannot_be_used
            regenerate_lets_the_session_go_on_under_a_new_id
            a_new_id_is_known_elsewhere
            an_old_id_is_nothing_after_its_grace
            an_old_id_takes_no_lock_and_no_write
            waiters_on_an_old_id_are_told_that_it_is_one
            destroy_of_an_old_id_ends_the_session
            an_old_id_is_nothing_when_the_session_is_over
            every_old_id_is_one_alias_away_from_the_session
            an_old_id_keeps_the_end_of_its_own_grace
            one_old_id_too_many_is_nothing_at_once
            an_old_id_that_is_over_is_not_brought_back
            an_alias_of_an_alias_is_an_error_and_is_left_as_it_is
            a_discarded_regenerate_keeps_the_id
            a_new_session_is_stored_under_its_newest_id
            regenerate_of_a_cleared_session_keeps_no_value
            regenerate_brings_no_session_back_that_is_marked_to_end
            regenerate_if_due_is_by_the_age_of_the_id
            regenerate_takes_other_timeouts_along
            a_late_holder_rotates_nothing
            rotation_over_another_version_changes_nothing
            rotation_after_destroy_changes_nothing
            rotation_after_absolute_end_changes_nothing
            regenerate_never_passes_the_absolute_timeout
            a_ticket_of_another_user_is_refused
            login_binds_the_session_to_its_user
            a_new_session_can_begin_with_a_login
            after_a_login_the_old_id_shows_the_session_of_before
            after_a_login_the_old_id_is_nothing_after_its_grace
            after_a_login_every_earlier_id_shows_the_session_of_before
            login_of_a_session_with_a_user_leaves_nothing
            a_planted_id_never_leads_into_the_login
            a_discarded_login_changes_nothing
            a_login_that_began_before_a_revocation_is_superseded
            a_login_that_began_elsewhere_is_superseded
            a_disabled_user_cannot_log_in
            another_credential_ends_the_other_sessions
            a_refused_login_ends_no_other_session
            a_full_user_loses_the_oldest_session
            a_full_user_is_refused_where_that_is_the_policy
            labels_stand_in_the_list
            a_login_of_nobody_is_refused
            life_begins_anew_at_a_login
            a_late_holder_logs_nobody_in
            the_list_of_a_user_is_complete_and_newest_first
            sessions_made_elsewhere_are_listed_and_revoked_here
            the_list_names_no_session_that_is_over
            the_list_says_when_a_session_was_last_seen
            revoking_one_ends_it_and_no_other
            revoking_the_others_keeps_one
            revoking_all_ends_every_session_of_the_user
            revoking_all_ends_more_than_a_thousand_sessions
            rotation_keeps_the_place_in_the_list
            revoke_everything_ends_anonymous_sessions_too
            revocation_ends_for_waiters_and_holders
            an_ending_between_any_two_steps_of_a_write_is_final
            no_write_brings_a_revoked_session_back
            cancelled_lock_leaves_nothing
            cancelled_wait_leaves_nothing
            cancelled_hand_over_leaves_nothing
            cancelled_lock_all_leaves_nothing
            cancelled_commit_is_whole
            cancelled_discard_changes_nothing
            cancelled_create_is_whole_or_absent
            cancelled_update_is_whole
            cancelled_unlocked_save_is_whole
            cancelled_destroy_frees_the_lock
            cancelled_end_frees_the_lock
            cancelled_rotation_is_whole
            cancelled_login_is_whole
            cancelled_with_is_whole
            cancelled_with_new_is_whole_or_absent
            cancelled_snapshot_changes_nothing
            cancelled_shutdown_stays_shut_down
            with_commits_what_an_ok_body_did
            with_changes_nothing_if_its_body_fails
            with_changes_nothing_if_its_body_panics
            with_boxed_commits_discards_and_locks_as_with_does
            with_new_stores_nothing_if_its_body_fails
            discarded_guard_changes_nothing
            dropped_guard_frees_the_lock
            guard_dropped_on_a_plain_thread_frees_the_lock
            guard_dropped_while_unwinding_frees_the_lock
            guard_dropped_after_its_runtime_frees_the_lock
            shutdown_grants_and_reads_nothing_more
            shutdown_waits_for_guards_and_lets_them_commit
            shutdown_gives_up_at_its_limit

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            counter_with_many_tasks_loses_nothing
            counter_across_processes_loses_nothing
            counter_of_updates_loses_nothing
            counter_of_locks_and_updates_loses_nothing
            destroy_wins_over_commits_that_race_it
            revoke_all_wins_over_logins_that_race_it
            rotation_harms_no_reader_and_loses_no_write
        }
    };
}

/// A lease that is never lost in a test that is not about that.
pub(crate) const LONG_LEASE: Duration = Duration::from_secs(10);
/// A lease whose end a test waits for.
pub(crate) const SHORT_LEASE: Duration = Duration::from_millis(300);
/// How long a test waits for what has to happen.
pub(crate) const WAIT: Duration = Duration::from_secs(20);
/// How much time passes at once.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The settings that tests start from.
pub(crate) fn builder<F: PrimaryFixture>(fixture: &F) -> SessionsBuilder {
    settings(fixture, fixture.store())
}

pub(crate) fn settings<F: PrimaryFixture>(
    fixture: &F,
    store: impl PrimaryStore,
) -> SessionsBuilder {
    let builder = Sessions::builder(store)
        .lease(LONG_LEASE)
        .wait_timeout(WAIT)
        .warn_unlocked(false);
    fixture.configure(builder)
}

pub(crate) fn sessions<F: PrimaryFixture>(fixture: &F) -> Sessions {
    builder(fixture).build().expect("the settings are valid")
}

/// Sessions whose leases are neither renewed nor valid for long.
pub(crate) fn short_leases<F: PrimaryFixture>(fixture: &F) -> Sessions {
    let builder = builder(fixture)
        .lease(SHORT_LEASE)
        .longest_hold(SHORT_LEASE);
    builder.build().expect("the settings are valid")
}

pub(crate) fn living<F: PrimaryFixture>(fixture: &F, idle_ms: u64, absolute_ms: u64) -> Sessions {
    let timeouts = Timeouts::new(
        Duration::from_millis(idle_ms),
        Duration::from_millis(absolute_ms),
    );
    let timeouts = timeouts.expect("the timeouts are valid");
    let builder = builder(fixture).timeouts(timeouts);
    builder.build().expect("the settings are valid")
}

/// The same sessions through another store, as another process has them; `None` where no other process reaches them.
pub(crate) async fn elsewhere<F: PrimaryFixture>(fixture: &F) -> Option<Sessions> {
    let store = fixture.elsewhere().await;
    assert_eq!(
        store.is_some(),
        F::PROMISES.has(session_core::Promise::AcrossProcesses),
        "`elsewhere` is what AcrossProcesses means"
    );
    let sessions = settings(fixture, store?).build();
    Some(sessions.expect("the settings are valid"))
}

/// Lets time pass until `future` is done.
pub(crate) async fn meanwhile<F: PrimaryFixture, T>(
    fixture: &F,
    future: impl Future<Output = T> + Send,
) -> T {
    let mut future = pin!(future);
    loop {
        tokio::select! {
            biased;
            done = &mut future => return done,
            () = fixture.pass(TICK) => {}
        }
    }
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A stored session with two values that every change keeps equal, so that a torn write shows.
pub(crate) async fn stored(sessions: &Sessions, value: u64) -> SessionId {
    let mut session = sessions.create();
    write(&mut session, value);
    let id = session.id().clone();
    let report = session.commit().await.expect("a new session is stored");
    assert!(report.is_stored());
    id
}

pub(crate) fn write(data: &mut session_core::SessionData, value: u64) {
    let written = data
        .insert("left", value)
        .and_then(|()| data.insert("right", value));
    written.expect("a number can be written");
}

/// The value of a session made by [`stored`]; fails on a torn one.
pub(crate) fn read(data: &session_core::SessionData) -> u64 {
    let side = |name| data.get::<u64>(name).expect("the value is a number");
    let (left, right) = (side("left"), side("right"));
    assert_eq!(left, right, "half of a write is stored");
    left.expect("the value is there")
}

/// What is stored, read without using the session.
pub(crate) async fn value(sessions: &Sessions, id: &SessionId) -> Option<u64> {
    let snapshot = sessions
        .snapshot(id)
        .await
        .expect("the session is readable");
    snapshot.map(|data| read(&data))
}

/// Adds one under the lock.
pub(crate) async fn add_one(sessions: &Sessions, id: &SessionId) {
    let added = sessions.with(id, async |session| {
        let value = read(session);
        // A holder that lets others run while it holds the session.
        tokio::task::yield_now().await;
        write(session, value + 1);
        Ok::<_, Error>(())
    });
    added.await.expect("a locked change is stored");
}

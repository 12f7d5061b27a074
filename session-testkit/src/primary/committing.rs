use std::slice::from_ref;

use bytes::Bytes;
use session_core::{
    CommitError, CommitId, Granted, Header, LockRequest, PrimaryStore, SessionKey, Stored,
    TouchAfter, Write,
};
use session_lock::{Drift, LeaseTerms, Ttl};

use super::*;

/// Clause 3: after a commit the new version stands and the lock is free.
pub async fn commit_writes_and_frees_the_lock<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    write(&mut guard, 2);
    assert_eq!(
        value(&sessions, &id).await,
        Some(1),
        "written before the commit"
    );
    let report = guard.commit().await.expect("the change is stored");
    assert!(report.is_stored());
    let free = sessions.lock(&id).wait_at_most(Duration::ZERO).await;
    let free = free.expect("the commit has freed it");
    assert_eq!(read(&free), 2);
    free.discard().await.expect("it can be given back");
}

/// Each write is told apart from those before it.
pub async fn commits_give_growing_revisions<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 0).await;
    let mut last = record(&fixture.store(), id.key()).await.header.revision;
    for number in 1..5 {
        let mut guard = sessions.lock(&id).await.expect("it can be locked");
        write(&mut guard, number);
        let report = guard.commit().await.expect("the change is stored");
        let revision = report.revision.expect("a change has a revision");
        assert!(revision > last);
        assert_eq!(
            record(&fixture.store(), id.key()).await.header.revision,
            revision
        );
        last = revision;
    }
}

/// A guard that changed nothing writes nothing.
pub async fn read_only_guard_commits_without_a_new_revision<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 5).await;
    let before = record(&store, id.key()).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    assert_eq!(read(&guard), 5);
    write(&mut guard, 5);
    assert!(!guard.is_modified());
    let report = guard.commit().await.expect("there is nothing to refuse");
    assert!(!report.is_stored());
    let after = record(&store, id.key()).await;
    assert_eq!(after.header, before.header);
    let free = sessions.lock(&id).wait_at_most(Duration::ZERO).await;
    free.expect("the commit has freed it")
        .discard()
        .await
        .expect("it can be given back");
}

/// Clause 3: a write over another version than the one that stands is refused whole, and frees the lock.
pub async fn commit_over_another_version_changes_nothing<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let Granted { lease, stored } = lock(&store, id.key(), LONG_LEASE).await;
    let mut over_another = next_version(&stored, &body(2));
    over_another.base = CommitId::random();
    let refused = store.commit(lease, over_another).await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    unchanged(&store, id.key(), &stored).await;
    let free = meanwhile(fixture, sessions.lock(&id).into_future()).await;
    free.expect("it is free")
        .discard()
        .await
        .expect("it can be given back");
}

/// Promise 2: a holder whose lease has run out writes nothing, also if nobody has written since.
pub async fn commit_after_lease_loss_writes_nothing<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let late = lock(&store, id.key(), SHORT_LEASE).await;
    // Granted to somebody else: proof that the first lease is over.
    let next = meanwhile(fixture, sessions.lock(&id).into_future()).await;
    let mut next = next.expect("the lease has run out");
    let refused = store
        .commit(late.lease, next_version(&late.stored, &body(2)))
        .await;
    assert!(
        matches!(
            refused,
            Err(CommitError::LeaseLost { .. } | CommitError::Conflict)
        ),
        "{refused:?}"
    );
    unchanged(&store, id.key(), &late.stored).await;
    write(&mut next, 3);
    next.commit()
        .await
        .expect("the lock was not freed by the late holder");
    assert_eq!(value(&sessions, &id).await, Some(3));
}

/// Promises 1 and 2: a holder whose lease has run out overwrites no version that it has not seen.
pub async fn a_late_holder_overwrites_no_newer_commit<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let late = lock(&store, id.key(), SHORT_LEASE).await;
    let next = meanwhile(fixture, sessions.lock(&id).into_future()).await;
    let mut next = next.expect("the lease has run out");
    write(&mut next, 3);
    next.commit().await.expect("the change is stored");
    let refused = store
        .commit(late.lease, next_version(&late.stored, &body(2)))
        .await;
    assert!(
        matches!(
            refused,
            Err(CommitError::LeaseLost { .. } | CommitError::Conflict)
        ),
        "{refused:?}"
    );
    assert_eq!(value(&sessions, &id).await, Some(3));
}

/// The longest hold is a bound for the holder too.
pub async fn commit_after_the_longest_hold_is_refused<F: PrimaryFixture>(fixture: &F) {
    let sessions = short_leases(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    write(&mut guard, 2);
    meanwhile(fixture, guard.lost()).await;
    fixture.pass(SHORT_LEASE).await;
    assert!(guard.lease_remaining().is_zero());
    let refused = guard.commit().await;
    assert!(
        matches!(refused, Err(CommitError::LeaseLost { .. })),
        "{refused:?}"
    );
    assert_eq!(value(&sessions, &id).await, Some(1));
    let free = meanwhile(fixture, sessions.lock(&id).into_future()).await;
    free.expect("it is free")
        .discard()
        .await
        .expect("it can be given back");
}

/// Clause 4, promise 7: after its absolute end a session takes no more changes, though its lock is held.
pub async fn commit_after_absolute_end_fails<F: PrimaryFixture>(fixture: &F) {
    let sessions = living(fixture, 500, 500);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    write(&mut guard, 2);
    fixture.pass(ms(800)).await;
    let refused = guard.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Expired | CommitError::Destroyed)),
        "{refused:?}"
    );
    assert_eq!(value(&sessions, &id).await, None);
}

/// Clause 4, promise 4: no guard brings back what was ended meanwhile.
pub async fn commit_after_destroy_writes_nothing<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    write(&mut guard, 2);
    sessions.destroy(&id).await.expect("it can be ended");
    let refused = guard.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    assert_eq!(value(&sessions, &id).await, None);
}

/// Promise 4 for the guards that write nothing.
pub async fn a_read_only_guard_brings_no_destroyed_session_back<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let guard = sessions.lock(&id).await.expect("it can be locked");
    sessions.destroy(&id).await.expect("it can be ended");
    // Whether that is an error is the store's choice: nothing was to be written.
    guard.commit().await.ok();
    assert_eq!(value(&sessions, &id).await, None);
}

/// A value of another type is an error that harms nothing.
pub async fn wrong_type_of_value_keeps_the_guard_usable<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    let error = guard
        .get::<Vec<String>>("left")
        .expect_err("it is a number");
    assert!(error.to_string().contains("left"), "{error}");
    guard.take::<String>("left").expect_err("it is a number");
    let value_before = read(&guard);
    write(&mut guard, value_before + 1);
    guard.commit().await.expect("the change is stored");
    assert_eq!(value(&sessions, &id).await, Some(2));
}

/// Other timeouts of one session hold from the commit on, and the absolute one counts from the creation.
pub async fn set_timeouts_count_from_the_commit_on<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    guard.set_timeouts(Timeouts::new(ms(500), ms(5_000)).expect("they are valid"));
    guard.commit().await.expect("the change is stored");
    let snapshot = sessions.snapshot(&id).await.expect("it can be read");
    let left = snapshot.expect("it is there").remaining();
    assert!(
        left.idle <= ms(500) && left.absolute <= ms(5_000),
        "{left:?}"
    );
    fixture.pass(ms(700)).await;
    assert_eq!(value(&sessions, &id).await, None);
}

/// Promise 1, under load: tasks of one process.
pub async fn counter_with_many_tasks_loses_nothing<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 0).await;
    count(from_ref(&sessions), &id, true, false).await;
    assert_eq!(value(&sessions, &id).await, Some(ROUNDS * TASKS));
}

/// Promise 1, under load: several processes.
pub async fn counter_across_processes_loses_nothing<F: PrimaryFixture>(fixture: &F) {
    let (here, Some(first), Some(second)) = (
        sessions(fixture),
        elsewhere(fixture).await,
        elsewhere(fixture).await,
    ) else {
        return;
    };
    let id = stored(&here, 0).await;
    count(&[here.clone(), first, second], &id, true, true).await;
    assert_eq!(value(&here, &id).await, Some(ROUNDS * TASKS * 3));
}

/// Promise 1 for changes without a lock of their own.
pub async fn counter_of_updates_loses_nothing<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 0).await;
    count(from_ref(&sessions), &id, false, true).await;
    assert_eq!(value(&sessions, &id).await, Some(ROUNDS * TASKS));
}

/// Promise 1 for both kinds at the same time.
pub async fn counter_of_locks_and_updates_loses_nothing<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 0).await;
    count(from_ref(&sessions), &id, true, true).await;
    assert_eq!(value(&sessions, &id).await, Some(ROUNDS * TASKS));
}

/// Promise 4, under load: whatever is under way when a session is ended, it stays ended.
pub async fn destroy_wins_over_commits_that_race_it<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    for _ in 0..20 {
        let id = stored(&sessions, 0).await;
        let writers: Vec<_> = (0..3)
            .map(|number| {
                let (sessions, id) = (sessions.clone(), id.clone());
                tokio::spawn(async move {
                    while sessions
                        .update(&id, |data| {
                            let value = read(data);
                            write(data, value + number);
                            Ok::<_, Error>(())
                        })
                        .await
                        .is_ok()
                    {
                        let guard = sessions.lock(&id).await;
                        let Ok(mut guard) = guard else { return };
                        let value = read(&guard);
                        write(&mut guard, value + 1);
                        guard.commit().await.ok();
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        sessions.destroy(&id).await.expect("it can be ended");
        assert_eq!(value(&sessions, &id).await, None);
        for writer in writers {
            writer.await.expect("no task fails");
        }
        assert_eq!(value(&sessions, &id).await, None);
    }
}

const TASKS: u64 = 8;
const ROUNDS: u64 = 25;

/// Adds one from many tasks of each of the processes, in one or both of the ways.
async fn count(processes: &[Sessions], id: &SessionId, locks: bool, updates: bool) {
    let mut tasks = Vec::new();
    for sessions in processes {
        for task in 0..TASKS {
            let (sessions, id) = (sessions.clone(), id.clone());
            let update = updates && (!locks || task % 2 == 0);
            tasks.push(tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    if update {
                        let add = |data: &mut session_core::SessionData| {
                            let value = read(data);
                            write(data, value + 1);
                            Ok::<_, Error>(())
                        };
                        sessions
                            .update(&id, add)
                            .await
                            .expect("the change is stored");
                    } else {
                        add_one(&sessions, &id).await;
                    }
                }
            }));
        }
    }
    for task in tasks {
        task.await.expect("no task fails");
    }
}

/// Locks a session without renewing the lease beyond `span`.
pub(crate) async fn lock(store: &impl PrimaryStore, key: &SessionKey, span: Duration) -> Granted {
    let granted = store.lock(key, &request(span)).await;
    granted.expect("it can be locked")
}

pub(crate) fn request(span: Duration) -> LockRequest {
    LockRequest {
        terms: LeaseTerms {
            ttl: Ttl::new(span).expect("the TTL is valid"),
            drift: Drift::default(),
            longest_hold: span,
        },
        wait: Duration::ZERO,
        max_waiters: 8,
    }
}

/// What stands in the store, which the look does not touch.
pub(crate) async fn record(store: &impl PrimaryStore, key: &SessionKey) -> Stored {
    let stored = store.load(key, TouchAfter::Never).await;
    stored.expect("it can be read").expect("it is there")
}

/// A write of `body` over the version in `stored`.
pub(crate) fn next_version(stored: &Stored, body: &Bytes) -> Write {
    Write {
        base: stored.header.commit_id,
        header: Header {
            commit_id: CommitId::random(),
            ..stored.header.clone()
        },
        body: body.clone(),
    }
}

pub(crate) async fn unchanged(store: &impl PrimaryStore, key: &SessionKey, before: &Stored) {
    let now = record(store, key).await;
    assert_eq!(now.header.commit_id, before.header.commit_id);
    assert_eq!(now.header.revision, before.header.revision);
    assert_eq!(now.body, before.body);
}

/// The encoded body of a session with that value: MessagePack `{"left": value, "right": value}`.
pub(crate) fn body(value: u8) -> Bytes {
    assert!(value < 128, "one byte in MessagePack");
    let mut body = b"\x82\xa4left?\xa5right?".to_vec();
    body[6] = value;
    body[13] = value;
    body.into()
}

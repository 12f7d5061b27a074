use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use session_core::{
    AcquireError, CommitError, CommitId, CommitReport, Fault, Header, Leaves, Pointer,
    PrimaryStore as _, Promise, RecordKind, Rotation, SessionGuard, StoreError, Stored, WithError,
};

use super::*;

/// Clause 12: the session goes on under its new ID as what it was, with what was changed in the same step.
pub async fn regenerate_lets_the_session_go_on_under_a_new_id<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let old = stored(&sessions, 1).await;
    let before = record(&store, old.key()).await.header;
    let mut guard = sessions.lock(&old).await.expect("it can be locked");
    write(&mut guard, 2);
    let new = guard.regenerate();
    assert_eq!(guard.regenerate(), new, "marked twice, it is one change");
    assert_ne!(new, old);
    assert_eq!(value(&sessions, &new).await, None, "stored too early");
    let report = guard.commit().await.expect("it can be given a new ID");
    assert!(report.is_stored());
    assert_eq!(report.id.as_ref(), Some(&new));

    let after = record(&store, new.key()).await.header;
    assert_eq!(after.kind, RecordKind::Live);
    assert_eq!(after.handle, before.handle);
    assert_eq!(after.created, before.created);
    assert_eq!(after.absolute_end, before.absolute_end);
    assert_eq!(after.idle_timeout, before.idle_timeout);
    assert!(after.revision > before.revision);
    assert_eq!(report.revision, Some(after.revision));
    for (id, rotated) in [(&new, false), (&old, true)] {
        let snapshot = sessions.snapshot(id).await.expect("it can be read");
        let snapshot = snapshot.expect("it is there");
        assert_eq!(read(&snapshot), 2);
        assert_eq!(snapshot.is_rotated(), rotated);
        assert_eq!(snapshot.handle(), before.handle);
        assert_eq!(snapshot.created(), before.created);
    }
    let free = sessions.lock(&new).wait_at_most(Duration::ZERO).await;
    let mut guard = free.expect("nobody holds it");
    assert_eq!((read(&guard), guard.id()), (2, &new));
    write(&mut guard, 3);
    let report = guard.commit().await.expect("the change is stored");
    assert_eq!(report.id, None, "the ID is the one that it was");
    assert_eq!(value(&sessions, &old).await, Some(3));
}

/// Clause 12 between processes.
pub async fn a_new_id_is_known_elsewhere<F: PrimaryFixture>(fixture: &F) {
    let Some(elsewhere) = elsewhere(fixture).await else {
        return;
    };
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let old = stored(&sessions, 1).await;
    add_one(&elsewhere, &old).await;
    let new = regenerated(&sessions, &old).await;
    assert_eq!(value(&elsewhere, &old).await, Some(2));
    let refused = elsewhere.lock(&old).await;
    assert!(matches!(refused, Err(AcquireError::Rotated)), "{refused:?}");
    let refused = elsewhere.update(&old, |data| data.insert("left", 9)).await;
    assert!(matches!(
        refused,
        Err(WithError::Acquire(AcquireError::Rotated))
    ));
    add_one(&elsewhere, &new).await;
    assert_eq!(value(&sessions, &old).await, Some(3));
}

/// Promise 5: reading does not prolong the grace.
pub async fn an_old_id_is_nothing_after_its_grace<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = graced(fixture, 400);
    let old = stored(&sessions, 1).await;
    let new = regenerated(&sessions, &old).await;
    over_after_its_grace(fixture, &sessions, &old).await;
    assert_eq!(value(&sessions, &new).await, Some(1));
    sessions.destroy(&old).await.expect("unknown is no error");
    assert_eq!(value(&sessions, &new).await, Some(1));
}

/// Clause 12, promise 5: nothing is locked or written through an old ID, and who tries is told what to do.
pub async fn an_old_id_takes_no_lock_and_no_write<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let old = stored(&sessions, 1).await;
    let before = record(&store, old.key()).await;
    let mut loaded_before = unlocked(&sessions, &old).await;
    let new = regenerated(&sessions, &old).await;
    let standing = record(&store, new.key()).await;
    let mut loaded_after = unlocked(&sessions, &old).await;

    let refused = sessions.lock(&old).await.expect_err("it has a new ID");
    assert!(matches!(refused, AcquireError::Rotated), "{refused}");
    assert!(refused.is_retryable());
    let mut ran = false;
    let with = sessions.with(&old, async |session| {
        ran = true;
        session.insert("left", 9)
    });
    assert!(matches!(
        with.await,
        Err(WithError::Acquire(AcquireError::Rotated))
    ));
    let boxed = sessions.with_boxed(&old, |session| {
        Box::pin(async move { session.insert("left", 9) })
    });
    assert!(matches!(
        boxed.await,
        Err(WithError::Acquire(AcquireError::Rotated))
    ));
    let update = sessions.update(&old, |data| {
        ran = true;
        data.insert("left", 9)
    });
    assert!(matches!(
        update.await,
        Err(WithError::Acquire(AcquireError::Rotated))
    ));
    assert!(!ran, "a body ran on a session that has another ID");
    write(&mut loaded_before, 9);
    write(&mut loaded_after, 9);
    for unlocked in [loaded_before, loaded_after] {
        let refused = unlocked.save().await.expect_err("it has a new ID");
        assert!(matches!(refused, CommitError::Rotated), "{refused}");
        assert!(refused.is_retryable());
    }
    let version = next_version(&before, &body(9));
    let refused = store.update(old.key(), version, &request(LONG_LEASE)).await;
    assert!(matches!(refused, Err(CommitError::Rotated)), "{refused:?}");
    let refused = sessions.lock_all(&[&new, &old]).await;
    assert!(matches!(refused, Err(AcquireError::Rotated)));

    unchanged(&store, new.key(), &standing).await;
    assert_eq!(value(&sessions, &old).await, Some(1));
    add_one(&sessions, &new).await;
}

/// Clause 12: whoever waits for the old ID is told of the new one, and not left waiting.
pub async fn waiters_on_an_old_id_are_told_that_it_is_one<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let old = stored(&sessions, 1).await;
    let mut holder = sessions.lock(&old).await.expect("it can be locked");
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let (sessions, old) = (sessions.clone(), old.clone());
            tokio::spawn(async move { sessions.lock(&old).await })
        })
        .collect();
    fixture.pass(ms(100)).await;
    let new = holder.regenerate();
    holder.commit().await.expect("it can be given a new ID");
    for waiter in waiters {
        let waited = tokio::time::timeout(LONG_LEASE / 2, meanwhile(fixture, waiter)).await;
        let waited = waited.expect("it is told at once").expect("no task fails");
        assert!(matches!(waited, Err(AcquireError::Rotated)), "{waited:?}");
    }
    add_one(&sessions, &new).await;
}

/// Promise 4: logging out with an old cookie logs out.
pub async fn destroy_of_an_old_id_ends_the_session<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let old = stored(&sessions, 1).await;
    let new = regenerated(&sessions, &old).await;
    let mut holder = sessions.lock(&new).await.expect("it can be locked");
    write(&mut holder, 2);
    sessions.destroy(&old).await.expect("it can be ended");
    assert_eq!(value(&sessions, &new).await, None);
    assert_eq!(value(&sessions, &old).await, None);
    let refused = holder.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    let refused = sessions.lock(&new).await;
    assert!(
        matches!(refused, Err(AcquireError::NoSession)),
        "{refused:?}"
    );
    sessions
        .destroy(&old)
        .await
        .expect("ending it again is safe");
}

/// The end of a session is the end of what leads to it.
pub async fn an_old_id_is_nothing_when_the_session_is_over<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let old = stored(&sessions, 1).await;
    let new = regenerated(&sessions, &old).await;
    sessions.destroy(&new).await.expect("it can be ended");
    assert_eq!(value(&sessions, &old).await, None);
}

/// A mark is discarded with everything else.
pub async fn a_discarded_regenerate_keeps_the_id<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    for discarded in [true, false] {
        let lock = sessions.lock(&id).into_future();
        let mut guard = meanwhile(fixture, lock).await.expect("the lock is free");
        let new = guard.regenerate();
        if discarded {
            guard.discard().await.expect("it can be given back");
        } else {
            drop(guard);
        }
        assert_eq!(value(&sessions, &new).await, None);
        let snapshot = sessions.snapshot(&id).await.expect("it can be read");
        assert!(!snapshot.expect("it is there").is_rotated());
    }
    let lock = sessions.lock(&id).into_future();
    let guard = meanwhile(fixture, lock).await.expect("the lock is free");
    guard.discard().await.expect("it can be given back");
}

/// A session that was not stored yet has nothing to leave behind.
pub async fn a_new_session_is_stored_under_its_newest_id<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let mut session = sessions.create();
    write(&mut session, 1);
    let first = session.id().clone();
    let id = session.regenerate();
    assert_eq!(session.id(), &id);
    session.commit().await.expect("a new session is stored");
    assert_eq!(value(&sessions, &id).await, Some(1));
    nothing_stands(fixture, &first).await;
    let mut told = None;
    let new = sessions.with_new(async |session| {
        write(session, 2);
        told = Some(session.regenerate());
        Ok::<_, Error>(())
    });
    let (id, ()) = new.await.expect("a new session is stored");
    assert_eq!(told.as_ref(), Some(&id));
    assert_eq!(value(&sessions, &id).await, Some(2));
}

/// Same ID policy, other contents: nothing of the old ones is left under the new ID.
pub async fn regenerate_of_a_cleared_session_keeps_no_value<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let old = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&old).await.expect("it can be locked");
    guard.clear();
    let new = guard.regenerate();
    guard.commit().await.expect("it can be given a new ID");
    for id in [&new, &old] {
        let snapshot = sessions.snapshot(id).await.expect("it can be read");
        assert!(snapshot.expect("it is there").is_empty());
    }
}

/// Whoever ends a session means it, whatever else is marked before or after.
pub async fn regenerate_brings_no_session_back_that_is_marked_to_end<F: PrimaryFixture>(
    fixture: &F,
) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = builder(fixture).regenerate_every(ms(1)).build();
    let sessions = sessions.expect("the settings are valid");
    for regenerate_first in [true, false] {
        let old = stored(&sessions, 1).await;
        let mut guard = sessions.lock(&old).await.expect("it can be locked");
        fixture.pass(ms(20)).await;
        let mut new = None;
        if regenerate_first {
            new = guard.regenerate_if_due();
            assert!(new.is_some());
        }
        guard.logout();
        assert_eq!(guard.regenerate_if_due(), None);
        let marked = guard.regenerate();
        guard.commit().await.expect("it can be ended");
        for id in [Some(old), Some(marked), new].iter().flatten() {
            assert_eq!(value(&sessions, id).await, None);
        }
    }
}

/// Long sessions are given another ID in time, and not before.
pub async fn regenerate_if_due_is_by_the_age_of_the_id<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let never = sessions(fixture);
    let sessions = builder(fixture).regenerate_every(ms(1_500)).build();
    let sessions = sessions.expect("the settings are valid");
    let mut id = stored(&sessions, 1).await;
    for _ in 0..2 {
        let mut guard = sessions.lock(&id).await.expect("it can be locked");
        assert_eq!(guard.regenerate_if_due(), None, "it has just got its ID");
        assert!(!guard.is_modified());
        guard.discard().await.expect("it can be given back");
        fixture.pass(ms(1_700)).await;
        let mut guard = never.lock(&id).await.expect("it can be locked");
        assert_eq!(guard.regenerate_if_due(), None, "nobody has asked for that");
        guard.discard().await.expect("it can be given back");
        let mut guard = sessions.lock(&id).await.expect("it can be locked");
        let new = guard.regenerate_if_due();
        let report = guard.commit().await.expect("it can be given a new ID");
        assert_eq!(report.id, new);
        id = new.expect("it is due");
        assert_eq!(value(&sessions, &id).await, Some(1));
    }
    let mut new = sessions.create();
    write(&mut new, 1);
    assert_eq!(new.regenerate_if_due(), None, "it has no ID yet");
}

/// Other timeouts and another ID are one step.
pub async fn regenerate_takes_other_timeouts_along<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let old = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&old).await.expect("it can be locked");
    guard.set_timeouts(Timeouts::new(ms(500), ms(5_000)).expect("they are valid"));
    let new = guard.regenerate();
    guard.commit().await.expect("it can be given a new ID");
    let snapshot = sessions.snapshot(&new).await.expect("it can be read");
    let left = snapshot.expect("it is there").remaining();
    assert!(
        left.idle <= ms(500) && left.absolute <= ms(5_000),
        "{left:?}"
    );
    fixture.pass(ms(700)).await;
    assert_eq!(value(&sessions, &new).await, None);
    assert_eq!(value(&sessions, &old).await, None);

    // Timeouts that are over already end the session.
    let old = stored(&sessions, 1).await;
    fixture.pass(ms(300)).await;
    let mut guard = sessions.lock(&old).await.expect("it can be locked");
    guard.set_timeouts(Timeouts::new(ms(100), ms(100)).expect("they are valid"));
    let new = guard.regenerate();
    let refused = guard.commit().await;
    assert!(matches!(refused, Err(CommitError::Expired)), "{refused:?}");
    assert_eq!(value(&sessions, &old).await, None);
    nothing_stands(fixture, &new).await;
}

/// Promise 2: a holder whose lease is over gives no new ID, also if nobody has written since.
pub async fn a_late_holder_rotates_nothing<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let mut guard = short_leases(fixture).lock(&id).await.expect("it is free");
    let next = meanwhile(fixture, sessions.lock(&id).into_future()).await;
    let next = next.expect("the lease has run out");
    let new = guard.regenerate();
    let refused = guard.commit().await;
    assert!(
        matches!(refused, Err(CommitError::LeaseLost { .. })),
        "{refused:?}"
    );
    assert_eq!(value(&sessions, &new).await, None);
    next.discard().await.expect("it can be given back");

    // What the store itself says to it.
    let late = lock(&store, id.key(), SHORT_LEASE).await;
    let next = meanwhile(fixture, sessions.lock(&id).into_future()).await;
    let mut next = next.expect("the lease has run out");
    let new = SessionId::random_in(id.key().bucket());
    let rotation = rotation(&late.stored, &id, &new);
    let refused = store.rotate(late.lease, rotation).await;
    assert!(
        matches!(
            refused,
            Err(CommitError::LeaseLost { .. } | CommitError::Conflict)
        ),
        "{refused:?}"
    );
    unchanged(&store, id.key(), &late.stored).await;
    nothing_stands(fixture, &new).await;
    write(&mut next, 3);
    next.commit()
        .await
        .expect("the lock was not freed by the late holder");
}

/// Clause 12: the version that was read has to stand; refused, the lock is given back all the same.
pub async fn rotation_over_another_version_changes_nothing<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let held = lock(&store, id.key(), LONG_LEASE).await;
    let new = SessionId::random_in(id.key().bucket());
    let mut over_another = rotation(&held.stored, &id, &new);
    over_another.base = CommitId::random();
    let refused = store.rotate(held.lease, over_another).await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    unchanged(&store, id.key(), &held.stored).await;
    nothing_stands(fixture, &new).await;
    let free = meanwhile(fixture, sessions.lock(&id).into_future()).await;
    free.expect("it is free")
        .discard()
        .await
        .expect("it can be given back");
}

/// Promise 4: no new ID brings back what was ended meanwhile.
pub async fn rotation_after_destroy_changes_nothing<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    let new = guard.regenerate();
    sessions.destroy(&id).await.expect("it can be ended");
    let refused = guard.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    assert_eq!(value(&sessions, &id).await, None);
    nothing_stands(fixture, &new).await;
}

/// Promise 7: nor what is over by itself, though its lock is held.
pub async fn rotation_after_absolute_end_changes_nothing<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = living(fixture, 500, 500);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    let new = guard.regenerate();
    fixture.pass(ms(800)).await;
    let refused = guard.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Expired | CommitError::Destroyed)),
        "{refused:?}"
    );
    assert_eq!(value(&sessions, &id).await, None);
    nothing_stands(fixture, &new).await;
}

/// Promise 7: another ID makes nobody older, and nobody younger.
pub async fn regenerate_never_passes_the_absolute_timeout<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = living(fixture, 3_000, 4_500);
    let old = stored(&sessions, 1).await;
    fixture.pass(ms(2_000)).await;
    let new = regenerated(&sessions, &old).await;
    fixture.pass(ms(2_000)).await;
    assert_eq!(value(&sessions, &new).await, Some(1), "it is in use");
    fixture.pass(ms(2_000)).await;
    assert_eq!(value(&sessions, &new).await, None, "it lives on and on");
    assert_eq!(value(&sessions, &old).await, None);
}

/// Promise 5, under load: no reader with the old ID loses the session, no writer gets through with it once it is old,
/// no write is lost, and there is one new session however many ask for one.
pub async fn rotation_harms_no_reader_and_loses_no_write<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let old = stored(&sessions, 0).await;
    let rotated = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..25)
        .map(|_| {
            let (sessions, old, rotated) = (sessions.clone(), old.clone(), Arc::clone(&rotated));
            tokio::spawn(async move {
                let mut reads_after = 0;
                while reads_after < 5 {
                    let is_after = rotated.load(Ordering::SeqCst);
                    let seen = value(&sessions, &old).await;
                    assert!(seen.is_some(), "a reader lost the session");
                    reads_after += u32::from(is_after);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..25)
        .map(|number| {
            let (sessions, old, rotated) = (sessions.clone(), old.clone(), Arc::clone(&rotated));
            tokio::spawn(async move {
                for written in 0.. {
                    let is_after = rotated.load(Ordering::SeqCst);
                    match add_one_more(&sessions, &old, number % 2 == 0).await {
                        Ok(()) => assert!(!is_after, "a write went through the old ID"),
                        Err(WithError::Acquire(AcquireError::Rotated)) => return written,
                        Err(WithError::Commit(CommitError::Rotated)) => return written,
                        Err(error) => panic!("a writer is told {error:?}"),
                    }
                    tokio::task::yield_now().await;
                }
                unreachable!("a writer writes until the ID is old");
            })
        })
        .collect();
    let rotators: Vec<_> = (0..2)
        .map(|_| {
            let (sessions, old, rotated) = (sessions.clone(), old.clone(), Arc::clone(&rotated));
            tokio::spawn(async move {
                while value(&sessions, &old).await < Some(20) {
                    tokio::task::yield_now().await;
                }
                let mut guard = match sessions.lock(&old).await {
                    Ok(guard) => guard,
                    Err(AcquireError::Rotated) => return None,
                    Err(error) => panic!("it cannot be locked: {error}"),
                };
                let new = guard.regenerate();
                guard.commit().await.expect("it can be given a new ID");
                rotated.store(true, Ordering::SeqCst);
                Some(new)
            })
        })
        .collect();
    let mut new = Vec::new();
    for rotator in rotators {
        new.extend(rotator.await.expect("no task fails"));
    }
    assert_eq!(new.len(), 1, "one session has become several");
    let mut written = 0;
    for writer in writers {
        written += writer.await.expect("no task fails");
    }
    for reader in readers {
        reader.await.expect("no task fails");
    }
    assert_eq!(value(&sessions, &new[0]).await, Some(written));
}

async fn add_one_more(
    sessions: &Sessions,
    id: &SessionId,
    locked: bool,
) -> Result<(), WithError<Error>> {
    let add = |data: &mut session_core::SessionData| {
        let value = read(data);
        write(data, value + 1);
        Ok::<_, Error>(())
    };
    if locked {
        sessions.with(id, async |session| add(session)).await
    } else {
        sessions.update(id, add).await
    }
}

/// Whether the store gives sessions other IDs. One that does not is required to say so and to change nothing.
pub(crate) async fn can_rotate<F: PrimaryFixture>(fixture: &F) -> bool {
    if F::PROMISES.has(Promise::Rotation) {
        return true;
    }
    let sessions = sessions(fixture);
    still_itself_though(fixture, &sessions, |session| session.regenerate()).await;
    false
}

/// Marks a session by `mark`, and shows that the store refuses that and that nothing has changed.
pub(crate) async fn still_itself_though<F: PrimaryFixture>(
    fixture: &F,
    sessions: &Sessions,
    mark: impl FnOnce(&mut SessionGuard) -> SessionId,
) {
    let store = fixture.store();
    let id = stored(sessions, 1).await;
    let before = record(&store, id.key()).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    let new = mark(&mut guard);
    unsupported_commit(guard.commit().await);
    unchanged(&store, id.key(), &before).await;
    nothing_stands(fixture, &new).await;
    let free = meanwhile(fixture, sessions.lock(&id).into_future()).await;
    let free = free.expect("the lock is free");
    assert_eq!(read(&free), 1);
    free.discard().await.expect("it can be given back");
}

pub(crate) fn unsupported_commit(refused: Result<CommitReport, CommitError>) {
    match refused {
        Err(CommitError::Store(error)) => unsupported(&error),
        other => panic!("a promise that is not made is kept: {other:?}"),
    }
}

/// What a store says of promises that it does not make.
pub(crate) fn unsupported(error: &StoreError) {
    assert!(matches!(error.fault(), Fault::Unsuitable(_)), "{error}");
    assert!(!error.is_retryable());
}

/// Sessions whose old IDs are readable for that long.
pub(crate) fn graced<F: PrimaryFixture>(fixture: &F, grace_ms: u64) -> Sessions {
    let sessions = builder(fixture).grace(ms(grace_ms)).build();
    sessions.expect("the settings are valid")
}

/// Reads an old ID again and again until a grace of 400 ms is over, and then finds nothing.
pub(crate) async fn over_after_its_grace<F: PrimaryFixture>(
    fixture: &F,
    sessions: &Sessions,
    old: &SessionId,
) {
    let clock = fixture.store().clock();
    let start = clock.now();
    while clock.now().saturating_since(start) < ms(800) {
        value(sessions, old).await;
        fixture.pass(ms(50)).await;
    }
    assert_eq!(value(sessions, old).await, None, "the grace is over");
    let refused = sessions.lock(old).await;
    assert!(
        matches!(refused, Err(AcquireError::NoSession)),
        "{refused:?}"
    );
}

/// Gives the session a new ID.
pub(crate) async fn regenerated(sessions: &Sessions, id: &SessionId) -> SessionId {
    let mut guard = sessions.lock(id).await.expect("it can be locked");
    let new = guard.regenerate();
    guard.commit().await.expect("it can be given a new ID");
    new
}

/// What the core would tell the store to do for a new ID.
fn rotation(stored: &Stored, from: &SessionId, to: &SessionId) -> Rotation {
    let header = Header {
        commit_id: CommitId::random(),
        ..stored.header.clone()
    };
    let alias = Header {
        kind: RecordKind::Alias,
        ..header.clone()
    };
    Rotation {
        base: stored.header.commit_id,
        to: *to.key(),
        header,
        body: body(2),
        leaves: Leaves::Alias(Pointer {
            key: *from.key(),
            header: alias,
            body: body(3),
        }),
        grace: LONG_LEASE,
        earlier: Vec::new(),
        forgotten: Vec::new(),
        login: None,
    }
}

pub(crate) async fn unlocked(sessions: &Sessions, id: &SessionId) -> session_core::UnlockedSession {
    let loaded = sessions.unlocked().load(id).await;
    loaded.expect("it can be read").expect("it is there")
}

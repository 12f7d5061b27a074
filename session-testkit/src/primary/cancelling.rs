use std::{pin::Pin, sync::Mutex};

use session_core::{AcquireError, ReadError, SessionGuard};

use super::*;
use crate::cancel_after;

type Operation<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Drops `operation` at each of its awaits, each time on a session of its own with the value 1; afterwards the session
/// can be locked and holds the old or the new value, 2, whole. It may be gone only if `may_end`.
async fn at_every_await<F: PrimaryFixture>(
    fixture: &F,
    may_end: bool,
    operation: for<'a> fn(&'a Sessions, &'a SessionId) -> Operation<'a>,
) {
    let sessions = sessions(fixture);
    for polls in 0..MOST_POLLS {
        let id = stored(&sessions, 1).await;
        let finished = cancel_after(polls, operation(&sessions, &id)).await;
        let lock = sessions.lock(&id).wait_at_most(LONG_LEASE / 2);
        match meanwhile(fixture, lock.into_future()).await {
            Ok(guard) => {
                assert!([1, 2].contains(&read(&guard)));
                guard.discard().await.expect("it can be given back");
            }
            Err(AcquireError::NoSession) if may_end => {}
            Err(error) => {
                panic!("dropped after {polls} polls, the session cannot be locked: {error}")
            }
        }
        if finished.is_some() {
            return;
        }
    }
    panic!("the operation never finishes");
}

const MOST_POLLS: usize = 500;

/// Clause 10: a lock that nobody waits for any more is given back.
pub async fn cancelled_lock_leaves_nothing<F: PrimaryFixture>(fixture: &F) {
    at_every_await(fixture, false, |sessions, id| {
        Box::pin(async move {
            let guard = sessions.lock(id).await.expect("it can be locked");
            drop(guard);
        })
    })
    .await;
}

/// Clause 10: who stops waiting is out of the queue.
pub async fn cancelled_wait_leaves_nothing<F: PrimaryFixture>(fixture: &F) {
    let sessions = builder(fixture).max_waiters(1).build();
    let sessions = sessions.expect("the settings are valid");
    let id = stored(&sessions, 1).await;
    for polls in 1..12 {
        let holder = sessions.lock(&id).await.expect("it can be locked");
        let wait = sessions.lock(&id).wait_at_most(ms(50)).into_future();
        let waited = meanwhile(fixture, cancel_after(polls, wait)).await;
        assert!(!matches!(waited, Some(Ok(_))));
        // The only place in the queue is free again.
        let next = sessions.lock(&id).into_future();
        let (next, given_back) =
            meanwhile(fixture, async { tokio::join!(next, holder.commit()) }).await;
        given_back.expect("it can be given back");
        next.expect("nobody is before it")
            .discard()
            .await
            .expect("it can be given back");
    }
}

/// Clause 10: a lock that is handed to a waiter who is gone at that very moment goes on to the next.
pub async fn cancelled_hand_over_leaves_nothing<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    for polls in 1..8 {
        let holder = sessions.lock(&id).await.expect("it can be locked");
        let mut waiter = sessions.lock(&id).into_future();
        tokio::select! {
            biased;
            _ = cancel_after(polls, waiter.as_mut()) => {}
            () = fixture.pass(ms(50)) => {}
        }
        // The waiter is not polled any more: it never learns that the lock is its own.
        holder.commit().await.expect("it can be given back");
        drop(waiter);
        let lock = sessions.lock(&id).wait_at_most(LONG_LEASE / 2);
        let next = meanwhile(fixture, lock.into_future()).await;
        let next = next.expect("the lock went on");
        next.discard().await.expect("it can be given back");
    }
}

/// Clause 10: locks of several sessions are given back with the future.
pub async fn cancelled_lock_all_leaves_nothing<F: PrimaryFixture>(fixture: &F) {
    at_every_await(fixture, false, |sessions, id| {
        Box::pin(async move {
            let other = stored(sessions, 1).await;
            let guards = sessions.lock_all(&[&other, id]).await;
            assert_eq!(guards.expect("both can be locked").len(), 2);
        })
    })
    .await;
}

/// Clause 10: a commit is stored whole or not at all, and the lock is free.
pub async fn cancelled_commit_is_whole<F: PrimaryFixture>(fixture: &F) {
    at_every_await(fixture, false, |sessions, id| {
        Box::pin(async move {
            let mut guard = sessions.lock(id).await.expect("it can be locked");
            write(&mut guard, 2);
            guard.commit().await.expect("the change is stored");
        })
    })
    .await;
}

/// Clause 10: likewise for giving back.
pub async fn cancelled_discard_changes_nothing<F: PrimaryFixture>(fixture: &F) {
    at_every_await(fixture, false, |sessions, id| {
        Box::pin(async move {
            let guard = sessions.lock(id).await.expect("it can be locked");
            guard.discard().await.expect("it can be given back");
        })
    })
    .await;
}

/// Clause 10: a new session is stored whole or not at all.
pub async fn cancelled_create_is_whole_or_absent<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    for polls in 0..MOST_POLLS {
        let mut session = sessions.create();
        write(&mut session, 1);
        let id = session.id().clone();
        let finished = cancel_after(polls, session.commit()).await;
        let found = value(&sessions, &id).await;
        assert!([None, Some(1)].contains(&found));
        if finished.is_some() {
            assert_eq!(found, Some(1));
            return;
        }
    }
    panic!("the commit never finishes");
}

/// Clause 10: likewise for changes without a lock of their own.
pub async fn cancelled_update_is_whole<F: PrimaryFixture>(fixture: &F) {
    at_every_await(fixture, false, |sessions, id| {
        Box::pin(async move {
            let updated = sessions.update(id, |data| {
                write(data, 2);
                Ok::<_, Error>(())
            });
            updated.await.expect("the change is stored");
        })
    })
    .await;
}

/// Clause 10: and for those who never lock.
pub async fn cancelled_unlocked_save_is_whole<F: PrimaryFixture>(fixture: &F) {
    at_every_await(fixture, false, |sessions, id| {
        Box::pin(async move {
            let loaded = sessions.unlocked().load(id).await.expect("it can be read");
            let mut session = loaded.expect("it is there");
            write(&mut session, 2);
            session.save().await.expect("nobody holds the lock");
        })
    })
    .await;
}

/// Clause 10: a session lives or has ended, and nobody waits for it.
pub async fn cancelled_destroy_frees_the_lock<F: PrimaryFixture>(fixture: &F) {
    at_every_await(fixture, true, |sessions, id| {
        Box::pin(async move {
            sessions.destroy(id).await.expect("it can be ended");
        })
    })
    .await;
}

/// Clause 10: likewise for the end that a guard commits.
pub async fn cancelled_end_frees_the_lock<F: PrimaryFixture>(fixture: &F) {
    at_every_await(fixture, true, |sessions, id| {
        Box::pin(async move {
            let mut guard = sessions.lock(id).await.expect("it can be locked");
            guard.destroy();
            guard.commit().await.expect("it can be ended");
        })
    })
    .await;
}

/// Clauses 10 and 12: the session lives under one of the two IDs, whole.
pub async fn cancelled_rotation_is_whole<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    one_of_two_ids_lives(fixture, |guard| guard.regenerate()).await;
}

/// Clauses 10 and 12: likewise for a login.
pub async fn cancelled_login_is_whole<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    one_of_two_ids_lives(fixture, |guard| {
        guard.login("ada", &ada()).expect("it can be marked")
    })
    .await;
}

/// Gives a session that holds 1 a new ID by `mark` and the value 2, dropped at each of its awaits; afterwards the one
/// lives under its old ID or the other one under the new.
async fn one_of_two_ids_lives<F: PrimaryFixture>(
    fixture: &F,
    mark: fn(&mut SessionGuard) -> SessionId,
) {
    let sessions = sessions(fixture);
    for polls in 0..MOST_POLLS {
        let old = stored(&sessions, 1).await;
        let marked = Mutex::new(None);
        let finished = cancel_after(polls, async {
            let mut guard = sessions.lock(&old).await.expect("it can be locked");
            write(&mut guard, 2);
            let new = mark(&mut guard);
            *marked.lock().expect("no task fails") = Some(new);
            guard.commit().await.expect("it can be given a new ID");
        });
        let finished = finished.await.is_some();
        let new = marked.into_inner().expect("no task fails");
        let lock = sessions.lock(&old).wait_at_most(LONG_LEASE / 2);
        match meanwhile(fixture, lock.into_future()).await {
            Ok(guard) => {
                assert!(!finished, "the old ID is not old");
                assert_eq!(read(&guard), 1);
                guard.discard().await.expect("it can be given back");
                if let Some(new) = new {
                    assert_eq!(value(&sessions, &new).await, None, "both IDs live");
                }
            }
            Err(AcquireError::Rotated) => {
                let new = new.expect("it was marked");
                let lock = sessions.lock(&new).wait_at_most(LONG_LEASE / 2);
                let guard = meanwhile(fixture, lock.into_future()).await;
                let guard = guard.expect("it lives under the new ID");
                assert_eq!(read(&guard), 2);
                guard.discard().await.expect("it can be given back");
            }
            Err(error) => panic!("dropped after {polls} polls, it is lost: {error}"),
        }
        if finished {
            return;
        }
    }
    panic!("the commit never finishes");
}

/// Clause 10 for the scoped form, whose body may wait too.
pub async fn cancelled_with_is_whole<F: PrimaryFixture>(fixture: &F) {
    at_every_await(fixture, false, |sessions, id| {
        Box::pin(async move {
            let changed = sessions.with(id, async |session| {
                session.insert("left", 2_u64)?;
                tokio::task::yield_now().await;
                session.insert("right", 2_u64)?;
                Ok::<_, Error>(())
            });
            changed.await.expect("the change is stored");
        })
    })
    .await;
}

/// Clause 10 for the scoped form that makes a session.
pub async fn cancelled_with_new_is_whole_or_absent<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    for polls in 0..MOST_POLLS {
        let mut made = None;
        let new = sessions.with_new(async |session| {
            made = Some(session.id().clone());
            session.insert("left", 1_u64)?;
            tokio::task::yield_now().await;
            session.insert("right", 1_u64)?;
            Ok::<_, Error>(())
        });
        let finished = cancel_after(polls, new).await.is_some();
        let found = match made {
            Some(id) => value(&sessions, &id).await,
            None => None,
        };
        assert!([None, Some(1)].contains(&found));
        if finished {
            assert_eq!(found, Some(1));
            return;
        }
    }
    panic!("the new session is never finished");
}

/// Clause 10: reading changes nothing, finished or not.
pub async fn cancelled_snapshot_changes_nothing<F: PrimaryFixture>(fixture: &F) {
    at_every_await(fixture, false, |sessions, id| {
        Box::pin(async move {
            let read = sessions.snapshot(id).await.expect("it can be read");
            assert!(read.is_some());
        })
    })
    .await;
}

/// A shutdown that is not waited for is one all the same.
pub async fn cancelled_shutdown_stays_shut_down<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let guard = sessions.lock(&id).await.expect("it can be locked");
    cancel_after(1, sessions.shutdown(WAIT)).await;
    assert!(matches!(
        sessions.snapshot(&id).await,
        Err(ReadError::ShutDown)
    ));
    guard.discard().await.expect("it can be given back");
    meanwhile(fixture, sessions.shutdown(WAIT))
        .await
        .expect("no guard is out");
}

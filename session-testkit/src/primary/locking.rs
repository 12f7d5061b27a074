use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use session_core::{AcquireError, PrimaryStore as _, WithError};

use super::*;

/// Clause 2: bodies on one session never overlap.
pub async fn a_session_is_locked_by_one_at_a_time<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 0).await;
    let inside = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (sessions, id, inside) = (sessions.clone(), id.clone(), Arc::clone(&inside));
            tokio::spawn(async move {
                let guard = sessions.lock(&id).await.expect("it can be locked");
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                guard.discard().await.expect("it can be given back");
            })
        })
        .collect();
    for task in tasks {
        meanwhile(fixture, task).await.expect("no task fails");
    }
}

/// Promise 1 between processes: a lock excludes all of them.
pub async fn a_session_locked_elsewhere_is_locked_here<F: PrimaryFixture>(fixture: &F) {
    let Some(elsewhere) = elsewhere(fixture).await else {
        return;
    };
    let sessions = sessions(fixture);
    let id = stored(&sessions, 0).await;
    let guard = elsewhere.lock(&id).await.expect("it can be locked");
    let here = sessions.lock(&id).wait_at_most(ms(100));
    assert!(matches!(
        meanwhile(fixture, here.into_future()).await,
        Err(AcquireError::Held { .. })
    ));
    guard.commit().await.expect("it can be given back");
    // Not at once: it may be offered to the waiter that has just gone, until this process hands it back.
    let here = sessions
        .lock(&id)
        .wait_at_most(LONG_LEASE / 2)
        .into_future();
    let here = meanwhile(fixture, here).await;
    here.expect("it is free")
        .discard()
        .await
        .expect("it can be given back");
}

/// Promise 12 between processes: a waiter learns that the lock is free, well before its lease would end.
pub async fn a_waiter_gets_the_lock_that_is_given_back_elsewhere<F: PrimaryFixture>(fixture: &F) {
    let Some(elsewhere) = elsewhere(fixture).await else {
        return;
    };
    let sessions = sessions(fixture);
    let id = stored(&sessions, 0).await;
    let guard = elsewhere.lock(&id).await.expect("it can be locked");
    let waiter = tokio::spawn({
        let (sessions, id) = (sessions.clone(), id.clone());
        async move { sessions.lock(&id).wait_at_most(LONG_LEASE / 2).await }
    });
    fixture.pass(ms(100)).await;
    assert!(!waiter.is_finished());
    guard.commit().await.expect("it can be given back");
    let guard = meanwhile(fixture, waiter).await.expect("no task fails");
    guard
        .expect("the waiter gets it")
        .discard()
        .await
        .expect("it can be given back");
}

/// Clause 2: first come, first served.
pub async fn second_waiter_gets_the_lock_in_order<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 0).await;
    let holder = sessions.lock(&id).await.expect("it can be locked");
    let order = Arc::new(Mutex::new(Vec::new()));
    let waiters: Vec<_> = (0..6)
        .map(|number| {
            let (sessions, id, order) = (sessions.clone(), id.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                let guard = sessions.lock(&id).await.expect("it can be locked");
                order.lock().expect("no task fails").push(number);
                guard.discard().await.expect("it can be given back");
            })
        })
        .collect();
    fixture.pass(ms(100)).await;
    assert!(order.lock().expect("no task fails").is_empty());
    holder.commit().await.expect("it can be given back");
    for waiter in waiters {
        meanwhile(fixture, waiter).await.expect("no task fails");
    }
    assert_eq!(*order.lock().expect("no task fails"), [0, 1, 2, 3, 4, 5]);
}

/// Promise 12: nobody waits for longer than asked for.
pub async fn wait_timeout_is_kept<F: PrimaryFixture>(fixture: &F) {
    let clock = fixture.store().clock();
    let sessions = sessions(fixture);
    let id = stored(&sessions, 0).await;
    let holder = sessions.lock(&id).await.expect("it can be locked");
    for wait in [Duration::ZERO, ms(150)] {
        let start = clock.now();
        let lock = sessions.lock(&id).wait_at_most(wait).into_future();
        let refused = meanwhile(fixture, lock).await;
        let took = clock.now().saturating_since(start);
        assert!(matches!(refused, Err(AcquireError::Held { waited, .. }) if waited >= wait));
        assert!(took >= wait, "gave up after {took:?}");
        assert!(took < wait + LONG_LEASE / 4, "waited for {took:?}");
    }
    holder.discard().await.expect("it can be given back");
}

/// Promise 12: the number of waiters is bounded, and who waits already is not harmed.
pub async fn one_waiter_too_many_is_busy<F: PrimaryFixture>(fixture: &F) {
    let sessions = builder(fixture).max_waiters(1).build();
    let sessions = sessions.expect("the settings are valid");
    let id = stored(&sessions, 0).await;
    let holder = sessions.lock(&id).await.expect("it can be locked");
    let mut first = sessions.lock(&id).into_future();
    let mut second = sessions.lock(&id).into_future();
    let (refused, waiting) = meanwhile(fixture, async {
        tokio::select! {
            biased;
            refused = &mut first => (refused, second),
            refused = &mut second => (refused, first),
        }
    })
    .await;
    assert!(matches!(refused, Err(AcquireError::Busy { waiting: 1 })));
    holder.commit().await.expect("it can be given back");
    let guard = meanwhile(fixture, waiting).await;
    guard
        .expect("the waiter gets it")
        .discard()
        .await
        .expect("it can be given back");
}

/// A lock is of one session.
pub async fn sessions_do_not_wait_for_each_other<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let mut guards = Vec::new();
    for number in 0..20 {
        let id = stored(&sessions, number).await;
        let lock = sessions.lock(&id).wait_at_most(Duration::ZERO);
        guards.push(lock.await.expect("nobody holds it"));
    }
    for guard in guards {
        guard.discard().await.expect("it can be given back");
    }
}

/// Promise 12: a holder that hangs blocks nobody for ever.
pub async fn a_lock_that_is_never_given_back_is_free_after_the_longest_hold<F: PrimaryFixture>(
    fixture: &F,
) {
    let sessions = short_leases(fixture);
    let id = stored(&sessions, 0).await;
    let _hangs = sessions.lock(&id).await.expect("it can be locked");
    let next = meanwhile(fixture, sessions.lock(&id).into_future()).await;
    next.expect("the lease has run out")
        .discard()
        .await
        .expect("it can be given back");
}

/// The guards come as they were asked for, whatever order they were locked in.
pub async fn lock_all_gives_the_guards_in_the_order_of_the_ids<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let mut ids = Vec::new();
    for number in 0..8 {
        ids.push(stored(&sessions, number).await);
    }
    let guards = sessions.lock_all(&ids.iter().collect::<Vec<_>>()).await;
    for (number, guard) in guards.expect("all are free").into_iter().enumerate() {
        assert_eq!(read(&guard), number as u64);
        assert_eq!(guard.id(), &ids[number]);
        guard.discard().await.expect("it can be given back");
    }
}

/// Two callers that name the same sessions in opposite orders never wait for each other.
pub async fn lock_all_in_opposite_orders_never_deadlocks<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let ids = [stored(&sessions, 0).await, stored(&sessions, 0).await];
    let task = |first: usize| {
        let (sessions, ids) = (sessions.clone(), ids.clone());
        tokio::spawn(async move {
            for _ in 0..10 {
                let named = [&ids[first], &ids[1 - first]];
                let guards = sessions.lock_all(&named).await.expect("both can be locked");
                for mut guard in guards {
                    let value = read(&guard);
                    tokio::task::yield_now().await;
                    write(&mut guard, value + 1);
                    guard.commit().await.expect("the change is stored");
                }
            }
        })
    };
    let (forward, backward) = (task(0), task(1));
    meanwhile(fixture, forward).await.expect("no task fails");
    meanwhile(fixture, backward).await.expect("no task fails");
    assert_eq!(value(&sessions, &ids[0]).await, Some(20));
    assert_eq!(value(&sessions, &ids[1]).await, Some(20));
}

/// If one cannot be locked, none stays locked.
pub async fn lock_all_locks_all_or_none<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let ids = [stored(&sessions, 0).await, stored(&sessions, 0).await];
    let unknown = fixture.store().new_id();
    let refused = sessions.lock_all(&[&ids[0], &unknown, &ids[1]]).await;
    assert!(matches!(refused, Err(AcquireError::NoSession)));
    for id in &ids {
        let free = meanwhile(fixture, sessions.lock(id).into_future()).await;
        free.expect("it is free")
            .discard()
            .await
            .expect("it can be given back");
    }
}

/// Waiting for oneself would never end.
pub async fn lock_all_of_one_session_twice_is_already_held<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 0).await;
    let refused = sessions.lock_all(&[&id, &id]).await;
    assert!(matches!(refused, Err(AcquireError::AlreadyHeld)));
}

/// Inside of a body, in the same task, every second lock of the session is refused at once; of others it is not.
pub async fn a_second_lock_inside_of_a_body_is_already_held<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let (id, other) = (stored(&sessions, 0).await, stored(&sessions, 0).await);
    let body = async |session: &mut session_core::SessionGuard| {
        let lock = sessions.lock(&id).await;
        assert!(matches!(lock, Err(AcquireError::AlreadyHeld)));
        let all = sessions.lock_all(&[&other, &id]).await;
        assert!(matches!(all, Err(AcquireError::AlreadyHeld)));
        let update = sessions.update(&id, |data| data.insert("left", 9)).await;
        assert!(matches!(
            update,
            Err(WithError::Acquire(AcquireError::AlreadyHeld))
        ));
        add_one(&sessions, &other).await;
        write(session, 1);
        Ok::<_, Error>(())
    };
    meanwhile(fixture, sessions.with(&id, body))
        .await
        .expect("the change is stored");
    assert_eq!(value(&sessions, &id).await, Some(1));
    assert_eq!(value(&sessions, &other).await, Some(1));
    add_one(&sessions, &id).await;
}

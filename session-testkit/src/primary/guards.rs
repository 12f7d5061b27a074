use session_core::{AcquireError, CommitError, ReadError, ShutdownTimedOut, WithError};

use super::*;

/// A body that returns `Ok` is committed, and its value is the answer.
pub async fn with_commits_what_an_ok_body_did<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let doubled = sessions.with(&id, async |session| {
        let value = read(session) * 2;
        write(session, value);
        Ok::<_, Error>(value)
    });
    assert_eq!(doubled.await.ok(), Some(2));
    assert_eq!(value(&sessions, &id).await, Some(2));
}

/// A body that returns `Err` leaves no trace.
pub async fn with_changes_nothing_if_its_body_fails<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let failed = sessions.with(&id, async |session| {
        write(session, 2);
        Err::<(), _>("on purpose")
    });
    assert!(matches!(failed.await, Err(WithError::Body("on purpose"))));
    still(fixture, &id, 1).await;
}

/// Nor does one that panics.
pub async fn with_changes_nothing_if_its_body_panics<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let task = tokio::spawn({
        let id = id.clone();
        async move {
            let body = async |session: &mut session_core::SessionGuard| {
                write(session, 2);
                if read(session) == 2 {
                    panic!("on purpose");
                }
                Ok::<_, Error>(())
            };
            sessions.with(&id, body).await
        }
    });
    let panicked = task.await.expect_err("the body panics");
    assert!(panicked.is_panic());
    still(fixture, &id, 1).await;
}

/// The form for frameworks makes the same promises.
pub async fn with_boxed_commits_discards_and_locks_as_with_does<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let failed = sessions.with_boxed(&id, |session| {
        Box::pin(async move {
            write(session, 2);
            Err::<(), _>("on purpose")
        })
    });
    assert!(matches!(failed.await, Err(WithError::Body("on purpose"))));
    still(fixture, &id, 1).await;
    let (inner, inner_id) = (sessions.clone(), id.clone());
    let stored = sessions.with_boxed(&id, move |session| {
        Box::pin(async move {
            let second = inner.lock(&inner_id).await;
            assert!(matches!(second, Err(AcquireError::AlreadyHeld)));
            write(session, 3);
            Ok::<_, Error>(())
        })
    });
    stored.await.expect("the change is stored");
    still(fixture, &id, 3).await;
}

/// A new session whose body fails is never stored.
pub async fn with_new_stores_nothing_if_its_body_fails<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let mut made = None;
    let failed = sessions.with_new(async |session| {
        write(session, 1);
        made = Some(session.id().clone());
        Err::<(), _>("on purpose")
    });
    assert!(matches!(failed.await, Err(WithError::Body("on purpose"))));
    nothing_stands(fixture, &made.expect("the body ran")).await;
    let (id, ()) = sessions
        .with_new(async |session| {
            write(session, 1);
            Ok::<_, Error>(())
        })
        .await
        .expect("a new session is stored");
    still(fixture, &id, 1).await;
}

/// Discarding gives the lock back and nothing else.
pub async fn discarded_guard_changes_nothing<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    write(&mut guard, 2);
    guard.discard().await.expect("it can be given back");
    let free = sessions.lock(&id).wait_at_most(Duration::ZERO).await;
    let free = free.expect("it is free at once");
    assert_eq!(read(&free), 1);
    free.discard().await.expect("it can be given back");
}

/// Dropping discards, and the lock is free soon, not only when the lease ends.
pub async fn dropped_guard_frees_the_lock<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    write(&mut guard, 2);
    drop(guard);
    still(fixture, &id, 1).await;
}

/// The same on a thread that knows no runtime.
pub async fn guard_dropped_on_a_plain_thread_frees_the_lock<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    write(&mut guard, 2);
    let thread = std::thread::spawn(move || drop(guard));
    thread.join().expect("dropping does not panic");
    still(fixture, &id, 1).await;
}

/// The same while a panic unwinds.
pub async fn guard_dropped_while_unwinding_frees_the_lock<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    write(&mut guard, 2);
    let thread = std::thread::spawn(move || {
        let _guard = guard;
        panic!("on purpose");
    });
    thread.join().expect_err("it panics once, not twice");
    still(fixture, &id, 1).await;
}

/// A guard outlives the runtime that it was locked on: dropping it then harms nothing, and the lock frees itself at
/// the latest with its lease.
pub async fn guard_dropped_after_its_runtime_frees_the_lock<F: PrimaryFixture>(fixture: &F) {
    let sessions = builder(fixture)
        .lease(ms(900))
        .build()
        .expect("the settings are valid");
    let id = stored(&sessions, 1).await;
    let thread = tokio::task::spawn_blocking({
        let (sessions, id) = (sessions.clone(), id.clone());
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be made");
            let guard = runtime.block_on(sessions.lock(&id).into_future());
            let mut guard = guard.expect("it can be locked");
            write(&mut guard, 2);
            drop(runtime);
            drop(guard);
        }
    });
    meanwhile(fixture, thread)
        .await
        .expect("dropping does not panic");
    still(fixture, &id, 1).await;
    // And the store works as before, renewal included.
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    fixture.pass(ms(1_800)).await;
    write(&mut guard, 3);
    guard.commit().await.expect("the lease was renewed");
}

/// After a shutdown there are no new guards, reads or sessions.
pub async fn shutdown_grants_and_reads_nothing_more<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut new = sessions.create();
    write(&mut new, 2);
    meanwhile(fixture, sessions.shutdown(WAIT))
        .await
        .expect("no guard is out");
    assert!(matches!(
        sessions.lock(&id).await,
        Err(AcquireError::ShutDown)
    ));
    assert!(matches!(
        sessions.snapshot(&id).await,
        Err(ReadError::ShutDown)
    ));
    let update = sessions.update(&id, |data| data.insert("left", 2)).await;
    assert!(matches!(
        update,
        Err(WithError::Acquire(AcquireError::ShutDown))
    ));
    assert!(matches!(new.commit().await, Err(CommitError::ShutDown)));
}

/// Whoever is at work is waited for and can finish.
pub async fn shutdown_waits_for_guards_and_lets_them_commit<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    let shutdown = tokio::spawn({
        let sessions = sessions.clone();
        async move { sessions.shutdown(WAIT).await }
    });
    fixture.pass(ms(100)).await;
    assert!(!shutdown.is_finished());
    write(&mut guard, 2);
    guard.commit().await.expect("the change is stored");
    let done = meanwhile(fixture, shutdown).await.expect("no task fails");
    done.expect("no guard is out");
    still(fixture, &id, 2).await;
}

/// A guard that hangs does not stop a shutdown.
pub async fn shutdown_gives_up_at_its_limit<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let guard = sessions.lock(&id).await.expect("it can be locked");
    let shutdown = meanwhile(fixture, sessions.shutdown(ms(150))).await;
    assert!(matches!(shutdown, Err(ShutdownTimedOut { limit, .. }) if limit == ms(150)));
    guard.discard().await.expect("it can be given back");
    meanwhile(fixture, sessions.shutdown(WAIT))
        .await
        .expect("no guard is out");
}

/// Shows that the session holds `expected` and can be locked.
async fn still<F: PrimaryFixture>(fixture: &F, id: &SessionId, expected: u64) {
    let sessions = sessions(fixture);
    let lock = sessions.lock(id).wait_at_most(LONG_LEASE / 2).into_future();
    let guard = meanwhile(fixture, lock).await.expect("the lock is free");
    assert_eq!(read(&guard), expected);
    guard.discard().await.expect("it can be given back");
}

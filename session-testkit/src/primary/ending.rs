use session_core::{AcquireError, CommitError};

use super::*;

/// Clause 8: whoever holds or waits for the session, it is over for all of them.
pub async fn destroy_ends_for_waiters_and_holders<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut holder = sessions.lock(&id).await.expect("it can be locked");
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let (sessions, id) = (sessions.clone(), id.clone());
            tokio::spawn(async move { sessions.lock(&id).await })
        })
        .collect();
    fixture.pass(ms(100)).await;
    sessions.destroy(&id).await.expect("it can be ended");
    // At once: the holder has not let go.
    let late = sessions.lock(&id).wait_at_most(Duration::ZERO).await;
    assert!(matches!(late, Err(AcquireError::NoSession)), "{late:?}");
    for waiter in waiters {
        let waited = meanwhile(fixture, waiter).await.expect("no task fails");
        assert!(matches!(waited, Err(AcquireError::NoSession)), "{waited:?}");
    }
    write(&mut holder, 2);
    let refused = holder.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    assert_eq!(value(&sessions, &id).await, None);
}

/// Promise 4 between processes.
pub async fn destroy_elsewhere_ends_the_session_here<F: PrimaryFixture>(fixture: &F) {
    let Some(elsewhere) = elsewhere(fixture).await else {
        return;
    };
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut holder = sessions.lock(&id).await.expect("it can be locked");
    write(&mut holder, 2);
    elsewhere.destroy(&id).await.expect("it can be ended");
    let refused = holder.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    assert_eq!(value(&sessions, &id).await, None);
}

/// Clause 8: a guessed ID costs the store nothing.
pub async fn destroy_of_unknown_stores_nothing<F: PrimaryFixture>(fixture: &F) {
    let id = fixture.store().new_id();
    let destroyed = sessions(fixture).destroy(&id).await;
    destroyed.expect("unknown is no error");
    nothing_stands(fixture, &id).await;
}

/// Clause 8: ending again is safe.
pub async fn destroy_twice_succeeds<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    for _ in 0..2 {
        sessions.destroy(&id).await.expect("it can be ended");
        assert_eq!(value(&sessions, &id).await, None);
    }
}

/// A logout in the middle of other changes is one step with them.
pub async fn destroy_marked_on_a_guard_ends_the_session_at_commit<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    write(&mut guard, 2);
    guard.destroy();
    assert_eq!(value(&sessions, &id).await, Some(1));
    let report = guard.commit().await.expect("it can be ended");
    assert!(!report.is_stored());
    assert_eq!(value(&sessions, &id).await, None);
    let late = sessions.lock(&id).await;
    assert!(matches!(late, Err(AcquireError::NoSession)), "{late:?}");
}

/// A mark is discarded with everything else.
pub async fn destroy_marked_on_a_guard_without_commit_keeps_the_session<F: PrimaryFixture>(
    fixture: &F,
) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    guard.destroy();
    guard.discard().await.expect("it can be given back");
    assert_eq!(value(&sessions, &id).await, Some(1));
}

/// Promise 2 for the mark: it was decided on data that others may have changed.
pub async fn destroy_by_a_late_holder_is_refused<F: PrimaryFixture>(fixture: &F) {
    let (late, sessions) = (short_leases(fixture), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let mut guard = late.lock(&id).await.expect("it can be locked");
    let next = meanwhile(fixture, sessions.lock(&id).into_future()).await;
    let next = next.expect("the lease has run out");
    guard.destroy();
    let refused = guard.commit().await;
    assert!(
        matches!(refused, Err(CommitError::LeaseLost { .. })),
        "{refused:?}"
    );
    next.commit().await.expect("it can be given back");
    assert_eq!(value(&sessions, &id).await, Some(1));
}

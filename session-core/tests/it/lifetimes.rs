//! Lifetimes of single sessions, by the store's clock.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use session_core::{CommitError, MemoryStore, SessionId, Sessions, Timeouts};
use session_lock::Clock as _;
use session_testkit::FakeClock;

const SECOND: Duration = Duration::from_secs(1);

fn bench() -> (Sessions, FakeClock) {
    let clock = FakeClock::new();
    let store = MemoryStore::builder().clock(Arc::new(clock.clone()));
    let timeouts = Timeouts::new(60 * SECOND, 3600 * SECOND).unwrap();
    let sessions = Sessions::builder(store.build().unwrap()).timeouts(timeouts);
    (sessions.build().unwrap(), clock)
}

async fn stored(sessions: &Sessions) -> SessionId {
    let made = sessions
        .with_new(async |session| session.insert("n", 1))
        .await;
    made.unwrap().0
}

async fn lives(sessions: &Sessions, id: &SessionId) -> bool {
    sessions.snapshot(id).await.unwrap().is_some()
}

#[tokio::test]
async fn a_session_ends_after_the_span_that_it_was_given() {
    let (sessions, clock) = bench();
    let id = stored(&sessions).await;
    let mut guard = sessions.lock(&id).await.unwrap();
    guard.expire_after(100 * SECOND).unwrap();
    assert!(guard.is_modified());
    guard.commit().await.unwrap();
    clock.pass(50 * SECOND, SECOND).await;
    let snapshot = sessions.snapshot(&id).await.unwrap().unwrap();
    assert!(snapshot.remaining().absolute <= 50 * SECOND);
    // Used all the time, and over all the same.
    clock.pass(40 * SECOND, SECOND).await;
    assert!(lives(&sessions, &id).await);
    clock.pass(11 * SECOND, SECOND).await;
    assert!(!lives(&sessions, &id).await);
}

#[tokio::test]
async fn a_session_ends_at_the_time_that_it_was_given_whatever_the_clock_of_the_client_says() {
    let (sessions, clock) = bench();
    let id = stored(&sessions).await;
    let end = clock.unix_time() + 30 * SECOND;
    clock.set_unix_time(clock.unix_time() + 7 * 3600 * SECOND);
    for session in [Some(&id), None] {
        let mut guard = match session {
            Some(id) => sessions.lock(id).await.unwrap(),
            None => sessions.create(),
        };
        guard.insert("n", 2).unwrap();
        guard.expire_at(UNIX_EPOCH + end).unwrap();
        let id = guard.id().clone();
        guard.commit().await.unwrap();
        let left = sessions.snapshot(&id).await.unwrap().unwrap();
        let left = left.remaining().absolute;
        assert!((29 * SECOND..=30 * SECOND).contains(&left), "{left:?}");
    }
    clock.pass(31 * SECOND, SECOND).await;
    assert!(!lives(&sessions, &id).await);
}

#[tokio::test]
async fn times_that_are_over_or_too_far_are_refused() {
    let (sessions, _) = bench();
    let mut guard = sessions.create();
    assert!(guard.expire_at(UNIX_EPOCH).is_err());
    assert!(guard.expire_after(Duration::ZERO).is_err());
    assert!(guard.expire_after(Duration::MAX).is_err());
    assert!(!guard.is_modified());
}

#[tokio::test]
async fn a_session_that_is_remembered_stays_so_across_a_new_id() {
    let (sessions, clock) = bench();
    let id = stored(&sessions).await;
    let mut guard = sessions.lock(&id).await.unwrap();
    let long = Timeouts::new(7200 * SECOND, 90_000 * SECOND).unwrap();
    guard.set_timeouts(long);
    guard.set_persistent(true);
    guard.commit().await.unwrap();
    let mut guard = sessions.lock(&id).await.unwrap();
    assert!(guard.is_persistent() && !guard.is_modified());
    let id = guard.regenerate();
    guard.commit().await.unwrap();
    clock.pass(7000 * SECOND, 60 * SECOND).await;
    let snapshot = sessions.snapshot(&id).await.unwrap().unwrap();
    assert!(snapshot.is_persistent());
    assert!(snapshot.remaining().absolute > 80_000 * SECOND);
}

#[tokio::test]
async fn a_flag_alone_is_a_change() {
    let (sessions, _) = bench();
    let id = stored(&sessions).await;
    let mut guard = sessions.lock(&id).await.unwrap();
    guard.set_persistent(true);
    assert!(guard.commit().await.unwrap().is_stored());
    let mut guard = sessions.lock(&id).await.unwrap();
    guard.set_persistent(true);
    assert!(!guard.commit().await.unwrap().is_stored());
}

#[tokio::test]
async fn a_span_that_passes_before_the_commit_ends_the_session() {
    let (sessions, clock) = bench();
    let id = stored(&sessions).await;
    let mut guard = sessions.lock(&id).await.unwrap();
    guard.expire_after(SECOND).unwrap();
    clock.pass(2 * SECOND, SECOND).await;
    let refused = guard.commit().await;
    assert!(matches!(refused, Err(CommitError::Expired)), "{refused:?}");
    assert!(!lives(&sessions, &id).await);
}

#[tokio::test]
async fn a_guard_tells_how_long_the_session_lives_from_its_commit_on() {
    let (sessions, clock) = bench();
    let longer = Timeouts::new(60 * SECOND, 7200 * SECOND).unwrap();
    for (change, expected) in [
        (0, 3590 * SECOND),
        (1, 7190 * SECOND),
        (2, 100 * SECOND),
        (3, 3600 * SECOND),
        (4, 7200 * SECOND),
    ] {
        let id = stored(&sessions).await;
        clock.pass(10 * SECOND, SECOND).await;
        let mut guard = sessions.lock(&id).await.unwrap();
        guard.insert("n", change).unwrap();
        match change {
            1 => guard.set_timeouts(longer),
            2 => guard.expire_after(100 * SECOND).unwrap(),
            3 => drop(guard.login("ada", &()).unwrap()),
            4 => {
                guard.set_timeouts(longer);
                guard.login("ada", &()).unwrap();
            }
            _ => {}
        }
        let told = guard.remaining_at_commit();
        assert_eq!(told.absolute, expected, "{change}");
        let id = guard.commit().await.unwrap().id.unwrap_or(id);
        let found = sessions.snapshot(&id).await.unwrap().unwrap().remaining();
        assert_eq!(told, found, "{change}");
    }
    let mut new = sessions.create();
    new.set_timeouts(longer);
    assert_eq!(new.remaining_at_commit().absolute, 7200 * SECOND);
}

#[tokio::test]
async fn a_snapshot_tells_how_long_ago_its_user_logged_in() {
    let (sessions, clock) = bench();
    let id = stored(&sessions).await;
    clock.pass(10 * SECOND, SECOND).await;
    let before = sessions.snapshot(&id).await.unwrap().unwrap();
    assert_eq!(before.age(), 10 * SECOND);
    let mut guard = sessions.lock(&id).await.unwrap();
    let id = guard.login("ada", &()).unwrap();
    guard.commit().await.unwrap();
    clock.pass(5 * SECOND, SECOND).await;
    let after = sessions.snapshot(&id).await.unwrap().unwrap();
    assert_eq!(after.age(), 5 * SECOND);
}

#[tokio::test]
async fn a_report_tells_whether_the_session_was_ended() {
    let (sessions, _clock) = bench();
    let id = stored(&sessions).await;
    for end in [false, true] {
        let mut guard = sessions.lock(&id).await.unwrap();
        if end {
            guard.logout();
        }
        assert_eq!(guard.commit().await.unwrap().is_ended, end);
    }
    let mut new = sessions.create();
    new.destroy();
    assert!(new.commit().await.unwrap().is_ended);
}

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use session_core::{
    CommitError, Composed, Error, MemoryLocker, MemoryRecords, RedlockLocker, SessionId, Sessions,
    SystemClock, Timeouts,
};
use session_lock::{MemoryNode, Redlock};
use session_testkit::FakeClock;

fn parts(clock: &FakeClock) -> (MemoryRecords, impl Fn() -> MemoryLocker + use<>) {
    let clock = clock.clone();
    let records = MemoryRecords::with_clock(Arc::new(clock.clone()));
    (records, move || {
        MemoryLocker::with_clock(Arc::new(clock.clone()))
    })
}

async fn stored(sessions: &Sessions) -> SessionId {
    let new = sessions.with_new(async |session| Ok::<_, Error>(session.insert("name", "Ada")?));
    new.await.unwrap().0
}

async fn rename(sessions: &Sessions, id: &SessionId, name: &str) {
    let rename = sessions.with(id, async |session| {
        Ok::<_, Error>(session.insert("name", name)?)
    });
    rename.await.unwrap();
}

async fn name(sessions: &Sessions, id: &SessionId) -> Option<String> {
    let snapshot = sessions.snapshot(id).await.unwrap().unwrap();
    snapshot.get("name").unwrap()
}

// The server of the locks has lost its data: it grants anew and from small tokens on.
#[tokio::test]
async fn a_locker_that_has_forgotten_its_tokens_is_told_how_far_it_was() {
    let (records, locker) = parts(&FakeClock::new());
    let sessions = Sessions::new(Composed::new(records.clone(), locker()));
    let id = stored(&sessions).await;
    for _ in 0..5 {
        rename(&sessions, &id, "Eve").await;
        rename(&sessions, &id, "Ada").await;
    }
    let after_the_loss = Sessions::new(Composed::new(records, locker()));
    rename(&after_the_loss, &id, "Eve").await;
    assert_eq!(name(&sessions, &id).await.as_deref(), Some("Eve"));
}

#[tokio::test]
async fn a_holder_from_before_the_loss_of_the_locks_writes_nothing() {
    let (records, locker) = parts(&FakeClock::new());
    let sessions = Sessions::new(Composed::new(records.clone(), locker()));
    let id = stored(&sessions).await;
    let mut early = sessions.lock(&id).await.unwrap();
    early.insert("name", "Eve").unwrap();

    let after_the_loss = Sessions::new(Composed::new(records, locker()));
    let late = after_the_loss.lock(&id).await.unwrap();
    assert!(
        early.lease_remaining() > Duration::ZERO,
        "both think that they hold it"
    );
    let refused = early.commit().await;
    assert!(
        matches!(refused, Err(CommitError::LeaseLost { .. })),
        "{refused:?}"
    );
    late.commit().await.unwrap();
    assert_eq!(name(&sessions, &id).await.as_deref(), Some("Ada"));
}

// Keeping a short-lived session alive spawned a task, and panicked where there was no runtime.
#[test]
fn a_short_lived_session_can_be_locked_without_a_runtime() {
    let (records, locker) = parts(&FakeClock::new());
    let timeouts = Timeouts::new(Duration::from_secs(1), Duration::from_secs(9)).unwrap();
    let sessions = Sessions::builder(Composed::new(records, locker())).timeouts(timeouts);
    let sessions = sessions.build().unwrap();
    let id = at_once(stored(&sessions));
    let guard = at_once(sessions.lock(&id).into_future()).unwrap();
    at_once(guard.commit()).unwrap();
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("in memory nothing has to be waited for"),
    }
}

#[test]
fn a_lock_whose_nodes_know_only_short_leases_is_no_locker_of_sessions() {
    let node = MemoryNode::new("a", Arc::new(SystemClock));
    let lock = Redlock::builder(vec![Arc::new(node)]).build().unwrap();
    let refused = RedlockLocker::new(lock).unwrap_err();
    assert_eq!(refused.setting(), "longest TTL of the lock");
}

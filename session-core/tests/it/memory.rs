use std::{sync::Arc, time::Duration};

use session_core::{
    CommitError, Error, Fault, MemoryStore, MemoryStoreBuilder, SessionId, Sessions, Timeouts,
};
use session_lock::Clock as _;
use session_testkit::{FakeClock, settle};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A store on a clock that stands still, and sessions that live for ten seconds unused and for an hour in all.
fn store(settings: impl FnOnce(MemoryStoreBuilder) -> MemoryStoreBuilder) -> Bench {
    let clock = FakeClock::new();
    let builder = MemoryStore::builder().clock(Arc::new(clock.clone()));
    let store = settings(builder).build().unwrap();
    let timeouts = Timeouts::new(10 * SECOND, 60 * MINUTE).unwrap();
    let sessions = Sessions::builder(store.clone()).timeouts(timeouts);
    let sessions = sessions.build().unwrap();
    Bench {
        clock,
        store,
        sessions,
    }
}

struct Bench {
    clock: FakeClock,
    store: MemoryStore,
    sessions: Sessions,
}

impl Bench {
    async fn create(&self) -> Result<SessionId, CommitError> {
        let mut session = self.sessions.create();
        session.insert("name", "Ada").unwrap();
        let id = session.id().clone();
        session.commit().await.map(|_| id)
    }

    async fn lives(&self, id: &SessionId) -> bool {
        self.sessions.snapshot(id).await.unwrap().is_some()
    }
}

#[tokio::test]
async fn expired_sessions_are_cleaned_up_at_the_interval() {
    let bench = store(|builder| builder.cleanup_every(30 * SECOND));
    let old = bench.create().await.unwrap();
    settle().await;
    bench.clock.pass(25 * SECOND, SECOND).await;
    let young = bench.create().await.unwrap();
    assert!(!bench.lives(&old).await);
    bench
        .clock
        .pass(5 * SECOND - Duration::from_nanos(1), SECOND)
        .await;
    assert_eq!(bench.store.len(), 2);
    bench.clock.pass(Duration::from_nanos(1), SECOND).await;
    assert_eq!(bench.store.len(), 1);
    assert!(bench.lives(&young).await);
    bench.clock.pass(30 * SECOND, SECOND).await;
    assert!(bench.store.is_empty());
}

#[tokio::test]
async fn expired_sessions_are_cleaned_up_each_minute_by_default() {
    let bench = store(|builder| builder);
    bench.create().await.unwrap();
    settle().await;
    bench.clock.pass(MINUTE - SECOND, SECOND).await;
    assert_eq!(bench.store.len(), 1);
    bench.clock.pass(SECOND, SECOND).await;
    assert!(bench.store.is_empty());
}

#[tokio::test]
async fn tombstones_are_cleaned_up_after_five_minutes() {
    let bench = store(|builder| builder);
    let id = bench.create().await.unwrap();
    bench.sessions.destroy(&id).await.unwrap();
    settle().await;
    bench.clock.pass(5 * MINUTE - SECOND, SECOND).await;
    assert_eq!(bench.store.len(), 1);
    bench.clock.pass(MINUTE, SECOND).await;
    assert!(bench.store.is_empty());
}

#[test]
fn clean_up_goes_on_after_its_runtime_has_ended() {
    let bench = store(|builder| builder);
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    runtime().block_on(bench.create()).unwrap();
    runtime().block_on(async {
        bench.create().await.unwrap();
        settle().await;
        bench.clock.pass(2 * MINUTE, SECOND).await;
    });
    assert!(bench.store.is_empty());
}

#[tokio::test]
async fn without_cleanup_expired_sessions_stay_but_are_refused() {
    let bench = store(MemoryStoreBuilder::without_cleanup);
    let id = bench.create().await.unwrap();
    settle().await;
    bench.clock.pass(60 * MINUTE, MINUTE).await;
    assert_eq!(bench.store.len(), 1);
    assert!(!bench.lives(&id).await);
    assert!(bench.sessions.lock(&id).await.is_err());
}

// The cap was one of each shard: sixteen sessions fitted where one was allowed, and none where a shard was full.
#[tokio::test]
async fn the_store_holds_exactly_as_many_sessions_as_allowed() {
    for most in [1, 5, 40] {
        let bench = store(|builder| builder.max_sessions(most).without_cleanup());
        for _ in 0..most {
            bench.create().await.unwrap();
        }
        let refused = bench.create().await;
        assert!(matches!(refused, Err(CommitError::Store(error)) if *error.fault() == Fault::Full));
        assert_eq!(bench.store.len(), most);
    }
}

#[tokio::test]
async fn a_full_store_makes_room_from_what_has_expired() {
    let bench = store(|builder| builder.max_sessions(2).without_cleanup());
    bench.create().await.unwrap();
    bench.clock.advance(6 * SECOND);
    let young = bench.create().await.unwrap();
    bench.create().await.unwrap_err();
    bench.clock.advance(6 * SECOND);
    bench.create().await.unwrap();
    bench.create().await.unwrap_err();
    assert!(bench.lives(&young).await);
}

#[tokio::test]
async fn a_full_store_still_takes_changes_and_logouts() {
    let bench = store(|builder| builder.max_sessions(1));
    let id = bench.create().await.unwrap();
    let change = bench.sessions.with(&id, async |session| {
        Ok::<_, Error>(session.insert("name", "Eve")?)
    });
    change.await.unwrap();
    bench.sessions.destroy(&id).await.unwrap();
    assert!(!bench.lives(&id).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bound_holds_for_tasks_that_create_at_once() {
    let bench = Arc::new(store(|builder| builder.max_sessions(50).without_cleanup()));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move {
                let mut stored = 0;
                for _ in 0..25 {
                    stored += usize::from(bench.create().await.is_ok());
                }
                stored
            })
        })
        .collect();
    let mut stored = 0;
    for task in tasks {
        stored += task.await.unwrap();
    }
    assert_eq!((stored, bench.store.len()), (50, 50));
}

#[tokio::test]
async fn steps_of_the_wall_clock_end_and_prolong_nothing() {
    let bench = store(|builder| builder);
    let id = bench.create().await.unwrap();
    let before = bench
        .sessions
        .snapshot(&id)
        .await
        .unwrap()
        .unwrap()
        .remaining();
    let year = Duration::from_secs(365 * 24 * 3600);
    let guard = bench.sessions.lock(&id).await.unwrap();
    let lease = guard.lease_remaining();
    for unix_time in [bench.clock.unix_time() + year, Duration::ZERO] {
        bench.clock.set_unix_time(unix_time);
        settle().await;
        let after = bench
            .sessions
            .snapshot(&id)
            .await
            .unwrap()
            .unwrap()
            .remaining();
        assert_eq!(after, before);
        assert_eq!(guard.lease_remaining(), lease);
    }
    drop(guard);
    bench.clock.pass(11 * SECOND, SECOND).await;
    assert!(!bench.lives(&id).await);
}

#[test]
fn settings_that_can_never_work_are_refused() {
    let builder = MemoryStore::builder;
    assert!(builder().max_sessions(0).build().is_err());
    assert!(builder().cleanup_every(Duration::ZERO).build().is_err());
    assert!(
        builder()
            .max_sessions(1)
            .cleanup_every(SECOND)
            .build()
            .is_ok()
    );
}

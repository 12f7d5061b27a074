//! What observers are told.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use session_core::{
    CommitError, Event, Login, MemoryStore, Observer, Revocation, Sessions, Timeouts, UserId,
};
use session_testkit::FakeClock;

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<Event>>>);

impl Observer for Log {
    fn notice(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Log {
    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn observed() -> (Sessions, Log, FakeClock) {
    let (log, clock) = (Log::default(), FakeClock::new());
    let store = MemoryStore::builder().clock(Arc::new(clock.clone()));
    let sessions = Sessions::builder(store.build().unwrap())
        .observer(log.clone())
        .timeouts(Timeouts::new(60 * SECOND, 3600 * SECOND).unwrap());
    (sessions.build().unwrap(), log, clock)
}

#[tokio::test]
async fn the_life_of_a_session_is_told_in_order() {
    let (sessions, log, _) = observed();
    let ada = UserId::try_from("ada").unwrap();
    let mut guard = sessions.create();
    let session = guard.handle();
    guard.insert("n", 1).unwrap();
    let id = guard.id().clone();
    guard.commit().await.unwrap();
    assert_eq!(log.take(), [Event::Created { session }]);

    let mut guard = sessions.lock(&id).await.unwrap();
    let id = guard.regenerate();
    guard.commit().await.unwrap();
    assert_eq!(log.take(), [Event::Rotated { session }]);

    let mut guard = sessions.lock(&id).await.unwrap();
    let id = guard.login("ada", &()).unwrap();
    guard.commit().await.unwrap();
    let user = ada.clone();
    assert_eq!(log.take(), [Event::LoggedIn { session, user }]);

    let mut guard = sessions.lock(&id).await.unwrap();
    guard.logout();
    guard.commit().await.unwrap();
    let user = Some(ada.clone());
    assert_eq!(log.take(), [Event::LoggedOut { session, user }]);

    let mut guard = sessions.create();
    let session = guard.handle();
    let login = Login::new("ada").unwrap();
    let id = guard.login_with(login, &()).unwrap();
    guard.commit().await.unwrap();
    let user = ada.clone();
    assert_eq!(log.take(), [Event::LoggedIn { session, user }]);

    assert_eq!(sessions.user("ada").unwrap().revoke_all().await.unwrap(), 1);
    let revoked = Event::Revoked {
        user: ada,
        which: Revocation::All,
        ended: 1,
    };
    assert_eq!(log.take(), [revoked]);

    sessions.destroy(&id).await.unwrap();
    let key = id.key().fingerprint();
    assert_eq!(log.take(), [Event::Destroyed { key }]);
    sessions.revoke_everything().await.unwrap();
    assert_eq!(log.take(), [Event::RevokedEverything]);
}

#[tokio::test]
async fn what_is_not_committed_is_not_told() {
    let (sessions, log, _) = observed();
    let (id, ()) = sessions
        .with_new(async |session| session.insert("n", 1))
        .await
        .unwrap();
    log.take();
    let mut guard = sessions.lock(&id).await.unwrap();
    guard.destroy();
    guard.discard().await.unwrap();
    let mut guard = sessions.lock(&id).await.unwrap();
    guard.login("ada", &()).unwrap();
    drop(guard);
    sessions.snapshot(&id).await.unwrap().unwrap();
    assert_eq!(log.take(), []);
}

#[tokio::test]
async fn lost_leases_and_sessions_that_run_out_are_told() {
    let (sessions, log, clock) = observed();
    let (id, ()) = sessions
        .with_new(async |session| session.insert("n", 1))
        .await
        .unwrap();
    log.take();
    let mut guard = sessions.lock(&id).await.unwrap();
    guard.insert("n", 2).unwrap();
    let session = guard.handle();
    clock.pass(61 * SECOND, SECOND).await;
    let refused = guard.commit().await;
    let Err(CommitError::LeaseLost { cause }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(log.take(), [Event::LeaseLost { session, cause }]);
    // The clean-up of the store tells what it removes.
    clock.pass(180 * SECOND, SECOND).await;
    let key = id.key().fingerprint();
    assert_eq!(log.take(), [Event::Expired { key }]);
}

#[derive(Debug)]
struct Panics;

impl Observer for Panics {
    fn notice(&self, _: &Event) {
        panic!("on purpose");
    }
}

#[tokio::test]
async fn a_panic_of_the_observer_harms_nobody() {
    let sessions = Sessions::builder(MemoryStore::new()).observer(Panics);
    let sessions = sessions.build().unwrap();
    let stored = sessions
        .with_new(async |session| session.insert("n", 1))
        .await;
    let (id, ()) = stored.unwrap();
    assert!(sessions.snapshot(&id).await.unwrap().is_some());
}

use std::sync::{Arc, Mutex, PoisonError};

use session_core::{
    AcquireError, CommitError, Event, Observer, Promise, ReadError, Revocation, SessionsBuilder,
};

use super::*;

/// What happens is told once, in its order, when it is done.
pub async fn observers_are_told_of_the_life_of_a_session<F: PrimaryFixture>(fixture: &F) {
    let (sessions, log) = observed(builder(fixture));
    let mut guard = sessions.create();
    let (session, mut id) = (guard.handle(), guard.id().clone());
    write(&mut guard, 1);
    assert_eq!(log.take(), [], "told too early");
    guard.commit().await.expect("a new session is stored");
    assert_eq!(log.take(), [Event::Created { session }]);
    add_one(&sessions, &id).await;
    assert_eq!(value(&sessions, &id).await, Some(2));
    assert_eq!(log.take(), [], "changes and reads are nobody's business");
    if F::PROMISES.has(Promise::Rotation) {
        id = regenerated(&sessions, &id).await;
        assert_eq!(log.take(), [Event::Rotated { session }]);
    }
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    guard.destroy();
    guard.commit().await.expect("it can be ended");
    assert_eq!(log.take(), [Event::Ended { session }]);

    let id = stored(&sessions, 1).await;
    log.take();
    sessions.destroy(&id).await.expect("it can be ended");
    let key = id.key().fingerprint();
    assert_eq!(log.take(), [Event::Destroyed { key }]);
}

/// Who logs in and out is told with the user, and revocations with how many they have ended.
pub async fn observers_are_told_of_logins_and_revocations<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let (sessions, log) = observed(builder(fixture));
    let old = stored(&sessions, 1).await;
    let session = snapshot(&sessions, &old).await.handle();
    log.take();
    let id = logged_in_from(&sessions, &old, "ada").await;
    let told = Event::LoggedIn {
        session,
        user: user("ada"),
    };
    assert_eq!(log.take(), [told]);
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    guard.logout();
    guard.commit().await.expect("it can be ended");
    let told = Event::LoggedOut {
        session,
        user: Some(user("ada")),
    };
    assert_eq!(log.take(), [told]);

    let mut handles = Vec::new();
    for _ in 0..3 {
        let id = logged_in(&sessions, "ada").await;
        let session = snapshot(&sessions, &id).await.handle();
        let told = Event::LoggedIn {
            session,
            user: user("ada"),
        };
        assert_eq!(log.take(), [told]);
        handles.push(session);
    }
    let ada = of(&sessions, "ada");
    ada.revoke(handles[0]).await.expect("it is done");
    ada.revoke_others(handles[1]).await.expect("it is done");
    ada.revoke_all().await.expect("it is done");
    ada.disable().await.expect("it is done");
    ada.enable().await.expect("it is done");
    let revoked = |which, ended| Event::Revoked {
        user: user("ada"),
        which,
        ended,
    };
    let told = [
        revoked(Revocation::One(handles[0]), 1),
        revoked(Revocation::Others(handles[1]), 1),
        revoked(Revocation::All, 1),
        revoked(Revocation::Disable, 0),
    ];
    assert_eq!(log.take(), told);
    let everything = sessions.revoke_everything().await;
    everything.expect("all can be revoked");
    assert_eq!(log.take(), [Event::RevokedEverything]);
}

/// What was discarded or refused has not happened.
pub async fn observers_are_told_of_nothing_that_was_not_stored<F: PrimaryFixture>(fixture: &F) {
    let (sessions, log) = observed(builder(fixture));
    let id = stored(&sessions, 1).await;
    log.take();
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    guard.destroy();
    guard.discard().await.expect("it can be given back");
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    guard.regenerate();
    guard.discard().await.expect("it can be given back");
    drop(sessions.create());
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    write(&mut guard, 2);
    // By others: nobody here is told.
    let others = super::sessions(fixture);
    others.destroy(&id).await.expect("it can be ended");
    let refused = guard.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    assert_eq!(log.take(), []);
}

/// A holder that was too late is told of, with the reason.
pub async fn observers_are_told_of_lost_leases<F: PrimaryFixture>(fixture: &F) {
    let leases = builder(fixture)
        .lease(SHORT_LEASE)
        .longest_hold(SHORT_LEASE);
    let (sessions, log) = observed(leases);
    let id = stored(&sessions, 1).await;
    log.take();
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    let session = guard.handle();
    write(&mut guard, 2);
    meanwhile(fixture, guard.lost()).await;
    match guard.commit().await {
        Err(CommitError::LeaseLost { cause }) => {
            assert_eq!(log.take(), [Event::LeaseLost { session, cause }]);
        }
        other => panic!("a late holder is told {other:?}"),
    }
}

/// A record that cannot be used is told of by everybody who meets it.
pub async fn observers_are_told_of_records_that_cannot_be_used<F: PrimaryFixture>(fixture: &F) {
    let (sessions, log) = observed(builder(fixture));
    let id = fixture.store().new_id();
    if !fixture.plant(id.key(), b"no record at all").await {
        assert!(!F::PROMISES.has(Promise::AcrossProcesses));
        return;
    }
    let Err(ReadError::Record(error)) = sessions.snapshot(&id).await else {
        panic!("it can be read");
    };
    assert_eq!(log.take(), [Event::RecordCorrupt { error }]);
    let Err(AcquireError::Record(error)) = sessions.lock(&id).await else {
        panic!("it can be locked");
    };
    assert_eq!(log.take(), [Event::RecordCorrupt { error }]);
}

/// Notes what it is told.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<Event>>>);

impl Observer for Log {
    fn notice(&self, event: &Event) {
        // Which server tells of what else runs out, and when, is no promise.
        if !matches!(event, Event::Expired { .. }) {
            self.events().push(event.clone());
        }
    }
}

impl Log {
    fn events(&self) -> std::sync::MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.events())
    }
}

fn observed(builder: SessionsBuilder) -> (Sessions, Log) {
    let log = Log::default();
    let sessions = builder.observer(log.clone()).build();
    (sessions.expect("the settings are valid"), log)
}

use session_core::{CommitError, Creation, PrimaryStore as _, SessionId, Timeouts};

use super::*;

/// Clause 6: two sessions never share a record.
pub async fn create_never_overwrites<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let before = record(&store, id.key()).await;
    let refused = store.create(id.key(), creation()).await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    unchanged(&store, id.key(), &before).await;
}

/// Clause 6, promise 4: nor does a new session take the place of one that was ended just now.
pub async fn create_never_overwrites_a_destroyed_session<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    sessions.destroy(&id).await.expect("it can be ended");
    store
        .create(id.key(), creation())
        .await
        .expect_err("the place is taken");
    assert_eq!(value(&sessions, &id).await, None);
}

/// An ID is there at once, the session with its first commit.
pub async fn a_new_session_is_stored_by_its_first_commit<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let mut session = sessions.create();
    let id = session.id().clone();
    write(&mut session, 3);
    assert!(session.is_new());
    assert_eq!(value(&sessions, &id).await, None);
    let report = session.commit().await.expect("a new session is stored");
    assert!(report.is_stored());
    assert_eq!(value(&sessions, &id).await, Some(3));
    let guard = sessions.lock(&id).await.expect("it can be locked");
    assert!(!guard.is_new());
    guard.discard().await.expect("it can be given back");
}

/// Visitors about whom nothing is known cost nothing.
pub async fn a_new_session_without_values_is_not_stored<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let session = sessions.create();
    let id = session.id().clone();
    let report = session.commit().await.expect("there is nothing to refuse");
    assert!(!report.is_stored());
    nothing_stands(fixture, &id).await;
}

/// Neither do those whose request failed.
pub async fn a_dropped_new_session_is_not_stored<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let mut session = sessions.create();
    write(&mut session, 1);
    let id = session.id().clone();
    drop(session);
    nothing_stands(fixture, &id).await;
}

/// Shows that there is not even a tombstone: a new session can be stored there.
pub(crate) async fn nothing_stands<F: PrimaryFixture>(fixture: &F, id: &SessionId) {
    assert_eq!(value(&sessions(fixture), id).await, None);
    let created = fixture.store().create(id.key(), creation()).await;
    created.expect("nothing stands in its place");
}

fn creation() -> Creation {
    Creation {
        header: new_header(),
        body: body(9),
        timeouts: Timeouts::default(),
        login: None,
    }
}

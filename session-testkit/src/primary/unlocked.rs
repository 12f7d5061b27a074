use session_core::{
    AcquireError, CommitError, CommitId, PrimaryStore as _, SessionData, WithError,
};

use super::*;

/// Clause 7: who holds the lock is alone.
pub async fn update_is_refused_while_locked<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let before = record(&store, id.key()).await;
    let guard = sessions.lock(&id).await.expect("it can be locked");
    let request = request(LONG_LEASE);
    let refused = store
        .update(id.key(), next_version(&before, &body(2)), &request)
        .await;
    assert!(matches!(refused, Err(CommitError::LockHeld)), "{refused:?}");
    unchanged(&store, id.key(), &before).await;
    guard.discard().await.expect("it can be given back");
    let version = next_version(&before, &body(2));
    let updated = store.update(id.key(), version, &request).await;
    updated.expect("the lock is free");
    assert_eq!(record(&store, id.key()).await.body, body(2));
}

/// Clause 7: the version that was read has to stand.
pub async fn update_over_another_version_changes_nothing<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let before = record(&store, id.key()).await;
    let mut over_another = next_version(&before, &body(2));
    over_another.base = CommitId::random();
    let refused = store
        .update(id.key(), over_another, &request(LONG_LEASE))
        .await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    unchanged(&store, id.key(), &before).await;
}

/// A short change waits for who is there before it, and sees what that one wrote.
pub async fn update_waits_for_the_holder<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    let updating = tokio::spawn({
        let (sessions, id) = (sessions.clone(), id.clone());
        async move { sessions.update(&id, add).await }
    });
    fixture.pass(ms(100)).await;
    assert!(!updating.is_finished());
    write(&mut guard, 10);
    guard.commit().await.expect("the change is stored");
    let updated = meanwhile(fixture, updating).await.expect("no task fails");
    updated.expect("the change is stored");
    assert_eq!(value(&sessions, &id).await, Some(11));
}

/// An error of the function is the caller's answer, and nothing is stored.
pub async fn update_whose_function_fails_changes_nothing<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let failed = sessions.update(&id, |data| {
        write(data, 2);
        Err::<(), _>("on purpose")
    });
    assert!(matches!(failed.await, Err(WithError::Body("on purpose"))));
    assert_eq!(value(&sessions, &id).await, Some(1));
    add_one(&sessions, &id).await;
}

/// A function that only looks writes nothing.
pub async fn update_that_changes_nothing_writes_nothing<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let before = record(&store, id.key()).await;
    let looked = sessions.update(&id, |data| Ok::<_, Error>(read(data)));
    assert_eq!(looked.await.ok(), Some(1));
    unchanged(&store, id.key(), &before).await;
}

/// Promise 4: a version that was read before the session was ended is not written after it.
pub async fn update_after_destroy_writes_nothing<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let before = record(&store, id.key()).await;
    sessions.destroy(&id).await.expect("it can be ended");
    let version = next_version(&before, &body(2));
    let refused = store.update(id.key(), version, &request(LONG_LEASE)).await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    let refused = sessions.update(&id, add).await;
    assert!(matches!(
        refused,
        Err(WithError::Acquire(AcquireError::NoSession))
    ));
    assert_eq!(value(&sessions, &id).await, None);
}

/// Clause 7 for those who never lock.
pub async fn unlocked_save_is_refused_while_locked<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut unlocked = load(&sessions, &id).await;
    let guard = sessions.lock(&id).await.expect("it can be locked");
    write(&mut unlocked, 2);
    let refused = unlocked.save().await;
    assert!(matches!(refused, Err(CommitError::LockHeld)), "{refused:?}");
    assert_eq!(read(&guard), 1);
    guard.discard().await.expect("it can be given back");
    assert_eq!(value(&sessions, &id).await, Some(1));
}

/// Promise 1: what somebody committed under the lock is not lost to those who never lock.
pub async fn unlocked_save_never_overwrites_a_commit_under_the_lock<F: PrimaryFixture>(
    fixture: &F,
) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut unlocked = load(&sessions, &id).await;
    add_one(&sessions, &id).await;
    write(&mut unlocked, 9);
    let refused = unlocked.save().await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    assert_eq!(value(&sessions, &id).await, Some(2));
}

/// Promise 4 for those who never lock.
pub async fn unlocked_save_after_destroy_writes_nothing<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut unlocked = load(&sessions, &id).await;
    sessions.destroy(&id).await.expect("it can be ended");
    write(&mut unlocked, 2);
    let refused = unlocked.save().await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    assert_eq!(value(&sessions, &id).await, None);
}

/// Among themselves, the last one wins: that is what they asked for.
pub async fn unlocked_writers_overwrite_each_other<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut first = load(&sessions, &id).await;
    let mut second = load(&sessions, &id).await;
    write(&mut first, 2);
    write(&mut second, 3);
    first.save().await.expect("nobody holds the lock");
    second.save().await.expect("nobody holds the lock");
    assert_eq!(value(&sessions, &id).await, Some(3));
}

async fn load(sessions: &Sessions, id: &SessionId) -> session_core::UnlockedSession {
    let loaded = sessions.unlocked().load(id).await;
    loaded.expect("it can be read").expect("it is there")
}

fn add(data: &mut SessionData) -> Result<(), Error> {
    let value = read(data);
    write(data, value + 1);
    Ok(())
}

/// A process remembers what it has written last. That others have written since is found out before anything is stored
/// or decided.
pub async fn an_update_never_goes_by_what_others_have_changed<F: PrimaryFixture>(fixture: &F) {
    let (here, there) = (sessions(fixture), sessions(fixture));
    let id = stored(&here, 1).await;
    let set = async |value| {
        let mut guard = there.lock(&id).await.expect("it can be locked");
        write(&mut guard, value);
        guard.commit().await.expect("the change is stored");
    };
    let update = async || here.update(&id, add).await.expect("the change is stored");
    update().await;
    set(10).await;
    update().await;
    assert_eq!(value(&there, &id).await, Some(11));
    update().await;
    update().await;
    set(0).await;
    let few = here.update(&id, |data| match read(data) {
        many @ 5.. => Err(many),
        few => {
            write(data, few + 1);
            Ok(())
        }
    });
    few.await.expect("there are few now");
    assert_eq!(value(&there, &id).await, Some(1));
    update().await;
    set(100).await;
    let looked = here.update(&id, |data| Ok::<_, Error>(read(data)));
    assert_eq!(looked.await.ok(), Some(100));
    update().await;
    there.destroy(&id).await.expect("it can be ended");
    let gone = here.update(&id, add).await;
    assert!(matches!(
        gone,
        Err(WithError::Acquire(AcquireError::NoSession))
    ));
}

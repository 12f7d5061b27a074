use session_core::{PrimaryStore as _, TouchAfter};

use super::*;

/// Promise 7: the idle timeout, by the store's time.
pub async fn an_unused_session_ends_at_its_idle_timeout<F: PrimaryFixture>(fixture: &F) {
    let sessions = living(fixture, 600, 60_000);
    let id = stored(&sessions, 1).await;
    fixture.pass(ms(100)).await;
    let alive = fixture.store().load(id.key(), TouchAfter::Never).await;
    assert!(alive.expect("it can be read").is_some(), "ended too early");
    fixture.pass(ms(700)).await;
    assert_eq!(value(&sessions, &id).await, None);
}

/// Clause 9: commit, release and snapshot all count as use.
pub async fn every_use_moves_the_idle_end<F: PrimaryFixture>(fixture: &F) {
    let sessions = living(fixture, 1_200, 60_000);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(stored(&sessions, 1).await);
    }
    fixture.pass(ms(700)).await;
    add_one(&sessions, &ids[0]).await;
    let guard = sessions.lock(&ids[1]).await.expect("it can be locked");
    guard.discard().await.expect("it can be given back");
    let guard = sessions.lock(&ids[2]).await.expect("it can be locked");
    guard.commit().await.expect("it can be given back");
    assert_eq!(value(&sessions, &ids[3]).await, Some(1));
    sessions
        .update(&ids[4], |data| {
            write(data, 2);
            Ok::<_, Error>(())
        })
        .await
        .expect("the change is stored");
    fixture.pass(ms(700)).await;
    for (use_of_it, id) in ids.iter().enumerate() {
        let alive = value(&sessions, id).await;
        assert!(alive.is_some(), "use {use_of_it} did not count");
    }
}

/// A store that is told not to touch does not.
pub async fn a_touch_is_not_more_than_the_session_asked_for<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), living(fixture, 600, 60_000));
    let id = stored(&sessions, 1).await;
    for _ in 0..8 {
        fixture.pass(ms(100)).await;
        let read = store.load(id.key(), TouchAfter::Never).await;
        read.expect("it can be read");
    }
    assert_eq!(value(&sessions, &id).await, None, "a look counted as use");
}

/// Promise 7: use moves the idle end, never past the absolute one.
pub async fn idle_touch_never_passes_the_absolute_timeout<F: PrimaryFixture>(fixture: &F) {
    let sessions = living(fixture, 500, 900);
    let id = stored(&sessions, 1).await;
    let clock = fixture.store().clock();
    let start = clock.now();
    while clock.now().saturating_since(start) < ms(1_200) {
        if let Some(snapshot) = sessions.snapshot(&id).await.expect("it can be read") {
            let left = snapshot.remaining();
            assert!(
                left.absolute <= ms(900) && left.idle <= left.absolute,
                "{left:?}"
            );
        }
        // A release touches whatever is left; a read only what has shrunk.
        if let Ok(guard) = sessions.lock(&id).await {
            guard.discard().await.ok();
        }
        fixture.pass(ms(50)).await;
    }
    assert_eq!(value(&sessions, &id).await, None, "use kept it alive");
}

/// Promise 7: who holds a session uses it.
pub async fn held_guard_keeps_its_session_alive<F: PrimaryFixture>(fixture: &F) {
    let sessions = living(fixture, 2_000, 60_000);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    fixture.pass(ms(4_000)).await;
    write(&mut guard, 2);
    guard
        .commit()
        .await
        .expect("the session was held all the time");
    assert_eq!(value(&sessions, &id).await, Some(2));
}

/// Promise 7: but not beyond the absolute end.
pub async fn held_guard_never_passes_the_absolute_timeout<F: PrimaryFixture>(fixture: &F) {
    let sessions = living(fixture, 300, 700);
    let id = stored(&sessions, 1).await;
    let guard = sessions.lock(&id).await.expect("it can be locked");
    fixture.pass(ms(1_100)).await;
    assert_eq!(value(&sessions, &id).await, None, "renewal kept it alive");
    assert!(guard.remaining().absolute.is_zero());
    guard.discard().await.ok();
    assert_eq!(value(&sessions, &id).await, None);
}

/// A session can be given shorter timeouts while others wait for it; the next holder keeps it alive by those.
pub async fn a_waiter_keeps_a_session_alive_that_became_short_lived<F: PrimaryFixture>(
    fixture: &F,
) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut holder = sessions.lock(&id).await.expect("it can be locked");
    let waiter = tokio::spawn({
        let (sessions, id) = (sessions.clone(), id.clone());
        async move { sessions.lock(&id).await }
    });
    fixture.pass(ms(100)).await;
    holder.set_timeouts(Timeouts::new(ms(2_000), ms(60_000)).expect("they are valid"));
    holder.commit().await.expect("the change is stored");
    let next = meanwhile(fixture, waiter).await.expect("no task fails");
    let mut next = next.expect("it can be locked");
    fixture.pass(ms(4_000)).await;
    write(&mut next, 2);
    next.commit()
        .await
        .expect("the session was held all the time");
}

/// What is left to live is told by the store's time, in every way of reading.
pub async fn remaining_counts_down_to_both_ends<F: PrimaryFixture>(fixture: &F) {
    let sessions = living(fixture, 20_000, 40_000);
    let id = stored(&sessions, 1).await;
    let guard = sessions.lock(&id).await.expect("it can be locked");
    let before = guard.remaining();
    assert!(
        before.idle > ms(10_000) && before.idle <= ms(20_000),
        "{before:?}"
    );
    assert!(
        before.absolute > ms(30_000) && before.absolute <= ms(40_000),
        "{before:?}"
    );
    fixture.pass(ms(100)).await;
    let after = guard.remaining();
    assert!(after.idle + ms(90) <= before.idle, "{after:?}");
    assert!(after.absolute + ms(90) <= before.absolute, "{after:?}");
    guard.discard().await.expect("it can be given back");
}

/// `expire_after`: over at its end, however much it is used.
pub async fn a_session_ends_after_the_span_that_it_was_given<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    guard
        .expire_after(ms(2_000))
        .expect("it is a span like others");
    assert!(guard.is_modified());
    guard.commit().await.expect("the change is stored");
    over_in(fixture, &sessions, &id, ms(2_000)).await;
}

/// `expire_at`: the same by the store's clock.
pub async fn a_session_ends_at_the_time_that_it_was_given<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let now = sessions.snapshot(&id).await.expect("it can be read");
    let now = now.expect("it is there").created();
    let end = std::time::UNIX_EPOCH + Duration::from_millis(now.as_millis()) + ms(2_000);
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    let over = guard.expire_at(std::time::UNIX_EPOCH);
    assert!(over.is_err() && !guard.is_modified(), "it is over already");
    guard.expire_at(end).expect("it is to come");
    guard.commit().await.expect("the change is stored");
    over_in(fixture, &sessions, &id, ms(2_000)).await;
}

/// Uses a session until it is over, which has to be in that span.
async fn over_in<F: PrimaryFixture>(
    fixture: &F,
    sessions: &Sessions,
    id: &SessionId,
    span: Duration,
) {
    let (clock, mut seen) = (fixture.store().clock(), 0);
    let start = clock.now();
    while let Some(snapshot) = sessions.snapshot(id).await.expect("it can be read") {
        let left = snapshot.remaining();
        // What a process takes for the store's time can be a little off.
        let most = span + ms(1_000);
        assert!(left.absolute <= most && left.idle <= most, "{left:?}");
        let passed = clock.now().saturating_since(start);
        assert!(passed < span + ms(10_000), "it lives on and on");
        seen += 1;
        fixture.pass(ms(50)).await;
    }
    assert!(seen > 0, "it was over at once");
    assert!(sessions.lock(id).await.is_err());
}

/// Whether a session outlives the browser's is part of it: across commits, and across a new ID.
pub async fn a_session_stays_persistent_until_it_is_told_otherwise<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let mut id = stored(&sessions, 1).await;
    for persistent in [false, true, false] {
        let mut guard = sessions.lock(&id).await.expect("it can be locked");
        let changes = guard.is_persistent() != persistent;
        guard.set_persistent(persistent);
        assert_eq!(guard.is_modified(), changes, "a flag alone is a change");
        guard.commit().await.expect("the change is stored");
        add_one(&sessions, &id).await;
        if F::PROMISES.has(session_core::Promise::Rotation) {
            id = regenerated(&sessions, &id).await;
        }
        let snapshot = sessions.snapshot(&id).await.expect("it can be read");
        let snapshot = snapshot.expect("it is there");
        assert_eq!(snapshot.is_persistent(), persistent);
    }
}

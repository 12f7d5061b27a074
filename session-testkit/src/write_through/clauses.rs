use std::time::Duration;

use session_core::{
    CommitError, Delivery, Error, PrimaryStore as _, Promise, SealingKey, SealingKeys,
    SecondaryPolicy, SecondaryStore as _, SessionGuard, SessionHandle, SessionId, Sessions,
    Timeouts, WithError,
};

use super::support::{NAME, Through, eventual, eventually, mirror, open, other_codec, through};
use crate::{
    flaky::Mood,
    primary::{PrimaryFixture, meanwhile, ms, settings},
};

/// Clause 16: storing, changing under the lock, updating, saving without the lock.
pub async fn every_kind_of_write_reaches_the_secondary<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    let (id, handle) = it.stored(1).await;
    it.shows(handle, Some(1)).await;
    it.set(&id, 2).await;
    it.shows(handle, Some(2)).await;
    let updated = it.sessions.update(&id, |data| data.insert("n", 3));
    updated.await.expect("it is stored");
    it.shows(handle, Some(3)).await;
    let unlocked = it.sessions.unlocked().load(&id).await;
    let mut unlocked = unlocked.expect("it can be read").expect("it lives");
    unlocked.insert("n", 4).expect("it fits");
    unlocked.save().await.expect("it is stored");
    it.shows(handle, Some(4)).await;
    it.is_empty().await;
    let snapshot = it.sessions.snapshot(&id).await.expect("it can be read");
    let snapshot = snapshot.expect("it lives");
    let row = it
        .write_through()
        .load(NAME, handle)
        .await
        .expect("it can be read");
    let (row, _) = row.expect("it is there");
    assert_eq!(row.created, snapshot.created());
    let end = fixture.store().time().after(snapshot.remaining().absolute);
    let apart = end
        .saturating_since(row.absolute_end)
        .max(row.absolute_end.saturating_since(end));
    assert!(apart < Duration::from_secs(30), "{apart:?}");
}

/// Clause 16.
pub async fn every_kind_of_end_reaches_the_secondary<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    for end in 0..3 {
        let (id, handle) = it.stored(1).await;
        it.shows(handle, Some(1)).await;
        match end {
            0 => it.sessions.destroy(&id).await.expect("it is ended"),
            _ => {
                let mut guard = it.sessions.lock(&id).await.expect("it can be locked");
                if end == 1 {
                    guard.destroy();
                } else {
                    guard.logout();
                }
                guard.commit().await.expect("it is ended");
            }
        }
        it.shows(handle, None).await;
    }
    it.is_empty().await;
}

/// The line of a session's revisions goes on.
pub async fn a_session_keeps_its_row_under_a_new_id<F: PrimaryFixture>(fixture: &F) {
    if !F::PROMISES.has(Promise::Rotation) {
        return;
    }
    let it = eventual(fixture).await;
    let (mut id, handle) = it.stored(1).await;
    for value in 2..5 {
        // Noted under the old ID, and not delivered before the new one.
        it.mirror.set(Mood::Down);
        it.set(&id, value * 10).await;
        let mut guard = it.sessions.lock(&id).await.expect("it can be locked");
        guard.insert("n", value).expect("it fits");
        id = guard.regenerate();
        guard.commit().await.expect("it has a new ID");
        it.mirror.set(Mood::Well);
        it.shows(handle, Some(value)).await;
        it.set(&id, value + 100).await;
        it.shows(handle, Some(value + 100)).await;
        it.is_empty().await;
    }
    it.sessions.destroy(&id).await.expect("it is ended");
    it.shows(handle, None).await;
}

/// As with any new ID; and the row says who it is.
pub async fn a_login_keeps_the_row<F: PrimaryFixture>(fixture: &F) {
    if !F::PROMISES.has(Promise::Users) {
        return;
    }
    let it = eventual(fixture).await;
    let (mut id, handle) = it.stored(1).await;
    // From nobody to a user, to another one, and once more.
    for user in ["ada", "grace", "grace"] {
        it.mirror.set(Mood::Down);
        it.set(&id, 7).await;
        let mut guard = it.sessions.lock(&id).await.expect("it can be locked");
        id = guard.login(user, &()).expect("it is a user");
        guard.commit().await.expect("the login is stored");
        it.mirror.set(Mood::Well);
        let shown = async || {
            let row = it.write_through().load(NAME, handle).await;
            let row = row.expect("it can be read");
            row.is_some_and(|(row, _)| row.user.is_some_and(|shown| shown.as_str() == user))
        };
        eventually(fixture, shown, "the row names the user").await;
        it.set(&id, 8).await;
        it.shows(handle, Some(8)).await;
        it.is_empty().await;
    }
    let mut fresh = it.sessions.create();
    fresh.insert("n", 1).expect("it fits");
    fresh.login("ada", &()).expect("it is a user");
    let fresh_handle = fresh.handle();
    fresh.commit().await.expect("the login is stored");
    it.shows(fresh_handle, Some(1)).await;
}

/// Clause 16: of sessions that nobody has named.
pub async fn a_revocation_reaches_the_secondary<F: PrimaryFixture>(fixture: &F) {
    if !F::PROMISES.has(Promise::Users) {
        return;
    }
    let it = eventual(fixture).await;
    let mut handles = Vec::new();
    for _ in 0..3 {
        let mut session = it.sessions.create();
        session.insert("n", 1).expect("it fits");
        session.login("ada", &()).expect("it is a user");
        handles.push(session.handle());
        session.commit().await.expect("the login is stored");
    }
    let (_, bystander) = it.stored(5).await;
    for handle in handles.iter().chain([&bystander]) {
        it.shows(*handle, Some(if *handle == bystander { 5 } else { 1 }))
            .await;
    }
    let user = it.sessions.user("ada").expect("it is a user");
    user.revoke_all().await.expect("they are ended");
    for handle in handles {
        it.shows(handle, None).await;
    }
    it.shows(bystander, Some(5)).await;
    it.sessions
        .revoke_everything()
        .await
        .expect("all are ended");
    it.shows(bystander, None).await;
    it.is_empty().await;
}

/// Promise 9.
pub async fn a_secondary_that_was_down_gets_everything<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    let (kept, kept_handle) = it.stored(1).await;
    let (ended, ended_handle) = it.stored(1).await;
    it.shows(kept_handle, Some(1)).await;
    it.shows(ended_handle, Some(1)).await;
    it.mirror.set(Mood::Down);
    it.set(&kept, 2).await;
    let (_, new_handle) = it.stored(3).await;
    it.sessions.destroy(&ended).await.expect("it is ended");
    assert_eq!(it.shown(kept_handle).await, Some(1));
    it.mirror.set(Mood::Well);
    it.shows(kept_handle, Some(2)).await;
    it.shows(new_handle, Some(3)).await;
    it.shows(ended_handle, None).await;
    it.is_empty().await;
}

/// A long outage does not fill the primary.
pub async fn an_outage_costs_one_entry_for_each_session<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    it.mirror.set(Mood::Down);
    let mut ids = Vec::new();
    for value in 0..3 {
        ids.push(it.stored(value).await.0);
    }
    for round in 0..10 {
        for id in &ids {
            it.set(id, round).await;
        }
    }
    let backlog = it.backlog().await;
    assert_eq!((backlog.sessions, backlog.set_aside), (3, 0));
    assert!(backlog.oldest.is_some());
    it.mirror.set(Mood::Well);
    it.is_empty().await;
    assert_eq!(it.backlog().await.oldest, None);
}

/// Whoever has written may die before it delivers.
pub async fn what_one_process_leaves_another_one_delivers<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    let (id, handle) = it.stored(1).await;
    it.shows(handle, Some(1)).await;
    it.mirror.set(Mood::Down);
    it.set(&id, 2).await;
    let Through {
        sessions, mirror, ..
    } = it;
    drop(sessions);
    let it = Through {
        sessions: settings(fixture, fixture.store())
            .secondary(NAME, mirror.clone(), SecondaryPolicy::eventual())
            .open()
            .await
            .expect("it can be opened"),
        fixture,
        mirror,
    };
    // It does nothing else.
    let other = it.elsewhere(SecondaryPolicy::eventual()).await;
    it.mirror.set(Mood::Well);
    it.shows(handle, Some(2)).await;
    drop(other);
}

/// Promise 9: stalled in the middle of a delivery while the session ends.
pub async fn a_late_deliverer_brings_nothing_back<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    let (id, handle) = it.stored(1).await;
    it.shows(handle, Some(1)).await;
    it.mirror.set(Mood::Late);
    it.set(&id, 2).await;
    let asked = it.mirror.asked();
    let is_asked = async || it.mirror.asked() > asked || asked > 1;
    eventually(fixture, is_asked, "it is asked").await;
    it.mirror.set(Mood::Well);
    it.sessions.destroy(&id).await.expect("it is ended");
    it.shows(handle, None).await;
    it.drain().await;
    assert!(it.mirror.catch_up().await.expect("it can be written") > 0);
    assert_eq!(it.shown(handle).await, None);
}

/// Promise 9.
pub async fn a_late_deliverer_sets_nothing_back<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    let (id, handle) = it.stored(1).await;
    it.shows(handle, Some(1)).await;
    it.mirror.set(Mood::Late);
    it.set(&id, 2).await;
    let is_asked = async || it.mirror.asked() > 1;
    eventually(fixture, is_asked, "it is asked").await;
    it.mirror.set(Mood::Well);
    it.set(&id, 3).await;
    it.shows(handle, Some(3)).await;
    it.drain().await;
    assert!(it.mirror.catch_up().await.expect("it can be written") > 0);
    assert_eq!(it.shown(handle).await, Some(3));
}

/// Delivered once more, it is known.
pub async fn an_answer_that_was_lost_harms_nothing<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    it.mirror.set(Mood::Deaf);
    let (id, handle) = it.stored(1).await;
    it.shows(handle, Some(1)).await;
    it.set(&id, 2).await;
    it.shows(handle, Some(2)).await;
    assert_eq!(it.backlog().await.sessions, 1);
    it.mirror.set(Mood::Well);
    it.is_empty().await;
    assert_eq!(it.shown(handle).await, Some(2));
}

fn required() -> SecondaryPolicy {
    SecondaryPolicy::required().timeout(Duration::from_secs(20))
}

/// Others stand in the same bucket of the outbox.
pub async fn a_required_change_is_delivered_though_a_neighbour_is_not<F: PrimaryFixture>(
    fixture: &F,
) {
    let it = through(fixture, required()).await;
    let one = with_value(&it.sessions, None);
    let other = with_value(&it.sessions, Some(&one));
    let (id, handle) = (one.id().clone(), one.handle());
    it.mirror.refuse(other.handle());
    let failed = other.commit().await.expect_err("it is not taken");
    assert!(failed.is_committed(), "{failed}");
    one.commit().await.expect("it is delivered");
    assert_eq!(it.shown(handle).await, Some(1));
    let mut guard = it.sessions.lock(&id).await.expect("it can be locked");
    guard.destroy();
    guard.commit().await.expect("the end is delivered");
    assert_eq!(it.shown(handle).await, None);
}

/// What is set aside was not delivered.
pub async fn a_required_change_that_cannot_be_shown_has_failed<F: PrimaryFixture>(fixture: &F) {
    if F::CODEC != session_core::Codec::MessagePack {
        return;
    }
    let it = through(fixture, required().codec(session_core::Codec::Json)).await;
    let mut session = it.sessions.create();
    let bytes = &b"\xc4\x01a"[..];
    session.insert_raw("bytes", bytes).expect("it fits");
    let failed = session.commit().await.expect_err("it has no form in JSON");
    assert!(matches!(failed, CommitError::SecondaryFailed { .. }));
    assert_eq!(it.backlog().await.set_aside, 1);
}

/// The outbox is read in pages, which large records make short.
pub async fn a_required_change_is_delivered_behind_large_ones<F: PrimaryFixture>(fixture: &F) {
    let it = through(fixture, required()).await;
    let own = with_value(&it.sessions, None);
    // They are noted by somebody who cannot deliver them.
    let down = mirror(fixture);
    down.set(Mood::Down);
    let stranger = settings(fixture, fixture.store());
    let stranger = stranger.secondary(NAME, down, SecondaryPolicy::eventual());
    let stranger = open(stranger).await;
    for _ in 0..3 {
        let mut large = with_value(&stranger, Some(&own));
        large.insert("n", "x".repeat(150_000)).expect("it fits");
        large.commit().await.expect("it is stored");
    }
    let handle = own.handle();
    own.commit().await.expect("it is delivered");
    assert_eq!(it.shown(handle).await, Some(1));
}

/// A new session, if asked for in the bucket of another one.
fn with_value(sessions: &Sessions, neighbour: Option<&SessionGuard>) -> SessionGuard {
    let bucket = |session: &SessionGuard| session.id().key().bucket();
    let fits = |session: &SessionGuard| neighbour.is_none_or(|one| bucket(one) == bucket(session));
    let mut tries = std::iter::repeat_with(|| sessions.create());
    let mut session = tries.find(fits).expect("there is no end of them");
    session.insert("n", 1).expect("it fits");
    session
}

/// Nobody has to wait for it.
pub async fn a_required_secondary_has_it_when_the_commit_returns<F: PrimaryFixture>(fixture: &F) {
    let it = through(fixture, required()).await;
    let (id, handle) = it.stored(1).await;
    assert_eq!(it.shown(handle).await, Some(1));
    it.set(&id, 2).await;
    assert_eq!(it.shown(handle).await, Some(2));
    let updated = it.sessions.update(&id, |data| data.insert("n", 3));
    updated.await.expect("it is stored");
    assert_eq!(it.shown(handle).await, Some(3));
    if F::PROMISES.has(Promise::Rotation) {
        let mut guard = it.sessions.lock(&id).await.expect("it can be locked");
        guard.insert("n", 4).expect("it fits");
        let id = guard.regenerate();
        let report = guard.commit().await.expect("it has a new ID");
        assert!(matches!(
            report.secondaries[0].delivery,
            Delivery::Delivered
        ));
        assert_eq!(it.shown(handle).await, Some(4));
        let mut guard = it.sessions.lock(&id).await.expect("it can be locked");
        guard.destroy();
        guard.commit().await.expect("it is ended");
        assert_eq!(it.shown(handle).await, None);
    }
}

/// Stored, and not to be repeated.
pub async fn a_required_secondary_that_fails_is_told<F: PrimaryFixture>(fixture: &F) {
    let it = through(fixture, required()).await;
    let (id, handle) = it.stored(1).await;
    it.mirror.set(Mood::Down);
    let mut guard = it.sessions.lock(&id).await.expect("it can be locked");
    guard.insert("n", 2).expect("it fits");
    let failed = guard.commit().await.expect_err("it is required");
    assert!(failed.is_committed() && !failed.is_retryable() && !failed.is_unknown());
    let CommitError::SecondaryFailed { report } = failed else {
        panic!("another error: {failed}");
    };
    assert!(report.is_stored());
    let told = &report.secondaries[0];
    assert!(told.is_required && &*told.name == NAME);
    assert!(matches!(told.delivery, Delivery::Failed(_)));
    let updated = it.sessions.update(&id, |data| data.insert("n", 3));
    let failed = updated.await.expect_err("it is required");
    assert!(matches!(failed, WithError::Commit(error) if error.is_committed()));
    assert_eq!(it.shown(handle).await, Some(1));
    it.mirror.set(Mood::Well);
    it.shows(handle, Some(3)).await;
    it.is_empty().await;
}

/// Whoever has made a session needs its ID.
pub async fn a_new_session_whose_required_secondary_fails_keeps_its_id<F: PrimaryFixture>(
    fixture: &F,
) {
    let it = through(fixture, required()).await;
    it.mirror.set(Mood::Down);
    let made = it.sessions.with_new(async |session| {
        session.insert("n", 1)?;
        Ok::<_, Error>(session.handle())
    });
    let Err(WithError::Commit(CommitError::SecondaryFailed { report })) = made.await else {
        panic!("the secondary is down");
    };
    let id = report.id.expect("it is named");
    assert!(
        it.sessions
            .snapshot(&id)
            .await
            .expect("it can be read")
            .is_some()
    );
}

/// Promise 9: secondaries never lengthen a lock.
pub async fn a_hanging_secondary_does_not_hold_the_lock<F: PrimaryFixture>(fixture: &F) {
    let it = through(fixture, required()).await;
    let (id, handle) = it.stored(1).await;
    it.mirror.set(Mood::Hanging);
    let asked = it.mirror.asked();
    let sessions = it.sessions.clone();
    let commit = tokio::spawn({
        let id = id.clone();
        async move {
            let mut guard = sessions.lock(&id).await.expect("it can be locked");
            guard.insert("n", 2).expect("it fits");
            guard.commit().await
        }
    });
    let is_asked = async || it.mirror.asked() > asked;
    eventually(fixture, is_asked, "it is asked").await;
    let guard = it.sessions.lock(&id).wait_at_most(Duration::from_secs(5));
    let guard = meanwhile(fixture, guard.into_future()).await;
    guard
        .expect("the lock is free")
        .discard()
        .await
        .expect("it is given back");
    assert!(!commit.is_finished());
    it.mirror.set(Mood::Well);
    let report = meanwhile(fixture, commit).await.expect("no task fails");
    report.expect("it is stored");
    assert_eq!(it.shown(handle).await, Some(2));
}

/// What a commit says of a secondary that is not required.
pub async fn a_commit_waits_for_a_slow_secondary_only_if_told<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    let (id, _) = it.stored(1).await;
    it.mirror.set(Mood::Hanging);
    let mut guard = it.sessions.lock(&id).await.expect("it can be locked");
    guard.insert("n", 2).expect("it fits");
    let report = guard.commit().await.expect("it is stored");
    assert!(matches!(report.secondaries[0].delivery, Delivery::Later));
    it.mirror.set(Mood::Well);
    it.is_empty().await;

    let waiting = SecondaryPolicy::eventual().wait_at_most(ms(300));
    let patient = settings(fixture, fixture.store()).secondary(NAME, it.mirror.clone(), waiting);
    let patient = open(patient).await;
    let commit = async |value: u64| {
        let mut guard = patient.lock(&id).await.expect("it can be locked");
        guard.insert("n", value).expect("it fits");
        let report = meanwhile(fixture, guard.commit()).await;
        report.expect("it is stored").secondaries.remove(0).delivery
    };
    assert!(matches!(commit(3).await, Delivery::Delivered));
    it.mirror.set(Mood::Hanging);
    assert!(matches!(commit(4).await, Delivery::Later));
    it.mirror.set(Mood::Down);
    assert!(matches!(commit(5).await, Delivery::Failed(_)));
}

/// A store for statistics is to have no secrets.
pub async fn a_secondary_sees_what_it_may_and_no_more<F: PrimaryFixture>(fixture: &F) {
    let users = F::PROMISES.has(Promise::Users);
    for (policy, keys, shows_user) in [
        (SecondaryPolicy::eventual(), &["n", "secret"][..], true),
        (SecondaryPolicy::eventual().only(["n"]), &["n"], true),
        (
            SecondaryPolicy::eventual()
                .without(["secret"])
                .without_user(),
            &["n"],
            false,
        ),
    ] {
        let it = through(fixture, policy).await;
        let mut session = it.sessions.create();
        session.insert("n", 1).expect("it fits");
        session.insert("secret", "x").expect("it fits");
        if users {
            session
                .login("ada", &"known of the user")
                .expect("it is a user");
        }
        let handle = session.handle();
        session.commit().await.expect("it is stored");
        it.shows(handle, Some(1)).await;
        let shown = it
            .write_through()
            .load(NAME, handle)
            .await
            .expect("it can be read");
        let (row, values) = shown.expect("it is there");
        assert_eq!(values.keys().collect::<Vec<_>>(), keys);
        assert_eq!(row.user.is_some(), shows_user && users);
        let body = String::from_utf8_lossy(&row.body).into_owned();
        assert!(!body.contains("known of the user"), "{body}");
    }
}

/// Whatever the primary has.
pub async fn a_secondary_has_a_codec_and_a_seal_of_its_own<F: PrimaryFixture>(fixture: &F) {
    let (codec, key) = (other_codec::<F>(), SealingKey::generate());
    let policy = SecondaryPolicy::eventual().codec(codec);
    let mirrors = [mirror(fixture), mirror(fixture)];
    let [plain, sealed] = mirrors.clone();
    let builder = settings(fixture, fixture.store())
        .secondary("plain", plain, policy.clone())
        .secondary("sealed", sealed, policy.seal(SealingKeys::new(&key)));
    let sessions = open(builder).await;
    let mut session = sessions.create();
    session.insert("n", "in the clear").expect("it fits");
    let handle = session.handle();
    session.commit().await.expect("it is stored");
    let through = sessions.write_through().expect("it is written through");
    for (name, mirror) in ["plain", "sealed"].into_iter().zip(&mirrors) {
        let shown = async || {
            let loaded = through.load(name, handle).await.expect("it can be read");
            loaded.is_some_and(|(_, values)| {
                values.get::<String>("n").expect("it is text").as_deref() == Some("in the clear")
            })
        };
        eventually(fixture, shown, "it can be read").await;
        let row = mirror.inner().load(handle).await.expect("it can be read");
        let row = row.expect("it is there");
        let body = String::from_utf8_lossy(&row.body).into_owned();
        assert_eq!((row.codec, row.is_sealed), (codec, name == "sealed"));
        assert_eq!(body.contains("in the clear"), name == "plain");
    }
}

/// One that no patience helps is not to hold others up; and it is tried again when it changes.
pub async fn what_a_secondary_does_not_take_is_set_aside<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    it.mirror.set(Mood::Refusing);
    let (id, handle) = it.stored(1).await;
    // Not while it takes nothing at all.
    let asked = it.mirror.asked();
    let is_tried = async || it.mirror.asked() > asked + 6;
    eventually(fixture, is_tried, "it is tried again").await;
    assert_eq!(it.backlog().await.set_aside, 0);
    it.mirror.set(Mood::Well);
    it.shows(handle, Some(1)).await;
    it.set(&id, 2).await;
    it.shows(handle, Some(2)).await;
    it.is_empty().await;
}

/// What has no form in the codec of a secondary.
pub async fn what_cannot_be_shown_is_set_aside_and_holds_nobody_up<F: PrimaryFixture>(fixture: &F) {
    if F::CODEC != session_core::Codec::MessagePack {
        return;
    }
    let json = SecondaryPolicy::eventual().codec(session_core::Codec::Json);
    let it = through(fixture, json).await;
    let mut session = it.sessions.create();
    let bytes = &b"\xc4\x01a"[..];
    session.insert_raw("bytes", bytes).expect("it fits");
    session.insert("n", 1).expect("it fits");
    let (id, handle) = (session.id().clone(), session.handle());
    session.commit().await.expect("it is stored");
    let (_, other) = it.stored(2).await;
    it.shows(other, Some(2)).await;
    let is_aside = async || it.backlog().await.set_aside == 1;
    eventually(fixture, is_aside, "it is set aside").await;
    assert_eq!(it.shown(handle).await, None);
    // With a value that can be shown, it is tried again.
    let changed = it.sessions.with(&id, async |session| {
        session.remove("bytes");
        Ok::<_, Error>(())
    });
    changed.await.expect("it is stored");
    it.shows(handle, Some(1)).await;
    it.is_empty().await;
    let again = it.write_through().retry_set_aside(NAME).await;
    assert_eq!(again.expect("it can be tried"), 1);
    it.is_empty().await;
    assert_eq!(it.backlog().await.set_aside, 0);
}

/// Added to a service that has sessions, or after it has lost its data.
pub async fn a_new_secondary_is_told_of_all_that_lives<F: PrimaryFixture>(fixture: &F) {
    let before = settings(fixture, fixture.store()).build();
    let before = before.expect("the settings are valid");
    let mut session = before.create();
    session.insert("n", 1).expect("it fits");
    let handle = session.handle();
    session.commit().await.expect("it is stored");
    let mut ended = before.create();
    ended.insert("n", 1).expect("it fits");
    let (ended_id, ended_handle) = (ended.id().clone(), ended.handle());
    ended.commit().await.expect("it is stored");
    before.destroy(&ended_id).await.expect("it is ended");

    let it = eventual(fixture).await;
    assert_eq!(it.shown(handle).await, None);
    let noted = it.write_through().note_all(NAME).await;
    assert_eq!(noted.expect("they can be noted"), 1);
    it.drain().await;
    assert_eq!(it.shown(handle).await, Some(1));
    assert_eq!(it.shown(ended_handle).await, None);
}

/// Throttled as in the primary.
pub async fn a_use_moves_the_idle_end_of_the_row<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    let idle = Duration::from_secs(20);
    let mut session = it.sessions.create();
    session.insert("n", 1).expect("it fits");
    session.set_timeouts(Timeouts::new(idle, 100 * idle).expect("they are valid"));
    let (id, handle) = (session.id().clone(), session.handle());
    session.commit().await.expect("it is stored");
    it.shows(handle, Some(1)).await;
    let idle_end = async || {
        let row = it
            .write_through()
            .load(NAME, handle)
            .await
            .expect("it can be read");
        row.expect("it is there").0.idle_end
    };
    let first = idle_end().await;
    let is_seen = async || {
        it.sessions.snapshot(&id).await.expect("it can be read");
        idle_end().await > first.after(ms(1_000))
    };
    eventually(fixture, is_seen, "the row is seen").await;
    assert_eq!(it.backlog().await.sessions, 0);
}

/// The row has a deadline, and the end is told.
pub async fn what_ran_out_before_it_was_delivered_is_gone<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    let (id, handle) = it.stored(1).await;
    it.shows(handle, Some(1)).await;
    it.mirror.set(Mood::Down);
    let mut guard = it.sessions.lock(&id).await.expect("it can be locked");
    // The row that the secondary has says much later.
    guard.set_timeouts(Timeouts::new(ms(300), ms(300)).expect("they are valid"));
    guard.commit().await.expect("it is stored");
    let is_over = async || {
        it.sessions
            .snapshot(&id)
            .await
            .expect("it can be read")
            .is_none()
    };
    eventually(fixture, is_over, "it runs out").await;
    it.mirror.set(Mood::Well);
    it.shows(handle, None).await;
    it.is_empty().await;
}

/// Each has its own outbox.
pub async fn a_session_is_written_through_to_several<F: PrimaryFixture>(fixture: &F) {
    let [one, other] = [mirror(fixture), mirror(fixture)];
    let policy = SecondaryPolicy::eventual;
    let builder = settings(fixture, fixture.store())
        .secondary("other", other.clone(), policy())
        .secondary("one", one, policy());
    let sessions = open(builder).await;
    let through = sessions.write_through().expect("it is written through");
    assert_eq!(through.names().collect::<Vec<_>>(), ["one", "other"]);
    other.set(Mood::Down);
    let mut session = sessions.create();
    session.insert("n", 1).expect("it fits");
    let handle = session.handle();
    session.commit().await.expect("it is stored");
    let shows = async |name: &str| {
        let loaded = through.load(name, handle).await;
        loaded.expect("it can be read").is_some()
    };
    eventually(fixture, async || shows("one").await, "one has it").await;
    assert!(!shows("other").await);
    assert!(through.load("third", handle).await.is_err());
    other.set(Mood::Well);
    eventually(fixture, async || shows("other").await, "the other has it").await;
}

/// Or a change would be noted by some processes alone.
pub async fn other_secondaries_than_the_running_ones_are_refused<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    let store = match fixture.elsewhere().await {
        Some(store) => store,
        None => fixture.store(),
    };
    let other = |name| {
        let builder = settings(fixture, store.clone());
        builder.secondary(name, mirror(fixture), SecondaryPolicy::eventual())
    };
    let refused = other("another")
        .open()
        .await
        .expect_err("it is another list");
    assert!(
        matches!(&refused, Error::Store(error) if error.to_string().contains(NAME)),
        "{refused}"
    );
    let more = other("another").secondary(NAME, mirror(fixture), SecondaryPolicy::eventual());
    more.open().await.expect_err("it is another list");
    other(NAME).open().await.expect("it is the same list");
    // The one that it runs with still works.
    it.stored(1).await;
    let none = settings(fixture, fixture.store()).build();
    none.expect_err("it names no secondary");
}

/// Found before anything is written.
pub async fn bad_names_and_policies_are_refused<F: PrimaryFixture>(fixture: &F) {
    let policy = SecondaryPolicy::eventual;
    let named = |name: &str| {
        let builder = settings(fixture, fixture.store());
        builder.secondary(name, mirror(fixture), policy())
    };
    for bad in [
        "",
        "Ümlaut",
        "with space",
        "a:b",
        "a,b",
        "'",
        &"x".repeat(33),
    ] {
        let refused = named(bad).open().await;
        assert!(matches!(refused, Err(Error::Config(_))), "{bad:?}");
    }
    let twice = named("one").secondary("one", mirror(fixture), policy());
    assert!(matches!(twice.open().await, Err(Error::Config(_))));
    for bad in [
        policy().timeout(ms(1)),
        policy().timeout(Duration::from_secs(3600)),
        policy().wait_at_most(Duration::from_secs(6)),
    ] {
        let builder = settings(fixture, fixture.store());
        let refused = builder.secondary("one", mirror(fixture), bad).open().await;
        assert!(matches!(refused, Err(Error::Config(_))));
    }
    named("one").build().expect_err("it was never opened");
    named("one").open().await.expect("it can be opened");
    named("one").build().expect("it is open");
}

/// Most services have none.
pub async fn nothing_is_noted_without_secondaries<F: PrimaryFixture>(fixture: &F) {
    let sessions = settings(fixture, fixture.store()).open().await;
    let sessions = sessions.expect("it can be opened");
    assert!(sessions.write_through().is_none());
    let mut session = sessions.create();
    session.insert("n", 1).expect("it fits");
    let report = session.commit().await.expect("it is stored");
    assert!(report.secondaries.is_empty());
    assert!(fixture.store().outbox().is_none());
    assert_eq!(fixture.keys_without_ttl().await, Vec::<String>::new());
}

/// Promise 9: whatever fails, and in whatever order.
pub async fn secondaries_equal_the_primary_after_any_faults<F: PrimaryFixture>(fixture: &F) {
    let it = eventual(fixture).await;
    it.mirror.set(Mood::Random);
    let other = it.elsewhere(SecondaryPolicy::eventual()).await;
    let mut tasks = Vec::new();
    for at in 0..4_u64 {
        let sessions = if at % 2 == 0 { &it.sessions } else { &other };
        tasks.push(tokio::spawn(change_at_random::<F>(sessions.clone(), at)));
    }
    let mut left = Vec::new();
    for task in tasks {
        left.extend(meanwhile(fixture, task).await.expect("no task fails"));
    }
    it.mirror.set(Mood::Well);
    it.drain().await;
    let mut living = 0;
    for (id, handle) in left {
        let stored = it.sessions.latest(&id).await.expect("it can be read");
        let stored = stored.map(|session| session.get::<u64>("n").expect("it is a number"));
        living += usize::from(stored.is_some());
        assert_eq!(
            it.shown(handle).await,
            stored.flatten(),
            "another version is shown"
        );
    }
    let rows = it.mirror.inner().rows().len();
    assert_eq!(rows, living, "something lives that was ended");
}

async fn change_at_random<F: PrimaryFixture>(
    sessions: Sessions,
    seed: u64,
) -> Vec<(SessionId, SessionHandle)> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    };
    let mut all = Vec::new();
    for value in 0..200_u64 {
        if all.len() < 4 || draw() % 8 == 0 {
            let mut session = sessions.create();
            session.insert("n", value).expect("it fits");
            let known = (session.id().clone(), session.handle());
            session.commit().await.expect("it is stored");
            all.push(known);
            continue;
        }
        let at = usize::try_from(draw()).unwrap_or_default() % all.len();
        let Ok(mut guard) = sessions.lock(&all[at].0).await else {
            continue;
        };
        guard.insert("n", value).expect("it fits");
        match draw() % 8 {
            0 => guard.destroy(),
            1 if F::PROMISES.has(Promise::Rotation) => {
                all[at].0 = guard.regenerate();
            }
            2 if F::PROMISES.has(Promise::Users) => {
                let user = if value % 2 == 0 { "ada" } else { "grace" };
                all[at].0 = guard.login(user, &()).expect("it is a user");
            }
            _ => {}
        }
        guard.commit().await.expect("it is stored");
    }
    all
}

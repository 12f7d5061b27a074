use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use session_core::{AcquireError, CommitError, SessionHandle, WhenFull};

use super::*;

/// Clause 14: every live session of the user and no other, the newest first.
pub async fn the_list_of_a_user_is_complete_and_newest_first<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let (store, sessions) = (fixture.store(), sessions(fixture));
    assert!(listed(&sessions, "ada").await.is_empty());
    let mut expected = Vec::new();
    for number in 0..4 {
        let id = logged_in(&sessions, "ada").await;
        logged_in(&sessions, "bob").await;
        stored(&sessions, number).await;
        expected.insert(0, record(&store, id.key()).await.header);
        fixture.pass(ms(20)).await;
    }
    let list = of(&sessions, "ada").list().await.expect("it can be listed");
    assert_eq!(list.len(), expected.len());
    for (listed, header) in list.iter().zip(&expected) {
        assert_eq!(listed.handle, header.handle);
        assert_eq!(listed.created, header.created);
        assert!(listed.last_seen >= listed.created);
        assert!(listed.labels.is_empty());
    }
    assert_eq!(listed(&sessions, "bob").await.len(), 4);
}

/// Clause 14 between processes: whoever is asked knows all of them.
pub async fn sessions_made_elsewhere_are_listed_and_revoked_here<F: PrimaryFixture>(fixture: &F) {
    let Some(elsewhere) = elsewhere(fixture).await else {
        return;
    };
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let first = logged_in(&elsewhere, "ada").await;
    let second = logged_in(&sessions, "ada").await;
    let mut holder = elsewhere.lock(&first).await.expect("it can be locked");
    write(&mut holder, 2);
    assert_eq!(listed(&sessions, "ada").await.len(), 2);
    let ended = of(&sessions, "ada").revoke(holder.handle()).await;
    assert_eq!(ended.ok(), Some(true));
    let refused = holder.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    assert_eq!(value(&elsewhere, &first).await, None);
    assert_eq!(of(&elsewhere, "ada").revoke_all().await.ok(), Some(1));
    assert_eq!(value(&sessions, &second).await, None);
    assert!(listed(&elsewhere, "ada").await.is_empty());
}

/// Clause 14: what is over, in whichever way, is not in the list.
pub async fn the_list_names_no_session_that_is_over<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let mut expired = sessions.create();
    expired.set_timeouts(Timeouts::new(ms(3_000), ms(60_000)).expect("they are valid"));
    expired.login("ada", &ada()).expect("it can be marked");
    expired.commit().await.expect("the login is stored");
    let mut logged_out = sessions
        .lock(&logged_in(&sessions, "ada").await)
        .await
        .expect("it can be locked");
    let destroyed = logged_in(&sessions, "ada").await;
    let revoked = logged_in(&sessions, "ada").await;
    let by_alias = logged_in(&sessions, "ada").await;
    let lives = logged_in(&sessions, "ada").await;
    assert_eq!(listed(&sessions, "ada").await.len(), 6);

    logged_out.logout();
    logged_out.commit().await.expect("it can be ended");
    sessions.destroy(&destroyed).await.expect("it can be ended");
    regenerated(&sessions, &by_alias).await;
    sessions.destroy(&by_alias).await.expect("it can be ended");
    let handle = snapshot(&sessions, &revoked).await.handle();
    let ended = of(&sessions, "ada").revoke(handle).await;
    assert_eq!(ended.ok(), Some(true));
    fixture.pass(ms(3_300)).await;
    let handle = snapshot(&sessions, &lives).await.handle();
    assert_eq!(listed(&sessions, "ada").await, [handle]);
    assert_eq!(of(&sessions, "ada").revoke_all().await.ok(), Some(1));
}

/// The list says when a session was last used, in every way of using it, and keeps it for as long as it is used.
pub async fn the_list_says_when_a_session_was_last_seen<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = living(fixture, 6_000, 60_000);
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(logged_in(&sessions, "ada").await);
    }
    let ada = of(&sessions, "ada");
    let first = ada.list().await.expect("it can be listed");
    for _ in 0..2 {
        fixture.pass(ms(3_300)).await;
        add_one(&sessions, &ids[0]).await;
        let guard = sessions.lock(&ids[1]).await.expect("it can be locked");
        guard.discard().await.expect("it can be given back");
        snapshot(&sessions, &ids[2]).await;
        let update = sessions.update(&ids[3], |data| data.insert("seen", 1));
        update.await.expect("the change is stored");
        // A touch is sent without waiting for it.
        fixture.pass(ms(100)).await;
    }
    let second = ada.list().await.expect("it can be listed");
    assert_eq!(second.len(), 4, "a session that is used has left the list");
    for (before, after) in first.iter().zip(&second) {
        assert_eq!(after.handle, before.handle);
        assert_eq!(after.created, before.created);
        let moved = after.last_seen.saturating_since(before.last_seen);
        assert!(moved >= ms(6_000), "it was seen {moved:?} later");
    }
}

/// Clause 14: one session is ended, and only for the user whose it is.
pub async fn revoking_one_ends_it_and_no_other<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let (first, second) = (
        logged_in(&sessions, "ada").await,
        logged_in(&sessions, "ada").await,
    );
    let (bobs, nobodys) = (
        logged_in(&sessions, "bob").await,
        stored(&sessions, 1).await,
    );
    let ada = of(&sessions, "ada");
    for not_hers in [&bobs, &nobodys] {
        let handle = snapshot(&sessions, not_hers).await.handle();
        assert_eq!(ada.revoke(handle).await.ok(), Some(false));
        assert_eq!(value(&sessions, not_hers).await, Some(1));
    }
    let unknown = SessionHandle::random();
    assert_eq!(ada.revoke(unknown).await.ok(), Some(false));
    let nobody = SessionHandle::from_bytes([0; 16]);
    assert_eq!(ada.revoke(nobody).await.ok(), Some(false));
    let handle = snapshot(&sessions, &first).await.handle();
    let kept = snapshot(&sessions, &second).await.handle();
    assert_eq!(ada.revoke(handle).await.ok(), Some(true));
    assert_eq!(value(&sessions, &first).await, None);
    assert_eq!(value(&sessions, &second).await, Some(1));
    assert_eq!(ada.revoke(handle).await.ok(), Some(false), "it is over");
    assert_eq!(listed(&sessions, "ada").await, [kept]);
    // One that was ended stops no login that has begun.
    logged_in_with(
        &sessions,
        login("ada").ticket(begun(&sessions, "ada").await),
    )
    .await;
}

/// Clause 14: "log out everywhere else".
pub async fn revoking_the_others_keeps_one<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(logged_in(&sessions, "ada").await);
    }
    let bobs = logged_in(&sessions, "bob").await;
    let kept = regenerated(&sessions, &ids[0]).await;
    let handle = snapshot(&sessions, &kept).await.handle();
    let ada = of(&sessions, "ada");
    assert_eq!(ada.revoke_others(handle).await.ok(), Some(3));
    for ended in &ids[1..] {
        assert_eq!(value(&sessions, ended).await, None);
    }
    assert_eq!(value(&sessions, &kept).await, Some(1));
    assert_eq!(value(&sessions, &bobs).await, Some(1));
    assert_eq!(listed(&sessions, "ada").await, [handle]);
    assert_eq!(ada.revoke_others(handle).await.ok(), Some(0));
    // Who names the session of somebody else keeps none of the own.
    let handle = snapshot(&sessions, &bobs).await.handle();
    assert_eq!(ada.revoke_others(handle).await.ok(), Some(1));
    assert_eq!(value(&sessions, &kept).await, None);
    assert_eq!(value(&sessions, &bobs).await, Some(1));
}

/// Clause 14: "log out everywhere", and the user can log in again.
pub async fn revoking_all_ends_every_session_of_the_user<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let ada = of(&sessions, "ada");
    assert_eq!(ada.revoke_all().await.ok(), Some(0));
    let (bobs, nobodys) = (
        logged_in(&sessions, "bob").await,
        stored(&sessions, 1).await,
    );
    for _ in 0..2 {
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(logged_in(&sessions, "ada").await);
        }
        ids.push(logged_in_from(&sessions, &stored(&sessions, 1).await, "ada").await);
        assert_eq!(ada.revoke_all().await.ok(), Some(4));
        for id in &ids {
            assert_eq!(value(&sessions, id).await, None);
            let refused = sessions.lock(id).await;
            assert!(
                matches!(refused, Err(AcquireError::NoSession)),
                "{refused:?}"
            );
        }
        assert!(listed(&sessions, "ada").await.is_empty());
        assert_eq!(ada.revoke_all().await.ok(), Some(0));
    }
    for others in [bobs, nobodys] {
        assert_eq!(value(&sessions, &others).await, Some(1));
    }
}

/// Clause 14 for users with more sessions than one step of a server should take.
pub async fn revoking_all_ends_more_than_a_thousand_sessions<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = limited(fixture, 5_000, WhenFull::Refuse);
    let ticket = begun(&sessions, "ada").await;
    let mut ids = Vec::new();
    for _ in 0..1_050 {
        ids.push(logged_in(&sessions, "ada").await);
    }
    assert_eq!(listed(&sessions, "ada").await.len(), 1_050);
    assert_eq!(of(&sessions, "ada").revoke_all().await.ok(), Some(1_050));
    for id in &ids {
        assert_eq!(value(&sessions, id).await, None);
    }
    assert!(listed(&sessions, "ada").await.is_empty());
    let mut late = sessions.create();
    let marked = late.login_with(login("ada").ticket(ticket), &ada());
    marked.expect("it can be marked");
    let refused = late.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Superseded)),
        "{refused:?}"
    );
}

/// A new ID changes nothing in the list, and ending the session by its name ends what has the new ID.
pub async fn rotation_keeps_the_place_in_the_list<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let ada = of(&sessions, "ada");
    let first = logged_in(&sessions, "ada").await;
    let before = ada.list().await.expect("it can be listed");
    fixture.pass(ms(20)).await;
    let second = regenerated(&sessions, &first).await;
    let third = regenerated(&sessions, &second).await;
    let after = ada.list().await.expect("it can be listed");
    assert_eq!(after.len(), 1, "one session stands in the list twice");
    assert_eq!(after[0].handle, before[0].handle);
    assert_eq!(after[0].created, before[0].created);
    assert_eq!(
        snapshot(&sessions, &third).await.user_id(),
        Some(user("ada"))
    );

    let mut holder = sessions.lock(&third).await.expect("it can be locked");
    let fourth = holder.regenerate();
    assert_eq!(ada.revoke(before[0].handle).await.ok(), Some(true));
    let refused = holder.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    for id in [&first, &second, &third, &fourth] {
        assert_eq!(value(&sessions, id).await, None);
    }
    nothing_stands(fixture, &fourth).await;
    assert!(listed(&sessions, "ada").await.is_empty());
}

/// All sessions of everybody: also those of nobody, and what old IDs lead to. Later ones live.
pub async fn revoke_everything_ends_anonymous_sessions_too<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let alias = stored(&sessions, 1).await;
    let frozen = stored(&sessions, 1).await;
    let ended = [
        stored(&sessions, 1).await,
        logged_in(&sessions, "bob").await,
        regenerated(&sessions, &alias).await,
        logged_in_from(&sessions, &frozen, "ada").await,
        alias,
        frozen,
    ];
    let mut holder = sessions.lock(&ended[0]).await.expect("it can be locked");
    write(&mut holder, 2);
    fixture.pass(ms(20)).await;
    let revoked = sessions.revoke_everything().await;
    revoked.expect("all can be revoked");
    for id in &ended {
        assert_eq!(value(&sessions, id).await, None);
    }
    for id in &ended[..4] {
        let refused = sessions.lock(id).await;
        assert!(
            matches!(refused, Err(AcquireError::NoSession)),
            "{refused:?}"
        );
    }
    let refused = holder.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    for name in ["ada", "bob"] {
        assert!(listed(&sessions, name).await.is_empty());
    }
    fixture.pass(ms(20)).await;
    let (anonymous, adas) = (
        stored(&sessions, 1).await,
        logged_in(&sessions, "ada").await,
    );
    let anonymous = regenerated(&sessions, &anonymous).await;
    add_one(&sessions, &adas).await;
    assert_eq!(value(&sessions, &anonymous).await, Some(1));
    assert_eq!(value(&sessions, &adas).await, Some(2));
    assert_eq!(listed(&sessions, "ada").await.len(), 1);
}

/// Promise 4: whoever holds or waits for a session that is revoked, in whichever way, it is over for all of them.
pub async fn revocation_ends_for_waiters_and_holders<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    for ending in ENDINGS {
        enable(&sessions).await;
        let id = logged_in(&sessions, "ada").await;
        let mut holder = sessions.lock(&id).await.expect("it can be locked");
        let handle = holder.handle();
        let begun = Begun {
            id: id.clone(),
            handle,
            ticket: begun(&sessions, "ada").await,
        };
        let waiter = tokio::spawn({
            let (sessions, id) = (sessions.clone(), id.clone());
            async move { sessions.lock(&id).await }
        });
        fixture.pass(ms(100)).await;
        end(&sessions, &begun, ending).await;
        let late = sessions.lock(&id).wait_at_most(Duration::ZERO).await;
        assert!(matches!(late, Err(AcquireError::NoSession)), "{late:?}");
        let waited = tokio::time::timeout(LONG_LEASE / 2, meanwhile(fixture, waiter)).await;
        let waited = waited.expect("it is told at once").expect("no task fails");
        assert!(matches!(waited, Err(AcquireError::NoSession)), "{waited:?}");
        write(&mut holder, 2);
        let refused = holder.commit().await;
        assert!(
            matches!(refused, Err(CommitError::Destroyed)),
            "{ending:?}: {refused:?}"
        );
        assert_eq!(value(&sessions, &id).await, None);
    }
}

/// Clauses 13 and 14, under load: revoked in the middle of logins, new IDs and commits of many tasks, no session lives
/// whose login began before; and the list and the sessions agree.
pub async fn revoke_all_wins_over_logins_that_race_it<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = limited(fixture, 1_000, WhenFull::Refuse);
    let users = ["ada", "bob", "eve"];
    let at_work = Arc::new(AtomicUsize::new(TASKS));
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let (sessions, at_work) = (sessions.clone(), Arc::clone(&at_work));
            tokio::spawn(async move {
                let mut made = Vec::new();
                for round in 0..ROUNDS {
                    let name = users[(number + round) % users.len()];
                    made.extend(log_in_and_work(&sessions, name, round).await);
                }
                at_work.fetch_sub(1, Ordering::SeqCst);
                made
            })
        })
        .collect();
    while at_work.load(Ordering::SeqCst) > 0 {
        for name in users {
            of(&sessions, name).revoke_all().await.expect("it is done");
        }
        tokio::task::yield_now().await;
    }
    let mut made = Vec::new();
    for task in tasks {
        made.extend(task.await.expect("no task fails"));
    }
    for name in users {
        let epoch = begun(&sessions, name).await.epoch;
        let mut alive = BTreeSet::new();
        for login in made.iter().filter(|login| login.name == name) {
            if value(&sessions, &login.id).await.is_some() {
                assert_eq!(login.epoch, epoch, "it lives though all were revoked");
                alive.insert(login.handle);
            } else {
                assert_ne!(login.epoch, epoch, "it was ended by nobody");
            }
        }
        let list: BTreeSet<_> = listed(&sessions, name).await.into_iter().collect();
        assert_eq!(list, alive, "the list and the sessions do not agree");
    }
}

const TASKS: usize = 12;
const ROUNDS: usize = 15;

/// A login that was accepted.
struct Made {
    name: &'static str,
    epoch: u64,
    handle: SessionHandle,
    id: SessionId,
}

/// Logs in, and then changes the session and gives it another ID, as far as it is let.
async fn log_in_and_work(sessions: &Sessions, name: &'static str, round: usize) -> Option<Made> {
    let ticket = begun(sessions, name).await;
    let mut session = if round % 2 == 1 {
        let anonymous = stored(sessions, 1).await;
        let locked = sessions.lock(&anonymous).await;
        locked.expect("nobody else knows it")
    } else {
        sessions.create()
    };
    write(&mut session, 1);
    let handle = session.handle();
    let marked = session.login_with(login(name).ticket(ticket), &ada());
    let mut id = marked.expect("it can be marked");
    match session.commit().await {
        Ok(_) => {}
        Err(CommitError::Superseded) => return None,
        Err(error) => panic!("a login is told {error:?}"),
    }
    let made = |id| Made {
        name,
        epoch: ticket.epoch,
        handle,
        id,
    };
    for step in 0..4 {
        tokio::task::yield_now().await;
        let mut guard = match sessions.lock(&id).await {
            Ok(guard) => guard,
            Err(AcquireError::NoSession) => break,
            Err(error) => panic!("a holder is told {error:?}"),
        };
        write(&mut guard, step);
        let new = (step % 2 == 1).then(|| guard.regenerate());
        match guard.commit().await {
            Ok(_) => id = new.unwrap_or(id),
            Err(CommitError::Destroyed) => break,
            Err(error) => panic!("a holder is told {error:?}"),
        }
    }
    Some(made(id))
}

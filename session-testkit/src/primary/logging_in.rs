use std::time::SystemTime;

use session_core::{
    AcquireError, CommitError, Login, LoginError, LoginTicket, PrimaryStore as _, Promise,
    RecordKind, SessionHandle, Snapshot, UserId, UserSessions, WhenFull,
};

use super::*;
use crate::cancel_after;

/// Clause 13: the session goes on under a new ID, bound to the user, with what was changed in the same step.
pub async fn login_binds_the_session_to_its_user<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let old = stored(&sessions, 1).await;
    assert_eq!(snapshot(&sessions, &old).await.user_id(), None);
    let mut guard = sessions.lock(&old).await.expect("it can be locked");
    assert_eq!(guard.user_id(), None);
    write(&mut guard, 2);
    let new = guard.login("ada", &ada()).expect("it can be marked");
    assert_eq!(guard.user_id(), Some(user("ada")));
    assert_eq!(value(&sessions, &new).await, None, "stored too early");
    assert!(listed(&sessions, "ada").await.is_empty());
    let handle = guard.handle();
    let report = guard.commit().await.expect("the login is stored");
    assert!(report.is_stored());
    assert_eq!(report.id.as_ref(), Some(&new));

    let seen = snapshot(&sessions, &new).await;
    assert_eq!((read(&seen), seen.is_rotated()), (2, false));
    assert_eq!(seen.user_id(), Some(user("ada")));
    assert_eq!(seen.user().ok().flatten(), Some(ada()));
    seen.user::<u64>().expect_err("it is no number");
    let free = sessions.lock(&new).wait_at_most(Duration::ZERO).await;
    let mut guard = free.expect("nobody holds it");
    assert_eq!(guard.user_id(), Some(user("ada")));
    assert_eq!(guard.user().ok().flatten(), Some(ada()));
    // What the library knows is not among the values, and is not cleared with them.
    assert_eq!(guard.keys().collect::<Vec<_>>(), ["left", "right"]);
    guard.clear();
    write(&mut guard, 3);
    guard.commit().await.expect("the change is stored");
    assert_eq!(snapshot(&sessions, &new).await.user_id(), Some(user("ada")));
    let header = record(&store, new.key()).await.header;
    assert_eq!(header.kind, RecordKind::Live);
    assert_eq!(header.user_tag, user("ada").key().tag());
    assert_eq!(new.key().bucket(), user("ada").key().bucket());
    assert_eq!(listed(&sessions, "ada").await, [handle]);
}

/// The first commit of a session can be a login, with values or without.
pub async fn a_new_session_can_begin_with_a_login<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    for with_values in [true, false] {
        let mut session = sessions.create();
        let first = session.id().clone();
        if with_values {
            write(&mut session, 1);
        }
        let id = session.login(7, &"Ada").expect("it can be marked");
        assert_eq!(session.id(), &id);
        let report = session.commit().await.expect("the login is stored");
        assert!(report.is_stored());
        let seen = snapshot(&sessions, &id).await;
        assert_eq!(seen.user_id(), Some(user("7")));
        assert_eq!(seen.is_empty(), !with_values);
        nothing_stands(fixture, &first).await;
    }
    let mut told = None;
    let new = sessions.with_new(async |session| {
        told = Some(session.login(7, &"Ada")?);
        Ok::<_, Error>(())
    });
    let (id, ()) = new.await.expect("the login is stored");
    assert_eq!(told.as_ref(), Some(&id));
    snapshot(&sessions, &id).await;
    assert_eq!(listed(&sessions, "7").await.len(), 3);
    let logged_out = sessions.with_new(async |session| {
        session.login(7, &"Ada")?;
        session.logout();
        Ok::<_, Error>(())
    });
    logged_out.await.expect("there is nothing to store");
    assert_eq!(listed(&sessions, "7").await.len(), 3);
}

/// Promise 5: the old ID shows what the session was before, and never anything of the new one.
pub async fn after_a_login_the_old_id_shows_the_session_of_before<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let old = stored(&sessions, 1).await;
    let before = record(&store, old.key()).await;
    let mut loaded_before = unlocked(&sessions, &old).await;
    let mut guard = sessions.lock(&old).await.expect("it can be locked");
    write(&mut guard, 2);
    let new = guard.login("ada", &ada()).expect("it can be marked");
    guard.commit().await.expect("the login is stored");
    add_one(&sessions, &new).await;
    let seen = snapshot(&sessions, &old).await;
    assert_eq!((read(&seen), seen.is_rotated()), (1, true));
    assert_eq!(seen.user_id(), None);
    let refused = sessions.lock(&old).await;
    assert!(matches!(refused, Err(AcquireError::Rotated)), "{refused:?}");
    let mut loaded_after = unlocked(&sessions, &old).await;
    assert_eq!((read(&loaded_after), loaded_after.user_id()), (1, None));
    write(&mut loaded_before, 9);
    write(&mut loaded_after, 9);
    for unlocked in [loaded_before, loaded_after] {
        let refused = unlocked.save().await;
        assert!(matches!(refused, Err(CommitError::Rotated)), "{refused:?}");
    }
    let version = next_version(&before, &body(9));
    let refused = store.update(old.key(), version, &request(LONG_LEASE)).await;
    assert!(matches!(refused, Err(CommitError::Rotated)), "{refused:?}");
    assert_eq!(value(&sessions, &old).await, Some(1));
    // It is a copy: its end is not the end of the session.
    sessions.destroy(&old).await.expect("it can be ended");
    assert_eq!(value(&sessions, &old).await, None);
    assert_eq!(value(&sessions, &new).await, Some(3));
    assert_eq!(listed(&sessions, "ada").await.len(), 1);
}

/// Promise 5: reading does not prolong the copy's grace either.
pub async fn after_a_login_the_old_id_is_nothing_after_its_grace<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = graced(fixture, 400);
    let old = stored(&sessions, 1).await;
    let new = logged_in_from(&sessions, &old, "ada").await;
    over_after_its_grace(fixture, &sessions, &old).await;
    assert_eq!(value(&sessions, &new).await, Some(1));
}

/// Promise 5 for IDs that were old already when the user logged in.
pub async fn after_a_login_every_earlier_id_shows_the_session_of_before<F: PrimaryFixture>(
    fixture: &F,
) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let first = stored(&sessions, 1).await;
    let second = regenerated(&sessions, &first).await;
    let third = logged_in_from(&sessions, &second, "ada").await;
    add_one(&sessions, &third).await;
    for old in [&first, &second] {
        let seen = snapshot(&sessions, old).await;
        assert_eq!((read(&seen), seen.user_id()), (1, None));
    }
    sessions.destroy(&first).await.expect("it can be ended");
    assert_eq!(value(&sessions, &third).await, Some(2));
    // A new ID of the user's own session leads to it again, and no ID of before does.
    let fourth = regenerated(&sessions, &third).await;
    assert_eq!(value(&sessions, &third).await, Some(2));
    assert_eq!(value(&sessions, &fourth).await, Some(2));
    for old in [&first, &second] {
        assert_eq!(value(&sessions, old).await, None);
    }
}

/// What belongs to a user is shown to nobody who has the old ID: confirmed, or changed to another user.
pub async fn login_of_a_session_with_a_user_leaves_nothing<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let first = logged_in(&sessions, "ada").await;
    let alias = regenerated(&sessions, &first).await;
    let second = logged_in_from(&sessions, &alias, "ada").await;
    for old in [&first, &alias] {
        assert_eq!(value(&sessions, old).await, None);
    }
    let refused = sessions.lock(&alias).await;
    assert!(
        matches!(refused, Err(AcquireError::NoSession)),
        "{refused:?}"
    );
    assert_eq!(listed(&sessions, "ada").await.len(), 1);
    let third = logged_in_from(&sessions, &second, "bob").await;
    assert_eq!(value(&sessions, &second).await, None);
    assert_eq!(
        snapshot(&sessions, &third).await.user_id(),
        Some(user("bob"))
    );
    assert!(listed(&sessions, "ada").await.is_empty());
    assert_eq!(listed(&sessions, "bob").await.len(), 1);
    // The one user's sessions are no concern of the other's.
    of(&sessions, "ada").revoke_all().await.expect("it is done");
    assert_eq!(value(&sessions, &third).await, Some(1));
}

/// Session fixation: whoever has planted an ID learns nothing of the login, whatever is asked and whenever. Source:
/// ASVS 5.0, 7.2.4.
pub async fn a_planted_id_never_leads_into_the_login<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    for attack in ATTACKS {
        for polls in 0.. {
            let planted = stored(&sessions, 1).await;
            let mut victim = Box::pin(victim(&sessions, &planted));
            let early = cancel_after(polls, victim.as_mut()).await;
            let first = early.is_some();
            let (outcome, further) = meanwhile(fixture, async {
                if let Some(outcome) = early {
                    (outcome, attack_with(&sessions, &planted, attack).await)
                } else {
                    tokio::join!(victim, attack_with(&sessions, &planted, attack))
                }
            })
            .await;
            if let Some(new) = &outcome {
                let mut guard = sessions.lock(new).await.expect("it can be locked");
                guard.insert("secret", 2).expect("it can be written");
                guard.commit().await.expect("the change is stored");
                assert_ne!(further.as_ref(), Some(new));
            }
            for known in [Some(planted), further].iter().flatten() {
                for attack in ATTACKS {
                    attack_with(&sessions, known, attack).await;
                }
            }
            if let Some(new) = outcome {
                let seen = snapshot(&sessions, &new).await;
                assert_eq!(seen.user_id(), Some(user("ada")));
                assert_eq!(seen.get::<u64>("secret").ok().flatten(), Some(2));
            }
            if first {
                break;
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Attack {
    Read,
    ReadUnlocked,
    Lock,
    Update,
    Regenerate,
    LogIn,
    Destroy,
}

const ATTACKS: [Attack; 7] = [
    Attack::Read,
    Attack::ReadUnlocked,
    Attack::Lock,
    Attack::Update,
    Attack::Regenerate,
    Attack::LogIn,
    Attack::Destroy,
];

/// What somebody does who knows an ID and is not the user. Fails if it shows anything of the user's; a further ID that
/// it has brought.
async fn attack_with(sessions: &Sessions, id: &SessionId, attack: Attack) -> Option<SessionId> {
    let shows_nothing = |data: &session_core::SessionData| {
        assert_ne!(data.user_id(), Some(user("ada")), "shows who logged in");
        assert!(!data.contains_key("secret"), "shows a value of the user's");
    };
    match attack {
        Attack::Read => {
            let seen = sessions.snapshot(id).await.expect("it can be read");
            seen.as_deref().inspect(|data| shows_nothing(data));
        }
        Attack::ReadUnlocked => {
            let seen = sessions.unlocked().load(id).await.expect("it can be read");
            if let Some(mut seen) = seen {
                shows_nothing(&seen);
                seen.insert("planted", 1).expect("it can be written");
                seen.save().await.ok();
            }
        }
        Attack::Lock => {
            if let Ok(mut guard) = sessions.lock(id).wait_at_most(ms(200)).await {
                shows_nothing(&guard);
                guard.insert("planted", 1).expect("it can be written");
                guard.commit().await.ok();
            }
        }
        Attack::Update => {
            let update = sessions.update(id, |data| {
                shows_nothing(data);
                data.insert("planted", 1)
            });
            update.await.ok();
        }
        Attack::Regenerate => {
            let mut guard = sessions.lock(id).wait_at_most(ms(200)).await.ok()?;
            shows_nothing(&guard);
            let new = guard.regenerate();
            return guard.commit().await.is_ok().then_some(new);
        }
        Attack::LogIn => {
            let mut guard = sessions.lock(id).wait_at_most(ms(200)).await.ok()?;
            shows_nothing(&guard);
            let new = guard.login("mallory", &"M").expect("it can be marked");
            return guard.commit().await.is_ok().then_some(new);
        }
        Attack::Destroy => sessions.destroy(id).await.expect("it can be ended"),
    }
    None
}

/// Logs in with a planted ID; the new one, unless somebody came in between.
async fn victim(sessions: &Sessions, planted: &SessionId) -> Option<SessionId> {
    let mut guard = sessions.lock(planted).await.ok()?;
    guard.insert("secret", 1).expect("it can be written");
    let new = guard.login("ada", &ada()).expect("it can be marked");
    guard.commit().await.is_ok().then_some(new)
}

/// A mark is discarded with everything else.
pub async fn a_discarded_login_changes_nothing<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let before = record(&store, id.key()).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    let new = guard.login("ada", &ada()).expect("it can be marked");
    guard.discard().await.expect("it can be given back");
    unchanged(&store, id.key(), &before).await;
    nothing_stands(fixture, &new).await;
    assert!(listed(&sessions, "ada").await.is_empty());
}

/// Clause 13: a login that began before all sessions were revoked comes too late, and harms nothing.
pub async fn a_login_that_began_before_a_revocation_is_superseded<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    for everything in [false, true] {
        let early = begun(&sessions, "ada").await;
        let ticket = begun(&sessions, "ada").await;
        logged_in_with(&sessions, login("ada").ticket(early)).await;
        fixture.pass(ms(20)).await;
        if everything {
            let revoked = sessions.revoke_everything().await;
            revoked.expect("all can be revoked");
        } else {
            of(&sessions, "ada").revoke_all().await.expect("it is done");
        }
        fixture.pass(ms(20)).await;
        refused_login(fixture, login("ada").ticket(ticket), |refused| {
            matches!(refused, CommitError::Superseded)
        })
        .await;
        assert!(listed(&sessions, "ada").await.is_empty());
        let late = begun(&sessions, "ada").await;
        logged_in_with(&sessions, login("ada").ticket(late)).await;
    }
}

/// Clause 13 between processes.
pub async fn a_login_that_began_elsewhere_is_superseded<F: PrimaryFixture>(fixture: &F) {
    let Some(elsewhere) = elsewhere(fixture).await else {
        return;
    };
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let ticket = begun(&elsewhere, "ada").await;
    let id = logged_in(&elsewhere, "ada").await;
    assert_eq!(
        listed(&sessions, "ada").await,
        listed(&elsewhere, "ada").await
    );
    fixture.pass(ms(20)).await;
    let ended = of(&sessions, "ada").revoke_all().await;
    assert_eq!(ended.ok(), Some(1));
    assert_eq!(value(&elsewhere, &id).await, None);
    let mut session = elsewhere.create();
    let marked = session.login_with(login("ada").ticket(ticket), &ada());
    marked.expect("it can be marked");
    let refused = session.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Superseded)),
        "{refused:?}"
    );
}

/// A disabled user gets in by no way until enabled, and what began before never does.
pub async fn a_disabled_user_cannot_log_in<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let ticket = begun(&sessions, "ada").await;
    let id = logged_in(&sessions, "ada").await;
    let ended = of(&sessions, "ada").disable().await;
    assert_eq!(ended.ok(), Some(1));
    assert_eq!(value(&sessions, &id).await, None);
    let refused = sessions.begin_login("ada").await;
    assert!(matches!(refused, Err(LoginError::Disabled)), "{refused:?}");
    let is_refused = |refused: &CommitError| matches!(refused, CommitError::UserDisabled);
    refused_login(fixture, login("ada"), is_refused).await;
    refused_login(fixture, login("ada").ticket(ticket), |refused| {
        matches!(refused, CommitError::UserDisabled | CommitError::Superseded)
    })
    .await;
    begun(&sessions, "bob").await;
    logged_in(&sessions, "bob").await;

    // Revoking and disabling once more enables nobody.
    let ada = of(&sessions, "ada");
    assert_eq!(ada.revoke_all().await.ok(), Some(0));
    assert_eq!(ada.disable().await.ok(), Some(0));
    refused_login(fixture, login("ada"), is_refused).await;
    ada.enable().await.expect("it can be enabled");
    refused_login(fixture, login("ada").ticket(ticket), |refused| {
        matches!(refused, CommitError::Superseded)
    })
    .await;
    let late = begun(&sessions, "ada").await;
    logged_in_with(&sessions, login("ada").ticket(late)).await;
    logged_in(&sessions, "ada").await;
    ada.enable().await.expect("it is enabled already");
    assert_eq!(listed(&sessions, "ada").await.len(), 2);
}

/// A changed password ends what was begun with the old one.
pub async fn another_credential_ends_the_other_sessions<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let with = |credential: &[u8]| login("ada").credential(credential);
    let first = logged_in_with(&sessions, with(b"old")).await;
    let second = logged_in_with(&sessions, with(b"old")).await;
    let third = logged_in(&sessions, "ada").await;
    let bobs = logged_in_with(&sessions, login("bob").credential(b"bob's")).await;
    let second = regenerated(&sessions, &second).await;
    for id in [&first, &second, &third] {
        assert_eq!(value(&sessions, id).await, Some(1), "it was ended");
    }
    let mut holder = sessions.lock(&first).await.expect("it can be locked");
    write(&mut holder, 2);
    let mut own = sessions.lock(&third).await.expect("it can be locked");
    let marked = own.login_with(with(b"new"), &ada());
    let own_id = marked.expect("it can be marked");
    own.commit().await.expect("the login is stored");
    assert_eq!(value(&sessions, &own_id).await, Some(1));
    for id in [&first, &second] {
        assert_eq!(value(&sessions, id).await, None, "it lives on");
    }
    let refused = holder.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    assert_eq!(value(&sessions, &bobs).await, Some(1));
    // That credential is the known one now.
    let fifth = logged_in_with(&sessions, with(b"new")).await;
    assert_eq!(value(&sessions, &own_id).await, Some(1));
    let last = logged_in_with(&sessions, with(b"old")).await;
    for id in [&own_id, &fifth] {
        assert_eq!(value(&sessions, id).await, None, "it lives on");
    }
    assert_eq!(listed(&sessions, "ada").await.len(), 1);
    assert_eq!(value(&sessions, &last).await, Some(1));
}

/// Neither does a refused login end anything, whatever credential it has.
pub async fn a_refused_login_ends_no_other_session<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = limited(fixture, 1, WhenFull::EndOldest);
    let early = begun(&sessions, "ada").await;
    fixture.pass(ms(20)).await;
    of(&sessions, "ada").revoke_all().await.expect("it is done");
    let id = logged_in_with(&sessions, login("ada").credential(b"old")).await;
    let mut session = sessions.create();
    let late = login("ada").credential(b"new").ticket(early);
    session.login_with(late, &ada()).expect("it can be marked");
    let refused = session.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Superseded)),
        "{refused:?}"
    );
    assert_eq!(value(&sessions, &id).await, Some(1));
}

/// One session too many: the one that was stored first goes.
pub async fn a_full_user_loses_the_oldest_session<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = limited(fixture, 2, WhenFull::EndOldest);
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(logged_in(&sessions, "ada").await);
        fixture.pass(ms(20)).await;
    }
    let bobs = logged_in(&sessions, "bob").await;
    // The session that logs in again is not one more.
    ids[1] = logged_in_from(&sessions, &ids[1], "ada").await;
    fixture.pass(ms(20)).await;
    // Neither is one with another ID, which makes it no younger either.
    let alias = ids[0].clone();
    ids[0] = regenerated(&sessions, &alias).await;
    for id in &ids {
        assert_eq!(value(&sessions, id).await, Some(1), "it was ended");
    }
    let mut holder = sessions.lock(&ids[0]).await.expect("it can be locked");
    write(&mut holder, 2);
    ids.push(logged_in(&sessions, "ada").await);
    let refused = holder.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    for (id, expected) in [
        (&alias, None),
        (&ids[0], None),
        (&ids[1], Some(1)),
        (&ids[2], Some(1)),
        (&bobs, Some(1)),
    ] {
        assert_eq!(value(&sessions, id).await, expected);
    }
    assert_eq!(listed(&sessions, "ada").await.len(), 2);
}

/// One session too many is refused where that is asked for; sessions that are over do not count.
pub async fn a_full_user_is_refused_where_that_is_the_policy<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = limited(fixture, 2, WhenFull::Refuse);
    let first = logged_in(&sessions, "ada").await;
    let mut short = sessions.create();
    short.set_timeouts(Timeouts::new(ms(300), ms(300)).expect("they are valid"));
    short.login("ada", &ada()).expect("it can be marked");
    short.commit().await.expect("the login is stored");
    let is_full = |refused: CommitError| {
        assert!(
            matches!(refused, CommitError::TooManySessions { limit: 2 }),
            "{refused:?}"
        );
    };
    let mut session = sessions.create();
    let new = session.login("ada", &ada()).expect("it can be marked");
    let refused = session.commit().await;
    fixture.pass(ms(600)).await;
    is_full(refused.expect_err("there are two"));
    nothing_stands(fixture, &new).await;
    logged_in(&sessions, "ada").await;

    let old = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&old).await.expect("it can be locked");
    write(&mut guard, 2);
    guard.login("ada", &ada()).expect("it can be marked");
    is_full(guard.commit().await.expect_err("there are two again"));
    still_anonymous(fixture, &sessions, &old).await;
    logged_in(&sessions, "bob").await;
    sessions.destroy(&first).await.expect("it can be ended");
    logged_in_from(&sessions, &old, "ada").await;
    assert_eq!(listed(&sessions, "ada").await.len(), 2);
}

/// What the application wants to show of a session stands in the list, and stays with the session.
pub async fn labels_stand_in_the_list<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let label = |login: Login, name: &str, text: &str| {
        let login = login.label(name, text);
        login.expect("it is short")
    };
    let ada = of(&sessions, "ada");
    let shown = async || {
        let list = ada.list().await.expect("it can be listed");
        let [session] = &list[..] else {
            panic!("there is one session: {list:?}");
        };
        session.labels.clone().into_iter().collect::<Vec<_>>()
    };
    let text = |text: &str| text.to_owned();
    let login_with_two = label(
        label(login("ada"), "browser", "Firefox on Linux"),
        "place",
        "Zürich 🏔",
    );
    let id = logged_in_with(&sessions, login_with_two).await;
    let two = [
        (text("browser"), text("Firefox on Linux")),
        (text("place"), text("Zürich 🏔")),
    ];
    assert_eq!(shown().await, two);
    add_one(&sessions, &id).await;
    let id = regenerated(&sessions, &id).await;
    assert_eq!(shown().await, two);
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    let longest = label(login("ada"), "x", &"y".repeat(1_000));
    let marked = guard.login_with(longest, &());
    let id = marked.expect("it can be marked");
    guard.commit().await.expect("the login is stored");
    assert_eq!(shown().await, [(text("x"), "y".repeat(1_000))]);
    logged_in_from(&sessions, &id, "ada").await;
    assert_eq!(shown().await, []);
}

/// Bad input is refused before anything is changed.
pub async fn a_login_of_nobody_is_refused<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut guard = sessions.lock(&id).await.expect("it can be locked");
    let long = "x".repeat(UserId::MAX + 1);
    for nobody in ["", &long] {
        let refused = guard.login(nobody, &ada());
        assert!(matches!(refused, Err(LoginError::InvalidUserId(_))));
        let refused = sessions.begin_login(nobody).await;
        assert!(matches!(refused, Err(LoginError::InvalidUserId(_))));
        sessions.user(nobody).expect_err("it is no user");
    }
    let before_1970 = SystemTime::UNIX_EPOCH - ms(1);
    let refused = guard.login("ada", &before_1970);
    assert!(matches!(refused, Err(LoginError::Value(_))));
    let refused = guard.login("ada", &"x".repeat(2 << 20));
    assert!(matches!(refused, Err(LoginError::Value(_))));
    login("ada")
        .label("x", &"y".repeat(Login::MAX_LABELS))
        .expect_err("it is too long");
    assert!(!guard.is_modified());
    let report = guard.commit().await.expect("there is nothing to store");
    assert_eq!((report.is_stored(), report.id), (false, None));
    still_anonymous(fixture, &sessions, &id).await;
    // The longest of all, and zero, are users as others.
    for somebody in [&long[1..], "0"] {
        let id = logged_in(&sessions, somebody).await;
        assert_eq!(
            snapshot(&sessions, &id).await.user_id(),
            Some(user(somebody))
        );
        assert_eq!(listed(&sessions, somebody).await.len(), 1);
    }
}

/// Promise 7: a login is the beginning of a life.
pub async fn life_begins_anew_at_a_login<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let (store, sessions) = (fixture.store(), living(fixture, 20_000, 40_000));
    let old = stored(&sessions, 1).await;
    let before = record(&store, old.key()).await.header;
    fixture.pass(ms(200)).await;
    let new = logged_in_from(&sessions, &old, "ada").await;
    let after = record(&store, new.key()).await.header;
    assert!(after.created >= before.created.after(ms(200)));
    assert_eq!(after.absolute_end, after.created.after(ms(40_000)));
    assert_eq!(after.idle_timeout, ms(20_000));
    assert_eq!(snapshot(&sessions, &new).await.created(), after.created);
    // Its own timeouts, as for "remember me".
    let mut guard = sessions.lock(&new).await.expect("it can be locked");
    guard.set_timeouts(Timeouts::new(ms(500), ms(90_000)).expect("they are valid"));
    let newest = guard.login("ada", &ada()).expect("it can be marked");
    guard.commit().await.expect("the login is stored");
    let after = record(&store, newest.key()).await.header;
    assert_eq!(after.absolute_end, after.created.after(ms(90_000)));
    fixture.pass(ms(800)).await;
    assert_eq!(value(&sessions, &newest).await, None);
    assert!(listed(&sessions, "ada").await.is_empty());
}

/// Promises 2 and 4 for logins: nothing is bound to a user by a holder who is late.
pub async fn a_late_holder_logs_nobody_in<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    let mut late = short_leases(fixture).lock(&id).await.expect("it is free");
    let next = meanwhile(fixture, sessions.lock(&id).into_future()).await;
    let next = next.expect("the lease has run out");
    let new = late.login("ada", &ada()).expect("it can be marked");
    let refused = late.commit().await;
    assert!(
        matches!(refused, Err(CommitError::LeaseLost { .. })),
        "{refused:?}"
    );
    next.discard().await.expect("it can be given back");
    assert_eq!(value(&sessions, &new).await, None);
    still_anonymous(fixture, &sessions, &id).await;

    let mut late = sessions.lock(&id).await.expect("it can be locked");
    let new = late.login("ada", &ada()).expect("it can be marked");
    sessions.destroy(&id).await.expect("it can be ended");
    let refused = late.commit().await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    nothing_stands(fixture, &new).await;
    assert_eq!(value(&sessions, &id).await, None);
    assert!(listed(&sessions, "ada").await.is_empty());
}

/// Whether the store knows users. One that does not is required to say so and to change nothing.
pub(crate) async fn has_users<F: PrimaryFixture>(fixture: &F) -> bool {
    if F::PROMISES.has(Promise::Users) {
        assert!(F::PROMISES.has(Promise::Rotation), "a login needs a new ID");
        return true;
    }
    let sessions = sessions(fixture);
    still_itself_though(fixture, &sessions, |session| {
        let marked = session.login("ada", &ada());
        marked.expect("it can be marked")
    })
    .await;
    let mut session = sessions.create();
    write(&mut session, 1);
    let id = session.login("ada", &ada()).expect("it can be marked");
    unsupported_commit(session.commit().await);
    nothing_stands(fixture, &id).await;
    let id = stored(&sessions, 1).await;
    let handle = snapshot(&sessions, &id).await.handle();
    let ada = of(&sessions, "ada");
    match sessions.begin_login("ada").await {
        Err(LoginError::Store(error)) => unsupported(&error),
        other => panic!("a promise that is not made is kept: {other:?}"),
    }
    for refused in [
        ada.list().await.err(),
        ada.revoke(handle).await.err(),
        ada.revoke_others(handle).await.err(),
        ada.revoke_all().await.err(),
        ada.disable().await.err(),
        ada.enable().await.err(),
        sessions.revoke_everything().await.err(),
    ] {
        unsupported(&refused.expect("the promise is not made"));
    }
    assert_eq!(value(&sessions, &id).await, Some(1));
    false
}

/// Shows that the login is refused, on a session that stands and on a new one, and that nothing has changed.
async fn refused_login<F: PrimaryFixture>(
    fixture: &F,
    login: Login,
    is_right: impl Fn(&CommitError) -> bool,
) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let before = record(&store, id.key()).await;
    let in_new = sessions.create();
    let mut in_old = sessions.lock(&id).await.expect("it can be locked");
    write(&mut in_old, 2);
    for mut session in [in_old, in_new] {
        let marked = session.login_with(login.clone(), &ada());
        let new = marked.expect("it can be marked");
        let refused = session.commit().await.expect_err("it is refused");
        assert!(is_right(&refused), "{refused:?}");
        assert!(!refused.is_retryable());
        nothing_stands(fixture, &new).await;
    }
    unchanged(&store, id.key(), &before).await;
    still_anonymous(fixture, &sessions, &id).await;
}

/// Shows that a session that holds 1 is usable, under the ID that it had, and nobody's.
async fn still_anonymous<F: PrimaryFixture>(fixture: &F, sessions: &Sessions, id: &SessionId) {
    let seen = snapshot(sessions, id).await;
    assert_eq!((seen.user_id(), seen.is_rotated()), (None, false));
    let lock = sessions.lock(id).wait_at_most(LONG_LEASE / 2);
    let guard = meanwhile(fixture, lock.into_future()).await;
    let guard = guard.expect("the lock is free");
    assert_eq!((read(&guard), guard.user_id()), (1, None));
    guard.discard().await.expect("it can be given back");
}

pub(crate) fn limited<F: PrimaryFixture>(fixture: &F, max: u32, when_full: WhenFull) -> Sessions {
    let sessions = builder(fixture).sessions_per_user(max, when_full).build();
    sessions.expect("the settings are valid")
}

/// What is said of a user at the login.
pub(crate) fn ada() -> (String, u8) {
    ("Ada".to_owned(), 36)
}

pub(crate) fn user(id: &str) -> UserId {
    UserId::try_from(id).expect("it is a user ID")
}

pub(crate) fn login(id: &str) -> Login {
    Login::new(id).expect("it is a user ID")
}

pub(crate) fn of(sessions: &Sessions, id: &str) -> UserSessions {
    sessions.user(id).expect("it is a user ID")
}

pub(crate) async fn begun(sessions: &Sessions, id: &str) -> LoginTicket {
    let begun = sessions.begin_login(id).await;
    begun.expect("the user may log in")
}

/// The handles in the list of a user's sessions.
pub(crate) async fn listed(sessions: &Sessions, id: &str) -> Vec<SessionHandle> {
    let list = of(sessions, id).list().await.expect("it can be listed");
    list.iter().map(|session| session.handle).collect()
}

/// A session of that user with the value 1.
pub(crate) async fn logged_in(sessions: &Sessions, id: &str) -> SessionId {
    logged_in_with(sessions, login(id)).await
}

pub(crate) async fn logged_in_with(sessions: &Sessions, login: Login) -> SessionId {
    let mut session = sessions.create();
    write(&mut session, 1);
    let id = session.login_with(login, &ada()).expect("it can be marked");
    session.commit().await.expect("the login is stored");
    id
}

/// Logs in with a session that stands.
pub(crate) async fn logged_in_from(sessions: &Sessions, old: &SessionId, id: &str) -> SessionId {
    let mut guard = sessions.lock(old).await.expect("it can be locked");
    let new = guard.login(id, &ada()).expect("it can be marked");
    guard.commit().await.expect("the login is stored");
    new
}

pub(crate) async fn snapshot(sessions: &Sessions, id: &SessionId) -> Snapshot {
    let snapshot = sessions.snapshot(id).await.expect("it can be read");
    snapshot.expect("it is there")
}

/// A ticket is of one user.
pub async fn a_ticket_of_another_user_is_refused<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let ticket = begun(&sessions, "ada").await;
    let mut guard = sessions.create();
    let login = Login::new("bob").expect("it is a user ID").ticket(ticket);
    let refused = guard.login_with(login, &());
    assert!(
        matches!(refused, Err(LoginError::OtherUsersTicket)),
        "{refused:?}"
    );
    assert!(guard.user_id().is_none() && !guard.is_modified());
}

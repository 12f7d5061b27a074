//! Every single call of the scripts of rotation and users is made to fail once. After each there is one session under
//! one ID, the user's list names it, and the same can be done again.

use session_core::{CommitError, Login, SessionHandle, SessionId, Sessions};
use session_redis::RedisStore;
use session_testkit::servers::RedisServer;

use super::support::{assert_listed, changed, fresh_user, lives, logged_in, stored};
use crate::{
    faulty_scripts::Faulty,
    support::{TestResult, assert_all_keys_end, count},
};

const LARGE: usize = 4096;

/// How the ID changes.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// An anonymous session gets another ID.
    Anonymous,
    /// A session of a user does.
    OfUser,
}

async fn rotations(way: Way, pad: usize) -> TestResult<u32> {
    let faulty = Faulty::scripts().await?;
    let user = fresh_user();
    let act = async |id: &SessionId| {
        let first = match way {
            Way::Anonymous => id.clone(),
            Way::OfUser => {
                faulty.healthy.user(&user)?.revoke_all().await?;
                let login = Login::new(&user)?.label("browser", "Firefox")?;
                logged_in(&faulty.healthy, login).await?
            }
        };
        let mut session = faulty.healthy.lock(&first).await?;
        let old = session.regenerate();
        session.commit().await?;
        let mut session = changed(&faulty.sessions, &old, pad).await?;
        let new = session.regenerate();
        Ok((first, old, new, stored(session.commit().await)?))
    };
    let check = async |_: &SessionId, (first, old, new, stored)| {
        let (live, dead) = if stored { (&new, &old) } else { (&old, &new) };
        let healthy = &faulty.healthy;
        assert!(lives(healthy, live).await? && !lives(healthy, dead).await?);
        let n = Some(u32::from(stored));
        assert_eq!(count(healthy, live).await?, n);
        let snapshot = healthy.snapshot(live).await?.ok_or("it is gone")?;
        assert!(snapshot.remaining().idle.as_secs() > 1_700, "a stage's TTL");
        for alias in [&first, dead] {
            let read = count(healthy, alias).await?;
            assert!(read.is_none() || read == n, "{read:?}");
        }
        if way == Way::OfUser {
            assert_eq!(assert_listed(healthy, &user, &[&old, &new]).await?, 1);
            let listed = healthy.user(&user)?.list().await?;
            assert_eq!(listed[0].labels["browser"], "Firefox");
        }
        let mut again = healthy.lock(live).await?;
        let newest = again.regenerate();
        again.commit().await?;
        assert_eq!(count(healthy, &newest).await?, n);
        if way == Way::OfUser {
            assert_eq!(healthy.user(&user)?.revoke_all().await?, 1);
            assert!(!lives(healthy, &newest).await?);
        }
        Ok(())
    };
    faulty.each_call(act, check).await
}

#[tokio::test]
async fn a_new_id_with_a_failing_call_is_the_only_one_or_none() -> TestResult {
    assert!(rotations(Way::Anonymous, 0).await? >= 8);
    assert!(rotations(Way::Anonymous, LARGE).await? >= 11);
    Ok(())
}

#[tokio::test]
async fn a_new_id_of_a_users_session_with_a_failing_call_takes_its_place_in_the_list() -> TestResult
{
    assert!(rotations(Way::OfUser, 0).await? >= 12);
    assert!(rotations(Way::OfUser, LARGE).await? >= 15);
    Ok(())
}

/// What logs in.
#[derive(Clone, Copy, PartialEq)]
enum From {
    Nothing,
    Anonymous,
    /// A session of the very user: under the same bucket.
    User,
    /// A session of another user.
    AnotherUser,
}

async fn two_sessions_of(sessions: &Sessions, user: &str) -> TestResult<[SessionId; 2]> {
    let login = || Login::new(user).map(|login| login.credential(b"before"));
    Ok([
        logged_in(sessions, login()?).await?,
        logged_in(sessions, login()?).await?,
    ])
}

fn login(user: &str) -> TestResult<Login> {
    let login = Login::new(user)?.label("browser", "Firefox")?;
    Ok(login.credential(b"since"))
}

/// Logs in with another credential than before, which ends the two earlier sessions of the user.
async fn logins(
    server: &'static RedisServer,
    from: From,
    pad: usize,
    keys: u32,
) -> TestResult<u32> {
    let faulty = Faulty::on(server).await?;
    let on_cluster = server.command(&["INFO", "cluster"]).await?;
    let on_cluster = format!("{on_cluster:?}").contains("cluster_enabled:1");
    faulty.only_with_keys(keys).await?;
    let healthy = &faulty.healthy;
    let act = async |id: &SessionId| {
        let (user, other) = (fresh_user(), fresh_user());
        let earlier = two_sessions_of(healthy, &user).await?;
        let old = match from {
            From::Nothing | From::Anonymous => id.clone(),
            From::User => logged_in(healthy, Login::new(&user)?).await?,
            From::AnotherUser => logged_in(healthy, Login::new(&other)?).await?,
        };
        let mut session = match from {
            From::Nothing => {
                let mut session = faulty.sessions.create();
                session.insert("n", 1)?;
                session.insert("pad", "x".repeat(pad))?;
                session
            }
            _ => changed(&faulty.sessions, &old, pad).await?,
        };
        let new = session.login_with(login(&user)?, &())?;
        let is_stored = stored(session.commit().await)?;
        Ok((user, other, earlier, old, new, is_stored))
    };
    let check = async |_: &SessionId, (user, other, earlier, old, new, is_stored)| {
        let (user, other, is_stored): (String, String, bool) = (user, other, is_stored);
        let [one, two]: &[SessionId; 2] = &earlier;
        let all = [one, two, &old, &new];
        assert_eq!(lives(healthy, &new).await?, is_stored);
        assert_eq!(count(healthy, &new).await?, is_stored.then_some(1));
        assert_listed(healthy, &user, &all).await?;
        assert_listed(healthy, &other, &all).await?;
        let old_lives = lives(healthy, &old).await?;
        match from {
            From::Nothing => assert!(old_lives),
            _ if is_stored => assert!(!old_lives),
            // Between two steps, it can also have remained a copy.
            _ => assert!(old_lives || on_cluster),
        }
        let read = count(healthy, &old).await?;
        assert!(read.is_none() || read == Some(0), "{read:?}");
        if !is_stored {
            assert!(lives(healthy, one).await? && lives(healthy, two).await?);
        }
        // Whatever failed: the next login does it.
        let next = logged_in(healthy, login(&user)?).await?;
        for earlier in [one, two] {
            assert!(!lives(healthy, earlier).await?);
        }
        let all = [one, two, &old, &new, &next];
        let listed = assert_listed(healthy, &user, &all).await?;
        // If the other credential could not be noted, the next login counts as the first one with it.
        assert!((1..=1 + usize::from(is_stored)).contains(&listed));
        assert!(lives(healthy, &next).await?);
        healthy.user(&user)?.revoke_all().await?;
        assert_eq!(assert_listed(healthy, &user, &all).await?, 0);
        Ok(())
    };
    faulty.each_call(act, check).await
}

async fn one() -> TestResult<&'static RedisServer> {
    crate::support::shared().await
}

async fn node() -> TestResult<&'static RedisServer> {
    Ok(RedisServer::builder().cluster().shared().await?)
}

#[tokio::test]
async fn a_login_with_a_failing_call_is_whole() -> TestResult {
    assert!(logins(one().await?, From::Anonymous, 0, 8).await? >= 20);
    assert!(logins(one().await?, From::Anonymous, LARGE, 9).await? >= 22);
    Ok(())
}

#[tokio::test]
async fn a_login_of_somebody_who_is_logged_in_with_a_failing_call_is_whole() -> TestResult {
    assert!(logins(one().await?, From::User, 0, 8).await? >= 20);
    assert!(logins(one().await?, From::AnotherUser, 0, 8).await? >= 20);
    assert!(logins(node().await?, From::User, LARGE, 9).await? >= 20);
    Ok(())
}

#[tokio::test]
async fn a_session_that_begins_with_a_login_with_a_failing_call_is_whole() -> TestResult {
    assert!(logins(one().await?, From::Nothing, 0, 6).await? >= 15);
    assert!(logins(one().await?, From::Nothing, LARGE, 7).await? >= 18);
    Ok(())
}

#[tokio::test]
async fn a_login_across_slots_with_a_failing_call_never_makes_two_sessions() -> TestResult {
    let node = node().await?;
    for from in [From::Anonymous, From::AnotherUser] {
        // To freeze, to enter, and to end what somebody else was logged in to.
        assert!(logins(node, from, 0, 3).await? >= 6);
        assert!(logins(node, from, 0, 6).await? >= 15);
        assert!(logins(node, from, LARGE, 7).await? >= 18);
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_login_across_slots_with_a_failing_call_makes_no_session() -> TestResult {
    for keys in [1, 3, 6] {
        let faulty = Faulty::on(node().await?).await?;
        faulty.only_with_keys(keys).await?;
        let healthy = &faulty.healthy;
        let user = fresh_user();
        healthy.user(&user)?.disable().await?;
        let act = async |id: &SessionId| {
            let mut session = changed(&faulty.sessions, id, 0).await?;
            let new = session.login(&user, &())?;
            match session.commit().await {
                Err(CommitError::UserDisabled | CommitError::Store(_)) => {}
                other => return Err(format!("{other:?}").into()),
            }
            // From here on, the test needs its scripts; each failure was one of the login's.
            let hit = faulty.was_hit().await?;
            healthy.user(&user)?.enable().await?;
            TestResult::Ok((new, hit))
        };
        let mut calls = 0;
        for number in 1.. {
            let id = crate::support::counter(healthy).await?;
            faulty.fail_call(number).await?;
            let (new, hit) = act(&id).await?;
            assert!(!lives(healthy, &new).await?);
            let read = count(healthy, &id).await?;
            assert!(read.is_none() || read == Some(0), "{read:?}");
            if !hit || keys != 1 {
                assert!(lives(healthy, &id).await?, "it lives again");
            }
            assert_eq!(assert_listed(healthy, &user, &[&id, &new]).await?, 0);
            assert_all_keys_end(faulty.server, &faulty.prefix).await?;
            healthy.user(&user)?.disable().await?;
            if !hit {
                break;
            }
            calls = number;
        }
        assert!(calls >= 3, "{keys}: {calls}");
        healthy.user(&user)?.enable().await?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Ending {
    One,
    Others,
    All,
    Disable,
}

async fn revocations(ending: Ending) -> TestResult<u32> {
    let faulty = Faulty::scripts().await?;
    let healthy = &faulty.healthy;
    let revoke = async |sessions: &Sessions, user: &str, handle: SessionHandle| {
        let user = sessions.user(user)?;
        TestResult::Ok(match ending {
            Ending::One => user.revoke(handle).await.map(u64::from),
            Ending::Others => user.revoke_others(handle).await,
            Ending::All => user.revoke_all().await,
            Ending::Disable => user.disable().await,
        })
    };
    let (expected, first_stays) = match ending {
        Ending::One => (1, false),
        Ending::Others => (2, true),
        Ending::All | Ending::Disable => (3, false),
    };
    let act = async |_: &SessionId| {
        let user = fresh_user();
        let mut ids = Vec::new();
        for _ in 0..3 {
            let login = Login::new(&user)?.label("browser", "Firefox")?;
            ids.push(logged_in(healthy, login).await?);
        }
        let first = healthy.snapshot(&ids[0]).await?.ok_or("gone")?.handle();
        let ended = revoke(&faulty.sessions, &user, first).await?;
        Ok((user, ids, first, ended))
    };
    let check = async |_: &SessionId, (user, ids, first, ended)| {
        let (user, ids): (String, Vec<SessionId>) = (user, ids);
        let all: Vec<&SessionId> = ids.iter().collect();
        let left = assert_listed(healthy, &user, &all).await?;
        match ended {
            Ok(ended) => assert_eq!((ended, left), (expected, 3 - usize::try_from(expected)?)),
            Err(_) => {
                revoke(healthy, &user, first).await??;
            }
        }
        if ending == Ending::Disable {
            // Also where it failed after all sessions were ended.
            healthy.user(&user)?.disable().await?;
            assert!(healthy.begin_login(&user).await.is_err());
            healthy.user(&user)?.enable().await?;
        }
        assert_eq!(
            assert_listed(healthy, &user, &all).await?,
            3 - usize::try_from(expected)?
        );
        assert_eq!(
            lives(healthy, &ids[0]).await?,
            first_stays,
            "the one that is meant"
        );
        Ok(())
    };
    faulty.each_call(act, check).await
}

#[tokio::test]
async fn a_revocation_with_a_failing_call_is_done_when_it_says_so() -> TestResult {
    assert!(revocations(Ending::One).await? >= 7);
    assert!(revocations(Ending::Others).await? >= 13);
    assert!(revocations(Ending::All).await? >= 20);
    assert!(revocations(Ending::Disable).await? >= 20);
    Ok(())
}

#[tokio::test]
async fn a_list_with_a_failing_call_is_an_error_or_names_only_what_lives() -> TestResult {
    let mut faulty = Faulty::scripts().await?;
    faulty.mirror = None;
    let faulty = &faulty;
    let healthy = &faulty.healthy;
    let act = async |_: &SessionId| {
        let user = fresh_user();
        let [one, two] = two_sessions_of(healthy, &user).await?;
        // Gone, and its place in the list is left.
        let store = RedisStore::builder().prefix(&faulty.prefix);
        let store = store.connect(&faulty.server.url()).await?;
        faulty
            .server
            .command(&["DEL", &store.record_key(one.key())])
            .await?;
        Ok((
            user.clone(),
            one,
            two,
            faulty.sessions.user(&user)?.list().await,
        ))
    };
    let check = async |_: &SessionId, (user, one, two, listed)| {
        let (user, one, two): (String, SessionId, SessionId) = (user, one, two);
        let listed: Result<Vec<session_core::ListedSession>, _> = listed;
        let handle = healthy.snapshot(&two).await?.ok_or("gone")?.handle();
        if let Ok(listed) = listed {
            assert!(listed.iter().all(|session| session.handle == handle));
        }
        assert_eq!(assert_listed(healthy, &user, &[&one, &two]).await?, 1);
        Ok(())
    };
    assert!(faulty.each_call(act, check).await? >= 7);
    Ok(())
}

#[tokio::test]
async fn the_begin_of_a_login_with_a_failing_call_is_an_error() -> TestResult {
    let faulty = Faulty::scripts().await?;
    let healthy = &faulty.healthy;
    let act = async |_: &SessionId| {
        let user = fresh_user();
        healthy.user(&user)?.disable().await?;
        let enabled = faulty.sessions.user(&user)?.enable().await.is_ok();
        Ok((user, enabled))
    };
    let check = async |_: &SessionId, (user, enabled)| {
        let user: String = user;
        assert_eq!(healthy.begin_login(&user).await.is_ok(), enabled);
        healthy.user(&user)?.enable().await?;
        let ticket = faulty.sessions.begin_login(&user).await?;
        logged_in(healthy, Login::new(&user)?.ticket(ticket)).await?;
        Ok(())
    };
    assert!(faulty.each_call(act, check).await? >= 3);
    Ok(())
}

#[tokio::test]
async fn the_first_login_of_a_user_with_a_failing_call_leaves_nothing_for_ever() -> TestResult {
    let faulty = Faulty::scripts().await?;
    faulty.only_with_keys(6).await?;
    let act = async |_: &SessionId| {
        let user = fresh_user();
        let mut session = faulty.sessions.create();
        let id = session.login(&user, &())?;
        let is_stored = stored(session.commit().await)?;
        // Before anybody looks, who may clear up.
        assert_all_keys_end(faulty.server, &faulty.prefix).await?;
        Ok((user, id, is_stored))
    };
    let check = async |_: &SessionId, (user, id, is_stored): (String, SessionId, bool)| {
        assert_eq!(lives(&faulty.healthy, &id).await?, is_stored);
        assert_listed(&faulty.healthy, &user, &[&id]).await?;
        Ok(())
    };
    assert!(faulty.each_call(act, check).await? >= 8);
    Ok(())
}

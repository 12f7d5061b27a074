//! Exactly-once for new IDs, logins and revocations: at each of their steps, a request or its answer is lost or late, or
//! the request is executed twice.

use std::time::Duration;

use futures_util::future::try_join_all;
use session_core::{CommitError, Login, SessionGuard, SessionId, Sessions};
use session_redis::RedisStore;
use session_testkit::servers::{LinkFault, Proxy, RedisServer};

use super::support::{
    assert_listed, changed, far_from, fresh_user, lives, logged_in, one_and_node, user_far_from,
};
use crate::support::{TestResult, assert_all_keys_end, count, counter, fresh_prefix, shared};

const FAULTS: [LinkFault; 3] = [
    LinkFault::HoldRequests,
    LinkFault::HoldReplies,
    LinkFault::DropReplies,
];

/// Sessions behind a proxy, and the same sessions seen past it.
struct Wire {
    server: &'static RedisServer,
    proxy: Proxy,
    prefix: String,
    through: Sessions,
    past: Sessions,
}

impl Wire {
    async fn on(server: &'static RedisServer) -> TestResult<Self> {
        let (proxy, prefix) = (Proxy::start(server).await?, fresh_prefix());
        let builder = RedisStore::builder().prefix(&prefix);
        let past = builder.clone().call_timeout(Duration::from_secs(5));
        let past = Sessions::new(past.connect(&server.url()).await?);
        let through = builder.call_timeout(Duration::from_secs(2));
        let through = Sessions::builder(through.connect(&proxy.url()).await?);
        // Longer than a test may take.
        let through = through.grace(Duration::from_secs(60)).build()?;
        Ok(Self {
            server,
            proxy,
            prefix,
            through,
            past,
        })
    }

    /// Lets all arrive that was held back.
    async fn late(&self) {
        self.proxy.release_replies();
        self.proxy.release_held().await;
    }

    async fn assert_all_keys_end(&self) -> TestResult {
        assert_all_keys_end(self.server, &self.prefix).await
    }
}

/// Every fault at every step of an operation, each on sessions of its own.
async fn at_each_step(
    server: &'static RedisServer,
    steps: usize,
    act: impl AsyncFn(Wire, usize, LinkFault) -> TestResult,
) -> TestResult {
    let steps = (1..=steps).flat_map(|step| FAULTS.map(|fault| (step, fault)));
    let acts = steps.map(async |(step, fault)| act(Wire::on(server).await?, step, fault).await);
    try_join_all(acts).await.map(drop)
}

#[tokio::test]
async fn a_new_id_is_the_only_one_however_often_it_is_asked_for() -> TestResult {
    let rotate = async |wire: Wire, step, fault| {
        let old = counter(&wire.past).await?;
        let mut session = changed(&wire.through, &old, 0).await?;
        let new = session.regenerate();
        wire.proxy.fault_at_script(step, fault);
        assert!(session.commit().await?.is_stored());
        wire.proxy.fault_happened().await;
        for _late in [false, true] {
            assert!(lives(&wire.past, &new).await? && !lives(&wire.past, &old).await?);
            for id in [&old, &new] {
                assert_eq!(count(&wire.past, id).await?, Some(1), "{fault:?}");
            }
            wire.late().await;
        }
        wire.assert_all_keys_end().await
    };
    for server in one_and_node().await? {
        at_each_step(server, 1, rotate).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_late_copy_of_a_new_id_brings_nothing_back_that_was_ended() -> TestResult {
    let wire = Wire::on(shared().await?).await?;
    let old = counter(&wire.past).await?;
    let mut session = changed(&wire.through, &old, 0).await?;
    let new = session.regenerate();
    wire.proxy.fault_at_script(1, LinkFault::HoldRequests);
    session.commit().await?;
    wire.past.destroy(&new).await?;
    wire.late().await;
    for id in [&old, &new] {
        assert_eq!(count(&wire.past, id).await?, None);
    }
    Ok(())
}

/// What a login is for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Nothing,
    Anonymous,
    AnotherUser,
}

/// Somebody who logs in.
struct LoggingIn {
    user: String,
    other: String,
    old: Option<SessionId>,
    new: SessionId,
}

impl Wire {
    /// A session that is marked to be one of a user.
    async fn login(&self, from: From) -> TestResult<(LoggingIn, SessionGuard)> {
        let user = fresh_user();
        let other = user_far_from(&self.past, &user)?;
        let old = match from {
            From::Nothing => None,
            From::Anonymous => Some(far_from(&self.past, &user).await?),
            From::AnotherUser => Some(logged_in(&self.past, Login::new(&other)?).await?),
        };
        let mut session = match &old {
            None => self.through.create(),
            Some(old) => changed(&self.through, old, 0).await?,
        };
        session.insert("n", 1)?;
        let new = session.login(&user, &())?;
        let login = LoggingIn {
            user,
            other,
            old,
            new,
        };
        Ok((login, session))
    }

    /// Asserts that the new session lives and is the only one of its user, or that there is none.
    async fn assert_one(&self, login: &LoggingIn, lives_on: bool) -> TestResult {
        let ids: Vec<_> = login.old.iter().chain([&login.new]).collect();
        let listed = assert_listed(&self.past, &login.user, &ids).await?;
        assert_eq!(listed, usize::from(lives_on));
        assert_listed(&self.past, &login.other, &ids).await?;
        assert_eq!(count(&self.past, &login.new).await?, lives_on.then_some(1));
        self.assert_all_keys_end().await
    }
}

/// How many scripts a login takes there, and one that is refused.
fn steps(from: From, is_node: bool) -> [usize; 2] {
    match from {
        _ if !is_node => [1, 1],
        From::Nothing => [1, 1],
        From::Anonymous => [2, 3],
        From::AnotherUser => [3, 3],
    }
}

const ALL_FROM: [From; 3] = [From::Nothing, From::Anonymous, From::AnotherUser];

async fn stored_logins(from: From, ended_before_late: bool) -> TestResult {
    let log_in = async |wire: Wire, step, fault| {
        let (login, session) = wire.login(from).await?;
        wire.proxy.fault_at_script(step, fault);
        let stored = session.commit().await;
        assert!(stored.is_ok(), "{from:?} {step} {fault:?}: {stored:?}");
        wire.proxy.fault_happened().await;
        if ended_before_late {
            let user = wire.past.user(&login.user)?;
            assert_eq!(user.revoke_all().await?, 1);
        } else {
            wire.assert_one(&login, true).await?;
        }
        wire.late().await;
        wire.assert_one(&login, !ended_before_late).await?;
        if let Some(old) = &login.old {
            assert!(!lives(&wire.past, old).await?);
            let copy = count(&wire.past, old).await?;
            assert_eq!(copy, (from == From::Anonymous).then_some(0));
        }
        Ok(())
    };
    for (server, is_node) in one_and_node().await?.into_iter().zip([false, true]) {
        let [steps, _] = steps(from, is_node);
        at_each_step(server, steps, log_in).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_login_makes_one_session_however_often_it_is_asked_for() -> TestResult {
    for from in ALL_FROM {
        stored_logins(from, false).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_late_copy_of_a_login_brings_nothing_back_that_was_revoked() -> TestResult {
    for from in ALL_FROM {
        stored_logins(from, true).await?;
    }
    Ok(())
}

/// A login was refused because its user was disabled. An earlier copy of the request was stuck in a connection, and came
/// when the user was enabled again: then there was a session of which nobody had been told.
#[tokio::test]
async fn a_refused_login_makes_no_session_however_late_a_copy_comes() -> TestResult {
    for from in ALL_FROM {
        let log_in = async |wire: Wire, step, fault| {
            let (login, session) = wire.login(from).await?;
            wire.past.user(&login.user)?.disable().await?;
            wire.proxy.fault_at_script(step, fault);
            let refused = session.commit().await;
            wire.proxy.fault_happened().await;
            match refused {
                // Refused before in one step, it has given the lock back.
                Err(CommitError::UserDisabled | CommitError::LeaseLost { .. }) => {}
                other => return Err(format!("{from:?} {step} {fault:?}: {other:?}").into()),
            }
            wire.past.user(&login.user)?.enable().await?;
            wire.late().await;
            wire.assert_one(&login, false).await?;
            if let Some(old) = &login.old {
                assert!(lives(&wire.past, old).await?, "{from:?} {step} {fault:?}");
                assert_eq!(count(&wire.past, old).await?, Some(0));
            }
            Ok(())
        };
        for (server, is_node) in one_and_node().await?.into_iter().zip([false, true]) {
            let [_, steps] = steps(from, is_node);
            at_each_step(server, steps, log_in).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_end_is_one_however_often_it_is_asked_for() -> TestResult {
    let end = async |wire: Wire, step, fault| {
        let user = fresh_user();
        let id = logged_in(&wire.past, Login::new(&user)?).await?;
        wire.proxy.fault_at_script(step, fault);
        wire.through.destroy(&id).await?;
        wire.proxy.fault_happened().await;
        let next = logged_in(&wire.past, Login::new(&user)?).await?;
        wire.late().await;
        assert!(!lives(&wire.past, &id).await? && lives(&wire.past, &next).await?);
        assert_eq!(assert_listed(&wire.past, &user, &[&id, &next]).await?, 1);
        Ok(())
    };
    at_each_step(shared().await?, 1, end).await
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    One,
    Others,
    All,
    Disable,
}

/// A revocation whose first answer was lost said that it had ended nothing; and a late copy of it ended what had logged
/// in since, or disabled a user who had been enabled again.
#[tokio::test]
async fn a_revocation_says_what_it_has_ended_and_ends_nothing_that_comes_after_it() -> TestResult {
    for ending in [Ending::One, Ending::Others, Ending::All, Ending::Disable] {
        let revoke = async |wire: Wire, step, fault| {
            let name = fresh_user();
            let mut ids = Vec::new();
            for _ in 0..3 {
                ids.push(logged_in(&wire.past, Login::new(&name)?).await?);
            }
            let handle = wire.past.snapshot(&ids[0]).await?.ok_or("gone")?.handle();
            let user = wire.through.user(&name)?;
            wire.proxy.fault_at_script(step, fault);
            let (ended, expected) = match ending {
                Ending::One => (user.revoke(handle).await.map(u64::from), 1),
                Ending::Others => (user.revoke_others(handle).await, 2),
                Ending::All => (user.revoke_all().await, 3),
                Ending::Disable => (user.disable().await, 3),
            };
            assert_eq!(ended?, expected, "{ending:?} {fault:?}");
            wire.proxy.fault_happened().await;
            wire.past.user(&name)?.enable().await?;
            let ticket = wire.past.begin_login(&name).await?;
            let login = || Login::new(&name).map(|login| login.ticket(ticket));
            ids.push(logged_in(&wire.past, login()?).await?);
            wire.late().await;
            assert!(lives(&wire.past, &ids[3]).await?, "{ending:?} {fault:?}");
            ids.push(logged_in(&wire.past, login()?).await?);
            let all: Vec<&SessionId> = ids.iter().collect();
            let left = usize::try_from(5 - expected)?;
            assert_eq!(assert_listed(&wire.past, &name, &all).await?, left);
            wire.assert_all_keys_end().await
        };
        at_each_step(shared().await?, 1, revoke).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_late_copy_of_enabling_a_user_does_not_undo_a_later_disabling() -> TestResult {
    let wire = Wire::on(shared().await?).await?;
    let name = fresh_user();
    let user = wire.past.user(&name)?;
    user.disable().await?;
    wire.proxy.fault_at_script(1, LinkFault::HoldRequests);
    wire.through.user(&name)?.enable().await?;
    assert!(wire.past.begin_login(&name).await.is_ok());
    user.disable().await?;
    wire.late().await;
    assert!(wire.past.begin_login(&name).await.is_err());
    user.enable().await?;
    Ok(())
}

/// A late copy raised the floor once more, and sessions that had begun meanwhile got no new ID any more.
#[tokio::test]
async fn a_late_copy_of_revoking_everything_harms_nothing_that_comes_after_it() -> TestResult {
    for server in one_and_node().await? {
        let wire = Wire::on(server).await?;
        let before = counter(&wire.past).await?;
        // Whichever comes first: one of the floors.
        wire.proxy.fault_at_script(1, LinkFault::HoldRequests);
        wire.through.revoke_everything().await?;
        wire.proxy.fault_happened().await;
        assert!(!lives(&wire.past, &before).await?);
        let mut after = Vec::new();
        for _ in 0..40 {
            after.push(counter(&wire.past).await?);
        }
        wire.late().await;
        for id in after {
            let mut session = wire.past.lock(&id).await?;
            session.regenerate();
            session.commit().await?;
        }
    }
    Ok(())
}

//! A process that dies between the steps of a login across slots: cut off from the server for good, before or after the
//! server has executed a step.

use std::time::Duration;

use redis::Value;
use session_core::{Login, SessionGuard, SessionId, Sessions};
use session_redis::RedisStore;
use session_testkit::servers::{LinkFault, Proxy, RedisServer};

use super::support::{
    assert_listed, changed, far_from, fresh_user, lives, logged_in, one_and_node, user_far_from,
};
use crate::support::{SHORT_LEASE, TestResult, assert_all_keys_end, count, fresh_prefix};

const GRACE: Duration = Duration::from_secs(20);

/// A process that is to die, and what another one sees of it.
struct Dying {
    server: &'static RedisServer,
    proxy: Proxy,
    prefix: String,
    store: RedisStore,
    process: Sessions,
    other: Sessions,
}

impl Dying {
    async fn process(lease: Duration) -> TestResult<Self> {
        let [_, server] = one_and_node().await?;
        let (proxy, prefix) = (Proxy::start(server).await?, fresh_prefix());
        let builder = RedisStore::builder().prefix(&prefix);
        let builder = builder.call_timeout(Duration::from_secs(5));
        let store = builder.clone().connect(&server.url()).await?;
        let process = builder.connect(&proxy.url()).await?;
        let process = Sessions::builder(process).lease(lease).grace(GRACE);
        Ok(Self {
            server,
            proxy,
            prefix,
            other: Sessions::new(store.clone()),
            store,
            process: process.build()?,
        })
    }

    /// Stops while it commits: before its `step`-th script, or after that, before the answer.
    async fn dies(&self, session: SessionGuard, step: usize, executed: bool) {
        self.proxy.fault_at_script(step, LinkFault::HoldRequests);
        tokio::select! {
            done = session.commit() => panic!("it takes another script: {done:?}"),
            () = self.proxy.fault_happened() => {}
        }
        self.proxy.cut().await;
        if executed {
            self.proxy.release_held().await;
        }
    }

    /// How long the key of a session stands yet.
    async fn left(&self, id: &SessionId) -> TestResult<Duration> {
        let record = self.store.record_key(id.key());
        match self.server.command(&["PTTL", &record]).await? {
            Value::Int(left) => Ok(Duration::from_millis(u64::try_from(left)?)),
            other => Err(format!("{other:?}").into()),
        }
    }

    /// Asserts that the old ID is a copy that is read for the grace, and nothing else.
    async fn assert_copy(&self, old: &SessionId) -> TestResult {
        assert!(!lives(&self.other, old).await?);
        assert_eq!(count(&self.other, old).await?, Some(0));
        assert!(self.left(old).await? <= GRACE);
        Ok(())
    }
}

// Not renewed while a test goes on: that would be a script too.
const LEASE: Duration = Duration::from_secs(30);

/// Where a login stops: the step, and whether it was executed.
const BEFORE_FREEZING: (usize, bool) = (1, false);
const AFTER_FREEZING: [(usize, bool); 2] = [(1, true), (2, false)];
const AFTER_ENTERING: [(usize, bool); 2] = [(2, true), (3, false)];

#[tokio::test]
async fn a_crash_before_the_first_step_leaves_the_session_as_it_was() -> TestResult {
    let (step, executed) = BEFORE_FREEZING;
    let dying = Dying::process(SHORT_LEASE).await?;
    let user = fresh_user();
    let old = far_from(&dying.other, &user).await?;
    let mut session = changed(&dying.process, &old, 0).await?;
    let new = session.login(&user, &())?;
    dying.dies(session, step, executed).await;
    assert_eq!(count(&dying.other, &new).await?, None);
    assert!(lives(&dying.other, &old).await?, "once the lease is over");
    assert_eq!(count(&dying.other, &old).await?, Some(0));
    assert_eq!(assert_listed(&dying.other, &user, &[&old, &new]).await?, 0);
    assert_all_keys_end(dying.server, &dying.prefix).await
}

#[tokio::test]
async fn a_crash_after_freezing_leaves_a_copy_for_the_grace_and_no_new_session() -> TestResult {
    for (step, executed) in AFTER_FREEZING {
        let dying = Dying::process(LEASE).await?;
        let user = fresh_user();
        let old = far_from(&dying.other, &user).await?;
        let mut session = changed(&dying.process, &old, 0).await?;
        let new = session.login(&user, &())?;
        dying.dies(session, step, executed).await;
        dying.assert_copy(&old).await?;
        assert_eq!(count(&dying.other, &new).await?, None);
        assert_eq!(assert_listed(&dying.other, &user, &[&old, &new]).await?, 0);
        assert_all_keys_end(dying.server, &dying.prefix).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_crash_after_entering_leaves_a_whole_session_that_revocation_finds() -> TestResult {
    let (step, executed) = AFTER_ENTERING[0];
    let dying = Dying::process(LEASE).await?;
    let user = fresh_user();
    let old = far_from(&dying.other, &user).await?;
    let mut session = changed(&dying.process, &old, 0).await?;
    let new = session.login(&user, &())?;
    dying.dies(session, step, executed).await;
    dying.assert_copy(&old).await?;
    assert_eq!(count(&dying.other, &new).await?, Some(1));
    assert_eq!(assert_listed(&dying.other, &user, &[&old, &new]).await?, 1);
    assert_all_keys_end(dying.server, &dying.prefix).await?;
    assert_eq!(dying.other.user(&user)?.revoke_all().await?, 1);
    assert!(!lives(&dying.other, &new).await?);
    Ok(())
}

#[tokio::test]
async fn a_crash_of_a_change_of_users_leaves_nothing_that_revocation_does_not_find() -> TestResult {
    let entered = AFTER_ENTERING.map(|at| (at, 1));
    let frozen = AFTER_FREEZING.map(|at| (at, 0));
    for ((step, executed), expected) in entered.into_iter().chain(frozen) {
        let dying = Dying::process(LEASE).await?;
        let user = fresh_user();
        let earlier = user_far_from(&dying.other, &user)?;
        let old = logged_in(&dying.other, Login::new(&earlier)?).await?;
        let mut session = changed(&dying.process, &old, 0).await?;
        let new = session.login(&user, &())?;
        dying.dies(session, step, executed).await;
        dying.assert_copy(&old).await?;
        assert_eq!(count(&dying.other, &new).await?.is_some(), expected == 1);
        let all = [&old, &new];
        assert_eq!(assert_listed(&dying.other, &earlier, &all).await?, 0);
        let listed = assert_listed(&dying.other, &user, &all).await?;
        assert_eq!(u64::try_from(listed)?, expected);
        assert_all_keys_end(dying.server, &dying.prefix).await?;
        let ended = dying.other.user(&earlier)?.revoke_all().await?;
        assert_eq!(ended, 1, "a copy that could be thawed yet");
        assert_eq!(dying.other.user(&user)?.revoke_all().await?, expected);
        for id in all {
            assert_eq!(count(&dying.other, id).await?, None);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_crash_of_a_refused_login_leaves_a_copy_or_the_session_as_it_was() -> TestResult {
    for (step, executed) in [(2, true), (3, false), (3, true)] {
        let dying = Dying::process(LEASE).await?;
        let user = fresh_user();
        let old = far_from(&dying.other, &user).await?;
        dying.other.user(&user)?.disable().await?;
        let mut session = changed(&dying.process, &old, 0).await?;
        let new = session.login(&user, &())?;
        dying.dies(session, step, executed).await;
        dying.other.user(&user)?.enable().await?;
        if (step, executed) == (3, true) {
            assert!(lives(&dying.other, &old).await?, "thawed");
            assert_eq!(count(&dying.other, &old).await?, Some(0));
        } else {
            dying.assert_copy(&old).await?;
        }
        assert_eq!(count(&dying.other, &new).await?, None);
        assert_eq!(assert_listed(&dying.other, &user, &[&old, &new]).await?, 0);
        assert_all_keys_end(dying.server, &dying.prefix).await?;
    }
    Ok(())
}

/// The process was stopped between the steps, the password was changed meanwhile, and then it went on.
#[tokio::test]
async fn a_login_that_was_stopped_between_its_steps_is_superseded_by_a_revocation() -> TestResult {
    let dying = Dying::process(LEASE).await?;
    let user = fresh_user();
    let old = far_from(&dying.other, &user).await?;
    let ticket = dying.other.begin_login(&user).await?;
    let mut session = changed(&dying.process, &old, 0).await?;
    let new = session.login_with(Login::new(&user)?.ticket(ticket), &())?;
    dying.dies(session, 2, false).await;
    assert_eq!(dying.other.user(&user)?.revoke_all().await?, 0);
    dying.proxy.release_held().await;
    dying.assert_copy(&old).await?;
    assert_eq!(count(&dying.other, &new).await?, None);
    assert_eq!(assert_listed(&dying.other, &user, &[&old, &new]).await?, 0);
    Ok(())
}

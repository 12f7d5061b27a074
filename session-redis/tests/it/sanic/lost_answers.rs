use std::time::Duration;

use session_core::{CommitError, Error, SessionGuard, SessionId, Sessions};
use session_redis::{RedisStore, SanicStore};
use session_testkit::servers::Proxy;

use super::Bench;
use crate::support::{TestResult, add_one, count, counter};

/// The sessions of the bench through a proxy, and one that was written on either side last.
async fn behind(bench: &Bench, proxy: &Proxy) -> TestResult<(Sessions, [SessionId; 2])> {
    let redis = RedisStore::builder()
        .prefix(&bench.prefix)
        .call_timeout(Duration::from_millis(200));
    let through = SanicStore::builder()
        .key_prefix(format!("{}theirs:", bench.prefix))
        .redis(redis)
        .connect(&proxy.url())
        .await?;
    let theirs = bench.begun_in_python(r#"{"n":0}"#, 600).await?;
    let ours = counter(&bench.sessions).await?;
    Ok((Sessions::new(through), [theirs, ours]))
}

async fn changed(sessions: &Sessions, id: &SessionId) -> TestResult<SessionGuard> {
    let mut session = sessions.lock(id).await?;
    session.modify("n", |n: &mut u32| *n += 1)?;
    Ok(session)
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_stored_once() -> TestResult {
    let bench = Bench::new().await?;
    let proxy = Proxy::start(bench.server).await?;
    let (through, ids) = behind(&bench, &proxy).await?;
    for id in &ids {
        let session = changed(&through, id).await?;
        proxy.drop_replies();
        assert!(session.commit().await?.is_stored());
        assert_eq!(count(&bench.sessions, id).await?, Some(1));
        let change = |data: &mut session_core::SessionData| -> Result<(), Error> {
            proxy.drop_replies();
            Ok(data.modify("n", |n: &mut u32| *n += 1)?)
        };
        through.update(id, change).await?;
        assert_eq!(count(&bench.sessions, id).await?, Some(2));
    }
    proxy.drop_replies();
    let id = counter(&through).await?;
    assert_eq!(count(&bench.sessions, &id).await?, Some(0));
    proxy.drop_replies();
    through.destroy(&id).await?;
    assert_eq!(count(&bench.sessions, &id).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_late_copy_of_a_stored_commit_changes_nothing() -> TestResult {
    let bench = Bench::new().await?;
    let proxy = Proxy::start(bench.server).await?;
    let (through, ids) = behind(&bench, &proxy).await?;
    for id in &ids {
        let session = changed(&through, id).await?;
        proxy.hold_requests();
        assert!(session.commit().await?.is_stored());
        add_one(&bench.sessions, id).await?;
        let next = bench.sessions.lock(id).await?;
        proxy.release_held().await;
        drop(next);
        assert_eq!(count(&bench.sessions, id).await?, Some(2));
    }
    Ok(())
}

/// A commit was refused because Python had written. Then Python wrote the first version back, and a copy came late.
#[tokio::test]
async fn a_refusal_is_final_though_python_writes_the_old_version_back() -> TestResult {
    let bench = Bench::new().await?;
    let proxy = Proxy::start(bench.server).await?;
    let (through, ids) = behind(&bench, &proxy).await?;
    for id in &ids {
        let old = bench.get(id).await?.ok_or("no record")?;
        let session = changed(&through, id).await?;
        bench.setex(id, r#"{"n":7}"#, 600).await?;
        proxy.hold_requests();
        let refused = session.commit().await;
        assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
        bench.setex(id, &old, 600).await?;
        proxy.release_held().await;
        assert_eq!(count(&bench.sessions, id).await?, Some(0));
    }
    Ok(())
}

//! What many ask for at the same time goes out together, and each gets the answer that is its own.

use futures_util::future::join_all;
use redis::Value;
use session_core::{
    AcquireError, CommitError, CommitReport, ReadError, SessionGuard, SessionId, Sessions,
    ValueError,
};
use session_redis::RedisStore;
use session_testkit::servers::{Proxy, RedisServer};

use crate::{
    faulty_scripts::{Faulty, definite},
    support::{TestResult, count, counter, fresh_prefix, shared},
};

const MANY: usize = 24;

async fn counters(sessions: &Sessions) -> TestResult<Vec<SessionId>> {
    let mut ids = Vec::new();
    for _ in 0..MANY {
        ids.push(counter(sessions).await?);
    }
    Ok(ids)
}

async fn locked(sessions: &Sessions, ids: &[SessionId]) -> TestResult<Vec<SessionGuard>> {
    let guards = join_all(ids.iter().map(|id| sessions.lock(id).into_future())).await;
    let guards: Result<Vec<_>, AcquireError> = guards.into_iter().collect();
    let mut guards = guards?;
    for guard in &mut guards {
        guard.insert("n", 1)?;
    }
    Ok(guards)
}

async fn committed(guards: Vec<SessionGuard>) -> Vec<Result<CommitReport, CommitError>> {
    join_all(guards.into_iter().map(SessionGuard::commit)).await
}

#[tokio::test]
async fn many_changes_at_once_are_few_calls() -> TestResult {
    let proxy = Proxy::start(shared().await?).await?;
    let builder = RedisStore::builder().prefix(fresh_prefix());
    let sessions = Sessions::new(builder.connect(&proxy.url()).await?);
    let ids = counters(&sessions).await?;
    proxy.clear_log();
    for result in committed(locked(&sessions, &ids).await?).await {
        result?;
    }
    let flights = proxy.flights();
    let calls = |name: &str| {
        let names = flights.iter().flat_map(|flight| flight.names());
        names.filter(|called| *called == name).count()
    };
    assert_eq!(calls("SET"), MANY);
    let reads = calls("GET") + calls("MGET");
    assert!(reads <= 3, "{reads} reads");
    assert!(calls("EVALSHA") <= 3, "{} scripts", calls("EVALSHA"));
    for id in &ids {
        assert_eq!(count(&sessions, id).await?, Some(1));
    }
    Ok(())
}

#[tokio::test]
async fn a_node_of_a_cluster_gets_each_session_on_its_own() -> TestResult {
    let server = RedisServer::builder().cluster().start().await?;
    let sessions = Sessions::new(RedisStore::connect(&server.url()).await?);
    let ids = counters(&sessions).await?;
    for result in committed(locked(&sessions, &ids).await?).await {
        result?;
    }
    for id in &ids {
        assert_eq!(count(&sessions, id).await?, Some(1));
    }
    Ok(())
}

#[tokio::test]
async fn one_that_fails_fails_alone() -> TestResult {
    let server = shared().await?;
    let store = RedisStore::builder()
        .prefix(fresh_prefix())
        .connect(&server.url())
        .await?;
    let sessions = Sessions::new(store.clone());
    let ids = counters(&sessions).await?;
    let guards = locked(&sessions, &ids).await?;
    let key = |index: usize| store.record_key(ids[index].key());
    let lock = |index: usize| key(index).replace(":session:", ":lock:");
    sessions.destroy(&ids[3]).await?;
    server.command(&["DEL", &key(5)]).await?;
    server.command(&["DEL", &lock(7)]).await?;
    server
        .command(&["SET", &lock(9), "another owner", "PX", "5000"])
        .await?;
    server.command(&["DEL", &key(11)]).await?;
    server.command(&["LPUSH", &key(11), "no record"]).await?;
    server.command(&["DEL", &lock(13)]).await?;
    server.command(&["LPUSH", &lock(13), "no lock"]).await?;
    for (index, result) in committed(guards).await.into_iter().enumerate() {
        match (index, &result) {
            (3, Err(CommitError::Destroyed))
            | (5, Err(CommitError::Expired))
            | (7 | 9, Err(CommitError::LeaseLost { .. }))
            | (11, Err(CommitError::Record(_)))
            | (13, Err(CommitError::Store(_))) => {}
            (3 | 5 | 7 | 9 | 11 | 13, other) => return Err(format!("{index}: {other:?}").into()),
            (_, Err(error)) => return Err(format!("{index}: {error:?}").into()),
            (_, Ok(_)) => assert_eq!(count(&sessions, &ids[index]).await?, Some(1)),
        }
    }
    assert_eq!(count(&sessions, &ids[7]).await?, Some(0));
    assert_eq!(count(&sessions, &ids[9]).await?, Some(0));
    server.command(&["DEL", &key(11), &lock(13)]).await?;
    Ok(())
}

#[tokio::test]
async fn a_failing_call_leaves_each_of_many_whole() -> TestResult {
    let faulty = Faulty::scripts().await?;
    let mut failed = 0;
    for number in 1.. {
        let ids = counters(&faulty.healthy).await?;
        let guards = locked(&faulty.sessions, &ids).await?;
        faulty.fail_call(number).await?;
        let results = committed(guards).await;
        let hit = faulty.was_hit().await?;
        for (id, result) in ids.iter().zip(results) {
            let stored = definite(result)?;
            failed += usize::from(!stored);
            assert_eq!(count(&faulty.healthy, id).await?, Some(u32::from(stored)));
        }
        if !hit {
            assert!(number > 20, "only {number} calls of the scripts failed");
            break;
        }
    }
    assert!(failed > 0, "not one failure was seen");
    Ok(())
}

#[tokio::test]
async fn a_key_of_another_type_is_told_from_no_key_among_many() -> TestResult {
    let server = shared().await?;
    let store = RedisStore::builder().prefix(fresh_prefix());
    let store = store.connect(&server.url()).await?;
    let sessions = Sessions::new(store.clone());
    let ids = counters(&sessions).await?;
    let key = |index: usize| store.record_key(ids[index].key());
    server.command(&["DEL", &key(2), &key(4)]).await?;
    server.command(&["LPUSH", &key(4), "no record"]).await?;
    let read = join_all(ids.iter().map(|id| sessions.snapshot(id))).await;
    for (index, result) in read.into_iter().enumerate() {
        match (index, result) {
            (2, Ok(None)) | (4, Err(ReadError::Record(_))) => {}
            (2 | 4, other) => return Err(format!("{index}: {other:?}").into()),
            (_, result) => assert!(result?.is_some()),
        }
    }
    server.command(&["DEL", &key(4)]).await?;
    Ok(())
}

#[tokio::test]
async fn many_updates_at_once_are_all_stored() -> TestResult {
    let server = shared().await?;
    let store = RedisStore::builder().prefix(fresh_prefix());
    let sessions = Sessions::new(store.connect(&server.url()).await?);
    let ids = counters(&sessions).await?;
    let locked = sessions.lock(&ids[4]).await?;
    let update = async |index: usize, id: &SessionId| -> TestResult {
        if index != 4 {
            let add = |data: &mut session_core::SessionData| -> Result<(), ValueError> {
                data.modify("n", |n: &mut u32| *n += 1)
            };
            sessions.update(id, add).await?;
        }
        Ok(())
    };
    let updates = ids.iter().enumerate().map(|(index, id)| update(index, id));
    join_all(updates)
        .await
        .into_iter()
        .collect::<TestResult>()?;
    drop(locked);
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(count(&sessions, id).await?, Some(u32::from(index != 4)));
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_its_scripts_is_given_them_again() -> TestResult {
    let server = RedisServer::start().await?;
    let sessions = Sessions::new(RedisStore::connect(&server.url()).await?);
    let ids = counters(&sessions).await?;
    let guards = locked(&sessions, &ids).await?;
    assert_eq!(server.command(&["SCRIPT", "FLUSH"]).await?, Value::Okay);
    for result in committed(guards).await {
        result?;
    }
    for id in &ids {
        assert_eq!(count(&sessions, id).await?, Some(1));
    }
    // Also those that serve many at once: or each caller would go on its own from now on.
    let memory = server.command(&["INFO", "memory"]).await?;
    let Value::BulkString(memory) = memory else {
        return Err(format!("{memory:?}").into());
    };
    let memory = String::from_utf8(memory)?;
    let line = "number_of_cached_scripts:";
    let known = memory.lines().find_map(|text| text.strip_prefix(line));
    assert!(
        known
            .ok_or("there is no such line")?
            .trim()
            .parse::<u32>()?
            >= 15
    );
    Ok(())
}

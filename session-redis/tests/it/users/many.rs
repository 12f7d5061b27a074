//! Ten thousand sessions of a thousand users, revoked while others log in.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::try_join_all;
use session_core::{AcquireError, CommitError, Login, SessionId, Sessions, WithError};
use session_redis::RedisStore;
use session_testkit::servers::RedisServer;

use super::TestResult;
use crate::support::fresh_prefix;

const USERS: usize = 1_000;
const EACH: usize = 10;
const TASKS: usize = 64;

/// A login that was accepted.
struct Made {
    user: usize,
    epoch: u64,
    id: SessionId,
}

/// Logs a user in, every other time out of a session of nobody; `None` if all of hers were revoked meanwhile.
async fn log_in(
    sessions: &Sessions,
    user: usize,
    out_of_another: bool,
) -> TestResult<Option<Made>> {
    let ticket = sessions.begin_login(user as u64).await?;
    let mut session = sessions.create();
    if out_of_another {
        session.insert("n", 0)?;
        let id = session.id().clone();
        session.commit().await?;
        session = sessions.lock(&id).await?;
    }
    let login = Login::new(user as u64)?.ticket(ticket);
    let id = session.login_with(login, &())?;
    match session.commit().await {
        Ok(_) => Ok(Some(Made {
            user,
            epoch: ticket.epoch,
            id,
        })),
        Err(CommitError::Superseded) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Changes the session, if it lives yet.
async fn commit(sessions: &Sessions, id: &SessionId) -> TestResult {
    let changed = sessions
        .with(id, async |session| session.insert("n", 1))
        .await;
    match changed {
        Ok(())
        | Err(WithError::Acquire(AcquireError::NoSession))
        | Err(WithError::Commit(CommitError::Destroyed)) => Ok(()),
        Err(error) => Err(format!("a holder is told {error:?}").into()),
    }
}

/// Runs the same in many tasks, each with its number.
async fn in_many_tasks<T, F>(task: impl Fn(usize) -> F) -> TestResult<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = TestResult<Vec<T>>> + Send + 'static,
{
    let tasks = (0..TASKS).map(|number| tokio::spawn(task(number)));
    let done = try_join_all(tasks).await?;
    let done: TestResult<Vec<Vec<T>>> = done.into_iter().collect();
    Ok(done?.into_iter().flatten().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_are_revoked_while_64_tasks_log_in_and_commit() -> TestResult {
    let (server, prefix) = (RedisServer::shared().await?, fresh_prefix());
    // It is the amount that is tested: a busy machine is slow, not wrong.
    let store = RedisStore::builder()
        .prefix(&prefix)
        .call_timeout(Duration::from_secs(20))
        .resolve_timeout(Duration::from_secs(30));
    let sessions = Sessions::new(store.connect(&server.url()).await?);
    let before = in_many_tasks(|number| {
        let sessions = sessions.clone();
        async move {
            let mut made = Vec::new();
            for session in (number..USERS * EACH).step_by(TASKS) {
                made.extend(log_in(&sessions, session % USERS, false).await?);
            }
            Ok(made)
        }
    });
    let mut made = before.await?;
    assert_eq!(made.len(), USERS * EACH);

    let revoked = Arc::new(AtomicBool::new(false));
    let during = in_many_tasks(|number| {
        let (sessions, revoked) = (sessions.clone(), Arc::clone(&revoked));
        async move {
            let mut made: Vec<Made> = Vec::new();
            for user in (number * 17 % USERS..).step_by(7) {
                if revoked.load(Ordering::SeqCst) && made.len() >= 20 {
                    break;
                }
                if let Some(login) = log_in(&sessions, user % USERS, user % 2 == 0).await? {
                    commit(&sessions, &login.id).await?;
                    made.push(login);
                }
            }
            Ok(made)
        }
    });
    let revoking = async {
        let mut ended = 0;
        for user in 0..USERS {
            ended += sessions.user(user as u64)?.revoke_all().await?;
        }
        revoked.store(true, Ordering::SeqCst);
        TestResult::Ok(ended)
    };
    let (during, ended) = tokio::try_join!(during, revoking)?;
    assert!(ended >= (USERS * EACH) as u64, "{ended} were ended");
    made.extend(during);

    let mut epochs = Vec::new();
    for user in 0..USERS {
        epochs.push(sessions.begin_login(user as u64).await?.epoch);
    }
    let mut alive = 0;
    for part in made.chunks(TASKS) {
        let read = try_join_all(part.iter().map(|login| sessions.snapshot(&login.id))).await?;
        for (login, read) in part.iter().zip(read) {
            let is_revoked = login.epoch != epochs[login.user];
            assert_eq!(read.is_none(), is_revoked, "revoked: {is_revoked}");
            alive += usize::from(read.is_some());
        }
    }
    assert!(alive > 0, "nobody has logged in after the revocation");
    let (listed, live) = (listed(server, &prefix).await?, live(server, &prefix).await?);
    assert_eq!(live.len(), alive);
    assert_eq!(listed, live, "the lists and the sessions do not agree");
    Ok(())
}

/// What stands in the lists of users and is not past its score: handles and hashes.
async fn listed(server: &RedisServer, prefix: &str) -> TestResult<BTreeSet<Vec<u8>>> {
    let mut connection = server.connection().await?;
    let (now_s, _): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await?;
    let mut listed = BTreeSet::new();
    for lists in server
        .keys(&format!("{prefix}:*:user:*"))
        .await?
        .chunks(500)
    {
        let mut members = redis::pipe();
        for list in lists {
            let range = members.cmd("ZRANGEBYSCORE").arg(list);
            range.arg(format!("({}", now_s * 1_000)).arg("+inf");
        }
        let members: Vec<Vec<Vec<u8>>> = members.query_async(&mut connection).await?;
        listed.extend(members.into_iter().flatten());
    }
    Ok(listed)
}

/// The handles and hashes of the sessions of users that live.
async fn live(server: &RedisServer, prefix: &str) -> TestResult<BTreeSet<Vec<u8>>> {
    let mut connection = server.connection().await?;
    let mut live = BTreeSet::new();
    for records in server
        .keys(&format!("{prefix}:*:session:*"))
        .await?
        .chunks(500)
    {
        let mut heads = redis::pipe();
        for record in records {
            heads.cmd("GETRANGE").arg(record).arg(0).arg(67);
        }
        let heads: Vec<Vec<u8>> = heads.query_async(&mut connection).await?;
        for (record, head) in records.iter().zip(heads) {
            if head.get(24..28) == Some(b"LK\x01L") && head[60..68] != [0; 8] {
                let hash = &record.as_bytes()[record.len() - 43..];
                live.insert([&head[44..60], hash].concat());
            }
        }
    }
    Ok(live)
}

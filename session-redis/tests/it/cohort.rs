//! Guards of one process that follow each other under one lease, and whose changes are saved behind them.

use std::time::Duration;

use session_core::{
    AcquireError, CommitError, CommitReport, Error, SessionGuard, SessionId, Sessions,
};
use session_testkit::servers::{LinkFault, Proxy, RedisServer};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    faulty_scripts::Faulty,
    support::{
        TestResult, add_one, assert_all_keys_end, count, counter, fresh_prefix, only_key, patient,
        shared,
    },
};

const PATIENCE: Duration = Duration::from_secs(30);

type Next = JoinHandle<Result<SessionGuard, AcquireError>>;
type Committed = JoinHandle<Result<CommitReport, CommitError>>;

/// A process with a session that one of its guards has changed.
struct Process {
    server: &'static RedisServer,
    prefix: String,
    proxy: Proxy,
    sessions: Sessions,
    /// The same sessions in another process.
    elsewhere: Sessions,
    id: SessionId,
}

impl Process {
    async fn new() -> TestResult<Self> {
        let (server, prefix) = (shared().await?, fresh_prefix());
        let proxy = Proxy::start(server).await?;
        let sessions = Sessions::new(patient(&prefix).connect(&proxy.url()).await?);
        let elsewhere = Sessions::new(patient(&prefix).connect(&server.url()).await?);
        let id = counter(&sessions).await?;
        Ok(Self {
            server,
            prefix,
            proxy,
            sessions,
            elsewhere,
            id,
        })
    }

    /// A guard, and somebody who waits for it to end.
    async fn two(&self) -> TestResult<(SessionGuard, Next)> {
        let first = self.sessions.lock(&self.id).await?;
        let (sessions, id) = (self.sessions.clone(), self.id.clone());
        let next = tokio::spawn(async move { sessions.lock(&id).wait_at_most(PATIENCE).await });
        let queued = async {
            while only_key(self.server, &self.prefix, "queue").await.is_err() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, queued).await?;
        Ok((first, next))
    }

    /// A guard has committed 1, and nothing of that has come to the server yet; the next one has been shown it.
    async fn unsaved(&self) -> TestResult<(Committed, SessionGuard)> {
        let (mut first, next) = self.two().await?;
        first.insert("n", 1)?;
        self.proxy.hold_requests();
        let committed = tokio::spawn(first.commit());
        let next = timeout(PATIENCE, next).await???;
        assert_eq!(next.get::<u32>("n")?, Some(1));
        assert!(!committed.is_finished());
        assert_eq!(count(&self.elsewhere, &self.id).await?, Some(0));
        Ok((committed, next))
    }

    async fn stored(&self) -> TestResult<Option<u32>> {
        Ok(count(&self.elsewhere, &self.id).await?)
    }

    /// Nothing is held, and nothing stays for ever.
    async fn is_free(&self) -> TestResult {
        let next = self.elsewhere.lock(&self.id).wait_at_most(PATIENCE);
        next.await?.discard().await?;
        assert_all_keys_end(self.server, &self.prefix).await
    }
}

async fn outcome<T, E>(task: JoinHandle<Result<T, E>>) -> TestResult<Result<T, E>> {
    Ok(timeout(PATIENCE, task).await??)
}

#[tokio::test]
async fn the_next_guard_works_on_a_change_that_is_not_stored_yet() -> TestResult {
    let process = Process::new().await?;
    let (committed, mut next) = process.unsaved().await?;
    next.insert("n", 2)?;
    let next = tokio::spawn(next.commit());
    process.proxy.release_held().await;
    assert!(outcome(committed).await?.is_ok());
    assert!(outcome(next).await?.is_ok());
    assert_eq!(process.stored().await?, Some(2));
    process.is_free().await
}

/// Whoever has seen what is not stored is told that all is well only when it is.
#[tokio::test]
async fn a_guard_that_changes_nothing_waits_for_what_it_was_shown() -> TestResult {
    let process = Process::new().await?;
    let (committed, next) = process.unsaved().await?;
    let discarded = tokio::spawn(next.discard());
    process.proxy.release_held().await;
    assert!(outcome(discarded).await?.is_ok());
    assert_eq!(process.stored().await?, Some(1));
    assert!(outcome(committed).await?.is_ok());
    process.is_free().await
}

/// The same, when the lease does not go back but on to somebody else.
#[tokio::test]
async fn a_guard_between_others_waits_for_what_it_was_shown() -> TestResult {
    let process = Process::new().await?;
    let (committed, next) = process.unsaved().await?;
    let (sessions, id) = (process.sessions.clone(), process.id.clone());
    let third = tokio::spawn(async move { sessions.lock(&id).wait_at_most(PATIENCE).await });
    // It waits when it has been polled: its line is where the next lease goes.
    tokio::task::yield_now().await;
    let discarded = tokio::spawn(next.discard());
    let third = timeout(PATIENCE, third).await???;
    assert_eq!(process.stored().await?, Some(0));
    assert!(!discarded.is_finished());
    process.proxy.release_held().await;
    assert!(outcome(discarded).await?.is_ok());
    assert_eq!(process.stored().await?, Some(1));
    assert!(outcome(committed).await?.is_ok());
    third.discard().await?;
    process.is_free().await
}

#[tokio::test]
async fn a_guard_that_is_dropped_or_panics_harms_no_change_before_it() -> TestResult {
    for panics in [false, true] {
        let process = Process::new().await?;
        let (committed, next) = process.unsaved().await?;
        let gone = tokio::spawn(async move {
            let _next = next;
            assert!(!panics, "as meant");
        });
        assert_eq!(gone.await.is_err(), panics);
        process.proxy.release_held().await;
        assert!(outcome(committed).await?.is_ok());
        assert_eq!(process.stored().await?, Some(1));
        process.is_free().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_any_more_is_still_the_next_ones_base() -> TestResult {
    let process = Process::new().await?;
    let (committed, mut next) = process.unsaved().await?;
    committed.abort();
    assert!(committed.await.is_err());
    next.insert("n", 2)?;
    let next = tokio::spawn(next.commit());
    process.proxy.release_held().await;
    assert!(outcome(next).await?.is_ok());
    assert_eq!(process.stored().await?, Some(2));
    process.is_free().await
}

/// The save is refused, and so is whatever was built on it.
#[tokio::test]
async fn a_change_that_cannot_be_stored_takes_those_after_it_along() -> TestResult {
    for ended in [false, true] {
        let process = Process::new().await?;
        let (committed, mut next) = process.unsaved().await?;
        if ended {
            process.elsewhere.destroy(&process.id).await?;
        } else {
            let lock = only_key(process.server, &process.prefix, "lock").await?;
            process.server.command(&["DEL", &lock]).await?;
        }
        process.proxy.release_held().await;
        let refused = outcome(committed).await?.map(drop).unwrap_err();
        // Somebody else may have the session by now.
        assert_eq!(next.lease_remaining(), Duration::ZERO);
        timeout(PATIENCE, next.lost()).await?;
        next.insert("n", 2)?;
        let after = next.commit().await.map(drop).unwrap_err();
        for error in [refused, after] {
            assert!(
                match error {
                    CommitError::Destroyed => ended,
                    CommitError::LeaseLost { .. } => !ended,
                    _ => false,
                },
                "{error:?}"
            );
        }
        assert_eq!(process.stored().await?, (!ended).then_some(0));
    }
    Ok(())
}

#[tokio::test]
async fn a_guard_that_was_shown_what_could_not_be_stored_learns_it_at_its_end() -> TestResult {
    let process = Process::new().await?;
    let (committed, next) = process.unsaved().await?;
    let lock = only_key(process.server, &process.prefix, "lock").await?;
    process.server.command(&["DEL", &lock]).await?;
    process.proxy.release_held().await;
    assert!(outcome(committed).await?.is_err());
    assert!(matches!(
        next.discard().await,
        Err(CommitError::LeaseLost { .. })
    ));
    assert_eq!(process.stored().await?, Some(0));
    process.is_free().await
}

/// It is asked for again, and found to be stored; the lock stays with the guard that goes on meanwhile.
#[tokio::test]
async fn a_save_whose_answer_is_lost_counts_once() -> TestResult {
    let process = Process::new().await?;
    let (mut first, next) = process.two().await?;
    first.insert("n", 1)?;
    process.proxy.fault_at_script(1, LinkFault::DropReplies);
    let committed = tokio::spawn(first.commit());
    let mut next = timeout(PATIENCE, next).await???;
    timeout(PATIENCE, process.proxy.fault_happened()).await?;
    let stored = async {
        while process.stored().await? != Some(1) {
            sleep(Duration::from_millis(1)).await;
        }
        TestResult::Ok(())
    };
    timeout(PATIENCE, stored).await??;
    process.proxy.cut().await;
    process.proxy.heal().await?;
    assert!(outcome(committed).await?.is_ok());
    next.modify("n", |n: &mut u32| *n += 1)?;
    next.commit().await?;
    assert_eq!(process.stored().await?, Some(2));
    process.is_free().await
}

/// What ends a session or gives it another ID comes after what its guard was shown.
#[tokio::test]
async fn an_unsaved_change_is_stored_before_the_session_is_ended_or_moves() -> TestResult {
    for what in ["destroy", "regenerate", "login"] {
        let process = Process::new().await?;
        let (committed, mut next) = process.unsaved().await?;
        let id = match what {
            "login" => Some(next.login("ada", &())?),
            "regenerate" => Some(next.regenerate()),
            _ => {
                next.destroy();
                None
            }
        };
        let next = tokio::spawn(next.commit());
        process.proxy.release_held().await;
        assert!(outcome(committed).await?.is_ok(), "{what}");
        assert!(outcome(next).await?.is_ok(), "{what}");
        match id {
            None => assert_eq!(process.stored().await?, None),
            Some(id) => assert_eq!(count(&process.elsewhere, &id).await?, Some(1), "{what}"),
        }
        assert_all_keys_end(process.server, &process.prefix).await?;
    }
    Ok(())
}

/// Those who wait in another process come after one cohort, or two if that process came later.
#[tokio::test]
async fn a_cohort_lets_other_processes_come() -> TestResult {
    const MANY: u32 = 60;
    let process = Process::new().await?;
    let (first, next) = process.two().await?;
    let others: Vec<_> = (2..MANY)
        .map(|_| {
            let (sessions, id) = (process.sessions.clone(), process.id.clone());
            tokio::spawn(async move { add_one(&sessions, &id).await })
        })
        .collect();
    let (elsewhere, id) = (process.elsewhere.clone(), process.id.clone());
    let other = tokio::spawn(async move {
        let guard = elsewhere.lock(&id).wait_at_most(PATIENCE).await?;
        let seen = guard.get::<u32>("n")?;
        guard.discard().await?;
        Ok::<_, Error>(seen)
    });
    let queue = only_key(process.server, &process.prefix, "queue").await?;
    let both = async {
        let two = redis::Value::Int(2);
        while process.server.command(&["ZCARD", &queue]).await? != two {
            sleep(Duration::from_millis(1)).await;
        }
        TestResult::Ok(())
    };
    timeout(PATIENCE, both).await??;
    let mut first = first;
    first.insert("n", 1)?;
    first.commit().await?;
    let mut next = timeout(PATIENCE, next).await???;
    next.modify("n", |n: &mut u32| *n += 1)?;
    next.commit().await?;
    for other in others {
        timeout(PATIENCE, other).await???;
    }
    let seen = outcome(other).await??.ok_or("gone")?;
    assert!((2..=2 * 17).contains(&seen), "after {seen} of {MANY}");
    assert_eq!(process.stored().await?, Some(MANY));
    process.is_free().await
}

/// Each single call of the scripts behind two guards is made to fail.
#[tokio::test]
async fn a_cohort_with_a_failing_call_stores_what_it_says() -> TestResult {
    let faulty = Faulty::scripts().await?;
    let act = async |id: &SessionId| {
        let (mut first, next) = faulty
            .unharmed(async {
                let first = faulty.sessions.lock(id).await?;
                let (sessions, id) = (faulty.sessions.clone(), id.clone());
                let next = tokio::spawn(async move { sessions.lock(&id).await });
                let queued = async {
                    while only_key(faulty.server, &faulty.prefix, "queue")
                        .await
                        .is_err()
                    {
                        sleep(Duration::from_millis(1)).await;
                    }
                };
                timeout(PATIENCE, queued).await?;
                TestResult::Ok((first, next))
            })
            .await??;
        first.modify("n", |n: &mut u32| *n += 1)?;
        let first = tokio::spawn(first.commit());
        let Ok(mut next) = timeout(PATIENCE, next).await?? else {
            return Ok((outcome(first).await?.is_ok(), false));
        };
        // By then the first change was saved, or could not be.
        let first = outcome(first).await?.is_ok();
        next.modify("n", |n: &mut u32| *n += 10)?;
        Ok((first, next.commit().await.is_ok()))
    };
    let check = async |id: &SessionId, (first, second): (bool, bool)| {
        let n = count(&faulty.healthy, id).await?;
        assert_eq!(n, Some(u32::from(first) + 10 * u32::from(second)));
        Ok(())
    };
    assert!(faulty.each_call(act, check).await? >= 3);
    Ok(())
}

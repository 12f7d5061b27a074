use session_core::{
    AcquireError, CommitError, Error, RecordError, SessionData, SessionGuard, SessionId, WithError,
};

use super::Bench;
use crate::support::{TestResult, assert_all_keys_end};

fn count(data: &mut SessionData) -> Result<(), Error> {
    Ok(data.modify("n", |n: &mut u32| *n += 1)?)
}

async fn value(bench: &Bench, id: &SessionId) -> TestResult<Option<u32>> {
    let snapshot = bench.sessions.snapshot(id).await?;
    Ok(snapshot.map(|data| data.get("n")).transpose()?.flatten())
}

/// Both kinds of sessions: one that Python began, and one that was written here last.
async fn sessions(bench: &Bench) -> TestResult<[SessionId; 2]> {
    let theirs = bench.begun_in_python(r#"{"n": 1, "x": null}"#, 600).await?;
    let write = async |session: &mut SessionGuard| -> Result<(), Error> {
        session.insert("n", 1)?;
        Ok(session.insert("x", ())?)
    };
    let (ours, ()) = bench.sessions.with_new(write).await?;
    Ok([theirs, ours])
}

#[tokio::test]
async fn a_session_goes_to_and_fro() -> TestResult {
    let bench = Bench::new().await?;
    for id in sessions(&bench).await? {
        for round in 1..4 {
            let add = async |session: &mut SessionGuard| count(session);
            bench.sessions.with(&id, add).await?;
            bench.sessions.update(&id, count).await?;
            let expected = format!(r#"{{"n":{},"x":null}}"#, 3 * round);
            assert_eq!(bench.get(&id).await?, Some(expected));
            let next = format!(r#"{{"x": null, "n": {}}}"#, 3 * round + 1);
            bench.setex(&id, &next, 600).await?;
            assert_eq!(value(&bench, &id).await?, Some(3 * round + 1));
        }
    }
    assert_all_keys_end(bench.server, &bench.prefix).await
}

#[tokio::test]
async fn a_write_of_python_between_lock_and_commit_is_not_overwritten() -> TestResult {
    let bench = Bench::new().await?;
    for id in sessions(&bench).await? {
        let mut guard = bench.sessions.lock(&id).await?;
        count(&mut guard)?;
        bench.setex(&id, r#"{"n":10}"#, 600).await?;
        let refused = guard.commit().await;
        assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
        assert_eq!(bench.get(&id).await?.as_deref(), Some(r#"{"n":10}"#));
        // The refusal has given the lock back, and the next one sees what Python wrote.
        bench.sessions.update(&id, count).await?;
        assert_eq!(value(&bench, &id).await?, Some(11));
    }
    Ok(())
}

#[tokio::test]
async fn a_write_of_python_during_an_update_is_not_overwritten() -> TestResult {
    let bench = Bench::new().await?;
    for id in sessions(&bench).await? {
        let unlocked = bench.sessions.unlocked().load(&id).await?;
        let mut unlocked = unlocked.ok_or("no session")?;
        bench.setex(&id, r#"{"n":10}"#, 600).await?;
        count(&mut unlocked)?;
        let refused = unlocked.save().await;
        assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
        assert_eq!(value(&bench, &id).await?, Some(10));
    }
    Ok(())
}

#[tokio::test]
async fn the_same_text_written_again_is_no_change() -> TestResult {
    let bench = Bench::new().await?;
    for id in sessions(&bench).await? {
        let text = bench.get(&id).await?.ok_or("no record")?;
        let mut guard = bench.sessions.lock(&id).await?;
        bench.setex(&id, &text, 600).await?;
        count(&mut guard)?;
        guard.commit().await?;
        assert_eq!(value(&bench, &id).await?, Some(2));
    }
    Ok(())
}

#[tokio::test]
async fn a_logout_in_python_is_one_here() -> TestResult {
    let bench = Bench::new().await?;
    for id in sessions(&bench).await? {
        let mut guard = bench.sessions.lock(&id).await?;
        count(&mut guard)?;
        let mut connection = bench.server.connection().await?;
        redis::cmd("DEL")
            .arg(bench.record(&id))
            .query_async::<u64>(&mut connection)
            .await?;
        let refused = guard.commit().await;
        assert!(matches!(refused, Err(CommitError::Expired)), "{refused:?}");
        assert_eq!(bench.get(&id).await?, None, "the commit brought it back");
        assert!(bench.sessions.snapshot(&id).await?.is_none());
        let locked = bench.sessions.lock(&id).await;
        assert!(matches!(locked, Err(AcquireError::NoSession)), "{locked:?}");
    }
    Ok(())
}

/// Python may bring a session back that was ended here. No Rust service sees it, and whoever looks ends it for Python.
#[tokio::test]
async fn a_logout_here_is_final_here_and_buries_what_python_writes_late() -> TestResult {
    let bench = Bench::new().await?;
    for id in sessions(&bench).await? {
        bench.sessions.destroy(&id).await?;
        assert_eq!(bench.get(&id).await?, None);
        let late = async || bench.setex(&id, r#"{"n":10}"#, 86_400).await;

        late().await?;
        assert!(bench.sessions.snapshot(&id).await?.is_none());
        assert_eq!(bench.get(&id).await?, None, "not buried by a look");
        late().await?;
        let locked = bench.sessions.lock(&id).await;
        assert!(matches!(locked, Err(AcquireError::NoSession)), "{locked:?}");
        assert_eq!(bench.get(&id).await?, None, "not buried by a lock");
        late().await?;
        let updated = bench.sessions.update(&id, count).await;
        assert!(matches!(
            updated,
            Err(WithError::Acquire(AcquireError::NoSession))
        ));
        late().await?;
        bench.sessions.destroy(&id).await?;
        assert_eq!(bench.get(&id).await?, None, "not buried by a logout");
        // The tombstone outlives whatever Python writes now.
        assert!(bench.left_ms(&bench.head(&id)).await? > 30 * 86_400_000);
    }
    Ok(())
}

#[tokio::test]
async fn the_tombstone_of_a_session_with_a_time_of_its_own_outlives_that() -> TestResult {
    let bench = Bench::new().await?;
    let json = r#"{"n":1,"_override_expiry":8640000}"#;
    let id = bench.begun_in_python(json, 60).await?;
    bench.sessions.destroy(&id).await?;
    assert!(bench.left_ms(&bench.head(&id)).await? > 100 * 86_400_000);
    Ok(())
}

#[tokio::test]
async fn a_late_commit_after_a_logout_here_is_told_so_though_python_wrote() -> TestResult {
    let bench = Bench::new().await?;
    for id in sessions(&bench).await? {
        let mut guard = bench.sessions.lock(&id).await?;
        count(&mut guard)?;
        bench.sessions.destroy(&id).await?;
        bench.setex(&id, r#"{"n":10}"#, 600).await?;
        let refused = guard.commit().await;
        assert!(
            matches!(refused, Err(CommitError::Destroyed)),
            "{refused:?}"
        );
        assert!(bench.sessions.snapshot(&id).await?.is_none());
    }
    Ok(())
}

#[tokio::test]
async fn a_damaged_head_is_an_error_and_nothing_is_changed() -> TestResult {
    let bench = Bench::new().await?;
    let [_, id] = sessions(&bench).await?;
    let before = bench.get(&id).await?;
    crate::support::set(bench.server, &bench.head(&id), b"no head").await?;
    match bench.sessions.snapshot(&id).await {
        Err(session_core::ReadError::Record(RecordError { key, .. })) => {
            assert_eq!(key, id.key().fingerprint());
        }
        other => return Err(format!("{other:?}").into()),
    }
    assert!(bench.sessions.lock(&id).await.is_err());
    assert!(bench.sessions.destroy(&id).await.is_err());
    assert_eq!(bench.get(&id).await?, before);
    Ok(())
}

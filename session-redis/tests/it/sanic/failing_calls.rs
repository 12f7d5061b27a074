//! Every single call of the scripts for shared sessions is made to fail once: afterwards the session is the old one or the
//! new one, as the answer said, whoever wrote it last.

use session_core::{AcquireError, Error, SessionId};

use crate::{
    faulty_scripts::{
        Faulty, LARGE, commits, creations, definite, ends, ends_under_the_lock, releases, renewals,
        updates, waits,
    },
    support::{TestResult, add_one, count},
};

#[tokio::test]
async fn a_write_with_a_failing_call_is_whole() -> TestResult {
    for size in [0, LARGE] {
        assert!(commits(&Faulty::sanic().await?, size).await? >= 8);
        assert!(updates(&Faulty::sanic().await?, size).await? >= 6);
        assert!(creations(&Faulty::sanic().await?, size).await? >= 5);
    }
    Ok(())
}

#[tokio::test]
async fn an_end_with_a_failing_call_is_final_if_it_says_so() -> TestResult {
    assert!(ends(&Faulty::sanic().await?).await? >= 6);
    assert!(ends_under_the_lock(&Faulty::sanic().await?).await? >= 7);
    Ok(())
}

#[tokio::test]
async fn a_lease_with_a_failing_call_is_kept_or_given_back() -> TestResult {
    assert!(releases(&Faulty::sanic().await?).await? >= 4);
    assert!(renewals(&Faulty::sanic().await?).await? >= 3);
    assert!(waits(&Faulty::sanic().await?).await? >= 4);
    Ok(())
}

#[tokio::test]
async fn a_read_with_a_failing_call_is_an_error_or_the_session() -> TestResult {
    let faulty = Faulty::sanic().await?;
    let act = async |id: &SessionId| Ok(count(&faulty.sessions, id).await);
    let check = async |id: &SessionId, read: Result<Option<u32>, Error>| {
        assert!(matches!(read, Ok(Some(0)) | Err(_)), "{read:?}");
        assert_eq!(count(&faulty.healthy, id).await?, Some(0));
        Ok(())
    };
    assert!(faulty.each_call(act, check).await? >= 5);
    Ok(())
}

#[tokio::test]
async fn a_lock_with_a_failing_call_is_an_error_or_the_session() -> TestResult {
    let faulty = Faulty::sanic().await?;
    let act = async |id: &SessionId| match faulty.sessions.lock(id).await {
        Ok(session) => {
            assert_eq!(session.get::<u32>("n")?, Some(0));
            Ok(())
        }
        Err(AcquireError::Store(_)) => Ok(()),
        Err(error) => Err(Error::from(error).into()),
    };
    let check = async |id: &SessionId, ()| {
        assert_eq!(count(&faulty.healthy, id).await?, Some(0));
        Ok(())
    };
    assert!(faulty.each_call(act, check).await? >= 6);
    Ok(())
}

/// Lets Python write a session, as sanic-cookies does.
async fn write_in_python(faulty: &Faulty, id: &SessionId, n: u32) -> TestResult {
    let record = format!("{}theirs:{}", faulty.prefix, id.expose());
    let json = format!(r#"{{"n":{n}}}"#);
    let set = ["SETEX", &record, "600", &json];
    faulty.server.command(&set).await?;
    Ok(())
}

#[tokio::test]
async fn a_commit_over_what_python_wrote_with_a_failing_call_is_whole() -> TestResult {
    let faulty = Faulty::sanic().await?;
    let act = async |id: &SessionId| {
        write_in_python(&faulty, id, 7).await?;
        let lock = faulty.sessions.lock(id).into_future();
        let mut session = faulty.unharmed(lock).await??;
        session.modify("n", |n: &mut u32| *n += 1)?;
        definite(session.commit().await)
    };
    let check = async |id: &SessionId, stored: bool| {
        let n = 7 + u32::from(stored);
        assert_eq!(count(&faulty.healthy, id).await?, Some(n));
        add_one(&faulty.healthy, id).await?;
        assert_eq!(count(&faulty.healthy, id).await?, Some(n + 1));
        Ok(())
    };
    assert!(faulty.each_call(act, check).await? >= 8);
    Ok(())
}

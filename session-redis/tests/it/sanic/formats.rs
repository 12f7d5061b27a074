use std::time::Duration;

use session_core::{
    Codec, Error, InvalidSessionId, MemoryStore, PrimaryStore as _, SealingKey, SealingKeys,
    SessionGuard, SessionId, Sessions, Timeouts, TouchAfter,
};
use session_redis::{RedisStore, SanicStore};

use super::Bench;
use crate::support::{TestResult, assert_all_keys_end, builder, get};

const DAY_MS: i64 = 24 * 3600 * 1000;

#[tokio::test]
async fn a_session_that_begins_here_is_one_that_sanic_cookies_reads() -> TestResult {
    let bench = Bench::new().await?;
    let write = async |session: &mut SessionGuard| -> Result<(), Error> {
        session.insert("path", "/é 😀")?;
        Ok(session.insert("current_user", [1, 2])?)
    };
    let (id, ()) = bench.sessions.with_new(write).await?;
    assert_eq!(id.expose().len(), 32);
    let json = bench.get(&id).await?.ok_or("no record")?;
    // As ujson writes it.
    let expected = r#"{"current_user":[1,2],"path":"\/\u00e9 \ud83d\ude00"}"#;
    assert_eq!(json, expected);
    let snapshot = bench.sessions.snapshot(&id).await?.ok_or("no session")?;
    assert_eq!(snapshot.get::<String>("path")?.as_deref(), Some("/é 😀"));
    assert_all_keys_end(bench.server, &bench.prefix).await
}

#[tokio::test]
async fn ids_of_sanic_cookies_name_nothing_in_other_stores_and_others_nothing_here() -> TestResult {
    let bench = Bench::new().await?;
    let shared = bench.begun_in_python(r#"{"n":1}"#, 60).await?;
    assert_eq!(shared.expose().parse::<SessionId>(), Err(InvalidSessionId));
    let redis = builder().connect(&bench.server.url()).await?;
    for sessions in [Sessions::new(redis), Sessions::new(MemoryStore::new())] {
        assert!(sessions.snapshot(&shared).await?.is_none());
        assert!(sessions.lock(&shared).await.is_err());
        sessions.destroy(&shared).await?;
    }
    assert!(bench.sessions.snapshot(&shared).await?.is_some());
    let ours = SessionId::random();
    assert!(bench.sessions.snapshot(&ours).await?.is_none());
    assert!(bench.sessions.lock(&ours).await.is_err());
    bench.sessions.destroy(&ours).await?;
    Ok(())
}

#[tokio::test]
async fn what_sanic_cookies_cannot_read_is_refused_when_sessions_are_built() -> TestResult {
    let bench = Bench::new().await?;
    let build = |codec| Sessions::builder(bench.store.clone()).codec(codec).build();
    assert!(build(Codec::MessagePack).is_err());
    assert!(build(Codec::Json).is_ok());
    let keys = SealingKeys::new(&SealingKey::generate());
    let sealed = Sessions::builder(bench.store.clone()).seal(keys).build();
    let error = sealed.err().ok_or("sealed records were accepted")?;
    assert!(error.to_string().contains("JSON"), "{error}");
    Ok(())
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() -> TestResult {
    let url = crate::support::shared().await?.url();
    let refused = async |builder: session_redis::SanicStoreBuilder| {
        matches!(builder.connect(&url).await, Err(Error::Config(_)))
    };
    assert!(refused(SanicStore::builder().key_prefix("a{b")).await);
    assert!(refused(SanicStore::builder().expiry(Duration::ZERO)).await);
    assert!(refused(SanicStore::builder().expiry(Duration::MAX)).await);
    let redis = RedisStore::builder().prefix("");
    assert!(refused(SanicStore::builder().redis(redis)).await);
    Ok(())
}

#[tokio::test]
async fn what_python_wrote_lives_as_long_as_python_says_and_a_commit_begins_that_anew() -> TestResult
{
    let bench = Bench::new().await?;
    for (json, days) in [
        (r#"{"n":1}"#, 30),
        (r#"{"n":1,"_override_expiry":172800}"#, 2),
    ] {
        let id = bench.begun_in_python(json, 100).await?;
        let key = bench.record(&id);
        // Reading and locking do not move it.
        bench.sessions.snapshot(&id).await?;
        bench.sessions.lock(&id).await?.discard().await?;
        assert!(bench.left_ms(&key).await? <= 100_000);
        let update = |data: &mut session_core::SessionData| data.insert("n", 2);
        bench.sessions.update(&id, update).await?;
        let left = bench.left_ms(&key).await?;
        assert!(
            (days * DAY_MS - 60_000..=days * DAY_MS).contains(&left),
            "{left}"
        );
        assert!(bench.left_ms(&bench.head(&id)).await? > left);
    }
    Ok(())
}

#[tokio::test]
async fn a_time_of_its_own_holds_for_sessions_that_begin_here_too() -> TestResult {
    let bench = Bench::new().await?;
    let write = async |session: &mut SessionGuard| -> Result<(), Error> {
        Ok(session.insert("_override_expiry", 60)?)
    };
    let (id, ()) = bench.sessions.with_new(write).await?;
    assert!(bench.left_ms(&bench.record(&id)).await? <= 60_000);
    Ok(())
}

#[tokio::test]
async fn the_absolute_end_holds_here_though_python_writes_on() -> TestResult {
    let bench = Bench::new().await?;
    let half = Duration::from_millis(500);
    let sessions = Sessions::builder(bench.store.clone());
    let sessions = sessions.timeouts(Timeouts::new(half, half)?).build()?;
    let write =
        async |session: &mut SessionGuard| -> Result<(), Error> { Ok(session.insert("n", 1)?) };
    let (id, ()) = sessions.with_new(write).await?;
    bench.setex(&id, r#"{"n":2}"#, 600).await?;
    let snapshot = sessions.snapshot(&id).await?.ok_or("no session")?;
    assert_eq!(snapshot.get("n")?, Some(2));
    tokio::time::sleep(snapshot.remaining().absolute).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(sessions.snapshot(&id).await?.is_none());
    assert!(sessions.lock(&id).await.is_err());
    assert!(bench.get(&id).await?.is_some(), "Python still has it");
    Ok(())
}

#[tokio::test]
async fn a_session_that_python_began_has_one_handle_for_all() -> TestResult {
    let bench = Bench::new().await?;
    let id = bench.begun_in_python(r#"{"n":1}"#, 60).await?;
    let other = bench.begun_in_python(r#"{"n":1}"#, 60).await?;
    let handle = async |id: &SessionId| -> TestResult<_> {
        let snapshot = bench.sessions.snapshot(id).await?.ok_or("no session")?;
        Ok(snapshot.handle())
    };
    let before = handle(&id).await?;
    assert_ne!(before, handle(&other).await?);
    assert!(!id.expose().contains(&before.to_string()[..8]));
    bench
        .sessions
        .update(&id, |data| data.insert("n", 2))
        .await?;
    assert_eq!(handle(&id).await?, before);
    bench.setex(&id, r#"{"n":3}"#, 60).await?;
    assert_eq!(handle(&id).await?, before);
    Ok(())
}

#[tokio::test]
async fn what_is_no_session_is_an_error_and_left_as_it_is() -> TestResult {
    let bench = Bench::new().await?;
    for bad in ["[1]", "null", "{", r#"{"a":NaN}"#, r#"{"a":1,"a":2}"#, ""] {
        let id = bench.begun_in_python(bad, 60).await?;
        assert!(bench.sessions.snapshot(&id).await.is_err(), "{bad}");
        assert!(bench.sessions.lock(&id).await.is_err(), "{bad}");
        assert_eq!(bench.get(&id).await?.as_deref(), Some(bad));
        bench.sessions.destroy(&id).await?;
        assert_eq!(bench.get(&id).await?, None);
    }
    let id = SessionId::random_hex();
    let mut connection = bench.server.connection().await?;
    let mut push = redis::cmd("RPUSH");
    push.arg(bench.record(&id)).arg("a list");
    push.query_async::<u64>(&mut connection).await?;
    let read = bench.store.load(id.key(), TouchAfter::Never).await;
    let error = read.err().ok_or("a list was read")?.to_string();
    assert!(error.contains("another type"), "{error}");
    assert!(!error.contains(id.expose()), "{error}");
    assert!(bench.sessions.lock(&id).await.is_err());
    assert!(bench.sessions.destroy(&id).await.is_err());
    redis::cmd("DEL")
        .arg(bench.record(&id))
        .query_async::<u64>(&mut connection)
        .await?;
    assert_eq!(get(bench.server, &bench.record(&id)).await?, None);
    Ok(())
}

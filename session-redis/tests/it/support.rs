use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use redis::Value;
use session_core::{Error, SessionId, Sessions};
use session_redis::{RedisStore, RedisStoreBuilder};
use session_testkit::servers::RedisServer;

pub(crate) type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A prefix that no other test uses.
pub(crate) fn fresh_prefix() -> String {
    static TESTS: AtomicU32 = AtomicU32::new(0);
    format!(
        "test{}-{}",
        std::process::id(),
        TESTS.fetch_add(1, Ordering::Relaxed)
    )
}

/// The server that tests share whose faults concern only themselves.
pub(crate) async fn shared() -> TestResult<&'static RedisServer> {
    Ok(RedisServer::shared().await?)
}

pub(crate) fn builder() -> RedisStoreBuilder {
    RedisStore::builder().prefix(fresh_prefix())
}

/// On a busy machine its calls are slow, and not lost.
pub(crate) fn patient(prefix: &str) -> RedisStoreBuilder {
    const PATIENCE: Duration = Duration::from_secs(10);
    let builder = RedisStore::builder().prefix(prefix);
    builder.call_timeout(PATIENCE).resolve_timeout(PATIENCE)
}

/// Sessions with a short lease, for tests that wait for its end.
pub(crate) fn short_leases(store: RedisStore) -> TestResult<Sessions> {
    Ok(Sessions::builder(store).lease(SHORT_LEASE).build()?)
}

pub(crate) const SHORT_LEASE: Duration = Duration::from_millis(400);

/// A stored session in which `n` is zero.
pub(crate) async fn counter(sessions: &Sessions) -> Result<SessionId, Error> {
    let (id, ()) = sessions
        .with_new(async |session| -> Result<(), Error> { Ok(session.insert("n", 0)?) })
        .await?;
    Ok(id)
}

/// Adds one to `n` under the lock.
pub(crate) async fn add_one(sessions: &Sessions, id: &SessionId) -> Result<(), Error> {
    let add = async |session: &mut session_core::SessionGuard| -> Result<(), Error> {
        Ok(session.modify("n", |n: &mut u32| *n += 1)?)
    };
    Ok(sessions.with(id, add).await?)
}

/// What `n` is now; `None` if there is no session.
pub(crate) async fn count(sessions: &Sessions, id: &SessionId) -> Result<Option<u32>, Error> {
    match sessions.snapshot(id).await? {
        Some(snapshot) => Ok(snapshot.get("n")?),
        None => Ok(None),
    }
}

/// The only key of that kind under the prefix.
pub(crate) async fn only_key(server: &RedisServer, prefix: &str, kind: &str) -> TestResult<String> {
    let keys = server.keys(&format!("{prefix}:*:{kind}:*")).await?;
    let [key] =
        <[String; 1]>::try_from(keys).map_err(|keys| format!("{} keys of {kind}", keys.len()))?;
    Ok(key)
}

pub(crate) async fn get(server: &RedisServer, key: &str) -> TestResult<Option<Vec<u8>>> {
    let mut connection = server.connection().await?;
    Ok(redis::cmd("GET")
        .arg(key)
        .query_async(&mut connection)
        .await?)
}

pub(crate) async fn set(server: &RedisServer, key: &str, value: &[u8]) -> TestResult {
    let mut connection = server.connection().await?;
    let set: Value = redis::cmd("SET")
        .arg(key)
        .arg(value)
        .arg("PX")
        .arg(600_000)
        .query_async(&mut connection)
        .await?;
    assert_eq!(set, Value::Okay);
    Ok(())
}

/// Asserts that every key under the prefix ends by itself.
/// What stands without a TTL: what waits for secondaries, and their list.
pub(crate) fn stays(key: &str) -> bool {
    [":outbox:", ":aside:", ":secondaries"]
        .iter()
        .any(|kind| key.contains(kind))
}

pub(crate) async fn assert_all_keys_end(server: &RedisServer, prefix: &str) -> TestResult {
    let mut left = server.keys_without_ttl_like(&format!("{prefix}*")).await?;
    left.retain(|key| !stays(key));
    assert!(left.is_empty(), "keys without TTL: {left:?}");
    Ok(())
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

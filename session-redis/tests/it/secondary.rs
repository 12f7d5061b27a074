//! Redis as a secondary: its suite, and a primary in memory that is written through to it.

use session_core::{
    ConfigError, Error, MemoryStore, PrimaryStore as _, SecondaryPolicy, SecondaryStore as _,
    SessionHandle, Sessions,
};
use session_redis::{RedisSecondary, RedisStore};
use session_testkit::{secondary::SecondaryFixture, servers::RedisServer};

use crate::support::{TestResult, fresh_prefix, patient, shared};

struct Rows {
    server: &'static RedisServer,
    prefix: String,
    store: RedisSecondary,
}

async fn connected(server: &RedisServer, prefix: &str) -> RedisSecondary {
    let store = patient(prefix).connect_secondary(&server.url()).await;
    store.expect("the server is there")
}

impl SecondaryFixture for Rows {
    type Store = RedisSecondary;

    async fn fresh() -> Self {
        let server = shared().await.expect("a server can be had");
        let prefix = fresh_prefix();
        Self {
            store: connected(server, &prefix).await,
            server,
            prefix,
        }
    }

    fn store(&self) -> RedisSecondary {
        self.store.clone()
    }

    async fn elsewhere(&self) -> RedisSecondary {
        connected(self.server, &self.prefix).await
    }

    async fn keys_without_ttl(&self) -> Vec<String> {
        let all = format!("{}:*", self.prefix);
        let keys = self.server.keys_without_ttl_like(&all).await;
        keys.expect("the server is there")
    }
}

mod rows {
    session_testkit::secondary_store_suite!(super::Rows);
}

#[tokio::test]
async fn a_primary_in_memory_is_written_through_to_redis() -> TestResult {
    let mirror = Rows::fresh().await;
    let sessions = Sessions::builder(MemoryStore::new())
        .secondary("redis", mirror.store(), SecondaryPolicy::required())
        .open()
        .await?;
    let (id, handle) = sessions
        .with_new(async |session| {
            session.insert("n", 1)?;
            Ok::<SessionHandle, Error>(session.handle())
        })
        .await?;
    let through = sessions.write_through().ok_or("it is written through")?;
    let shown = through.load("redis", handle).await?.ok_or("it is there")?;
    assert_eq!(shown.1.get::<u32>("n")?, Some(1));
    let mut guard = sessions.lock(&id).await?;
    guard.destroy();
    guard.commit().await?;
    assert!(mirror.elsewhere().await.load(handle).await?.is_none());
    Ok(())
}

/// A service starts although its secondary is down, and that gets everything when it is there.
#[tokio::test]
async fn a_secondary_that_is_down_keeps_no_service_from_starting() -> TestResult {
    let server = RedisServer::start().await?;
    let mirror = patient("down").unchecked_secondary(&server.url())?;
    server.stop().await?;
    let policy = SecondaryPolicy::eventual();
    let sessions = Sessions::builder(MemoryStore::new()).secondary("redis", mirror, policy);
    let sessions = sessions.open().await?;
    let (_, handle) = sessions
        .with_new(async |session| {
            session.insert("n", 1)?;
            Ok::<SessionHandle, Error>(session.handle())
        })
        .await?;
    server.restart().await?;
    let through = sessions.write_through().ok_or("it is written through")?;
    through.drain(std::time::Duration::from_secs(60)).await?;
    let shown = through.load("redis", handle).await?.ok_or("it is there")?;
    assert_eq!(shown.1.get::<u32>("n")?, Some(1));
    Ok(())
}

#[tokio::test]
async fn a_secondary_in_the_place_of_the_primary_is_refused() -> TestResult {
    let (server, prefix) = (shared().await?, fresh_prefix());
    let store = patient(&prefix).connect(&server.url()).await?;
    let same = connected(server, &prefix).await;
    let refused = Sessions::builder(store.clone())
        .secondary("same", same, SecondaryPolicy::eventual())
        .open()
        .await;
    assert!(matches!(refused, Err(Error::Config(_))), "{refused:?}");
    assert!(store.outbox().is_none());
    Ok(())
}

#[tokio::test]
async fn what_is_no_row_is_an_error_and_is_left_as_it_is() -> TestResult {
    let mirror = Rows::fresh().await;
    let handle = SessionHandle::random();
    let key = {
        let bytes = handle.as_bytes();
        let bucket = u16::from_be_bytes([bytes[14], bytes[15]]) & 0x0fff;
        format!("{}:{{{bucket:04x}}}:row:{handle}", mirror.prefix)
    };
    mirror.server.command(&["LPUSH", &key, "x"]).await?;
    assert!(mirror.store().load(handle).await.is_err());
    let end = session_core::Change {
        session: handle,
        version: session_core::Version::from_number(3),
        row: None,
    };
    assert!(mirror.store().apply(&end).await.is_err());
    assert!(
        mirror
            .store()
            .seen(handle, session_core::StoreTime::MAX)
            .await
            .is_err()
    );
    mirror.server.command(&["DEL", &key]).await?;
    mirror
        .server
        .command(&["SET", &key, "a word that is no row", "PX", "60000"])
        .await?;
    assert!(mirror.store().load(handle).await.is_err());
    Ok(())
}

/// A process that does not name the secondaries would not note its writes.
#[tokio::test]
async fn the_list_of_secondaries_is_guarded_until_it_is_replaced() -> TestResult {
    let (server, prefix) = (shared().await?, fresh_prefix());
    let connect = || async { patient(&prefix).connect(&server.url()).await };
    let mirror = connected(server, &fresh_prefix()).await;
    let builder = Sessions::builder(connect().await?);
    let policy = SecondaryPolicy::eventual;
    let sessions = builder
        .secondary("mirror", mirror.clone(), policy())
        .open()
        .await?;
    drop(sessions);
    let refused: Result<_, ConfigError> = Sessions::builder(connect().await?).build();
    let refused = refused.expect_err("it names none").to_string();
    assert!(refused.contains("mirror"), "{refused}");

    let store: RedisStore = connect().await?;
    for bad in [&["a,b"][..], &["one", "other", "one"], &[""]] {
        let refused = store.dangerous_replace_secondaries(bad).await;
        assert!(matches!(refused, Err(Error::Config(_))), "{bad:?}");
    }
    store.dangerous_replace_secondaries(&["other"]).await?;
    let other = Sessions::builder(connect().await?).secondary("other", mirror.clone(), policy());
    other.open().await?;
    let mirror = Sessions::builder(connect().await?).secondary("mirror", mirror, policy());
    mirror.open().await.expect_err("it is not the one any more");
    store.dangerous_replace_secondaries(&[]).await?;
    Sessions::builder(connect().await?).build()?;
    assert_eq!(
        server.keys(&format!("{prefix}:secondaries")).await?,
        Vec::<String>::new()
    );
    Ok(())
}

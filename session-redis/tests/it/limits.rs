//! Uses of limits, counted on a server.

use std::time::Duration;

use redis::Value;
use session_core::{Allowance, CountedName, Fault, Limit, UseCounter};
use session_redis::RedisStore;
use session_testkit::{counter::CounterFixture, servers::RedisServer, use_counter_suite};

use crate::support::{TestResult, fresh_prefix, only_key, patient, shared};

struct OnRedis {
    server: &'static RedisServer,
    prefix: String,
    store: RedisStore,
}

impl CounterFixture for OnRedis {
    type Counter = RedisStore;

    async fn fresh() -> Self {
        let server = shared().await.expect("the server is there");
        let prefix = fresh_prefix();
        let store = patient(&prefix).connect(&server.url()).await;
        Self {
            server,
            prefix,
            store: store.expect("the server is there"),
        }
    }

    fn counter(&self) -> RedisStore {
        self.store.clone()
    }

    fn window(&self) -> Duration {
        Duration::from_secs(6)
    }

    async fn keys_without_ttl(&self) -> Vec<String> {
        let keys = format!("{}*", self.prefix);
        let keys = self.server.keys_without_ttl_like(&keys).await;
        keys.expect("the server is there")
    }
}

use_counter_suite!(OnRedis);

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn processes_count_together_under_a_hash_that_ends() -> TestResult {
    let server = shared().await?;
    let prefix = fresh_prefix();
    let connect = async || patient(&prefix).connect(&server.url()).await;
    let (one, other) = (connect().await?, connect().await?);
    let name = CountedName::new("account", "ada@example.org");
    let limit = Limit::new(2, MINUTE)?;
    assert_eq!(
        one.take(&name, &limit).await?,
        Allowance::Granted { left: 1 }
    );
    assert_eq!(
        other.take(&name, &limit).await?,
        Allowance::Granted { left: 0 }
    );
    let refused = one.take(&name, &limit).await?;
    assert!(matches!(refused, Allowance::Refused { .. }), "{refused:?}");

    let key = only_key(server, &prefix, "limit").await?;
    assert!(!key.contains("ada"), "{key}");
    let Value::Int(left_ms) = server.command(&["PTTL", &key]).await? else {
        return Err("no time to live".into());
    };
    assert!((1..=60_000).contains(&left_ms), "{left_ms}");
    // What grows is remembered for the longest window behind its end.
    one.forget(&name).await?;
    assert!(server.keys(&format!("{prefix}*")).await?.is_empty());
    one.take(&name, &limit.growing_to(10 * MINUTE)?).await?;
    let Value::Int(left_ms) = server.command(&["PTTL", &key]).await? else {
        return Err("no time to live".into());
    };
    assert!((600_001..=660_000).contains(&left_ms), "{left_ms}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_lost_its_scripts_counts_all_the_same() -> TestResult {
    let server = RedisServer::builder().start().await?;
    let store = patient("limits").connect(&server.url()).await?;
    let name = CountedName::new("account", "ada");
    let limit = Limit::new(2, MINUTE)?;
    server.command(&["SCRIPT", "FLUSH"]).await?;
    assert_eq!(
        store.take(&name, &limit).await?,
        Allowance::Granted { left: 1 }
    );
    Ok(())
}

#[tokio::test]
async fn a_counter_that_cannot_count_is_a_fault() -> TestResult {
    let server = RedisServer::builder()
        .config("maxmemory", "8mb")
        .start()
        .await?;
    let store = RedisStore::connect(&server.url()).await?;
    let (name, limit) = (CountedName::new("account", "ada"), Limit::new(2, MINUTE)?);
    store.take(&name, &limit).await?;
    let key = only_key(&server, "latchkey", "limit").await?;
    server
        .command(&["SET", &key, "nonsense", "PX", "60000"])
        .await?;
    let again = store.look(&name, &limit).await?;
    assert_eq!(again, Allowance::Granted { left: 2 });
    server.command(&["DEL", &key]).await?;
    server.command(&["LPUSH", &key, "of another type"]).await?;
    assert!(store.take(&name, &limit).await.is_err());
    store.forget(&name).await?;

    let filled = server.fill().await?;
    let error = store.take(&name, &limit).await.unwrap_err();
    assert_eq!(*error.fault(), Fault::Full);
    server.drain(filled).await?;
    store.take(&name, &limit).await?;
    server.stop().await?;
    let error = store.take(&name, &limit).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    Ok(())
}

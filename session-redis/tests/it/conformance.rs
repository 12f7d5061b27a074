//! The suite of every primary store: on one Redis, on a node of a cluster, and over a pool of connections.

use redis::Value;
use session_core::{Capabilities, Promise, SessionKey};
use session_redis::RedisStore;
use session_testkit::{primary::PrimaryFixture, servers::RedisServer};

use crate::support::{fresh_prefix, patient};

const PROMISES: Capabilities = Capabilities::NONE
    .with(Promise::NoLostUpdate)
    .with(Promise::AcrossProcesses)
    .with(Promise::LateHolderWritesNothing)
    .with(Promise::ExactlyOnceCommit)
    .with(Promise::LogoutIsFinal)
    .with(Promise::BothClocks)
    .with(Promise::SurvivesRestart)
    .with(Promise::OptimisticUpdate)
    .with(Promise::Rotation)
    .with(Promise::Users);

/// A prefix of its own on a server that tests share.
struct Shared {
    server: &'static RedisServer,
    prefix: String,
    store: RedisStore,
}

impl Shared {
    async fn on(server: &'static RedisServer, pooled: bool) -> Self {
        let prefix = fresh_prefix();
        let builder = patient(&prefix);
        let store = if pooled {
            let pool = deadpool_redis::Config::from_url(server.url()).create_pool(None);
            builder.from_pool(pool.expect("the URL is right")).await
        } else {
            builder.connect(&server.url()).await
        };
        let store = store.expect("the server is there");
        Self {
            server,
            prefix,
            store,
        }
    }

    async fn elsewhere(&self) -> Option<RedisStore> {
        let builder = patient(&self.prefix);
        builder.connect(&self.server.url()).await.ok()
    }

    async fn plant(&self, key: &SessionKey, bytes: &[u8]) -> bool {
        let record = self.store.record_key(key);
        let mut connection = self.server.connection().await.expect("the server is there");
        let mut set = redis::cmd("SET");
        set.arg(record).arg(bytes).arg("PX").arg(60_000);
        set.query_async::<Value>(&mut connection).await.is_ok()
    }

    async fn keys_without_ttl(&self) -> Vec<String> {
        let all = format!("{}:*", self.prefix);
        let keys = self.server.keys_without_ttl_like(&all).await;
        let mut keys = keys.expect("the server is there");
        // That a user is disabled is known until it is not.
        let may_stay = |key: &str| key.contains(":epoch:");
        keys.retain(|key| !may_stay(key));
        keys
    }
}

macro_rules! fixture {
    ($name:ident, $server:expr, pooled: $pooled:literal) => {
        struct $name(Shared);

        impl PrimaryFixture for $name {
            type Store = RedisStore;

            const PROMISES: Capabilities = PROMISES;

            async fn fresh() -> Self {
                let server = $server.shared().await.expect("a server can be had");
                Self(Shared::on(server, $pooled).await)
            }

            fn store(&self) -> RedisStore {
                self.0.store.clone()
            }

            async fn elsewhere(&self) -> Option<RedisStore> {
                self.0.elsewhere().await
            }

            async fn plant(&self, key: &SessionKey, bytes: &[u8]) -> bool {
                self.0.plant(key, bytes).await
            }

            async fn keys_without_ttl(&self) -> Vec<String> {
                self.0.keys_without_ttl().await
            }
        }
    };
}

fixture!(OneRedis, RedisServer::builder(), pooled: false);
fixture!(ClusterNode, RedisServer::builder().cluster(), pooled: false);
fixture!(Pooled, RedisServer::builder(), pooled: true);

mod on_one_redis {
    session_testkit::primary_store_suite!(super::OneRedis);
}

mod sealed_on_one_redis {
    session_testkit::primary_store_suite!(session_testkit::primary::Sealed<super::OneRedis>);
}

mod as_json_on_one_redis {
    session_testkit::primary_store_suite!(session_testkit::primary::InJson<super::OneRedis>);
}

mod on_a_node_of_a_cluster {
    session_testkit::primary_store_suite!(super::ClusterNode);
}

mod over_a_pool {
    session_testkit::primary_store_suite!(super::Pooled);
}

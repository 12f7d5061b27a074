//! The suite of every primary store: on one Redis, on a cluster, over a pool of connections, with cached reads,
//! and noting its writes for a secondary.

use std::time::Duration;

use redis::Value;
use session_core::{
    Capabilities, MemorySecondary, PrimaryStore as _, Promise, SecondaryPolicy, SessionKey,
    SessionsBuilder,
};
use session_redis::RedisStore;
use session_testkit::{
    primary::PrimaryFixture,
    servers::{RedisCluster, RedisServer},
};

use crate::support::{fresh_prefix, patient, stays};

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

#[derive(PartialEq)]
enum Way {
    Direct,
    Pooled,
    /// What happens elsewhere is seen a moment later.
    Cached,
    /// Each write is noted for a secondary.
    Noting,
}

/// A prefix of its own on a server that tests share.
struct Shared {
    server: &'static RedisServer,
    prefix: String,
    store: RedisStore,
    way: Way,
}

const MIRROR: &str = "mirror";

impl Shared {
    async fn on(server: &'static RedisServer, way: Way) -> Self {
        let prefix = fresh_prefix();
        let mut builder = patient(&prefix);
        if way == Way::Cached {
            builder = builder.cached_reads(Duration::from_secs(60));
        }
        let store = if way == Way::Pooled {
            let pool = deadpool_redis::Config::from_url(server.url()).create_pool(None);
            builder.from_pool(pool.expect("the URL is right")).await
        } else {
            builder.connect(&server.url()).await
        };
        let store = store.expect("the server is there");
        let shared = Self {
            server,
            prefix,
            store,
            way,
        };
        shared.noting(&shared.store).await;
        shared
    }

    async fn noting(&self, store: &RedisStore) {
        if self.way == Way::Noting {
            let opened = store.open_outbox(&[MIRROR]).await;
            opened.expect("nobody else has opened another one");
        }
    }

    async fn elsewhere(&self) -> Option<RedisStore> {
        let builder = patient(&self.prefix);
        let store = builder.connect(&self.server.url()).await.ok()?;
        self.noting(&store).await;
        Some(store)
    }

    fn configure(&self, builder: SessionsBuilder) -> SessionsBuilder {
        if self.way == Way::Noting {
            let policy = SecondaryPolicy::eventual();
            return builder.secondary(MIRROR, MemorySecondary::new(), policy);
        }
        builder
    }

    async fn plant(&self, key: &SessionKey, bytes: &[u8]) -> bool {
        set(self.server, &self.store.record_key(key), bytes).await
    }

    async fn keys_without_ttl(&self) -> Vec<String> {
        let all = format!("{}:*", self.prefix);
        let keys = self.server.keys_without_ttl_like(&all).await;
        those_that_must_not_stay(keys.expect("the server is there"))
    }
}

fn those_that_must_not_stay(mut keys: Vec<String>) -> Vec<String> {
    // That a user is disabled is known until it is not.
    let may_stay = |key: &str| key.contains(":epoch:") || stays(key);
    keys.retain(|key| !may_stay(key));
    keys
}

async fn set(server: &RedisServer, key: &str, bytes: &[u8]) -> bool {
    let mut connection = server.connection().await.expect("the server is there");
    let mut set = redis::cmd("SET");
    set.arg(key).arg(bytes).arg("PX").arg(60_000);
    set.query_async::<Value>(&mut connection).await.is_ok()
}

/// A prefix of its own on a cluster that tests share.
struct Clustered {
    cluster: &'static RedisCluster,
    prefix: String,
    store: RedisStore,
}

impl Clustered {
    async fn connected(&self) -> RedisStore {
        let store = patient(&self.prefix).connect(&self.cluster.url()).await;
        store.expect("the cluster is there")
    }
}

impl PrimaryFixture for Clustered {
    type Store = RedisStore;

    const PROMISES: Capabilities = PROMISES;

    async fn fresh() -> Self {
        let (cluster, prefix) = (RedisCluster::shared().await, fresh_prefix());
        let cluster = cluster.expect("a cluster can be had");
        let store = patient(&prefix).connect(&cluster.url()).await;
        let store = store.expect("the cluster is there");
        Self {
            cluster,
            prefix,
            store,
        }
    }

    fn store(&self) -> RedisStore {
        self.store.clone()
    }

    async fn elsewhere(&self) -> Option<RedisStore> {
        Some(self.connected().await)
    }

    async fn plant(&self, key: &SessionKey, bytes: &[u8]) -> bool {
        let record = self.store.record_key(key);
        let node = self.cluster.node_of(&record).await;
        set(node.expect("it has a node"), &record, bytes).await
    }

    async fn keys_without_ttl(&self) -> Vec<String> {
        let all = format!("{}:*", self.prefix);
        let keys = self.cluster.keys_without_ttl_like(&all).await;
        those_that_must_not_stay(keys.expect("the cluster is there"))
    }
}

macro_rules! fixture {
    ($name:ident, $server:expr, $way:ident) => {
        struct $name(Shared);

        impl PrimaryFixture for $name {
            type Store = RedisStore;

            const PROMISES: Capabilities = PROMISES;

            async fn fresh() -> Self {
                let server = $server.shared().await.expect("a server can be had");
                Self(Shared::on(server, Way::$way).await)
            }

            fn store(&self) -> RedisStore {
                self.0.store.clone()
            }

            async fn elsewhere(&self) -> Option<RedisStore> {
                self.0.elsewhere().await
            }

            fn configure(&self, builder: SessionsBuilder) -> SessionsBuilder {
                self.0.configure(builder)
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

fixture!(OneRedis, RedisServer::builder(), Direct);
fixture!(Pooled, RedisServer::builder(), Pooled);
fixture!(Cached, RedisServer::builder(), Cached);
fixture!(Noting, RedisServer::builder(), Noting);

mod on_one_redis {
    session_testkit::primary_store_suite!(super::OneRedis);
}

mod sealed_json_on_one_redis {
    use session_testkit::primary::{InJson, Sealed};

    session_testkit::primary_store_suite!(Sealed<InJson<super::OneRedis>>);
}

mod noting_its_writes {
    session_testkit::primary_store_suite!(super::Noting);
}

mod written_through {
    session_testkit::write_through_suite!(super::OneRedis);
}

mod written_through_from_a_cluster {
    session_testkit::write_through_suite!(super::Clustered);
}

mod on_a_cluster {
    session_testkit::primary_store_suite!(super::Clustered);
}

mod over_a_pool {
    session_testkit::primary_store_suite!(super::Pooled);
}

mod with_cached_reads {
    session_testkit::primary_store_suite!(super::Cached);
}

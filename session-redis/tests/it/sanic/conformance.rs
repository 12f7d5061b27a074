use redis::Value;
use session_core::{Capabilities, Codec, Promise, SessionKey};
use session_redis::SanicStore;
use session_testkit::{primary::PrimaryFixture, servers::RedisServer};

use super::connect;
use crate::support::fresh_prefix;

/// What holds beside Python services too. The suite has none, and shows the rest.
const PROMISES: Capabilities = Capabilities::NONE
    .with(Promise::NoLostUpdate)
    .with(Promise::AcrossProcesses)
    .with(Promise::LateHolderWritesNothing)
    .with(Promise::ExactlyOnceCommit)
    .with(Promise::SurvivesRestart)
    .with(Promise::OptimisticUpdate);

struct Shared {
    server: &'static RedisServer,
    prefix: String,
    store: SanicStore,
}

impl Shared {
    async fn on(server: &'static RedisServer) -> Self {
        let prefix = fresh_prefix();
        let store = connect(server, &prefix).await;
        let store = store.expect("the server is there");
        Self {
            server,
            prefix,
            store,
        }
    }

    /// A head can be no head; any JSON may be a session.
    async fn plant(&self, key: &SessionKey, bytes: &[u8]) -> bool {
        let [_, head] = self.store.record_keys(key);
        let mut connection = self.server.connection().await.expect("the server is there");
        let mut set = redis::cmd("SET");
        set.arg(head).arg(bytes).arg("PX").arg(60_000);
        set.query_async::<Value>(&mut connection).await.is_ok()
    }

    async fn keys_without_ttl(&self) -> Vec<String> {
        let all = format!("{}*", self.prefix);
        let keys = self.server.keys_without_ttl_like(&all).await;
        keys.expect("the server is there")
    }
}

macro_rules! fixture {
    ($name:ident, $server:expr) => {
        struct $name(Shared);

        impl PrimaryFixture for $name {
            type Store = SanicStore;

            const PROMISES: Capabilities = PROMISES;
            const CODEC: Codec = Codec::Json;

            async fn fresh() -> Self {
                let server = $server.shared().await.expect("a server can be had");
                Self(Shared::on(server).await)
            }

            fn store(&self) -> SanicStore {
                self.0.store.clone()
            }

            async fn elsewhere(&self) -> Option<SanicStore> {
                connect(self.0.server, &self.0.prefix).await.ok()
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

fixture!(OneRedis, RedisServer::builder());
fixture!(ClusterNode, RedisServer::builder().cluster());

mod shared_on_one_redis {
    session_testkit::primary_store_suite!(super::OneRedis);
}

mod shared_on_a_node_of_a_cluster {
    session_testkit::primary_store_suite!(super::ClusterNode);
}

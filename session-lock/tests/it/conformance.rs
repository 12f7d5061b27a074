//! The suite of every node: in memory, on a server, in raw key mode, and over a pool of connections.

use std::{ops::Deref, sync::Arc, time::Duration};

use redis::Value;
use session_lock::{Clock as _, MemoryNode, RedisNode, Resource};
use session_testkit::{FakeClock, lock_node_suite, node::NodeFixture, servers::RedisServer};

use crate::support::fresh_prefix;

struct Memory {
    clock: FakeClock,
    node: MemoryNode,
}

impl NodeFixture for Memory {
    type Node = MemoryNode;

    async fn fresh() -> Self {
        let clock = FakeClock::new();
        let node = MemoryNode::new("memory", Arc::new(clock.clone()));
        Self { clock, node }
    }

    fn node(&self) -> MemoryNode {
        self.node.clone()
    }

    async fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }

    async fn unix_time(&self) -> Duration {
        self.clock.unix_time()
    }

    async fn lose_data(&self) {
        self.node.lose_data();
    }

    async fn put_foreign(&self, resource: &Resource) {
        self.node.put_foreign(resource);
    }

    async fn foreign_stands(&self, resource: &Resource) -> bool {
        self.node.is_foreign(resource)
    }
}

/// How a node on a server spells its locks, and what it takes its connections from.
#[derive(Clone, Copy)]
enum Way {
    Own,
    Raw,
    #[cfg(feature = "deadpool")]
    Pooled,
}

/// A prefix of its own on a server that tests share; in raw key mode, where locks have no prefix, a server of its own.
struct OnServer {
    server: Server,
    prefix: String,
    node: RedisNode,
}

enum Server {
    Shared(&'static RedisServer),
    Own(RedisServer),
}

impl Deref for Server {
    type Target = RedisServer;

    fn deref(&self) -> &RedisServer {
        match self {
            Self::Shared(server) => server,
            Self::Own(server) => server,
        }
    }
}

impl OnServer {
    async fn start(way: Way) -> Self {
        let server = match way {
            Way::Raw => RedisServer::start().await.map(Server::Own),
            _ => RedisServer::shared().await.map(Server::Shared),
        };
        let (server, prefix) = (server.expect("a server can be had"), fresh_prefix());
        let builder = RedisNode::builder().prefix(&prefix);
        let node = match way {
            Way::Own => builder.connect(&server.url()),
            Way::Raw => builder.raw_keys().connect(&server.url()),
            #[cfg(feature = "deadpool")]
            Way::Pooled => {
                let pool = deadpool_redis::Config::from_url(server.url()).create_pool(None);
                let builder = builder.name("pooled");
                builder.from_pool(pool.expect("the URL is right"))
            }
        };
        let node = node.expect("the settings are right");
        Self {
            server,
            prefix,
            node,
        }
    }

    fn key(&self, resource: &Resource) -> Vec<u8> {
        let key = self.node.lock_key(resource);
        key.expect("it collides with nothing")
    }

    async fn query(&self, name: &str, args: &[&[u8]]) -> Value {
        let mut connection = self.server.connection().await.expect("the server is there");
        let mut command = redis::cmd(name);
        args.iter().for_each(|arg| {
            command.arg(*arg);
        });
        let answer = command.query_async(&mut connection).await;
        answer.expect("the server answers")
    }

    async fn unix_time(&self) -> Duration {
        match self.query("TIME", &[]).await {
            Value::Array(parts) => {
                let number = |part: &Value| redis::from_redis_value::<u64>(part.clone()).unwrap();
                Duration::from_secs(number(&parts[0])) + Duration::from_micros(number(&parts[1]))
            }
            other => panic!("not a time: {other:?}"),
        }
    }

    async fn lose_data(&self) {
        if let Server::Own(_) = self.server {
            self.query("FLUSHALL", &[]).await;
            return;
        }
        let keys = self.server.keys(&format!("{}:*", self.prefix)).await;
        for key in keys.expect("the server is there") {
            self.query("DEL", &[key.as_bytes()]).await;
        }
    }

    /// A hash, as Redisson makes its locks.
    async fn put_foreign(&self, resource: &Resource) {
        let key = self.key(resource);
        self.query("HSET", &[&key, b"owner", b"1"]).await;
        self.query("PEXPIRE", &[&key, b"600000"]).await;
    }

    async fn foreign_stands(&self, resource: &Resource) -> bool {
        let owner = self.query("HGET", &[&self.key(resource), b"owner"]).await;
        owner == Value::BulkString(b"1".to_vec())
    }

    async fn keys_without_ttl(&self) -> Vec<String> {
        let all = format!("{}*", self.prefix);
        let keys = self.server.keys_without_ttl_like(&all).await;
        let mut keys = keys.expect("the server is there");
        let of_the_admission = ["marker", "run"].map(|kind| format!("{}:{kind}", self.prefix));
        keys.retain(|key| !of_the_admission.contains(key));
        keys
    }
}

macro_rules! fixture {
    ($name:ident, $way:expr, tells: $tells:literal) => {
        struct $name(OnServer);

        impl NodeFixture for $name {
            type Node = RedisNode;

            const TELLS: bool = $tells;

            async fn fresh() -> Self {
                Self(OnServer::start($way).await)
            }

            fn node(&self) -> RedisNode {
                self.0.node.clone()
            }

            async fn unix_time(&self) -> Duration {
                self.0.unix_time().await
            }

            async fn lose_data(&self) {
                self.0.lose_data().await;
            }

            async fn put_foreign(&self, resource: &Resource) {
                self.0.put_foreign(resource).await;
            }

            async fn foreign_stands(&self, resource: &Resource) -> bool {
                self.0.foreign_stands(resource).await
            }

            async fn keys_without_ttl(&self) -> Vec<String> {
                self.0.keys_without_ttl().await
            }
        }
    };
}

fixture!(OnRedis, Way::Own, tells: true);
fixture!(InRawKeyMode, Way::Raw, tells: true);
#[cfg(feature = "deadpool")]
fixture!(OverAPool, Way::Pooled, tells: false);

mod in_memory {
    super::lock_node_suite!(super::Memory);
}

mod on_redis {
    super::lock_node_suite!(super::OnRedis);
}

mod in_raw_key_mode {
    super::lock_node_suite!(super::InRawKeyMode);
}

#[cfg(feature = "deadpool")]
mod over_a_pool {
    super::lock_node_suite!(super::OverAPool);
}

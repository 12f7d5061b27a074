//! The suite of every primary store, on records in PostgreSQL under each locker, and writing through.

use std::{sync::Arc, time::Duration};

use session_core::{
    Capabilities, Composed, MemorySecondary, PrimaryStore as _, Promise, RedlockLocker,
    SecondaryPolicy, SessionKey, SessionsBuilder, SystemClock,
};
use session_lock::{LockNode, MemoryNode, Redlock};
use session_postgres::{PostgresLocker, PostgresRecords};
use session_testkit::primary::PrimaryFixture;

use crate::schema::Schema;

const PROMISES: Capabilities = Capabilities::NONE
    .with(Promise::NoLostUpdate)
    .with(Promise::AcrossProcesses)
    .with(Promise::LateHolderWritesNothing)
    .with(Promise::ExactlyOnceCommit)
    .with(Promise::LogoutIsFinal)
    .with(Promise::BothClocks)
    .with(Promise::SurvivesRestart)
    .with(Promise::Rotation)
    .with(Promise::Users);

async fn records(schema: &Schema) -> PostgresRecords {
    let postgres = schema.postgres().await.expect("the server is there");
    let records = PostgresRecords::new(&postgres).await;
    records.expect("the tables are there")
}

async fn schema() -> Arc<Schema> {
    let schema = Schema::new().await.expect("a server can be had");
    Arc::new(schema.expect("these tests are not left out one by one"))
}

/// Locked by PostgreSQL too.
struct WithoutRedis {
    schema: Arc<Schema>,
    store: Composed<PostgresRecords, PostgresLocker>,
}

impl WithoutRedis {
    async fn store(schema: &Schema) -> Composed<PostgresRecords, PostgresLocker> {
        let postgres = schema.postgres().await.expect("the server is there");
        let locker = PostgresLocker::new(&postgres).await;
        Composed::new(records(schema).await, locker.expect("the tables are there"))
    }
}

impl PrimaryFixture for WithoutRedis {
    type Store = Composed<PostgresRecords, PostgresLocker>;

    const PROMISES: Capabilities = PROMISES;

    async fn fresh() -> Self {
        let schema = schema().await;
        let store = Self::store(&schema).await;
        Self { schema, store }
    }

    fn store(&self) -> Self::Store {
        self.store.clone()
    }

    async fn elsewhere(&self) -> Option<Self::Store> {
        Some(Self::store(&self.schema).await)
    }

    async fn plant(&self, key: &SessionKey, bytes: &[u8]) -> bool {
        self.schema.plant(key, bytes).await.is_ok()
    }
}

const MIRROR: &str = "mirror";

/// Locked by nodes that are no database, and noting each write for a secondary.
struct UnderRedlock {
    schema: Arc<Schema>,
    nodes: Vec<Arc<dyn LockNode>>,
    store: Composed<PostgresRecords, RedlockLocker>,
}

impl UnderRedlock {
    async fn store(
        schema: &Schema,
        nodes: &[Arc<dyn LockNode>],
    ) -> Composed<PostgresRecords, RedlockLocker> {
        let lock = Redlock::builder(nodes.to_vec());
        let lock = lock.longest_ttl(Duration::from_secs(60)).build();
        let locker = RedlockLocker::new(lock.expect("the settings are right"));
        let locker = locker.expect("the longest TTL is long enough");
        let store = Composed::new(records(schema).await, locker);
        let opened = store.open_outbox(&[MIRROR]).await;
        opened.expect("nobody else has opened another one");
        store
    }
}

impl PrimaryFixture for UnderRedlock {
    type Store = Composed<PostgresRecords, RedlockLocker>;

    const PROMISES: Capabilities = PROMISES;

    async fn fresh() -> Self {
        let schema = schema().await;
        let node = |name: &str| {
            Arc::new(MemoryNode::new(name, Arc::new(SystemClock))) as Arc<dyn LockNode>
        };
        let nodes = ["a", "b", "c"].map(node).to_vec();
        let store = Self::store(&schema, &nodes).await;
        Self {
            schema,
            nodes,
            store,
        }
    }

    fn store(&self) -> Self::Store {
        self.store.clone()
    }

    async fn elsewhere(&self) -> Option<Self::Store> {
        Some(Self::store(&self.schema, &self.nodes).await)
    }

    fn configure(&self, builder: SessionsBuilder) -> SessionsBuilder {
        let policy = SecondaryPolicy::eventual();
        builder.secondary(MIRROR, MemorySecondary::new(), policy)
    }

    async fn plant(&self, key: &SessionKey, bytes: &[u8]) -> bool {
        self.schema.plant(key, bytes).await.is_ok()
    }
}

mod locked_by_postgresql {
    session_testkit::primary_store_suite!(super::WithoutRedis);
}

mod written_through {
    session_testkit::write_through_suite!(super::WithoutRedis);
}

mod locked_by_redlock_and_noting_its_writes {
    session_testkit::primary_store_suite!(super::UnderRedlock);
}

use std::{sync::Arc, time::Duration};

use session_core::{AcquireError, LockRequest, Locker, SessionId, SessionKey};
use session_lock::{Drift, FencingToken, Lease, LeaseTerms, Ttl};
use session_postgres::{Postgres, PostgresLocker};
use session_testkit::{locker::LockerFixture, servers::PostgresServer};

use crate::{schema::Schema, support::TestResult};

struct Locks {
    locker: PostgresLocker,
}

impl LockerFixture for Locks {
    type Locker = PostgresLocker;

    async fn fresh() -> Self {
        let schema = Schema::new().await.expect("a server can be had");
        let schema = schema.expect("these tests are not left out one by one");
        let locker = locker(&schema).await;
        Self {
            locker: locker.expect("the tables are there"),
        }
    }

    fn locker(&self) -> PostgresLocker {
        self.locker.clone()
    }
}

mod on_postgresql {
    session_testkit::locker_suite!(super::Locks);
}

/// Over a pool, where nothing can be heard.
struct Pooled(PostgresLocker);

impl LockerFixture for Pooled {
    type Locker = PostgresLocker;

    async fn fresh() -> Self {
        let schema = Schema::new().await.expect("a server can be had");
        let schema = schema.expect("these tests are not left out one by one");
        let postgres = pooled(&schema).expect("the URL is right");
        let locker = PostgresLocker::new(&postgres).await;
        Self(locker.expect("the tables are there"))
    }

    fn locker(&self) -> PostgresLocker {
        self.0.clone()
    }
}

mod over_a_pool {
    session_testkit::locker_suite!(super::Pooled);
}

fn pooled(schema: &Schema) -> TestResult<Postgres> {
    let config: tokio_postgres::Config = schema.url.parse()?;
    let manager = deadpool_postgres::Manager::new(config, tokio_postgres::NoTls);
    let pool = deadpool_postgres::Pool::builder(manager)
        .max_size(8)
        .build()?;
    Ok(Postgres::from_pool(pool, "pool").call_timeout(Duration::from_secs(20)))
}

async fn locker(schema: &Schema) -> TestResult<PostgresLocker> {
    Ok(PostgresLocker::new(&schema.postgres().await?).await?)
}

const LONG: Duration = Duration::from_secs(30);
const ANY: FencingToken = FencingToken(0);

fn request(ttl: Duration, wait: Duration) -> LockRequest {
    LockRequest {
        terms: LeaseTerms {
            ttl: Ttl::new(ttl).expect("the TTL is valid"),
            drift: Drift::default(),
            longest_hold: ttl,
        },
        wait,
        max_waiters: 64,
    }
}

async fn lock(locker: &PostgresLocker, key: &SessionKey) -> TestResult<Lease<SessionKey>> {
    Ok(locker.lock(key, &request(LONG, LONG), ANY).await?)
}

async fn waiting(schema: &Schema, count: i64) -> TestResult {
    while schema.count("latchkey_waiters").await? != count {
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_lock_that_is_given_back_goes_to_the_process_that_has_waited_longest() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let key = *SessionId::random().key();
    let holder = locker(&schema).await?;
    let lease = lock(&holder, &key).await?;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for process in 0..4 {
        let (locker, tell) = (locker(&schema).await?, tell.clone());
        tokio::spawn(async move {
            let lease = lock(&locker, &key).await.expect("its turn comes");
            tell.send(process).expect("somebody listens");
            locker.release(lease).await;
        });
        waiting(&schema, process + 1).await?;
    }
    holder.release(lease).await;
    for process in 0..4 {
        assert_eq!(told.recv().await, Some(process));
    }
    waiting(&schema, 0).await?;
    Ok(())
}

/// Takes the lock away from whoever listens: what was told meanwhile is lost.
#[tokio::test]
async fn a_listening_connection_that_is_killed_loses_no_turn() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let key = *SessionId::random().key();
    let (here, there) = (locker(&schema).await?, locker(&schema).await?);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE query LIKE 'LISTEN%' OR (pid <> pg_backend_pid() AND query = '')";
    for _ in 0..5 {
        let lease = lock(&here, &key).await?;
        let waiter = tokio::spawn({
            let there = there.clone();
            async move { lock(&there, &key).await.map_err(|error| error.to_string()) }
        });
        waiting(&schema, 1).await?;
        schema.client.batch_execute(kill).await?;
        here.release(lease).await;
        let lease = waiter.await??;
        there.release(lease).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_process_that_is_gone_is_passed_over() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let key = *SessionId::random().key();
    let (holder, next) = (locker(&schema).await?, locker(&schema).await?);
    let lease = lock(&holder, &key).await?;
    // It stands first in the queue, and never looks again.
    let gone = "INSERT INTO latchkey_waiters (key, process, owner, until_ms) SELECT key, 1, \
        decode(repeat('07', 16), 'hex'), until_ms + 3600000 FROM latchkey_locks";
    schema.client.batch_execute(gone).await?;
    let waiter = tokio::spawn({
        let next = next.clone();
        async move { lock(&next, &key).await.map_err(|error| error.to_string()) }
    });
    waiting(&schema, 2).await?;
    holder.release(lease).await;
    let lease = waiter.await??;
    next.release(lease).await;
    Ok(())
}

#[tokio::test]
async fn a_place_that_was_not_kept_holds_nobody_up() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let key = *SessionId::random().key();
    let (holder, next) = (locker(&schema).await?, locker(&schema).await?);
    let lease = lock(&holder, &key).await?;
    let gone = "INSERT INTO latchkey_waiters (key, process, owner, until_ms) SELECT key, 1, \
        decode(repeat('07', 16), 'hex'), 1 FROM latchkey_locks";
    schema.client.batch_execute(gone).await?;
    let waiter = tokio::spawn({
        let next = next.clone();
        async move { lock(&next, &key).await.map_err(|error| error.to_string()) }
    });
    waiting(&schema, 2).await?;
    // The holder is gone as well, and nobody hands its lock over.
    let run_out = "UPDATE latchkey_locks SET until_ms = 1";
    schema.client.batch_execute(run_out).await?;
    let taken = waiter.await??;
    drop(lease);
    next.release(taken).await;
    Ok(())
}

#[tokio::test]
async fn whoever_waits_keeps_its_place_and_clean_up_leaves_it() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let key = *SessionId::random().key();
    let (holder, next) = (locker(&schema).await?, locker(&schema).await?);
    let lease = lock(&holder, &key).await?;
    let waiter = tokio::spawn({
        let next = next.clone();
        async move { lock(&next, &key).await.map_err(|error| error.to_string()) }
    });
    waiting(&schema, 1).await?;
    let forget = "UPDATE latchkey_waiters SET until_ms = 1";
    schema.client.batch_execute(forget).await?;
    let kept = "SELECT FROM latchkey_waiters WHERE until_ms > 1";
    while schema.client.query(kept, &[]).await?.is_empty() {
        assert!(!waiter.is_finished(), "it waits no longer");
    }
    // Two that are gone stand before it.
    let gone = "INSERT INTO latchkey_waiters (key, process, owner, until_ms, ticket) OVERRIDING SYSTEM VALUE \
        SELECT key, n, decode(repeat('07', 16), 'hex'), 1, -n FROM latchkey_locks, generate_series(1, 2) AS n";
    schema.client.batch_execute(gone).await?;
    holder.clean_up().await?;
    assert_eq!(schema.count("latchkey_waiters").await?, 1);
    schema.client.batch_execute(gone).await?;
    holder.release(lease).await;
    // Nothing was offered to them.
    let offered = "SELECT FROM latchkey_locks WHERE owner = decode(repeat('07', 16), 'hex')";
    assert!(schema.client.query(offered, &[]).await?.is_empty());
    next.release(waiter.await??).await;
    Ok(())
}

#[tokio::test]
async fn whoever_waits_holds_no_connection() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let locker = locker(&schema).await?;
    let key = *SessionId::random().key();
    let holder = lock(&locker, &key).await?;
    // Far more sessions are waited for than the pool has connections.
    let others: Vec<_> = (0..40).map(|_| *SessionId::random().key()).collect();
    let mut held = Vec::new();
    for other in &others {
        held.push(lock(&locker, other).await?);
    }
    let waiters: Vec<_> = others
        .iter()
        .map(|other| {
            let (locker, other) = (locker.clone(), *other);
            tokio::spawn(async move {
                let lease = lock(&locker, &other).await.expect("its turn comes");
                locker.release(lease).await;
            })
        })
        .collect();
    waiting(&schema, 40).await?;
    locker.release(holder).await;
    let free = lock(&locker, &key).await?;
    locker.release(free).await;
    for lease in held {
        locker.release(lease).await;
    }
    for waiter in waiters {
        waiter.await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_lock_that_nobody_has_used_for_a_day_is_forgotten_and_its_tokens_go_on_growing()
-> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let locker = locker(&schema).await?;
    let (old, used) = (*SessionId::random().key(), *SessionId::random().key());
    let lease = lock(&locker, &old).await?;
    let before = lease.fencing_token().ok_or("a token")?;
    locker.release(lease).await;
    let age = "UPDATE latchkey_locks SET until_ms = until_ms - 2 * 86400000 - 1";
    schema.client.batch_execute(age).await?;
    let lease = lock(&locker, &used).await?;
    assert_eq!(locker.clean_up().await?, 1);
    assert_eq!(schema.count("latchkey_locks").await?, 1);
    assert!(lease.is_valid());
    locker.release(lease).await;
    let lease = lock(&locker, &old).await?;
    assert!(lease.fencing_token() > Some(before));
    locker.release(lease).await;
    Ok(())
}

#[tokio::test]
async fn locks_survive_a_crash_of_the_database() -> TestResult {
    if PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    let schema = Schema::on(&server).await?;
    let (here, there) = (Arc::new(locker(&schema).await?), locker(&schema).await?);
    let key = *SessionId::random().key();
    let lease = lock(&here, &key).await?;
    let waiter = tokio::spawn({
        let there = there.clone();
        async move { lock(&there, &key).await.map_err(|error| error.to_string()) }
    });
    waiting(&schema, 1).await?;
    server.kill().await?;
    server.restart().await?;
    let refused = loop {
        match there.lock(&key, &request(LONG, Duration::ZERO), ANY).await {
            // A connection that does not know yet that it is broken.
            Err(AcquireError::Store(_)) => {}
            other => break other,
        }
    };
    assert!(
        matches!(refused, Err(AcquireError::Held { .. })),
        "{refused:?}"
    );
    assert!(lease.is_valid());
    here.release(lease).await;
    // Whoever asked the dead database was told so; else it has its turn now.
    if let Ok(next) = waiter.await? {
        there.release(next).await;
    }
    let next = lock(&there, &key).await?;
    there.release(next).await;
    Ok(())
}

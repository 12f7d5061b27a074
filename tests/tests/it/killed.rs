use std::time::Duration;

use latchkey::{RedisStore, SessionGuard, Sessions};
use latchkey_tests::{TestResult, Waiter};
use redis::{Cmd, FromRedisValue};
use session_testkit::servers::RedisServer;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);
/// Of those who wait.
const LEASE: Duration = Duration::from_secs(3);
/// Of who holds the session meanwhile.
const LONG_LEASE: Duration = Duration::from_secs(60);

/// A session that somebody holds, for which processes wait.
struct Awaited {
    server: RedisServer,
    guard: SessionGuard,
    id: String,
    lock: String,
    queue: String,
}

impl Awaited {
    async fn new() -> TestResult<Self> {
        let server = RedisServer::start().await?;
        let store = RedisStore::connect(&server.url()).await?;
        let sessions = Sessions::builder(store).lease(LONG_LEASE).build()?;
        let mut new = sessions.create();
        new.insert("n", 0)?;
        let id = new.id().clone();
        new.commit().await?;
        let guard = sessions.lock(&id).await?;
        let lock = server.keys("*:lock:*").await?.pop().ok_or("not held")?;
        Ok(Self {
            guard,
            id: id.expose().to_owned(),
            queue: lock.replace(":lock:", ":queue:"),
            lock,
            server,
        })
    }

    /// A process that is ready to wait, with so many stores: each of them is a process to the server.
    async fn process(&self, stores: usize) -> TestResult<Waiter> {
        let (lease, stores) = (LEASE.as_millis().to_string(), stores.to_string());
        let arguments = [&self.server.url(), &lease, &stores, &self.id];
        Waiter::start(env!("CARGO_BIN_EXE_waiter"), &arguments.map(|word| &**word)).await
    }

    /// Returns when so many processes hear of free locks.
    async fn listen(&self, processes: usize) -> TestResult {
        let channels = redis::cmd("PUBSUB").arg("CHANNELS").to_owned();
        until(
            async || Ok(self.ask::<Vec<String>>(&channels).await?.len()),
            processes,
        )
        .await
    }

    /// Returns when so many processes stand in the queue.
    async fn wait(&self, processes: usize) -> TestResult {
        let queue = redis::cmd("ZCARD").arg(&self.queue).to_owned();
        until(async || self.ask(&queue).await, processes).await
    }

    /// Under which owner value the process at this place of the queue is to have the lock.
    async fn owner_at(&self, place: isize) -> TestResult<Vec<u8>> {
        let mut range = redis::cmd("ZRANGE");
        let processes: Vec<Vec<u8>> = self
            .ask(range.arg(&self.queue).arg(place).arg(place))
            .await?;
        Ok(processes.first().ok_or("nobody waits")?[..16].to_vec())
    }

    async fn owner(server: &RedisServer, lock: &str) -> TestResult<Option<Vec<u8>>> {
        let mut connection = server.connection().await?;
        Ok(redis::cmd("GET")
            .arg(lock)
            .query_async(&mut connection)
            .await?)
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> TestResult<T> {
        Ok(command
            .query_async(&mut self.server.connection().await?)
            .await?)
    }
}

async fn until(mut count: impl AsyncFnMut() -> TestResult<usize>, wanted: usize) -> TestResult {
    let mut found = 0;
    let found_all = async {
        while found != wanted {
            sleep(Duration::from_millis(2)).await;
            found = count().await?;
        }
        TestResult::Ok(())
    };
    match timeout(PATIENCE, found_all).await {
        Ok(found_all) => found_all,
        Err(_late) => Err(format!("{found} of {wanted} after {PATIENCE:?}").into()),
    }
}

/// It is offered the lock, and never takes it.
#[tokio::test]
async fn a_waiter_that_is_killed_with_an_offer_keeps_the_next_one_waiting_for_no_more_than_that()
-> TestResult {
    let awaited = Awaited::new().await?;
    let (mut first, mut next) = (awaited.process(1).await?, awaited.process(1).await?);
    awaited.listen(2).await?;
    first.wait().await?;
    awaited.wait(1).await?;
    next.wait().await?;
    awaited.wait(2).await?;
    let offered = awaited.owner_at(0).await?;
    let stopped = first.stop()?;
    let Awaited {
        server,
        guard,
        lock,
        ..
    } = awaited;
    guard.discard().await?;
    assert_eq!(Awaited::owner(&server, &lock).await?, Some(offered));
    let left_ms = server.command(&["PTTL", &lock]).await?;
    let redis::Value::Int(left_ms) = left_ms else {
        panic!("{left_ms:?}")
    };
    assert!(
        u128::try_from(left_ms)? <= LEASE.as_millis(),
        "for {left_ms} ms"
    );
    first.kill().await?;
    drop(stopped);
    next.holds().await
}

/// It has taken the lock already.
#[tokio::test]
async fn a_waiter_that_is_killed_with_the_lock_keeps_the_next_one_waiting_for_its_lease()
-> TestResult {
    let awaited = Awaited::new().await?;
    let (mut first, mut next) = (awaited.process(1).await?, awaited.process(1).await?);
    awaited.listen(2).await?;
    first.wait().await?;
    awaited.wait(1).await?;
    next.wait().await?;
    awaited.wait(2).await?;
    awaited.guard.discard().await?;
    first.holds().await?;
    first.kill().await?;
    next.holds().await
}

/// They are passed over in the very step that frees the lock.
#[tokio::test]
async fn a_thousand_waiters_that_are_killed_do_not_slow_the_next_one() -> TestResult {
    const PROCESSES: usize = 4;
    const STORES: usize = 250;
    let awaited = Awaited::new().await?;
    let mut gone = Vec::new();
    for _ in 0..PROCESSES {
        gone.push(awaited.process(STORES).await?);
    }
    let mut next = awaited.process(1).await?;
    awaited.listen(PROCESSES * STORES + 1).await?;
    for process in &mut gone {
        process.wait().await?;
    }
    awaited.wait(PROCESSES * STORES).await?;
    next.wait().await?;
    awaited.wait(PROCESSES * STORES + 1).await?;
    let last = awaited.owner_at(-1).await?;
    for process in &mut gone {
        process.kill().await?;
    }
    awaited.listen(1).await?;
    awaited.wait(PROCESSES * STORES + 1).await?;
    let Awaited {
        server,
        guard,
        lock,
        queue,
        ..
    } = awaited;
    guard.discard().await?;
    assert_eq!(Awaited::owner(&server, &lock).await?, Some(last));
    assert_eq!(
        server.keys(&queue).await?,
        [""; 0],
        "somebody was left over"
    );
    next.holds().await
}

//! Waiting for a lock on the server: in the order in which processes came, and past those that are gone.

use std::time::Duration;

use redis::Value;
use session_core::{AcquireError, SessionGuard, SessionId, Sessions};
use session_testkit::servers::{Proxy, RedisServer};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::support::{TestResult, counter, fresh_prefix, get, only_key, patient, shared};

const PATIENCE: Duration = Duration::from_secs(20);

/// A session that is held, for which processes queue up.
struct Queue {
    server: &'static RedisServer,
    prefix: String,
    holder: Sessions,
    guard: SessionGuard,
    id: SessionId,
    lock: String,
}

type Waiter = JoinHandle<Result<SessionGuard, AcquireError>>;

impl Queue {
    async fn new() -> TestResult<Self> {
        let (server, prefix) = (shared().await?, fresh_prefix());
        let holder = Sessions::new(patient(&prefix).connect(&server.url()).await?);
        let id = counter(&holder).await?;
        let guard = holder.lock(&id).await?;
        let lock = only_key(server, &prefix, "lock").await?;
        Ok(Self {
            server,
            prefix,
            holder,
            guard,
            id,
            lock,
        })
    }

    async fn process(&self) -> TestResult<Sessions> {
        self.process_over(&self.server.url()).await
    }

    async fn process_over(&self, url: &str) -> TestResult<Sessions> {
        Ok(Sessions::new(patient(&self.prefix).connect(url).await?))
    }

    /// Begins to wait, and returns when `processes` stand in the queue.
    async fn waits(&self, sessions: &Sessions, processes: i64) -> TestResult<Waiter> {
        let (sessions, id) = (sessions.clone(), self.id.clone());
        let waiter = tokio::spawn(async move { sessions.lock(&id).wait_at_most(PATIENCE).await });
        self.has(processes).await?;
        Ok(waiter)
    }

    /// The server's time.
    async fn millisecond(&self) -> TestResult<u64> {
        let time = redis::cmd("TIME");
        let (seconds, micros): (u64, u64) = time
            .query_async(&mut self.server.connection().await?)
            .await?;
        Ok(seconds * 1_000 + micros / 1_000)
    }

    fn key(&self) -> String {
        self.lock.replace(":lock:", ":queue:")
    }

    async fn has(&self, processes: i64) -> TestResult {
        let has = async {
            while self.server.command(&["ZCARD", &self.key()]).await? != Value::Int(processes) {
                sleep(Duration::from_millis(1)).await;
            }
            TestResult::Ok(())
        };
        timeout(PATIENCE, has).await?
    }

    /// Waits until the first process in the queue is one that hears.
    async fn first_hears(&self) -> TestResult {
        let mut connection = self.server.connection().await?;
        let mut first = redis::cmd("ZRANGE");
        first.arg(self.key()).arg(0).arg(0);
        let hears = async {
            loop {
                let first: Vec<Vec<u8>> = first.query_async(&mut connection).await?;
                if first.first().is_some_and(|process| process.len() > 18) {
                    return TestResult::Ok(());
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, hears).await?
    }

    /// Puts a process at the head of the queue that is none of ours.
    async fn goes_ahead(&self, owner: &[u8; 16], channel: &str) -> TestResult {
        let name = [&owner[..], &1_000_u16.to_be_bytes(), channel.as_bytes()].concat();
        let mut connection = self.server.connection().await?;
        let mut add = redis::cmd("ZADD");
        add.arg(self.key()).arg(0).arg(name);
        let _added: Value = add.query_async(&mut connection).await?;
        Ok(())
    }

    async fn owner(&self) -> TestResult<Option<Vec<u8>>> {
        get(self.server, &self.lock).await
    }
}

async fn gets_it(waiter: Waiter) -> TestResult<SessionGuard> {
    Ok(timeout(PATIENCE, waiter).await???)
}

/// A process that has waited here once hears from then on.
async fn listens(queue: &Queue, sessions: &Sessions) -> TestResult {
    let channels = || async {
        let pattern = format!("{}:wake:*", queue.prefix);
        let command = ["PUBSUB", "CHANNELS", &pattern];
        match queue.server.command(&command).await? {
            Value::Array(channels) => TestResult::Ok(channels.len()),
            other => Err(format!("{other:?}").into()),
        }
    };
    let before = channels().await?;
    let listens = async {
        while channels().await? == before {
            let short = sessions
                .lock(&queue.id)
                .wait_at_most(Duration::from_millis(20));
            assert!(matches!(short.await, Err(AcquireError::Held { .. })));
        }
        TestResult::Ok(())
    };
    timeout(PATIENCE, listens).await??;
    queue.has(0).await
}

#[tokio::test]
async fn processes_get_the_lock_in_the_order_in_which_they_came() -> TestResult {
    for listening in [false, true] {
        let queue = Queue::new().await?;
        let (told, mut order) = mpsc::unbounded_channel();
        let (mut waiters, mut processes) = (Vec::new(), Vec::new());
        for number in 0..4 {
            let sessions = queue.process().await?;
            if listening {
                listens(&queue, &sessions).await?;
            }
            processes.push((number, sessions));
        }
        processes.rotate_left(2);
        for (place, (number, sessions)) in (1..).zip(&processes) {
            let waiter = queue.waits(sessions, place).await?;
            // Whoever comes in the same millisecond comes at the same time.
            let came = queue.millisecond().await?;
            while queue.millisecond().await? == came {}
            let (told, number) = (told.clone(), *number);
            waiters.push(tokio::spawn(async move {
                let guard = gets_it(waiter).await.map_err(|error| error.to_string())?;
                told.send(number).map_err(|error| error.to_string())?;
                guard.discard().await.map_err(|error| error.to_string())
            }));
        }
        queue.guard.commit().await?;
        for waiter in waiters {
            waiter.await??;
        }
        let mut came = Vec::new();
        while let Ok(number) = order.try_recv() {
            came.push(number);
        }
        assert_eq!(came, [2, 3, 0, 1], "listening: {listening}");
    }
    Ok(())
}

#[tokio::test]
async fn the_lock_passes_from_one_process_to_the_next_without_being_free() -> TestResult {
    let queue = Queue::new().await?;
    let next = queue.process().await?;
    listens(&queue, &next).await?;
    let waiter = queue.waits(&next, 1).await?;
    let (server, lock) = (queue.server, queue.lock.clone());
    let former = get(server, &lock).await?;
    queue.guard.commit().await?;
    let owner = get(server, &lock).await?;
    assert!(owner.is_some() && owner != former, "it was free");
    let guard = gets_it(waiter).await?;
    assert_eq!(get(server, &lock).await?, owner, "it is the next one's");
    guard.discard().await?;
    assert_eq!(get(server, &lock).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_thousand_processes_that_are_gone_are_passed_over_at_once() -> TestResult {
    let queue = Queue::new().await?;
    let next = queue.process().await?;
    listens(&queue, &next).await?;
    let waiter = queue.waits(&next, 1).await?;
    for number in 0..1_000_u128 {
        let channel = format!("{}:gone:{number}", queue.prefix);
        queue.goes_ahead(&number.to_be_bytes(), &channel).await?;
    }
    let (server, lock, key) = (queue.server, queue.lock.clone(), queue.key());
    queue.guard.commit().await?;
    assert!(get(server, &lock).await?.is_some(), "nobody has it");
    assert_eq!(server.command(&["EXISTS", &key]).await?, Value::Int(0));
    gets_it(waiter).await?.discard().await?;
    Ok(())
}

/// What nobody of us has put there harms nobody.
#[tokio::test]
async fn strange_members_of_a_queue_are_passed_over() -> TestResult {
    let queue = Queue::new().await?;
    let next = queue.process().await?;
    listens(&queue, &next).await?;
    let waiter = queue.waits(&next, 1).await?;
    for strange in ["", "short", "seventeen letters", "of twenty characters"] {
        let command = ["ZADD", &queue.key(), "0", strange];
        assert_eq!(queue.server.command(&command).await?, Value::Int(1));
    }
    queue.guard.commit().await?;
    gets_it(waiter).await?.discard().await?;
    Ok(())
}

#[tokio::test]
async fn a_process_that_does_not_come_for_its_lock_keeps_nobody_waiting_for_long() -> TestResult {
    let queue = Queue::new().await?;
    let next = queue.process().await?;
    let waiter = queue.waits(&next, 1).await?;
    // As one that is stopped: its connection stands.
    let stopped = format!("{}:stopped", queue.prefix);
    let client = redis::Client::open(queue.server.url())?;
    let mut connection = client.get_async_pubsub().await?;
    connection.subscribe(&stopped).await?;
    queue.goes_ahead(&[7; 16], &stopped).await?;
    let (server, lock) = (queue.server, queue.lock.clone());
    queue.guard.commit().await?;
    assert_eq!(get(server, &lock).await?, Some(vec![7; 16]));
    gets_it(waiter).await?.discard().await?;
    drop(connection);
    Ok(())
}

#[tokio::test]
async fn a_process_that_does_not_want_the_lock_any_more_gives_it_to_the_next() -> TestResult {
    let queue = Queue::new().await?;
    let proxy = Proxy::start(queue.server).await?;
    let first = queue.process_over(&proxy.url()).await?;
    listens(&queue, &first).await?;
    let leaves = queue.waits(&first, 1).await?;
    let second = queue.process().await?;
    let waiter = queue.waits(&second, 2).await?;
    // The offer does not reach the first one; and this offer does not end by itself.
    proxy.hold_replies();
    let (server, lock) = (queue.server, queue.lock.clone());
    queue.guard.commit().await?;
    let offered = get(server, &lock).await?;
    server.command(&["PEXPIRE", &lock, "600000"]).await?;
    leaves.abort();
    let guard = gets_it(waiter).await?;
    assert_ne!(get(server, &lock).await?, offered);
    proxy.release_replies();
    guard.discard().await?;
    Ok(())
}

#[tokio::test]
async fn whoever_is_next_in_the_process_takes_over_its_place_in_the_queue() -> TestResult {
    let queue = Queue::new().await?;
    let (first, second) = (queue.process().await?, queue.process().await?);
    listens(&queue, &first).await?;
    let leaves = queue.waits(&first, 1).await?;
    let inherits = queue.waits(&first, 1).await?;
    let last = queue.waits(&second, 2).await?;
    leaves.abort();
    assert!(leaves.await.is_err());
    let (server, lock) = (queue.server, queue.lock.clone());
    queue.guard.commit().await?;
    let guard = gets_it(inherits).await?;
    assert!(!last.is_finished());
    guard.discard().await?;
    gets_it(last).await?.discard().await?;
    assert_eq!(get(server, &lock).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_process_whose_subscription_breaks_is_back_in_its_place() -> TestResult {
    let queue = Queue::new().await?;
    let sessions = queue.process().await?;
    listens(&queue, &sessions).await?;
    let waiter = queue.waits(&sessions, 1).await?;
    queue.first_hears().await?;
    let killed = queue.server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert_ne!(killed.await?, Value::Int(0));
    queue.guard.commit().await?;
    gets_it(waiter).await?.discard().await?;
    Ok(())
}

#[tokio::test]
async fn who_waits_in_vain_learns_how_many_were_ahead() -> TestResult {
    let queue = Queue::new().await?;
    let (other, ours) = (queue.process().await?, queue.process().await?);
    let _first = queue.waits(&other, 1).await?;
    let _second = queue.waits(&ours, 2).await?;
    let third = ours
        .lock(&queue.id)
        .wait_at_most(Duration::from_millis(100));
    let error = third.await.map(drop).unwrap_err();
    assert!(
        matches!(error, AcquireError::Held { ahead: 2, .. }),
        "{error:?}"
    );
    assert!(queue.owner().await?.is_some());
    drop(queue.holder);
    Ok(())
}

/// A waiter holds no connection: a thousand of them share those that their process has.
#[tokio::test]
async fn a_thousand_waiters_need_one_connection_more_than_none() -> TestResult {
    let server = RedisServer::start().await?;
    let store = patient(&fresh_prefix()).connect(&server.url()).await?;
    let sessions = Sessions::builder(store).max_waiters(2_000).build()?;
    let id = counter(&sessions).await?;
    let guard = sessions.lock(&id).await?;
    let before = connections(&server).await?;
    let waiters: Vec<_> = (0..1_000)
        .map(|_| {
            let (sessions, id) = (sessions.clone(), id.clone());
            tokio::spawn(async move {
                let guard = sessions.lock(&id).wait_at_most(PATIENCE).await?;
                guard.discard().await.map_err(session_core::Error::from)
            })
        })
        .collect();
    let listens = async {
        while connections(&server).await? == before {
            sleep(Duration::from_millis(1)).await;
        }
        TestResult::Ok(())
    };
    timeout(PATIENCE, listens).await??;
    assert_eq!(connections(&server).await?, before + 1);
    guard.commit().await?;
    for waiter in waiters {
        waiter.await??;
    }
    assert_eq!(connections(&server).await?, before + 1);
    Ok(())
}

async fn connections(server: &RedisServer) -> TestResult<usize> {
    let list = match server.command(&["CLIENT", "LIST"]).await? {
        Value::BulkString(list) => String::from_utf8(list)?,
        Value::VerbatimString { text, .. } => text,
        other => return Err(format!("{other:?}").into()),
    };
    Ok(list.lines().count())
}

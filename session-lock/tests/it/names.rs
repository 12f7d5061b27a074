//! A hundred thousand names: what a lock leaves behind is bounded in number, size and time.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use session_lock::{
    Admission, Admitted, Held, LockNode, MemoryNode, NodeRequest, OwnerValue, RedisNode, Redlock,
    Resource, Ttl,
};
use session_testkit::{FakeClock, servers::RedisServer};

use crate::support::TestResult;

const NAMES: usize = 100_000;
const TTL: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What a name may cost a server, in bytes: key, number, TTL, and their places in two tables.
const BYTES_PER_NAME: usize = 200;

/// Acquires and releases the locks of so many names.
async fn use_names(node: RedisNode, count: usize) -> TestResult {
    // So many at once that they share flights, and so patient that a busy machine changes nothing.
    const AT_ONCE: usize = 256;
    let lock = Redlock::builder(vec![Arc::new(node)])
        .ttl(TTL)
        .node_timeout(TTL / 2);
    let lock = lock.build()?;
    let once = async |name: usize| {
        let lease = lock.acquire(format!("name-{name}")).await.unwrap();
        lease.release().await.unwrap();
    };
    let all = stream::iter(0..count).map(once).buffer_unordered(AT_ONCE);
    all.for_each(async |()| ()).await;
    lock.shutdown(TTL).await?;
    Ok(())
}

/// How much memory the server uses, in bytes.
async fn used_memory(server: &RedisServer) -> TestResult<usize> {
    let mut connection = server.connection().await?;
    let mut info = redis::cmd("INFO");
    let info: String = info.arg("memory").query_async(&mut connection).await?;
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    Ok(used.ok_or("INFO does not tell used_memory")?.parse()?)
}

async fn key_count(server: &RedisServer) -> TestResult<usize> {
    let mut connection = server.connection().await?;
    Ok(redis::cmd("DBSIZE").query_async(&mut connection).await?)
}

#[tokio::test]
async fn of_a_hundred_thousand_names_small_fences_stay_for_a_day_and_nothing_else() -> TestResult {
    let server = RedisServer::start().await?;
    let node = RedisNode::connect(&server.url())?;
    node.check().await?;
    let before = used_memory(&server).await?;
    use_names(node, NAMES).await?;
    let used = used_memory(&server).await?.saturating_sub(before);
    assert!(
        used < NAMES * BYTES_PER_NAME,
        "{} bytes a name",
        used / NAMES
    );

    let keys = server.keys("*").await?;
    let (fences, others): (Vec<_>, Vec<_>) = keys
        .iter()
        .partition(|key| key.starts_with("latchkey:fence:name-"));
    assert_eq!(fences.len(), NAMES);
    assert_eq!(others, ["latchkey:marker", "latchkey:run"]);
    let mut connection = server.connection().await?;
    for fences in fences.chunks(10_000) {
        let mut pipeline = redis::pipe();
        for fence in fences {
            pipeline.cmd("PTTL").arg(fence);
        }
        let ttls: Vec<u64> = pipeline.query_async(&mut connection).await?;
        for ttl_ms in ttls {
            let age = DAY.checked_sub(Duration::from_millis(ttl_ms));
            assert!(age.is_some_and(|age| age < HOUR), "{ttl_ms} ms left");
        }
    }
    Ok(())
}

/// With a shorter time, because nobody can wait for a day.
#[tokio::test]
async fn fences_go_away_with_their_memory() -> TestResult {
    const FEWER: usize = NAMES / 10;
    let server = RedisServer::start().await?;
    let node = RedisNode::builder().fence_ttl(Duration::from_secs(2));
    let node = node.connect(&server.url())?;
    node.check().await?;
    let before = used_memory(&server).await?;
    use_names(node, FEWER).await?;
    let gone = async {
        // The tables shrink a little after the keys are gone.
        while key_count(&server).await? > 2
            || used_memory(&server).await? > before + FEWER * BYTES_PER_NAME / 4
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        TestResult::Ok(())
    };
    tokio::time::timeout(TTL, gone).await?
}

#[tokio::test]
async fn a_node_in_memory_forgets_a_hundred_thousand_names_after_a_day() -> TestResult {
    let clock = FakeClock::new();
    let node = MemoryNode::new("node", Arc::new(clock.clone()));
    let ttl = Ttl::new(TTL)?;
    let admission = Admission {
        first_use: true,
        longest_ttl: ttl,
        floor: Some(0),
        wait: None,
    };
    assert_eq!(node.admit(&admission).await?, Admitted::Yes);
    let take = async |name: &str| -> TestResult {
        let held = Held {
            resource: Resource::new(name)?,
            owner: OwnerValue::random(),
        };
        let request = NodeRequest {
            held: held.clone(),
            ttl,
            floor: 0,
            clock_floor: true,
        };
        node.acquire(&request).await?;
        assert_eq!(node.release(&[held]).await?, [true]);
        Ok(())
    };
    for name in 0..NAMES {
        take(&format!("name-{name}")).await?;
    }
    assert_eq!(node.entries(), NAMES);
    clock.advance(DAY - Duration::from_secs(1));
    take("just before").await?;
    assert_eq!(node.entries(), NAMES + 1);
    clock.advance(HOUR);
    take("after").await?;
    assert_eq!(node.entries(), 2);
    Ok(())
}

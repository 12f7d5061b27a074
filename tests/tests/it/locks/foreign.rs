use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use latchkey::lock::{AcquireError, Redlock};
use latchkey_tests::{
    Nodes, TestResult,
    foreign::{ForeignClient, Library},
};
use redis::Value;
use tokio::time::{sleep, timeout};

use super::{PATIENCE, redlock, settled};

const NAME: &str = "printer";
// Longer than a test: nothing comes free by itself.
const TTL: Duration = Duration::from_secs(60);
const TURNS: usize = 15;

/// Both sides on the same nodes.
struct Both {
    nodes: Nodes,
    key: String,
    ours: Redlock,
    theirs: ForeignClient,
}

impl Both {
    async fn on(library: Library, nodes: usize) -> TestResult<Self> {
        let nodes = Nodes::start(nodes).await?;
        let theirs = ForeignClient::start(library, NAME, TTL, nodes.urls()).await?;
        Ok(Self {
            key: format!("{}{NAME}", library.key_prefix()),
            ours: ours(library, &nodes)?,
            nodes,
            theirs,
        })
    }

    /// What stands on the nodes once all of them have something.
    async fn held_everywhere(&self) -> TestResult<Vec<Value>> {
        let held = async {
            loop {
                let values = self.nodes.values(&self.key).await?;
                if !values.contains(&Value::Nil) {
                    return TestResult::Ok(values);
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, held).await?
    }
}

fn ours(library: Library, nodes: &Nodes) -> TestResult<Redlock> {
    let redlock = redlock(&nodes.urls(), library.key_prefix())?.ttl(TTL);
    // No node is given up because the machine is busy: all of them are looked at.
    let redlock = redlock.node_timeout(PATIENCE).wait_timeout(PATIENCE);
    Ok(redlock.build()?)
}

async fn while_we_hold_it_they_are_kept_out(library: Library, nodes: usize) -> TestResult {
    let mut both = Both::on(library, nodes).await?;
    let lease = both.ours.acquire(NAME).await?;
    let held = both.held_everywhere().await?;
    assert!(!both.theirs.acquire().await?);
    assert_eq!(both.nodes.values(&both.key).await?, held);
    assert!(lease.is_valid());
    lease.release().await?;
    assert!(both.theirs.acquire().await?);
    both.theirs.release().await
}

async fn while_they_hold_it_we_are_kept_out_and_theirs_stays(
    library: Library,
    nodes: usize,
) -> TestResult {
    let mut both = Both::on(library, nodes).await?;
    assert!(both.theirs.acquire().await?);
    let held = both.held_everywhere().await?;
    let refused = both.ours.try_acquire(NAME).await;
    assert!(
        matches!(refused, Err(AcquireError::Held { .. })),
        "{refused:?}"
    );
    settled(&both.ours, 0).await?;
    assert_eq!(both.nodes.values(&both.key).await?, held);
    both.theirs.release().await?;
    both.ours.acquire(NAME).await?.release().await?;
    Ok(())
}

async fn both_want_it_and_take_turns(library: Library, nodes: usize) -> TestResult {
    let Both {
        nodes: _nodes,
        ours,
        mut theirs,
        ..
    } = Both::on(library, nodes).await?;
    let taken = AtomicBool::new(false);
    let work = async || {
        assert!(
            !taken.swap(true, Ordering::SeqCst),
            "somebody else has it too"
        );
        sleep(Duration::from_millis(1)).await;
        taken.store(false, Ordering::SeqCst);
    };
    let we = async {
        for _ in 0..TURNS {
            let lease = ours.acquire(NAME).await?;
            work().await;
            lease.release().await?;
        }
        TestResult::Ok(())
    };
    let they = async {
        for _ in 0..TURNS {
            while !theirs.acquire().await? {
                sleep(Duration::from_millis(1)).await;
            }
            work().await;
            theirs.release().await?;
        }
        TestResult::Ok(())
    };
    tokio::try_join!(we, they)?;
    Ok(())
}

/// A client that knows one node, on each of two nodes of three: together a quorum.
async fn held_on_two_of_three_it_keeps_us_out(library: Library) -> TestResult {
    let nodes = Nodes::start(3).await?;
    let key = format!("{}{NAME}", library.key_prefix());
    let ours = ours(library, &nodes)?;
    let mut theirs = Vec::new();
    for url in nodes.urls() {
        theirs.push(ForeignClient::start(library, NAME, TTL, [url]).await?);
    }
    assert!(theirs[0].acquire().await?);
    assert!(theirs[1].acquire().await?);
    let [first, second, third] = values(&nodes, &key).await?;
    assert_eq!(third, Value::Nil);

    let refused = ours.try_acquire(NAME).await;
    assert!(
        matches!(refused, Err(AcquireError::Held { .. })),
        "{refused:?}"
    );
    settled(&ours, 0).await?;
    assert_eq!(
        values(&nodes, &key).await?,
        [first.clone(), second, Value::Nil]
    );

    // One of three keeps nobody out who has the other two.
    theirs[1].release().await?;
    let lease = ours.acquire(NAME).await?;
    settled(&ours, 1).await?;
    let held = values(&nodes, &key).await?;
    assert_eq!(held[0], first);
    assert!(!theirs[1].acquire().await?);
    assert!(!theirs[2].acquire().await?);
    assert_eq!(values(&nodes, &key).await?, held);
    assert!(lease.is_valid());

    lease.release().await?;
    settled(&ours, 0).await?;
    assert_eq!(values(&nodes, &key).await?, [first, Value::Nil, Value::Nil]);
    assert!(theirs[1].acquire().await?);
    Ok(())
}

async fn values(nodes: &Nodes, key: &str) -> TestResult<[Value; 3]> {
    let values = nodes.values(key).await?;
    values
        .try_into()
        .map_err(|values| format!("not three: {values:?}").into())
}

/// A module for each library, with these tests.
macro_rules! tests {
    ($($module:ident: $library:ident, $($test:ident($($nodes:literal)?)),*;)*) => {$(
        mod $module {
            use super::*;

            $(
                #[tokio::test]
                async fn $test() -> TestResult {
                    if Library::are_skipped()? {
                        return Ok(());
                    }
                    super::$test(Library::$library $(, $nodes)?).await
                }
            )*
        }
    )*};
}

tests! {
    redlock_py: RedlockPy,
        while_we_hold_it_they_are_kept_out(3),
        while_they_hold_it_we_are_kept_out_and_theirs_stays(3),
        both_want_it_and_take_turns(3);
    redlock_ng: RedlockNg,
        while_we_hold_it_they_are_kept_out(3),
        while_they_hold_it_we_are_kept_out_and_theirs_stays(3),
        both_want_it_and_take_turns(3);
    pottery: Pottery,
        while_we_hold_it_they_are_kept_out(3),
        while_they_hold_it_we_are_kept_out_and_theirs_stays(3),
        both_want_it_and_take_turns(3);
    redis_py: RedisPy,
        while_we_hold_it_they_are_kept_out(1),
        while_they_hold_it_we_are_kept_out_and_theirs_stays(1),
        both_want_it_and_take_turns(1),
        held_on_two_of_three_it_keeps_us_out();
    python_redis_lock: PythonRedisLock,
        while_we_hold_it_they_are_kept_out(1),
        while_they_hold_it_we_are_kept_out_and_theirs_stays(1),
        both_want_it_and_take_turns(1),
        held_on_two_of_three_it_keeps_us_out();
}

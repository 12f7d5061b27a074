//! Holders that are stopped or cut off: they know that the lock is lost before anybody else can have it.

use std::time::Duration;

use latchkey::lock::{Clock as _, LossCause, SystemClock};
use latchkey_tests::{LockCommand, Nodes, TestResult};
use session_testkit::servers::Proxy;

use super::redlock;

const NAME: &str = "printer";
const TTL: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_holder_that_was_stopped_finds_its_lease_lost_and_the_next_token_is_larger() -> TestResult
{
    let nodes = Nodes::start(5).await?;
    let lock = LockCommand::new(&nodes.urls(), NAME, TTL);
    let mut first = lock.clone().hold().await?;
    let token = first.acquired().await?;

    let stopped = first.stop()?;
    // It waits until the servers have forgotten the first one.
    let mut second = lock.wait(LONG).hold().await?;
    assert!(second.acquired().await? > token);
    // It reads that it should give the lock back; it has none any more.
    first.say_line().await?;
    stopped.resume();
    assert_eq!(first.ended().await?, (vec!["LOST expired".to_owned()], 2));

    second.say_line().await?;
    assert_eq!(second.ended().await?, (vec!["RELEASED".to_owned()], 0));
    Ok(())
}

#[tokio::test]
async fn a_holder_that_is_cut_off_is_told_when_its_validity_ends() -> TestResult {
    let nodes = Nodes::start(5).await?;
    let mut proxies = Vec::new();
    for server in nodes.servers() {
        proxies.push(Proxy::start(server).await?);
    }
    let urls: Vec<_> = proxies.iter().map(Proxy::url).collect();
    let redlock = redlock(&urls, "")?.ttl(TTL).build()?;
    let lease = redlock.acquire(NAME).await?;
    // Connections stay, and nothing comes through: the network hangs.
    proxies.iter().for_each(Proxy::drop_replies);
    let cause = lease.lost().await;
    let late = SystemClock.now().saturating_since(lease.valid_until());
    assert_eq!(cause, LossCause::Expired);
    assert!(!lease.is_valid());
    eprintln!("told {late:?} after the end of the validity");
    // Before the nodes can give the lock to somebody else, on a machine that is not busy beyond measure.
    assert!(SystemClock.now() >= lease.valid_until());
    Ok(())
}

#[tokio::test]
async fn a_lock_that_somebody_else_took_is_lost_at_the_next_renewal() -> TestResult {
    let nodes = Nodes::start(3).await?;
    let lock = LockCommand::new(&nodes.urls(), NAME, LONG);
    let mut holder = LockCommand::new(&nodes.urls(), NAME, TTL).hold().await?;
    holder.acquired().await?;
    for server in nodes.servers() {
        server
            .command(&["SET", NAME, "somebody else", "PX", "60000"])
            .await?;
    }
    assert_eq!(holder.ended().await?, (vec!["LOST stolen".to_owned()], 2));
    // And theirs stays.
    assert_eq!(lock.attempt().await?, ("BUSY".to_owned(), 1));
    for value in nodes.values(NAME).await? {
        assert_eq!(value, redis::Value::BulkString(b"somebody else".to_vec()));
    }
    Ok(())
}

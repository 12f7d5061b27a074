use std::time::Duration;

use latchkey::lock::{AcquireError, Redlock};
use latchkey_tests::{Nodes, TestResult};
use session_testkit::servers::{Proxy, RedisServer};
use tokio::time::sleep;

use super::{redlock, settled};

const NAME: &str = "printer";
const TTL: Duration = Duration::from_secs(2);

/// How a server can fail to be of use.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// It is gone, and its port refuses connections.
    Killed,
    /// It keeps its connections and answers nothing.
    Paused,
    /// It answers that it takes no writes: it is a replica.
    Replica,
    /// The way to it is cut.
    CutOff,
}

/// Five servers, each behind a proxy.
struct Five {
    nodes: Nodes,
    proxies: Vec<Proxy>,
    redlock: Redlock,
}

impl Five {
    async fn start() -> TestResult<Self> {
        // They keep their data: when they are back they count at once.
        let nodes = Nodes::start_with(5, 5).await?;
        let mut proxies = Vec::new();
        for server in nodes.servers() {
            proxies.push(Proxy::start(server).await?);
        }
        let urls: Vec<_> = proxies.iter().map(Proxy::url).collect();
        let redlock = redlock(&urls, "")?.ttl(TTL).node_timeout(TTL / 4).build()?;
        // All connections are made, and all nodes are in use.
        redlock.acquire(NAME).await?.release().await?;
        settled(&redlock, 0).await?;
        Ok(Self {
            nodes,
            proxies,
            redlock,
        })
    }

    fn server(&self, number: usize) -> &RedisServer {
        &self.nodes.servers()[number]
    }

    async fn fail(&self, number: usize, failure: Failure) -> TestResult {
        let server = self.server(number);
        match failure {
            Failure::Killed => server.kill().await?,
            Failure::Paused => server.pause().await?,
            Failure::Replica => {
                server.command(&["REPLICAOF", "127.0.0.1", "1"]).await?;
            }
            Failure::CutOff => self.proxies[number].cut().await,
        }
        Ok(())
    }

    async fn mend(&self, number: usize, failure: Failure) -> TestResult {
        let server = self.server(number);
        match failure {
            Failure::Killed => server.restart().await?,
            Failure::Paused => server.resume().await?,
            Failure::Replica => {
                server.command(&["REPLICAOF", "NO", "ONE"]).await?;
            }
            Failure::CutOff => self.proxies[number].heal().await?,
        }
        Ok(())
    }

    /// The lock can be had, held beyond its TTL, and given back.
    async fn works(&self) -> TestResult {
        let first = self.redlock.acquire(NAME).await?;
        sleep(TTL + TTL / 4).await;
        assert!(
            first.is_valid(),
            "renewal did not keep it: {:?}",
            first.loss()
        );
        let token = first.fencing_token();
        assert!(matches!(
            self.redlock.try_acquire(NAME).await,
            Err(AcquireError::Held { .. })
        ));
        first.release().await?;
        let second = self.redlock.acquire(NAME).await?;
        assert!(second.fencing_token() > token);
        second.release().await?;
        Ok(())
    }

    /// When all is over, nothing of the lock is left on any node.
    async fn leaves_nothing(&self) -> TestResult {
        settled(&self.redlock, 0).await?;
        let values = self.nodes.values(NAME).await?;
        assert!(
            values.iter().all(|value| *value == redis::Value::Nil),
            "{values:?}"
        );
        Ok(())
    }
}

async fn two_may_fail(failure: Failure) -> TestResult {
    let five = Five::start().await?;
    for number in [1, 3] {
        five.fail(number, failure).await?;
    }
    five.works().await?;
    for number in [1, 3] {
        five.mend(number, failure).await?;
    }
    five.works().await?;
    five.leaves_nothing().await
}

async fn three_are_too_many(failure: Failure) -> TestResult {
    const BROKEN: [usize; 3] = [0, 2, 4];
    let five = Five::start().await?;
    for number in BROKEN {
        five.fail(number, failure).await?;
    }
    let error = five.redlock.acquire_timeout(NAME, TTL).await.unwrap_err();
    assert!(
        error.is_retryable() || matches!(failure, Failure::Replica),
        "{error:?}"
    );
    let AcquireError::NoQuorum {
        granted,
        required,
        faults,
    } = error
    else {
        panic!("{error:?}");
    };
    // It does not wait for the other two when nothing depends on them any more.
    assert!(granted <= 2 && required == 3, "{granted} of {required}");
    let mut found: Vec<_> = faults.iter().map(|fault| fault.node().to_owned()).collect();
    found.sort_unstable();
    let mut broken = BROKEN.map(|number| five.proxies[number].addr().to_string());
    broken.sort_unstable();
    assert_eq!(found, broken);
    for number in BROKEN {
        five.mend(number, failure).await?;
    }
    five.works().await?;
    five.leaves_nothing().await
}

macro_rules! tests {
    ($($failure:ident: $two:ident, $three:ident;)*) => {$(
        #[tokio::test]
        async fn $two() -> TestResult {
            two_may_fail(Failure::$failure).await
        }

        #[tokio::test]
        async fn $three() -> TestResult {
            three_are_too_many(Failure::$failure).await
        }
    )*};
}

tests! {
    Killed: two_may_be_killed, with_three_killed_it_fails_and_names_them;
    Paused: two_may_be_paused, with_three_paused_it_fails_and_names_them;
    Replica: two_may_be_replicas, with_three_replicas_it_fails_and_names_them;
    CutOff: two_may_be_cut_off, with_three_cut_off_it_fails_and_names_them;
}

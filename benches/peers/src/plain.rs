use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use latchkey_benches::{Result, locks::Locker};
use redis::{
    AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo as _, Value, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
};

use crate::TTL;

/// The least that a lock over several nodes asks of them, by the client that all of us use: `SET NX PX`, and a script that
/// compares and deletes. It counts no tokens, looks into no late answer, renews nothing, and goes on when a quorum has
/// answered.
#[derive(Clone)]
pub(crate) struct Plain(Vec<MultiplexedConnection>);

pub(crate) struct Lease {
    name: String,
    owner: u64,
}

const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

// On a busy machine a benchmark shall be slow, not fail.
const PATIENCE: Duration = Duration::from_secs(10);

// A request that finds no room is sent later, and a `SET` after its release would leave the lock locked.
const UNSENT: usize = 1024;

impl Plain {
    pub(crate) async fn new(urls: &[String]) -> Result<Self> {
        let mut connections = Vec::new();
        for url in urls {
            let tcp = TcpSettings::default().set_nodelay(true);
            let client = Client::open(url.as_str().into_connection_info()?.set_tcp_settings(tcp))?;
            let config = AsyncConnectionConfig::new()
                .set_response_timeout(Some(PATIENCE))
                .set_pipeline_buffer_size(UNSENT);
            connections.push(
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?,
            );
        }
        Ok(Self(connections))
    }

    /// Asks all nodes, and waits until a quorum has said yes. The others are heard in the background.
    async fn ask(&self, command: Cmd) -> Result<()> {
        let (quorum, command) = (self.0.len() / 2 + 1, Arc::new(command));
        let call = |node: &MultiplexedConnection| {
            let (mut node, command) = (node.clone(), Arc::clone(&command));
            async move { node.send_packed_command(&command).await }
        };
        let mut calls: FuturesUnordered<_> = self.0.iter().map(call).collect();
        let mut yes = 0;
        while let Some(answer) = calls.next().await {
            yes += usize::from(matches!(answer?, Value::Okay | Value::Int(1)));
            if yes == quorum {
                if !calls.is_empty() {
                    tokio::spawn(calls.for_each(|_late| std::future::ready(())));
                }
                return Ok(());
            }
        }
        Err(format!("{yes} nodes said yes").into())
    }
}

impl Locker for Plain {
    type Lease = Lease;

    async fn acquire(&self, name: &str) -> Result<Lease> {
        let owner = RandomState::new().hash_one(name);
        let mut set = redis::cmd("SET");
        set.arg(name)
            .arg(owner)
            .arg("NX")
            .arg("PX")
            .arg(TTL.as_millis() as u64);
        self.ask(set).await?;
        Ok(Lease {
            name: name.to_owned(),
            owner,
        })
    }

    async fn release(&self, lease: Lease) -> Result<()> {
        let mut release = redis::cmd("EVAL");
        release.arg(RELEASE).arg(1).arg(lease.name).arg(lease.owner);
        self.ask(release).await
    }
}

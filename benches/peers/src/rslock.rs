use latchkey_benches::{Result, locks::Locker};
use redis::{Client, IntoConnectionInfo as _, io::tcp::TcpSettings};
use rslock::{Lock, LockManager};

use crate::TTL;

/// rslock 0.10, with its defaults.
#[derive(Clone)]
pub(crate) struct Rslock(LockManager);

impl Rslock {
    /// Small packets are sent at once, as ours are; by itself it does not ask for that.
    pub(crate) fn new(urls: &[String]) -> Result<Self> {
        let client = |url: &String| {
            let tcp = TcpSettings::default().set_nodelay(true);
            Client::open(url.as_str().into_connection_info()?.set_tcp_settings(tcp))
        };
        let clients: Result<_, _> = urls.iter().map(client).collect();
        Ok(Self(LockManager::from_clients(clients?)))
    }
}

impl Locker for Rslock {
    type Lease = Lock;

    async fn acquire(&self, name: &str) -> Result<Lock> {
        Ok(self.0.acquire_no_guard(name, TTL).await?)
    }

    async fn release(&self, lease: Lock) -> Result<()> {
        lease.release().await;
        Ok(())
    }
}

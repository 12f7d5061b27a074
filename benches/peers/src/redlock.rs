use std::sync::Arc;

use latchkey_benches::{Result, locks::Locker};
use redlock::{Lock, RedLock};
use tokio::task::spawn_blocking;

use crate::TTL;

/// redlock 2.0, with its defaults. It blocks, so each call gets a thread.
#[derive(Clone)]
pub(crate) struct Redlock(Arc<RedLock>);

/// Its own lock borrows its manager.
pub(crate) struct Lease {
    resource: Vec<u8>,
    val: Vec<u8>,
    validity_time: usize,
}

impl Redlock {
    pub(crate) fn new(urls: &[String]) -> Self {
        Self(Arc::new(RedLock::new(urls.to_vec())))
    }
}

impl Locker for Redlock {
    type Lease = Lease;

    async fn acquire(&self, name: &str) -> Result<Lease> {
        let (manager, name) = (Arc::clone(&self.0), name.to_owned());
        let acquire = move || loop {
            let ttl_ms = usize::try_from(TTL.as_millis())?;
            if let Some(lock) = manager.lock(name.as_bytes(), ttl_ms)? {
                let Lock {
                    resource,
                    val,
                    validity_time,
                    ..
                } = lock;
                return Ok(Lease {
                    resource,
                    val,
                    validity_time,
                });
            }
        };
        spawn_blocking(acquire).await?
    }

    async fn release(&self, lease: Lease) -> Result<()> {
        let manager = Arc::clone(&self.0);
        let release = move || {
            let Lease {
                resource,
                val,
                validity_time,
            } = lease;
            manager.unlock(&Lock {
                resource,
                val,
                validity_time,
                lock_manager: &manager,
            });
        };
        Ok(spawn_blocking(release).await?)
    }
}

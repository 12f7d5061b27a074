use std::fmt;

use tokio::sync::watch;

/// Tells when a node says that a lock is free. Dropping it ends the listening.
pub struct Watch(watch::Receiver<u64>);

/// The other end of a [`Watch`].
pub struct WatchSender(watch::Sender<u64>);

impl Watch {
    /// A watch, and the end that a node keeps.
    pub fn new() -> (WatchSender, Self) {
        let (sender, receiver) = watch::channel(0);
        (WatchSender(sender), Self(receiver))
    }

    /// Resolves when the lock was freed since the last call; never, if the node has ended. Cancel safe.
    pub async fn freed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl WatchSender {
    /// The lock is free.
    pub fn freed(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Another watch of the same.
    pub fn watch(&self) -> Watch {
        Watch(self.0.subscribe())
    }

    /// Whether nobody watches any more.
    pub fn is_idle(&self) -> bool {
        self.0.is_closed()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl fmt::Debug for WatchSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchSender").finish_non_exhaustive()
    }
}

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// What happens to a connection of a [`Proxy`](super::Proxy).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "tests go through all of them")]
pub enum LinkFault {
    /// As by [`hold_requests`](super::Proxy::hold_requests).
    HoldRequests,
    /// As by [`hold_replies`](super::Proxy::hold_replies).
    HoldReplies,
    /// As by [`drop_replies`](super::Proxy::drop_replies).
    DropReplies,
}

/// A fault that waits for a script.
#[derive(Debug)]
pub(super) struct Trap {
    set: Mutex<Option<Set>>,
    sprung: watch::Sender<bool>,
}

#[derive(Debug)]
struct Set {
    /// Scripts that may pass before.
    passing: usize,
    fault: LinkFault,
}

impl Default for Trap {
    fn default() -> Self {
        Self {
            set: Mutex::default(),
            sprung: watch::Sender::new(false),
        }
    }
}

impl Trap {
    pub(super) fn set(&self, passing: usize, fault: LinkFault) {
        self.sprung.send_replace(false);
        *self.lock() = Some(Set { passing, fault });
    }

    /// The fault that a burst with so many scripts meets, if any.
    pub(super) fn spring(&self, scripts: usize) -> Option<LinkFault> {
        let mut set = self.lock();
        let armed = set.as_mut()?;
        if scripts <= armed.passing {
            armed.passing -= scripts;
            return None;
        }
        let fault = armed.fault;
        *set = None;
        self.sprung.send_replace(true);
        Some(fault)
    }

    pub(super) async fn sprung(&self) {
        let mut sprung = self.sprung.subscribe();
        // The sender lives as long as this trap.
        let _sprung = sprung.wait_for(|sprung| *sprung).await;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Set>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

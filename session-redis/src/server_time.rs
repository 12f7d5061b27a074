use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use session_core::StoreTime;
use session_lock::{Clock, Moment};

/// What the server's clock says, from what it last told. Serves to show what a session has left; every decision is
/// made by the server itself.
#[derive(Debug)]
pub(crate) struct ServerTime {
    clock: Arc<dyn Clock>,
    origin: Moment,
    /// The server's time at `origin`, in milliseconds.
    at_origin_ms: AtomicU64,
}

impl ServerTime {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let origin = clock.now();
        Self {
            clock,
            origin,
            at_origin_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn heard(&self, server: StoreTime) {
        let at_origin = server.as_millis().saturating_sub(millis(self.elapsed()));
        self.at_origin_ms.store(at_origin, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> StoreTime {
        StoreTime::from_millis(self.at_origin_ms.load(Ordering::Relaxed)).after(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.clock.now().saturating_since(self.origin)
    }
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

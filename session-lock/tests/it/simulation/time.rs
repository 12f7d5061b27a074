use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use session_lock::{Clock, Moment};
use tokio::time::Instant;

/// The true time of the simulation: the paused clock of its runtime.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrueTime(Instant);

impl TrueTime {
    #[expect(clippy::disallowed_methods, reason = "the runtime's time is paused")]
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    pub(super) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that runs a little too fast or too slow. Its process can be paused: then the time goes on, but no sleep ends.
#[derive(Clone, Debug)]
pub(super) struct DriftingClock {
    time: TrueTime,
    /// How much faster than the true time.
    parts_per_million: i64,
    /// In milliseconds of the true time.
    paused_until: Arc<AtomicU64>,
}

impl DriftingClock {
    pub(super) fn new(time: TrueTime, parts_per_million: i64) -> Self {
        Self {
            time,
            parts_per_million,
            paused_until: Arc::default(),
        }
    }

    pub(super) fn pause(&self, span: Duration) {
        let until = self.time.elapsed() + span;
        let until = u64::try_from(until.as_millis()).unwrap();
        self.paused_until.fetch_max(until, Ordering::SeqCst);
    }

    /// Waits for the end of a pause.
    pub(super) async fn awake(&self) {
        loop {
            let until = Duration::from_millis(self.paused_until.load(Ordering::SeqCst));
            let left = until.saturating_sub(self.time.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    pub(super) async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now() + span).await;
    }

    fn elapsed(&self) -> Duration {
        let nanos = i128::try_from(self.time.elapsed().as_nanos()).unwrap();
        let own = nanos * i128::from(1_000_000 + self.parts_per_million) / 1_000_000;
        Duration::from_nanos(u64::try_from(own).unwrap())
    }
}

impl Clock for DriftingClock {
    fn now(&self) -> Moment {
        Moment::from_origin(Duration::from_secs(1_000) + self.elapsed())
    }

    fn unix_time(&self) -> Duration {
        Duration::from_secs(1_700_000_000) + self.elapsed()
    }

    fn sleep_until<'a>(&'a self, moment: Moment) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            loop {
                self.awake().await;
                let left = moment.saturating_since(self.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left).await;
            }
        })
    }
}

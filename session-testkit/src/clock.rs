use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use session_lock::{Clock, Moment};

/// A clock that stands still until the test moves it. Clones show the same time.
///
/// Sleepers wake when the fake time reaches their moment; no real time is involved.
///
/// ```
/// # use std::time::Duration;
/// # use session_lock::Clock;
/// # use session_testkit::FakeClock;
/// let clock = FakeClock::new();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now(), start + Duration::from_secs(3600));
/// ```
#[derive(Clone)]
pub struct FakeClock {
    time: Arc<Mutex<FakeTime>>,
}

struct FakeTime {
    now: Moment,
    unix: Duration,
    sleepers: Vec<(Moment, Waker)>,
}

impl FakeClock {
    /// A clock that shows a moment in November 2023.
    pub fn new() -> Self {
        let time = FakeTime {
            now: Moment::from_origin(Duration::from_secs(1_000)),
            unix: Duration::from_secs(1_700_000_000),
            sleepers: Vec::new(),
        };
        Self {
            time: Arc::new(Mutex::new(time)),
        }
    }

    /// Moves both clocks on by `span` in one step, and wakes whoever sleeps until then.
    ///
    /// One step is what a process sees that was paused; see [`pass`](Self::pass) for time that goes by.
    pub fn advance(&self, span: Duration) {
        let mut time = self.time();
        time.now = time.now + span;
        time.unix += span;
        let now = time.now;
        let due: Vec<_> = time
            .sleepers
            .extract_if(.., |(moment, _)| *moment <= now)
            .collect();
        drop(time);
        for (_, sleeper) in due {
            sleeper.wake();
        }
    }

    /// Lets `span` go by in steps of at most `step`, after each of which everybody else does what became due.
    ///
    /// Needs a current-thread runtime, as [`settle`].
    pub async fn pass(&self, span: Duration, step: Duration) {
        let end = self.now() + span;
        settle().await;
        loop {
            let left = end.saturating_since(self.now());
            if left.is_zero() {
                return;
            }
            self.advance(left.min(step));
            settle().await;
        }
    }

    /// Sets the wall clock alone, as an administrator or NTP does. The clock that leases count by goes on.
    pub fn set_unix_time(&self, since_1970: Duration) {
        self.time().unix = since_1970;
    }

    fn time(&self) -> MutexGuard<'_, FakeTime> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Moment {
        self.time().now
    }

    fn unix_time(&self) -> Duration {
        self.time().unix
    }

    fn sleep_until<'a>(&'a self, moment: Moment) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(Sleep {
            clock: self,
            moment,
        })
    }
}

impl fmt::Debug for FakeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time();
        f.debug_struct("FakeClock")
            .field("now", &time.now)
            .field("sleepers", &time.sleepers.len())
            .finish_non_exhaustive()
    }
}

struct Sleep<'a> {
    clock: &'a FakeClock,
    moment: Moment,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut time = self.clock.time();
        if time.now >= self.moment {
            return Poll::Ready(());
        }
        let sleeper = (self.moment, context.waker().clone());
        // A task that sleeps in a loop, as in a `select!`, is noted once for each moment.
        if !time
            .sleepers
            .iter()
            .any(|(moment, waker)| *moment == sleeper.0 && waker.will_wake(&sleeper.1))
        {
            time.sleepers.push(sleeper);
        }
        Poll::Pending
    }
}

/// Lets every other task go as far as it can without time passing. Only on a current-thread runtime, where each
/// turn of this task gives all tasks that are ready a turn as well.
pub async fn settle() {
    // The longest chain of tasks that wake each other in this workspace is a dozen turns long.
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn sleepers_wake_at_their_moment_and_not_before() {
        let clock = FakeClock::new();
        let wake_at = clock.now() + SECOND;
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(wake_at).await }
        });
        clock
            .pass(SECOND - Duration::from_nanos(1), Duration::from_millis(100))
            .await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_nanos(1));
        sleeper.await.unwrap();
    }

    #[tokio::test]
    async fn a_moment_in_the_past_is_not_slept_for() {
        let clock = FakeClock::new();
        clock.sleep_until(clock.now()).await;
        clock.sleep_until(clock.now() - SECOND).await;
    }

    #[test]
    fn the_wall_clock_steps_alone() {
        let clock = FakeClock::new();
        let before = clock.now();
        clock.set_unix_time(SECOND);
        assert_eq!((clock.now(), clock.unix_time()), (before, SECOND));
        clock.advance(SECOND);
        assert_eq!(
            (clock.now(), clock.unix_time()),
            (before + SECOND, 2 * SECOND)
        );
    }
}

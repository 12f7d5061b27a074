use std::{
    fmt,
    future::Future,
    ops::{Add, Sub},
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A point on a clock that never goes back.
///
/// Only differences mean something; the origin is the clock's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The moment that lies `since_origin` after the clock's origin.
    pub const fn from_origin(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }
}

/// Where all time comes from, so that tests can own it.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Now, on a clock that never goes back and counts the time that the machine was suspended.
    fn now(&self) -> Moment;

    /// The wall clock, as the time since 1970-01-01T00:00:00Z. May jump; never used for leases.
    fn unix_time(&self) -> Duration;

    /// Completes once [`now`](Self::now) has reached `moment`.
    fn sleep_until<'a>(&'a self, moment: Moment) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// What `work` comes to, unless `until` has come first: then it is dropped.
pub(crate) async fn by<T>(
    clock: &dyn Clock,
    until: Moment,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        value = work => Some(value),
        () = clock.sleep_until(until) => None,
    }
}

/// A moment that somebody may wait for.
pub(crate) type Timer<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Resolves when the time of `timer` has come; never, if there is none.
pub(crate) async fn up(timer: &mut Option<Timer<'_>>) {
    match timer {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}

/// The machine's clock: `CLOCK_BOOTTIME` on Linux, the monotonic clock elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment(monotonic())
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn unix_time(&self) -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }

    fn sleep_until<'a>(&'a self, moment: Moment) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            loop {
                let left = moment.saturating_since(self.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left).await;
            }
        })
    }
}

// A monotonic clock that stands still during suspend would call a lease valid that the server gave away long ago.
#[cfg(target_os = "linux")]
fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn monotonic() -> Duration {
    use std::{sync::LazyLock, time::Instant};
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    ORIGIN.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_saturate_instead_of_overflowing() {
        let origin = Moment::from_origin(Duration::ZERO);
        assert_eq!(origin - Duration::from_secs(1), origin);
        assert_eq!(
            origin.saturating_since(origin + Duration::from_secs(1)),
            Duration::ZERO
        );
        assert_eq!(
            origin + Duration::MAX + Duration::MAX,
            origin + Duration::MAX
        );
    }

    #[test]
    fn the_system_clock_never_goes_back() {
        let first = SystemClock.now();
        assert!(SystemClock.now() >= first);
    }
}

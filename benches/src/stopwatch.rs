use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Real time: what the benchmarks are about.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Counts from now.
    #[expect(
        clippy::disallowed_methods,
        reason = "measures; no store's clock is involved"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// CPU time that was used, of all threads, in user and kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the two ends of a connection")]
pub struct Usage {
    /// By the server.
    pub server: Duration,
    /// By this process.
    pub client: Duration,
}

impl Usage {
    /// What was used since an `earlier` reading.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            server: self.server.saturating_sub(earlier.server),
            client: self.client.saturating_sub(earlier.client),
        }
    }
}

/// The CPU time of this process. `/proc/self/stat` has the same in steps of 10 ms.
pub(crate) fn own_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
}

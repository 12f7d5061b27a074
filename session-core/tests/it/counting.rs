use std::{sync::Arc, time::Duration};

use session_core::{CountedName, Limit, MemoryUseCounter, UseCounter as _};
use session_testkit::{FakeClock, counter::CounterFixture, use_counter_suite};

/// A counter in memory.
struct Counting {
    counter: MemoryUseCounter,
    clock: FakeClock,
}

impl CounterFixture for Counting {
    type Counter = MemoryUseCounter;

    async fn fresh() -> Self {
        let clock = FakeClock::new();
        Self {
            counter: MemoryUseCounter::with_clock(Arc::new(clock.clone())),
            clock,
        }
    }

    fn counter(&self) -> MemoryUseCounter {
        self.counter.clone()
    }

    fn window(&self) -> Duration {
        Duration::from_secs(900)
    }

    async fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }

    async fn keys_without_ttl(&self) -> Vec<String> {
        // Whatever is kept is dropped by the next call once its time is over.
        self.clock.advance(Duration::from_secs(3 * 24 * 3600));
        let limit = Limit::new(1, Duration::from_secs(1)).unwrap();
        let other = CountedName::new("other", "");
        self.counter.look(&other, &limit).await.unwrap();
        (0..self.counter.len()).map(|one| one.to_string()).collect()
    }
}

use_counter_suite!(Counting);

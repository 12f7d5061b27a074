//! One record that many tasks of many processes want to change.

mod contender; // what is done with it
mod contest; // what came of it
mod crew; // the processes, as the one has them that started them
mod member; // one of these processes

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use contender::{Contender, Session};
pub use contest::{Contest, percentile};
pub use crew::run;
pub use member::work;

/// What a process is told on its standard input, as one line of JSON. It has said that it is ready before.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "some numbers")]
pub struct Pace {
    /// How many tasks it has.
    pub tasks: usize,
    /// How long each works while it has the lock.
    pub work_us: u64,
    /// How long it thinks, without the lock, before it comes again.
    pub think_us: u64,
    /// How long they do this before it counts.
    pub warm_up_ms: u64,
    /// How long it counts.
    pub measure_ms: u64,
}

impl Pace {
    const fn work(&self) -> Duration {
        Duration::from_micros(self.work_us)
    }

    const fn think(&self) -> Duration {
        Duration::from_micros(self.think_us)
    }

    const fn warm_up(&self) -> Duration {
        Duration::from_millis(self.warm_up_ms)
    }

    const fn measure(&self) -> Duration {
        Duration::from_millis(self.measure_ms)
    }
}

/// What a process says at its end, as one line of JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Told {
    /// How often each task has added 1 while it counted.
    turns: Vec<u64>,
    /// How long they have waited for it, each time.
    waits_us: Vec<f64>,
    /// How often they have added 1 in all.
    added: u64,
    /// CPU time for all that.
    cpu_us: u64,
}

const READY: &str = "ready";

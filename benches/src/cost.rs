use crate::{Outcome, Usage};

/// What one action cost.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "three numbers")]
pub struct Cost {
    /// Actions in a second, of all tasks together.
    pub per_second: f64,
    /// CPU time of the servers for one, in µs.
    pub server_us: f64,
    /// CPU time of this process for one, in µs.
    pub client_us: f64,
}

impl Cost {
    /// Of a run that used this much.
    pub fn of(outcome: Outcome, usage: Usage) -> Self {
        let actions = outcome.actions as f64;
        Self {
            per_second: actions / outcome.elapsed.as_secs_f64(),
            server_us: usage.server.as_secs_f64() * 1e6 / actions,
            client_us: usage.client.as_secs_f64() * 1e6 / actions,
        }
    }
}

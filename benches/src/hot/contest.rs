use std::time::Duration;

use super::Told;

/// What came of one record that many wanted.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "some numbers")]
pub struct Contest {
    /// Turns in a second, of all tasks together.
    pub per_second: f64,
    /// How long they have waited for the lock, in ms, the shortest first.
    pub waits_ms: Vec<f64>,
    /// The most turns of a task over the fewest; infinite if one had none.
    pub unfairness: f64,
    /// How often 1 was added, warm-up included.
    pub added: u64,
    /// CPU time of the server for each of these, in µs.
    pub server_us: f64,
    /// CPU time of all processes for each of these, in µs.
    pub client_us: f64,
}

impl Contest {
    pub(super) fn of(told: &[Told], measured: Duration, server: Duration) -> Self {
        let turns = || told.iter().flat_map(|told| &told.turns).copied();
        let added = told.iter().map(|told| told.added).sum();
        let client: u64 = told.iter().map(|told| told.cpu_us).sum();
        let mut waits_ms: Vec<f64> = told
            .iter()
            .flat_map(|told| &told.waits_us)
            .copied()
            .collect();
        waits_ms.iter_mut().for_each(|wait| *wait /= 1e3);
        waits_ms.sort_unstable_by(f64::total_cmp);
        let (most, fewest) = (turns().max(), turns().min());
        Self {
            per_second: turns().sum::<u64>() as f64 / measured.as_secs_f64(),
            waits_ms,
            unfairness: most.unwrap_or(0) as f64 / fewest.unwrap_or(0) as f64,
            added,
            server_us: server.as_secs_f64() * 1e6 / added as f64,
            client_us: client as f64 / added as f64,
        }
    }

    /// So many of a hundred waits were shorter.
    pub fn wait_ms(&self, percent: f64) -> f64 {
        percentile(&self.waits_ms, percent)
    }
}

/// Of numbers in order: so many of a hundred are smaller.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let rank = (sorted.len() as f64 * percent / 100.0).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most the length"
    )]
    let rank = (rank as usize).clamp(1, sorted.len().max(1));
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

use std::fmt;

use latchkey_benches::{
    Comparison, Cost, Result, Run,
    hot::percentile,
    plot::{Line, Plot},
};

use crate::reader::{Measured, READERS};

/// What was measured, by the number of tasks.
#[derive(Default)]
pub(crate) struct Table(Vec<(u32, Comparison<Measured>)>);

const HEAD: &str = "
| tasks | | reads/s | lowest to highest | times GET, in a round | lowest to highest | server CPU µs | client CPU µs | CPU, times GET | changes/s meanwhile | first reads of a session | change seen after, p50 ms | p99 ms |
|--:|---|--:|:-:|--:|:-:|--:|--:|--:|--:|--:|--:|--:|
";

impl Table {
    pub(crate) fn add(&mut self, tasks: u32, comparison: Comparison<Measured>) {
        self.0.push((tasks, comparison));
    }

    pub(crate) fn plot(&self, run: &Run) -> Result<()> {
        let line = |at: usize| Line {
            name: READERS[at].name().to_owned(),
            points: self
                .0
                .iter()
                .map(|(tasks, all)| ((*tasks).into(), all.spread(at, per_second).median))
                .collect(),
        };
        let plot = Plot {
            title: "Reading, with a writer beside it".to_owned(),
            x: "tasks at the same time",
            y: "reads per second",
            lines: (0..READERS.len()).map(line).collect(),
        };
        run.plot(&plot, "reads")
    }
}

const fn per_second(measured: &Measured) -> f64 {
    measured.cost.per_second
}

/// As Markdown.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEAD}")?;
        for (tasks, all) in &self.0 {
            for (at, reader) in READERS.iter().enumerate() {
                let cpu = |cost: &Cost| cost.server_us + cost.client_us;
                let delays = all.all(at).iter().flat_map(|measured| &measured.delays_ms);
                let mut delays: Vec<f64> = delays.copied().collect();
                delays.sort_unstable_by(f64::total_cmp);
                writeln!(
                    f,
                    "| {tasks} | {} | {:.0} | {:.2} | {:.1} | {:.1} | {:.2} | {:.0} | {:.0} % | {:.2} | {:.2} |",
                    reader.name(),
                    all.spread(at, per_second),
                    all.times(at, 0, per_second),
                    all.spread(at, |measured| measured.cost.server_us).median,
                    all.spread(at, |measured| measured.cost.client_us).median,
                    all.times(at, 0, |measured| cpu(&measured.cost)).median,
                    all.spread(at, |measured| measured.changes).median,
                    all.spread(at, |measured| measured.first * 100.0).median,
                    percentile(&delays, 50.0),
                    percentile(&delays, 99.0),
                )?;
            }
        }
        Ok(())
    }
}

use std::fmt;

use latchkey_benches::{
    Comparison, Result, Run,
    hot::{Contest, percentile},
    plot::{Line, Plot},
};

use super::{Waiters, python::Python, rival::Rival};

/// All that was measured.
pub(super) struct Report {
    rivals: Vec<Rival>,
    note: String,
    settings: Vec<Setting>,
}

struct Setting {
    waiters: Waiters,
    work_ms: u64,
    comparison: Comparison<Measured>,
}

/// One of them in one round.
pub(super) struct Measured {
    contest: Contest,
    lost: u64,
    p99_ms: f64,
}

impl Measured {
    pub(super) fn of((contest, lost): (Contest, u64)) -> Self {
        let p99_ms = percentile(&contest.waits_ms, 99.0);
        Self {
            contest,
            lost,
            p99_ms,
        }
    }

    const fn per_second(&self) -> f64 {
        self.contest.per_second
    }
}

const HEAD: &str = "
## One session that many want

| tasks x processes | work, think ms | | turns/s | lowest to highest | first : this, in a round | lowest to highest | wait p50 ms | p99 | p99.99 | longest | p99 wait, times first's | lowest to highest | most : fewest turns of a task | lost | server CPU µs | client CPU µs |
|--:|--:|---|--:|:-:|--:|:-:|--:|--:|--:|--:|--:|:-:|--:|--:|--:|--:|
";

impl Report {
    pub(super) fn new(rivals: &[Rival], python: &Python) -> Self {
        Self {
            rivals: rivals.to_vec(),
            note: python.note(),
            settings: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, waiters: Waiters, work_ms: u64, all: Comparison<Measured>) {
        self.settings.push(Setting {
            waiters,
            work_ms,
            comparison: all,
        });
    }

    /// One plot for each number of processes and each amount of work.
    pub(super) fn plot(&self, run: &Run) -> Result<()> {
        let key = |setting: &Setting| (setting.waiters.processes, setting.work_ms);
        let mut keys: Vec<_> = self.settings.iter().map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        for (processes, work_ms) in keys {
            let shown = || {
                let settings = self.settings.iter();
                settings.filter(|setting| key(setting) == (processes, work_ms))
            };
            let line = |(at, rival): (usize, &Rival)| Line {
                name: rival.name().to_owned(),
                points: shown().map(|setting| setting.point(at)).collect(),
            };
            let plot = Plot {
                title: format!(
                    "One session, {processes} processes, {work_ms} ms of work and thinking"
                ),
                x: "tasks that want it",
                y: "turns per second",
                lines: self.rivals.iter().enumerate().map(line).collect(),
            };
            run.plot(&plot, &format!("hot-{processes}-processes-{work_ms}-ms"))?;
        }
        Ok(())
    }
}

/// As Markdown.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEAD}")?;
        for setting in &self.settings {
            for (at, rival) in self.rivals.iter().enumerate() {
                setting.row(at, *rival, f)?;
            }
        }
        writeln!(f, "\n{}", self.note)
    }
}

impl Setting {
    fn point(&self, at: usize) -> (f64, f64) {
        let rate = self.comparison.spread(at, Measured::per_second);
        (self.waiters.tasks as f64, rate.median)
    }

    fn row(&self, at: usize, rival: Rival, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Waiters { tasks, processes } = self.waiters;
        let all = &self.comparison;
        let mut waits: Vec<f64> = all
            .all(at)
            .iter()
            .flat_map(|measured| &measured.contest.waits_ms)
            .copied()
            .collect();
        waits.sort_unstable_by(f64::total_cmp);
        let lost = match all.all(at).iter().map(|measured| measured.lost).sum() {
            0_u64 => "0".to_owned(),
            lost => format!("**LOST {lost}**"),
        };
        writeln!(
            f,
            "| {tasks}x{processes} | {} | {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} | {:.1} | {:.2} | {lost} | {:.1} | {:.1} |",
            self.work_ms,
            rival.name(),
            all.spread(at, Measured::per_second),
            all.times(0, at, Measured::per_second),
            percentile(&waits, 50.0),
            percentile(&waits, 99.0),
            percentile(&waits, 99.99),
            waits.last().copied().unwrap_or(f64::NAN),
            all.times(at, 0, |measured| measured.p99_ms),
            all.spread(at, |measured| measured.contest.unfairness)
                .median,
            all.spread(at, |measured| measured.contest.server_us).median,
            all.spread(at, |measured| measured.contest.client_us).median,
        )
    }
}

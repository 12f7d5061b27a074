use std::fmt;

use latchkey_benches::{
    Comparison, Cost, Result, Run,
    plot::{Line, Plot},
};

/// One thing that grows.
pub(crate) struct Axis {
    /// What it is, with its unit.
    pub(crate) name: &'static str,
    /// Of the file with its plot.
    pub(crate) file: &'static str,
    /// How large it was.
    pub(crate) sizes: Vec<u64>,
    /// What was done, and what that cost at each size.
    pub(crate) operations: Vec<(String, Comparison<Cost>)>,
}

impl Axis {
    pub(crate) fn plot(&self, run: &Run) -> Result<()> {
        let line = |(name, costs): &(String, Comparison<Cost>)| Line {
            name: name.clone(),
            points: self
                .sizes
                .iter()
                .enumerate()
                .map(|(at, size)| (*size as f64, costs.spread(at, cpu).median))
                .collect(),
        };
        let plot = Plot {
            title: format!(
                "CPU time of an operation, server and clients, by {}",
                self.name
            ),
            x: self.name,
            y: "CPU time of one operation, µs",
            lines: self.operations.iter().map(line).collect(),
        };
        run.plot(&plot, self.file)
    }
}

fn cpu(cost: &Cost) -> f64 {
    cost.server_us + cost.client_us
}

/// As Markdown.
impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "
| {} | | per second | lowest to highest | server CPU µs | client CPU µs | CPU, times smallest's, in a round | lowest to highest |
|--:|---|--:|:-:|--:|--:|--:|:-:|",
            self.name
        )?;
        for (operation, costs) in &self.operations {
            for (at, size) in self.sizes.iter().enumerate() {
                writeln!(
                    f,
                    "| {size} | {operation} | {:.0} | {:.1} | {:.1} | {:.2} |",
                    costs.spread(at, |cost| cost.per_second),
                    costs.spread(at, |cost| cost.server_us).median,
                    costs.spread(at, |cost| cost.client_us).median,
                    costs.times(at, 0, cpu),
                )?;
            }
        }
        Ok(())
    }
}

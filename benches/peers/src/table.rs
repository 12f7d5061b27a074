use std::fmt::Write as _;

use latchkey_benches::{Cost, Spread};

use crate::args::Library;

/// What was measured of each library, round by round.
pub(crate) struct Table {
    libraries: Vec<(Library, Vec<Cost>)>,
}

impl Table {
    /// As Markdown.
    pub(crate) const HEAD: &str = "\
| nodes | tasks | library | cycles/s | lowest to highest | first : this, in a round | lowest to highest | server CPU µs | client CPU µs |
|--:|--:|---|--:|:-:|--:|:-:|--:|--:|
";

    pub(crate) fn new(libraries: &[Library]) -> Self {
        let libraries = libraries.iter().map(|library| (*library, Vec::new()));
        Self {
            libraries: libraries.collect(),
        }
    }

    pub(crate) fn add(&mut self, at: usize, cost: Cost) {
        self.libraries[at].1.push(cost);
    }

    pub(crate) fn rows(&self, nodes: u32, tasks: u32) -> String {
        let mut text = String::new();
        let Some((_, first)) = self.libraries.first() else {
            return text;
        };
        for (library, costs) in &self.libraries {
            let spread = |number: fn(&Cost) -> f64| Spread::of(costs.iter().map(number));
            let ratios = first
                .iter()
                .zip(costs)
                .map(|(first, this)| first.per_second / this.per_second);
            let (Some(rate), Some(ratio), Some(server), Some(client)) = (
                spread(|cost| cost.per_second),
                Spread::of(ratios),
                spread(|cost| cost.server_us),
                spread(|cost| cost.client_us),
            ) else {
                continue;
            };
            // A String takes every write.
            let _written = writeln!(
                text,
                "| {nodes} | {tasks} | {} | {:.0} | {:.0} to {:.0} | **{:.2}** | {:.2} to {:.2} | {:.1} | {:.1} |",
                library.name(),
                rate.median,
                rate.lowest,
                rate.highest,
                ratio.median,
                ratio.lowest,
                ratio.highest,
                server.median,
                client.median,
            );
        }
        text
    }
}

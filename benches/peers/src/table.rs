use latchkey_benches::{Comparison, Cost};

/// A row of Markdown: what was measured of this one, and how many times as fast the first one was.
pub(crate) fn row(what: &str, comparison: &Comparison<Cost>, at: usize) -> String {
    format!(
        "| {what} | {:.0} | {:.2} | {:.1} | {:.1} |\n",
        comparison.spread(at, |cost| cost.per_second),
        comparison.times(0, at, |cost| cost.per_second),
        comparison.spread(at, |cost| cost.server_us).median,
        comparison.spread(at, |cost| cost.client_us).median,
    )
}

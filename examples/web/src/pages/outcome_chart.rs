use crate::lab::Outcome;

/// How much of what was expected is stored, as one bar.
pub(super) fn outcome_chart(outcome: &Outcome) -> String {
    let expected = outcome.expected().max(1);
    let stored = WIDTH * outcome.stored.min(expected) / expected;
    let lost = WIDTH - stored;
    let text = format!(
        "{} of {} stored, {} lost",
        outcome.stored,
        outcome.expected(),
        outcome.lost()
    );
    format!(
        "<svg class=\"outcome\" viewBox=\"0 0 {WIDTH} 16\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{text}\">\
         <rect class=\"stored\" width=\"{stored}\" height=\"16\"/>\
         <rect class=\"lost\" x=\"{stored}\" width=\"{lost}\" height=\"16\"/></svg>"
    )
}

const WIDTH: usize = 1000;

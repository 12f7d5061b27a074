use std::{fmt::Write as _, time::Duration};

use crate::lab::{Outcome, Shot};

/// A line for each request, from left to right in time: pale while it waits for the cart, strong between reading and writing,
/// grey until its answer. Lines whose strong parts stand above each other are requests that overwrite each other.
pub(super) fn race_chart(id: &str, outcome: &Outcome) -> String {
    let scale = Scale {
        whole: outcome.took().max(Duration::from_millis(1)),
        rows: outcome.shots.len().max(1),
    };
    let mut lines = String::new();
    for (row, shot) in outcome.shots.iter().enumerate() {
        scale.line(row, shot, &mut lines);
    }
    let (bottom, right) = (TOP + HEIGHT, LEFT + WIDTH);
    let (middle, axis, caption) = (LEFT + WIDTH / 2.0, bottom + 14.0, bottom + 30.0);
    let half_ms = scale.whole.as_millis() / 2;
    let whole_ms = scale.whole.as_millis();
    let requests = outcome.shots.len();
    format!(
        "<figure>\n<svg class=\"race\" viewBox=\"0 0 360 {height}\" role=\"img\" aria-labelledby=\"{id}-chart\">\n\
         <path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>\n{lines}\
         <text x=\"{LEFT}\" y=\"{axis}\">0</text>\n\
         <text x=\"{middle}\" y=\"{axis}\" text-anchor=\"middle\">{half_ms}</text>\n\
         <text x=\"{right}\" y=\"{axis}\" text-anchor=\"end\">{whole_ms} ms</text>\n\
         <text x=\"{middle}\" y=\"{caption}\" text-anchor=\"middle\">time since the start</text>\n\
         </svg>\n<figcaption id=\"{id}-chart\">A line for each of {requests} requests: \
         <span class=\"key wait\">waits</span> for the cart, <span class=\"key hold\">reads</span> and changes it, <span class=\"key save\">is answered</span>.</figcaption>\n</figure>",
        height = caption + 6.0,
    )
}

const LEFT: f64 = 6.0;
const TOP: f64 = 4.0;
const WIDTH: f64 = 348.0;
const HEIGHT: f64 = 180.0;
/// Also what takes no time is to be seen.
const THINNEST: f64 = 1.5;

struct Scale {
    whole: Duration,
    rows: usize,
}

impl Scale {
    fn line(&self, row: usize, shot: &Shot, lines: &mut String) {
        #[expect(clippy::cast_precision_loss, reason = "at most 200 rows")]
        let (row, rows) = (row as f64, self.rows as f64);
        let step = HEIGHT / rows;
        let (y, height) = (TOP + row * step, step * 0.8);
        let (sent, got, end) = (
            self.x(shot.sent),
            self.x(shot.got_cart()),
            self.x(shot.answered),
        );
        let wrote = self.x(shot.wrote());
        for (class, from, to) in [
            ("wait", sent, got),
            ("hold", got, wrote),
            ("save", wrote, end),
        ] {
            let width = to - from;
            let width = if class == "hold" {
                width.max(THINNEST)
            } else {
                width
            };
            if width > 0.0 {
                writeln!(
                    lines,
                    "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y:.2}\" width=\"{width:.1}\" height=\"{height:.2}\"/>"
                )
                .expect("a string takes what is written");
            }
        }
    }

    fn x(&self, time: Duration) -> f64 {
        LEFT + WIDTH * time.as_secs_f64() / self.whole.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_a_line_within_the_chart() {
        let shot = |sent, waited, answered| Shot {
            sent: Duration::from_millis(sent),
            waited: Duration::from_millis(waited),
            held: Duration::from_millis(8),
            answered: Duration::from_millis(answered),
        };
        let outcome = Outcome {
            shots: vec![shot(0, 0, 10), shot(0, 10, 20)],
            refused: 0,
            stored: 2,
        };
        let chart = race_chart("locked", &outcome);
        assert_eq!(chart.matches("class=\"hold\"").count(), 2);
        // The first one did not wait.
        assert_eq!(chart.matches("class=\"wait\"").count(), 1);
        assert_eq!(chart.matches("class=\"save\"").count(), 2);
        assert!(
            chart.contains("x=\"180.0\" y=\"94.00\" width=\"139.2\""),
            "{chart}"
        );
        assert!(chart.contains("20 ms"), "{chart}");
    }
}

use std::fmt;

/// The middle of some numbers, with the smallest and the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "three numbers")]
pub struct Spread {
    /// Half of the numbers are not larger, half not smaller.
    pub median: f64,
    /// The smallest.
    pub lowest: f64,
    /// The largest.
    pub highest: f64,
}

impl Spread {
    /// Of nothing.
    pub(crate) const NONE: Self = Self {
        median: f64::NAN,
        lowest: f64::NAN,
        highest: f64::NAN,
    };

    /// `None`: there are no numbers.
    pub fn of(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (&lowest, &highest) = (sorted.first()?, sorted.last()?);
        let half = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[half]
        } else {
            f64::midpoint(sorted[half - 1], sorted[half])
        };
        Some(Self {
            median,
            lowest,
            highest,
        })
    }
}

/// As two cells of a table: the median, and both ends.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self {
            median,
            lowest,
            highest,
        } = self;
        write!(
            f,
            "**{median:.digits$}** | {lowest:.digits$} to {highest:.digits$}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(numbers: &[f64]) -> Option<Spread> {
        Spread::of(numbers.iter().copied())
    }

    #[test]
    fn the_median_stands_between_the_ends_whatever_the_order() {
        let expected = Spread {
            median: 2.0,
            lowest: -1.0,
            highest: 9.0,
        };
        assert_eq!(spread(&[9.0, -1.0, 2.0]), Some(expected));
    }

    #[test]
    fn of_an_even_count_the_median_is_halfway() {
        assert_eq!(spread(&[4.0, 1.0, 2.0, 8.0]).map(|s| s.median), Some(3.0));
    }

    #[test]
    fn no_numbers_have_no_median() {
        assert_eq!(spread(&[]), None);
    }
}

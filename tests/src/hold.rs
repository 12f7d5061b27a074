use std::{collections::BTreeMap, str::FromStr, time::Duration};

/// A time in which one process was sure to hold the lock, on a clock that all processes of the machine share.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what there is to know of it")]
pub struct Hold {
    /// The fencing token.
    pub token: u64,
    /// The first moment at which its lease said that it is valid.
    pub from: Duration,
    /// The last such moment.
    pub until: Duration,
    /// How it ended: `released`, or why it was lost.
    pub end: String,
}

/// What is wrong with the holds of one lock.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what there is to know of it")]
pub struct Violation {
    /// What must not be.
    pub what: &'static str,
    /// A hold.
    pub first: Hold,
    /// The one after it.
    pub second: Hold,
}

impl Hold {
    /// Everything that is wrong with these holds: two of them at the same time, or tokens that do not grow.
    pub fn violations<'a>(holds: impl IntoIterator<Item = &'a Self>) -> Vec<Violation> {
        let mut holds: Vec<&Self> = holds.into_iter().collect();
        holds.sort_unstable_by_key(|hold| hold.from);
        let mut violations = Vec::new();
        // The one that lasts longest, of those that began earlier.
        let mut longest: Option<&Self> = None;
        for hold in holds {
            if let Some(first) = longest {
                let mut note = |what| {
                    violations.push(Violation {
                        what,
                        first: first.clone(),
                        second: hold.clone(),
                    });
                };
                if hold.from <= first.until {
                    note("two holders at the same time");
                }
                if hold.token <= first.token {
                    note("the token does not grow");
                }
            }
            longest = longest
                .into_iter()
                .chain([hold])
                .max_by_key(|hold| hold.until);
        }
        violations
    }

    /// How often holds ended in which way.
    pub fn ends<'a>(holds: impl IntoIterator<Item = &'a Self>) -> BTreeMap<&'a str, usize> {
        let mut ends = BTreeMap::new();
        for hold in holds {
            *ends.entry(hold.end.as_str()).or_default() += 1;
        }
        ends
    }
}

/// Reads what a holder prints: `held TOKEN FROM_NS UNTIL_NS END`.
impl FromStr for Hold {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<_> = line.split(' ').collect();
        let ["held", token, from, until, end] = words[..] else {
            return Err(format!("not a hold: {line}"));
        };
        let number = |word: &str| {
            word.parse::<u64>()
                .map_err(|error| format!("{error}: {line}"))
        };
        Ok(Self {
            token: number(token)?,
            from: Duration::from_nanos(number(from)?),
            until: Duration::from_nanos(number(until)?),
            end: end.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(token: u64, from: u64, until: u64) -> Hold {
        format!("held {token} {from} {until} released")
            .parse()
            .unwrap()
    }

    fn violations(holds: &[Hold]) -> Vec<&'static str> {
        let violations = Hold::violations(holds);
        violations.iter().map(|violation| violation.what).collect()
    }

    #[test]
    fn holds_one_after_the_other_are_right_in_whatever_order_they_are_told() {
        assert_eq!(
            violations(&[hold(9, 30, 40), hold(3, 0, 10), hold(5, 11, 29)]),
            [""; 0]
        );
    }

    #[test]
    fn two_holders_at_the_same_time_are_found() {
        let overlap = ["two holders at the same time"];
        assert_eq!(violations(&[hold(1, 0, 10), hold(2, 10, 20)]), overlap);
        // Not only next to each other.
        assert_eq!(
            violations(&[hold(1, 0, 100), hold(2, 10, 20), hold(3, 30, 40)]),
            [overlap[0]; 2]
        );
    }

    #[test]
    fn tokens_that_do_not_grow_are_found() {
        assert_eq!(
            violations(&[hold(2, 0, 10), hold(2, 11, 20)]),
            ["the token does not grow"]
        );
        assert_eq!(
            violations(&[hold(2, 0, 10), hold(1, 11, 20)]),
            ["the token does not grow"]
        );
    }

    #[test]
    fn what_is_no_hold_is_refused() {
        for line in ["", "held 1 2 3", "held one 2 3 released", "error no_quorum"] {
            assert!(line.parse::<Hold>().is_err(), "{line}");
        }
    }
}

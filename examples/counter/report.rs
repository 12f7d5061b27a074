use std::{collections::BTreeMap, fmt, io, io::Write as _, process::ExitCode, time::Duration};

use serde::Serialize;

use crate::{
    BoxError,
    args::{Args, Mode},
    tally::{Count, Tally, empty_histogram},
};

/// What the workers were told against what is stored. Its fields are those of the JSON output.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    acknowledged: u64,
    stored: u64,
    /// Acknowledged and not stored, summed over the sessions: one never makes up for another.
    lost: u64,
    /// Stored beyond what was acknowledged or unknown.
    #[serde(skip)]
    counted_twice: u64,
    unknown: u64,
    errors: BTreeMap<&'static str, u64>,
    cycles_per_second: f64,
    wait_us_p50: u64,
    wait_us_p99: u64,
    wait_us_max: u64,
    /// Of the acknowledged rounds of the processes that ran to their end; none if one of them has none.
    max_over_min: Option<f64>,
}

impl Summary {
    pub(crate) fn new(tallies: &[Tally], stored: &[u64]) -> Self {
        let mut counts = vec![Count::default(); stored.len()];
        let mut errors = BTreeMap::new();
        let mut waits = empty_histogram();
        for tally in tallies {
            for (sum, count) in counts.iter_mut().zip(&tally.counts) {
                sum.acknowledged += count.acknowledged;
                sum.unknown += count.unknown;
            }
            for (failure, number) in &tally.errors {
                *errors.entry(failure.name()).or_default() += number;
            }
            waits
                .add(&tally.waits_us)
                .expect("all histograms have the same bounds");
        }
        let pairs = || counts.iter().zip(stored);
        let acknowledged = counts.iter().map(|count| count.acknowledged).sum();
        Self {
            acknowledged,
            stored: stored.iter().sum(),
            lost: pairs()
                .map(|(count, stored)| count.acknowledged.saturating_sub(*stored))
                .sum(),
            counted_twice: pairs()
                .map(|(count, stored)| stored.saturating_sub(count.acknowledged + count.unknown))
                .sum(),
            unknown: counts.iter().map(|count| count.unknown).sum(),
            errors,
            cycles_per_second: per_second(acknowledged, tallies),
            wait_us_p50: waits.value_at_quantile(0.5),
            wait_us_p99: waits.value_at_quantile(0.99),
            wait_us_max: waits.max(),
            max_over_min: max_over_min(tallies),
        }
    }
}

impl Summary {
    /// Whether the promise of the mode was kept.
    pub(crate) fn exit_code(&self, mode: Mode) -> Result<ExitCode, BoxError> {
        if self.acknowledged == 0 {
            return Err("no round was acknowledged, so nothing was counted".into());
        }
        let kept = mode == Mode::Unlocked || (self.lost == 0 && self.counted_twice == 0);
        Ok(if kept {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn verdict(&self) -> String {
        match (self.lost, self.counted_twice) {
            (0, 0) => "Nothing was lost.".to_owned(),
            (0, twice) => format!("{} updates were counted twice.", grouped(twice)),
            (lost, 0) => format!("{} updates were lost.", grouped(lost)),
            (lost, twice) => format!(
                "{} updates were lost, {} counted twice.",
                grouped(lost),
                grouped(twice)
            ),
        }
    }
}

fn per_second(acknowledged: u64, tallies: &[Tally]) -> f64 {
    let last = tallies.iter().map(|tally| tally.last_acknowledged).max();
    match last {
        Some(last) if !last.is_zero() => rounded(acknowledged as f64 / last.as_secs_f64(), 10.0),
        _ => 0.0,
    }
}

fn max_over_min(tallies: &[Tally]) -> Option<f64> {
    let finished = || {
        tallies
            .iter()
            .filter(|tally| tally.has_finished())
            .map(Tally::acknowledged)
    };
    match (finished().max(), finished().min()) {
        (Some(max), Some(min)) if min > 0 => Some(rounded(max as f64 / min as f64, 1_000.0)),
        _ => None,
    }
}

fn rounded(number: f64, steps: f64) -> f64 {
    (number * steps).round() / steps
}

/// The table and, if asked for, the JSON object on the last line.
pub(crate) fn print(args: &Args, summary: &Summary) -> Result<(), BoxError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", Table { args, summary })?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string(summary)?)?;
    }
    Ok(())
}

struct Table<'a> {
    args: &'a Args,
    summary: &'a Summary,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { args, summary } = self;
        let mode = format!("{:?}", args.mode).to_lowercase();
        writeln!(
            f,
            "\n{} x {}, {}, mode {mode}\n",
            plural(args.processes, "process", "processes"),
            plural(args.tasks, "task", "tasks"),
            plural(args.sessions, "session", "sessions"),
        )?;
        let errors: u64 = summary.errors.values().sum();
        row(
            f,
            "acknowledged",
            &grouped(summary.acknowledged),
            "the workers were told it is committed",
        )?;
        row(
            f,
            "stored",
            &grouped(summary.stored),
            "found in the store at the end",
        )?;
        row(
            f,
            "lost",
            &grouped(summary.lost),
            "acknowledged and not stored",
        )?;
        row(
            f,
            "counted twice",
            &grouped(summary.counted_twice),
            "stored, and nobody can have done it",
        )?;
        row(
            f,
            "unknown",
            &grouped(summary.unknown),
            "no answer came: stored or not",
        )?;
        row(
            f,
            "errors",
            &grouped(errors),
            "refused or failed: not stored",
        )?;
        for (kind, number) in &summary.errors {
            row(f, &format!("  {kind}"), &grouped(*number), "")?;
        }
        row(
            f,
            "cycles/s",
            &grouped(format!("{:.0}", summary.cycles_per_second)),
            "",
        )?;
        row(
            f,
            "wait p50",
            &milliseconds(summary.wait_us_p50),
            waiting_for(args.mode),
        )?;
        row(f, "wait p99", &milliseconds(summary.wait_us_p99), "")?;
        row(f, "wait max", &milliseconds(summary.wait_us_max), "")?;
        let fairness = summary
            .max_over_min
            .map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        row(
            f,
            "fairness",
            &fairness,
            "most over fewest rounds of a process",
        )?;
        write!(f, "\n{}", summary.verdict())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: &str, meaning: &str) -> fmt::Result {
    let line = format!("  {name:<16} {value:>14}   {meaning}");
    writeln!(f, "{}", line.trim_end())
}

const fn waiting_for(mode: Mode) -> &'static str {
    match mode {
        Mode::Locked => "from asking for the lock to having it",
        Mode::Unlocked => "for the read; nothing is locked",
        Mode::Update => "for the whole update",
    }
}

fn milliseconds(us: u64) -> String {
    format!(
        "{:.3} ms",
        Duration::from_micros(us).as_secs_f64() * 1_000.0
    )
}

fn plural(number: u32, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{} {noun}", grouped(number))
}

/// With commas: 1,234,567.
pub(crate) fn grouped(number: impl fmt::Display) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frame::Message,
        outcome::{Failure, Outcome},
    };

    const ACKNOWLEDGED: Outcome = Outcome::Acknowledged {
        wait: Duration::from_millis(2),
    };

    /// A worker with one task, on one session, that came to these outcomes in two seconds and then finished.
    fn worker(outcomes: &[Outcome]) -> Tally {
        let mut tally = Tally::new(0, 1, 1);
        tally.begin();
        for outcome in outcomes {
            let message = Message::Round {
                task: 0,
                outcome: *outcome,
            };
            tally.note(message, Duration::from_secs(2));
        }
        tally.note(Message::Finished { task: 0 }, Duration::from_secs(2));
        tally
    }

    #[test]
    fn what_is_stored_as_told_is_neither_lost_nor_counted_twice() {
        let summary = Summary::new(&[worker(&[ACKNOWLEDGED; 4])], &[4]);
        assert_eq!((summary.lost, summary.counted_twice), (0, 0));
        assert_eq!(summary.cycles_per_second, 2.0);
        assert_eq!(summary.exit_code(Mode::Locked).unwrap(), ExitCode::SUCCESS);
    }

    #[test]
    fn what_is_missing_is_lost_except_where_losing_is_shown() {
        let summary = Summary::new(&[worker(&[ACKNOWLEDGED; 4])], &[3]);
        assert_eq!((summary.lost, summary.counted_twice), (1, 0));
        assert_eq!(summary.exit_code(Mode::Locked).unwrap(), ExitCode::FAILURE);
        assert_eq!(summary.exit_code(Mode::Update).unwrap(), ExitCode::FAILURE);
        assert_eq!(
            summary.exit_code(Mode::Unlocked).unwrap(),
            ExitCode::SUCCESS
        );
    }

    #[test]
    fn unknown_commits_may_be_stored_or_not_but_only_once() {
        let tallies = [worker(&[ACKNOWLEDGED, Outcome::Unknown])];
        for (stored, expected) in [(0, (1, 0)), (1, (0, 0)), (2, (0, 0)), (3, (0, 1))] {
            let summary = Summary::new(&tallies, &[stored]);
            assert_eq!(
                (summary.lost, summary.counted_twice),
                expected,
                "{stored} stored"
            );
        }
    }

    #[test]
    fn one_session_never_makes_up_for_another() {
        let mut tally = Tally::new(0, 1, 2);
        tally.counts = vec![
            Count {
                acknowledged: 5,
                unknown: 0
            };
            2
        ];
        let summary = Summary::new(&[tally], &[4, 6]);
        assert_eq!((summary.lost, summary.counted_twice), (1, 1));
    }

    #[test]
    fn a_failed_round_is_counted_by_kind_and_expected_nowhere() {
        let busy = Outcome::Failed(Failure::Busy);
        let summary = Summary::new(&[worker(&[ACKNOWLEDGED, busy, busy])], &[1]);
        assert_eq!(
            (summary.lost, summary.counted_twice, summary.unknown),
            (0, 0, 0)
        );
        assert_eq!(summary.errors, BTreeMap::from([("busy", 2)]));
    }

    #[test]
    fn fairness_compares_the_processes_that_ran_to_their_end() {
        let mut killed = Tally::new(2, 1, 1);
        killed.begin();
        killed.give_up_unfinished();
        let tallies = [
            worker(&[ACKNOWLEDGED; 3]),
            worker(&[ACKNOWLEDGED; 2]),
            killed,
        ];
        assert_eq!(Summary::new(&tallies, &[5]).max_over_min, Some(1.5));
    }

    #[test]
    fn a_run_without_acknowledged_rounds_counted_nothing() {
        let summary = Summary::new(&[worker(&[Outcome::Failed(Failure::Unreachable)])], &[0]);
        assert!(summary.exit_code(Mode::Locked).is_err());
        assert_eq!(summary.cycles_per_second, 0.0);
    }

    #[test]
    fn the_json_object_has_the_documented_fields() {
        let json = serde_json::to_value(Summary::new(&[worker(&[ACKNOWLEDGED])], &[1])).unwrap();
        let mut fields: Vec<_> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut documented = vec![
            "acknowledged",
            "stored",
            "lost",
            "unknown",
            "errors",
            "cycles_per_second",
            "wait_us_p50",
            "wait_us_p99",
            "wait_us_max",
            "max_over_min",
        ];
        fields.sort_unstable();
        documented.sort_unstable();
        assert_eq!(fields, documented);
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}

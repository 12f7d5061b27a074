use std::{collections::BTreeMap, process::ExitStatus, time::Duration};

use serde::Deserialize;

use crate::TestResult;

/// What a run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The counter's own verdict.
    pub status: ExitStatus,
    /// The JSON object on the last line.
    pub summary: Summary,
    /// What the counter said of its workers, beside their process IDs.
    pub remarks: Vec<String>,
    /// The longest that a task may have waited for a lock: lease and wait timeout.
    longest_wait: Duration,
}

/// The counter's result.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Summary {
    /// Rounds that the workers were told are committed.
    pub acknowledged: u64,
    /// Rounds that the store holds.
    pub stored: u64,
    /// Acknowledged and not stored, summed over the sessions.
    pub lost: u64,
    /// Rounds without an answer.
    pub unknown: u64,
    /// Rounds that were refused or failed, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Acknowledged rounds in a second.
    pub cycles_per_second: f64,
    /// Time from asking for a session to having it: the median.
    pub wait_us_p50: u64,
    /// The same: what one in a hundred exceeds.
    pub wait_us_p99: u64,
    /// The same: the longest.
    pub wait_us_max: u64,
    /// The most acknowledged rounds of a process against the fewest.
    pub max_over_min: Option<f64>,
}

impl Report {
    pub(crate) fn new(
        status: ExitStatus,
        stdout: &str,
        remarks: Vec<String>,
        longest_wait: Duration,
    ) -> TestResult<Self> {
        let last = stdout.lines().last().unwrap_or_default();
        let summary = serde_json::from_str(last).map_err(|error| {
            format!("no result ({error}); {status}, it printed {stdout:?} and said {remarks:?}")
        })?;
        Ok(Self {
            status,
            summary,
            remarks,
            longest_wait,
        })
    }

    /// Asserts that every acknowledged round is stored, and nothing beside them but what is unknown.
    ///
    /// # Panics
    /// If it is not so.
    #[track_caller]
    pub fn assert_exact(&self) {
        let Summary {
            acknowledged,
            stored,
            lost,
            unknown,
            ..
        } = self.summary;
        assert!(self.status.success(), "{self:#?}");
        assert_eq!(lost, 0, "{self:#?}");
        assert!(acknowledged > 0, "{self:#?}");
        assert!(
            (acknowledged..=acknowledged + unknown).contains(&stored),
            "{self:#?}"
        );
    }

    /// Asserts that nobody waited longer for a lock than the lease of a holder that is gone and the wait timeout.
    ///
    /// # Panics
    /// If it is not so.
    #[track_caller]
    pub fn assert_nobody_waited_too_long(&self) {
        let waited = Duration::from_micros(self.summary.wait_us_max);
        assert!(waited <= self.longest_wait + CALL, "{self:#?}");
    }

    /// Asserts that no round failed but for these reasons.
    ///
    /// # Panics
    /// If one did.
    #[track_caller]
    pub fn assert_errors_only(&self, expected: &[&str]) {
        let unexpected: Vec<_> = (self.summary.errors.keys())
            .filter(|kind| !expected.contains(&kind.as_str()))
            .collect();
        assert!(
            unexpected.is_empty(),
            "unexpected {unexpected:?}: {self:#?}"
        );
    }

    /// How many rounds failed for a reason.
    pub fn errors(&self, kind: &str) -> u64 {
        self.summary.errors.get(kind).copied().unwrap_or_default()
    }
}

// The call that begins just before a wait timeout ends may take this long (the default call timeout).
const CALL: Duration = Duration::from_secs(1);

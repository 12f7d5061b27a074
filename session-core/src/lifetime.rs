use std::time::Duration;

use session_lock::{Drift, LeaseTerms, Ttl};

use crate::{SessionLimit, StoreTime, WhenFull};

/// When a session ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    idle: Duration,
    absolute: Duration,
}

impl Timeouts {
    /// `idle`: how long a session lives unused; default 30 min. Every use moves its end, never past the absolute one.
    /// `absolute`: how long it lives after it was first stored, whatever happens; default 12 h.
    ///
    /// Both in whole milliseconds. Source: ASVS 5.0, 7.3.1 and 7.3.2.
    ///
    /// # Errors
    /// [`ConfigError`] when one is shorter than a millisecond or longer than ten years, or the idle timeout is
    /// longer than the absolute one.
    pub fn new(idle: Duration, absolute: Duration) -> Result<Self, ConfigError> {
        let allowed = Duration::from_millis(1)..=LONGEST;
        for (setting, found) in [("idle timeout", idle), ("absolute timeout", absolute)] {
            if !allowed.contains(&found) {
                return Err(ConfigError::new(
                    setting,
                    format!("{found:?}"),
                    "1 ms to ten years",
                ));
            }
        }
        if idle > absolute {
            return Err(ConfigError::new(
                "idle timeout",
                format!("{idle:?}"),
                "at most the absolute timeout",
            ));
        }
        Ok(Self { idle, absolute })
    }

    /// These, but with this absolute one.
    pub(crate) fn until(self, absolute: Duration) -> Self {
        let absolute = absolute.clamp(Duration::from_millis(1), LONGEST);
        Self {
            idle: self.idle.min(absolute),
            absolute,
        }
    }

    /// How long a session lives unused.
    pub const fn idle(&self) -> Duration {
        self.idle
    }

    /// How long a session lives after it was first stored.
    #[doc(alias = "max_age")]
    pub const fn absolute(&self) -> Duration {
        self.absolute
    }
}

/// When a session ends by itself, where that is not as usual.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lifetime {
    Timeouts(Timeouts),
    /// At that moment, whatever happens.
    Until(StoreTime),
}

const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30 * 60),
            absolute: Duration::from_secs(12 * 3600),
        }
    }
}

/// How long a session has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remaining {
    /// Until it ends if nobody uses it.
    pub idle: Duration,
    /// Until it ends, whatever happens.
    pub absolute: Duration,
}

/// All settings of a [`Sessions`](crate::Sessions).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) timeouts: Timeouts,
    pub(crate) lease: Duration,
    pub(crate) longest_hold: Duration,
    pub(crate) wait_timeout: Duration,
    pub(crate) max_waiters: usize,
    pub(crate) max_record: usize,
    pub(crate) update_memory: u64,
    pub(crate) warn_unlocked: bool,
    pub(crate) grace: Duration,
    pub(crate) regenerate_every: Option<Duration>,
    pub(crate) user_limit: SessionLimit,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            lease: Duration::from_secs(10),
            longest_hold: Duration::from_secs(60),
            wait_timeout: Duration::from_secs(5),
            max_waiters: 64,
            max_record: 1 << 20,
            update_memory: 4 * 1024 * 1024,
            warn_unlocked: true,
            grace: Duration::from_secs(10),
            regenerate_every: None,
            user_limit: SessionLimit {
                max: 100,
                when_full: WhenFull::EndOldest,
            },
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<LeaseTerms, ConfigError> {
        let lease = Duration::from_millis(100)..=Duration::from_secs(60);
        if !lease.contains(&self.lease) {
            return Err(ConfigError::new(
                "lease",
                format!("{:?}", self.lease),
                "100 ms to 60 s",
            ));
        }
        let hold = self.lease..=Duration::from_secs(24 * 3600);
        if !hold.contains(&self.longest_hold) {
            return Err(ConfigError::new(
                "longest hold",
                format!("{:?}", self.longest_hold),
                "the lease to 24 h",
            ));
        }
        if self.wait_timeout > Duration::from_secs(3600) {
            return Err(ConfigError::new(
                "wait timeout",
                format!("{:?}", self.wait_timeout),
                "at most 1 h",
            ));
        }
        if self.max_waiters == 0 {
            return Err(ConfigError::new(
                "cap on waiters",
                "0".to_owned(),
                "at least 1",
            ));
        }
        if !(64..=64 << 20).contains(&self.max_record) {
            return Err(ConfigError::new(
                "record size",
                self.max_record.to_string(),
                "64 bytes to 64 MiB",
            ));
        }
        let grace = Duration::from_millis(1)..=Duration::from_secs(300);
        if !grace.contains(&self.grace) {
            return Err(ConfigError::new(
                "grace of old IDs",
                format!("{:?}", self.grace),
                "1 ms to 5 min",
            ));
        }
        if self.regenerate_every.is_some_and(|every| every.is_zero()) {
            return Err(ConfigError::new(
                "time between new IDs",
                "0".to_owned(),
                "above 0",
            ));
        }
        if self.user_limit.max == 0 {
            return Err(ConfigError::new(
                "sessions per user",
                "0".to_owned(),
                "at least 1",
            ));
        }
        let ttl = Ttl::new(self.lease).expect("the range of leases lies in that of TTLs");
        Ok(LeaseTerms {
            ttl,
            drift: Drift::default(),
            longest_hold: self.longest_hold,
        })
    }
}

/// A setting is out of its range. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {found}, allowed is {allowed}")]
pub struct ConfigError {
    setting: &'static str,
    found: String,
    allowed: &'static str,
}

impl ConfigError {
    /// `setting` has the value `found`, outside of `allowed`.
    pub const fn new(setting: &'static str, found: String, allowed: &'static str) -> Self {
        Self {
            setting,
            found,
            allowed,
        }
    }

    /// The name of the setting.
    pub const fn setting(&self) -> &'static str {
        self.setting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn timeouts_of_zero_and_idle_above_absolute_are_refused() {
        assert!(Timeouts::new(Duration::ZERO, SECOND).is_err());
        assert!(Timeouts::new(SECOND, Duration::ZERO).is_err());
        assert!(Timeouts::new(2 * SECOND, SECOND).is_err());
        assert!(Timeouts::new(SECOND, Duration::MAX).is_err());
        assert!(Timeouts::new(SECOND, SECOND).is_ok());
    }

    #[test]
    fn leases_outside_of_100_ms_to_60_s_are_refused() {
        let check = |lease| {
            Settings {
                lease,
                ..Settings::default()
            }
            .check()
        };
        assert!(check(Duration::ZERO).is_err());
        assert!(check(Duration::from_millis(99)).is_err());
        assert!(check(Duration::from_millis(60_001)).is_err());
        assert!(check(Duration::from_millis(100)).is_ok());
        assert!(check(Duration::from_secs(60)).is_ok());
    }

    #[test]
    fn settings_that_can_never_work_are_refused() {
        let defaults = Settings::default();
        assert!(
            Settings {
                max_waiters: 0,
                ..defaults
            }
            .check()
            .is_err()
        );
        assert!(
            Settings {
                max_record: 0,
                ..defaults
            }
            .check()
            .is_err()
        );
        assert!(
            Settings {
                longest_hold: SECOND,
                ..defaults
            }
            .check()
            .is_err()
        );
        assert!(
            Settings {
                wait_timeout: Duration::MAX,
                ..defaults
            }
            .check()
            .is_err()
        );
    }
}

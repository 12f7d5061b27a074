//! How often something may happen, counted in one place for all replicas.

mod memory; // in this process
mod uses; // the arithmetic of windows

use std::{fmt, time::Duration};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

pub use memory::MemoryUseCounter;

use crate::{Bucket, ConfigError, StoreError};

/// Counts uses under names, in windows of time: what limits are made of.
///
/// # Contract
/// 1. `take` grants and counts a use while fewer than [`Limit::uses`] are counted in the window; then it refuses, counts
///    nothing, and says when the window ends.
/// 2. Of takes that run at the same time, in whatever processes, no more than the limit are granted.
/// 3. A window begins with its first use and ends after [`Limit::window`]. If it was used up and the limit
///    [grows](Limit::growing_to), the next one is twice as long, up to the longest; one that was not used up, or the
///    longest window without a use, begins again with the first length.
/// 4. `give_back` undoes one `take`, and never grants more than the limit. `forget` undoes all, and what has grown.
/// 5. `look` answers what `take` would, and counts nothing.
/// 6. Names are counted apart.
/// 7. Nothing stays for ever: what is counted is gone some time after its window.
///
/// `Err` means a fault: whether a use was counted is not known. Asked again after a lost answer, a counter may count one
/// use twice, and never none.
#[async_trait]
pub trait UseCounter: fmt::Debug + Send + Sync + 'static {
    /// Takes a use.
    async fn take(&self, name: &CountedName, limit: &Limit) -> Result<Allowance, StoreError>;

    /// Gives a use back that was for nothing.
    async fn give_back(&self, name: &CountedName, limit: &Limit) -> Result<(), StoreError>;

    /// Whether a use would be granted.
    async fn look(&self, name: &CountedName, limit: &Limit) -> Result<Allowance, StoreError>;

    /// Counts from the beginning.
    async fn forget(&self, name: &CountedName) -> Result<(), StoreError>;
}

/// The answer of a [`UseCounter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allowance {
    /// The use is granted.
    Granted {
        /// How many more there are in this window.
        left: u32,
    },
    /// There are no more uses in this window.
    Refused {
        /// When the window ends, by the counter's clock.
        retry_after: Duration,
    },
}

/// How often something may happen.
///
/// Two windows that follow each other can hold twice as many uses, shortly before and behind the border between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Limit {
    uses: u32,
    window: Duration,
    longest: Duration,
}

impl Limit {
    /// `uses` in each `window`.
    ///
    /// # Errors
    /// [`ConfigError`] outside of 1 to 1,000,000 uses and 1 s to 24 h.
    pub fn new(uses: u32, window: Duration) -> Result<Self, ConfigError> {
        if !(1..=1_000_000).contains(&uses) {
            let found = uses.to_string();
            return Err(ConfigError::new("uses of a limit", found, "1 to 1,000,000"));
        }
        if !(SECOND..=DAY).contains(&window) {
            let found = format!("{window:?}");
            return Err(ConfigError::new("window of a limit", found, "1 s to 24 h"));
        }
        Ok(Self {
            uses,
            window,
            longest: window,
        })
    }

    /// A window that follows one which was used up is twice as long as that, at most `longest`. Default: all are of one
    /// length.
    ///
    /// # Errors
    /// [`ConfigError`] when it is shorter than the window, or longer than 24 h.
    pub fn growing_to(mut self, longest: Duration) -> Result<Self, ConfigError> {
        if !(self.window..=DAY).contains(&longest) {
            let found = format!("{longest:?}");
            let allowed = "the window to 24 h";
            return Err(ConfigError::new(
                "longest window of a limit",
                found,
                allowed,
            ));
        }
        self.longest = longest;
        Ok(self)
    }

    /// How many uses a window has.
    pub const fn uses(&self) -> u32 {
        self.uses
    }

    /// How long the first window is.
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// How long windows become.
    pub const fn longest(&self) -> Duration {
        self.longest
    }

    /// How long it is remembered after the end of a window that it was used up.
    #[must_use]
    pub const fn memory(&self) -> Duration {
        if self.longest.as_nanos() > self.window.as_nanos() {
            self.longest
        } else {
            Duration::ZERO
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What uses are counted under: the SHA-256 of a text, so that no counter stores account names or addresses.
///
/// Whoever reads the counter can still try likely texts, and finds every IPv4 address that way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountedName([u8; 32]);

impl CountedName {
    /// The name of `text` among those of that kind ("account", "address").
    pub fn new(kind: &str, text: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"latchkey limit ");
        // The length keeps a kind apart from what follows.
        hash.update(kind.len().to_be_bytes());
        hash.update(kind);
        hash.update(text);
        Self(hash.finalize().into())
    }

    /// The name with that digest, for those who hash with a key of their own.
    pub const fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The hash.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.0
    }

    /// The bucket in which stores count it.
    pub fn bucket(&self) -> Bucket {
        Bucket::from_bits(u16::from_be_bytes([self.0[0], self.0[1]]))
    }
}

impl fmt::Debug for CountedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CountedName([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_outside_of_their_range_are_refused() {
        for (uses, window) in [
            (0, SECOND),
            (1_000_001, SECOND),
            (1, SECOND / 2),
            (1, DAY * 2),
        ] {
            assert!(Limit::new(uses, window).is_err(), "{uses} in {window:?}");
        }
        let limit = Limit::new(5, SECOND * 10).unwrap();
        assert!(limit.growing_to(SECOND * 9).is_err());
        assert!(limit.growing_to(DAY * 2).is_err());
        assert_eq!(limit.memory(), Duration::ZERO);
        assert_eq!(limit.growing_to(DAY).unwrap().memory(), DAY);
    }

    #[test]
    fn names_of_several_kinds_differ_and_hide_their_text() {
        let name = CountedName::new("account", "ada");
        assert_ne!(name, CountedName::new("address", "ada"));
        assert_ne!(name, CountedName::new("accountada", ""));
        assert_eq!(name, CountedName::new("account", "ada"));
        assert_eq!(format!("{name:?}"), "CountedName([redacted])");
    }
}

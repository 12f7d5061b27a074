use std::{fmt, str::FromStr};

use crate::Error;

/// What is stored: a counter and eight texts, of about this many bytes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    bytes: usize,
}

const TEXTS: [&str; 8] = [
    "user", "name", "mail", "lang", "csrf", "cart", "view", "note",
];

// Encoded: the map's length, the counter with its name, and for each text its name and both lengths.
const OVERHEAD: usize = 3 + 9 + TEXTS.len() * (5 + 3);

const SMALLEST: usize = 128;

impl Record {
    /// A session as web applications have them.
    pub const USUAL: Self = Self { bytes: 923 };
    /// A session with much in it.
    pub const LARGE: Self = Self { bytes: 16 * 1024 };

    /// The name of the counter.
    pub const COUNT: &str = "count";
    /// The names of the texts.
    pub const TEXTS: [&str; 8] = TEXTS;

    /// About so many bytes, 128 at least.
    pub const fn of(bytes: usize) -> Self {
        Self {
            bytes: if bytes < SMALLEST { SMALLEST } else { bytes },
        }
    }

    /// Its size.
    pub const fn bytes(self) -> usize {
        self.bytes
    }

    /// Each of the eight texts.
    pub fn text(self) -> String {
        "x".repeat((self.bytes - OVERHEAD) / TEXTS.len())
    }
}

impl FromStr for Record {
    type Err = Error;

    fn from_str(bytes: &str) -> Result<Self, Error> {
        let bytes = bytes.parse()?;
        if bytes < SMALLEST {
            return Err(format!("a record has {SMALLEST} bytes or more").into());
        }
        Ok(Self { bytes })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.fmt(f)
    }
}

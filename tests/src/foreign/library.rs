use crate::TestResult;

/// A lock library for Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "tests match on it")]
pub enum Library {
    /// The lock that comes with redis-py: one node.
    RedisPy,
    /// python-redis-lock: one node.
    PythonRedisLock,
    /// redlock-py: a quorum.
    RedlockPy,
    /// redlock-ng: a quorum.
    RedlockNg,
    /// pottery: a quorum.
    Pottery,
}

impl Library {
    /// Its name, which `client.py` knows it by too.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RedisPy => "redis-py",
            Self::PythonRedisLock => "python-redis-lock",
            Self::RedlockPy => "redlock-py",
            Self::RedlockNg => "redlock-ng",
            Self::Pottery => "pottery",
        }
    }

    /// What it puts before the name of a lock.
    pub const fn key_prefix(self) -> &'static str {
        match self {
            Self::RedisPy | Self::RedlockPy | Self::RedlockNg => "",
            Self::PythonRedisLock => "lock:",
            Self::Pottery => "redlock:",
        }
    }

    /// The packages that it needs, as `pip` takes them.
    pub(crate) const fn requirements(self) -> &'static str {
        match self {
            Self::RedisPy => include_str!("../../foreign/requirements/redis-py.txt"),
            Self::PythonRedisLock => {
                include_str!("../../foreign/requirements/python-redis-lock.txt")
            }
            Self::RedlockPy => include_str!("../../foreign/requirements/redlock-py.txt"),
            Self::RedlockNg => include_str!("../../foreign/requirements/redlock-ng.txt"),
            Self::Pottery => include_str!("../../foreign/requirements/pottery.txt"),
        }
    }

    /// Whether `LATCHKEY_SKIP` leaves these libraries out; says so on the terminal.
    ///
    /// # Errors
    /// When the variable cannot be read or the terminal cannot be written to.
    pub fn are_skipped() -> TestResult<bool> {
        use std::{
            env,
            io::{Write as _, stderr},
        };

        let skipped = match env::var("LATCHKEY_SKIP") {
            Ok(parts) => parts.split(',').any(|part| part.trim() == PART),
            Err(env::VarError::NotPresent) => false,
            Err(error) => return Err(error.into()),
        };
        if skipped {
            // Past the test harness, which keeps what a test prints to itself.
            writeln!(stderr().lock(), "skipped by LATCHKEY_SKIP: {PART}")?;
        }
        Ok(skipped)
    }
}

/// The name of these tests in `LATCHKEY_SKIP`.
const PART: &str = "foreign-clients";

use std::{
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use latchkey::lock::{LossCause, RedlockLease};

use crate::failure::Failure;

/// What can happen to a lock. Each is printed as one line.
#[derive(Debug)]
pub(crate) enum Event {
    Acquired { fence: u64, validity_ms: u128 },
    Busy,
    Released,
    Lost(LossCause),
    Error(Failure),
}

impl Event {
    pub(crate) fn acquired(lease: &RedlockLease) -> Self {
        Self::Acquired {
            fence: lease.fencing_token().0,
            validity_ms: lease.remaining().as_millis(),
        }
    }

    /// Prints it at once, also into a pipe.
    pub(crate) fn print(&self) -> io::Result<()> {
        let mut output = io::stdout().lock();
        writeln!(output, "{self}")?;
        output.flush()
    }

    /// Prints it, and tells the exit status of a program that ends with it.
    pub(crate) fn print_last(&self) -> ExitCode {
        match self.print() {
            Ok(()) => self.status().into(),
            // Nobody reads what is printed.
            Err(_) => ExitCode::from(FAILED),
        }
    }

    const fn status(&self) -> u8 {
        match self {
            Self::Acquired { .. } | Self::Released => 0,
            Self::Busy => 1,
            Self::Lost(_) | Self::Error(_) => FAILED,
        }
    }
}

const FAILED: u8 = 2;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquired { fence, validity_ms } => {
                write!(f, "ACQUIRED fence={fence} validity_ms={validity_ms}")
            }
            Self::Busy => f.write_str("BUSY"),
            Self::Released => f.write_str("RELEASED"),
            Self::Lost(cause) => write!(f, "LOST {}", word(*cause)),
            Self::Error(failure) => write!(f, "ERROR {failure}"),
        }
    }
}

const fn word(cause: LossCause) -> &'static str {
    match cause {
        LossCause::Expired => "expired",
        LossCause::Stolen => "stolen",
        LossCause::Gone => "gone",
        LossCause::QuorumLost => "quorum_lost",
        LossCause::NodeRestarted => "node_restarted",
        LossCause::HeldTooLong => "held_too_long",
        LossCause::Released => "released",
        _ => "other",
    }
}

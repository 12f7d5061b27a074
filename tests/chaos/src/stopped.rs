use std::io;

use rustix::process::{Pid, Signal, kill_process};

/// A process that is stopped in its tracks. Dropping it lets the process go on, whatever becomes of the test.
#[derive(Debug)]
#[must_use = "dropping it lets the process go on at once"]
pub struct Stopped {
    pid: Pid,
}

impl Stopped {
    /// Stops a process.
    ///
    /// # Errors
    /// When it is gone.
    pub fn new(pid: Pid) -> io::Result<Self> {
        signal(pid, Signal::STOP)?;
        Ok(Self { pid })
    }

    /// Lets the process go on.
    pub fn resume(self) {}
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // Fails only if the process is gone, which the end of its run reports.
        drop(signal(self.pid, Signal::CONT));
    }
}

/// Sends a signal to a process.
///
/// # Errors
/// When it is gone.
pub fn signal(pid: Pid, signal: Signal) -> io::Result<()> {
    Ok(kill_process(pid, signal)?)
}

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal};

use crate::{Stopped, TestResult, signal};

/// A worker process of a run.
#[derive(Debug)]
pub struct Worker {
    pid: Pid,
    killed: AtomicBool,
}

impl Worker {
    /// Reads what the counter says when it has started one.
    pub(crate) fn announced_by(line: &str) -> Option<Self> {
        let (_worker, pid) = line.strip_prefix("worker ")?.split_once(": pid ")?;
        Some(Self {
            pid: Pid::from_raw(pid.parse().ok()?)?,
            killed: AtomicBool::new(false),
        })
    }

    /// Ends the process by `SIGKILL`.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn kill(&self) -> TestResult {
        signal(self.pid, Signal::KILL)?;
        self.killed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Stops the process in its tracks until the returned value is resumed or dropped.
    ///
    /// # Errors
    /// When it is gone.
    pub fn stop(&self) -> TestResult<Stopped> {
        Ok(Stopped::new(self.pid)?)
    }

    /// Has the process finish its rounds and begin no further ones.
    pub(crate) fn end(&self) -> TestResult {
        Ok(signal(self.pid, Signal::TERM)?)
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.killed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_known_by_the_line_that_announces_it() {
        let pid = |line| Worker::announced_by(line).map(|worker| worker.pid.as_raw_nonzero().get());
        assert_eq!(pid("worker 3: pid 4711"), Some(4711));
        assert_eq!(pid("worker 3: ended early (signal: 9 (SIGKILL))"), None);
        assert_eq!(pid("worker 3: pid 0"), None);
    }
}

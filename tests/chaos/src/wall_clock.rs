use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

/// The wall clock of a worker, which can be set to another time while it runs: by libfaketime, where that is installed.
/// The clocks that only go forward stay as they are.
#[derive(Clone, Debug)]
pub(crate) struct WallClock {
    library: PathBuf,
    file: PathBuf,
}

const FOLDERS: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib/faketime",
    "/usr/lib64/faketime",
    "/usr/local/lib/faketime",
];

impl WallClock {
    /// Of the worker of that number; `None` if there is no libfaketime.
    pub(crate) fn new(folder: &Path, worker: usize) -> io::Result<Option<Self>> {
        let libraries = FOLDERS.map(|folder| Path::new(folder).join("libfaketimeMT.so.1"));
        let Some(library) = libraries.into_iter().find(|library| library.exists()) else {
            return Ok(None);
        };
        let clock = Self {
            library,
            file: folder.join(format!("clock-{worker}")),
        };
        clock.right()?;
        Ok(Some(clock))
    }

    /// A process that goes by it.
    pub(crate) fn govern(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            // In seconds: how soon it notices that the clock was set.
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }

    /// Sets it forward, or back.
    pub(crate) fn step(&self, by: Duration, back: bool) -> io::Result<()> {
        let sign = if back { '-' } else { '+' };
        self.set(&format!("{sign}{}", by.as_secs()))
    }

    pub(crate) fn right(&self) -> io::Result<()> {
        self.set("+0")
    }

    fn set(&self, offset: &str) -> io::Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{offset}\n"))?;
        fs::rename(new, &self.file)
    }
}

#[cfg(test)]
mod tests {
    use latchkey::lock::{Clock as _, SystemClock};

    use super::*;
    use crate::ChaosResult;

    /// Where there is no libfaketime, the reports say what was left out.
    #[tokio::test]
    async fn a_process_goes_by_the_clock_that_was_set() -> ChaosResult {
        let folder = tempfile::tempdir()?;
        let Some(clock) = WallClock::new(folder.path(), 0)? else {
            return Ok(());
        };
        clock.step(Duration::from_secs(5_000), true)?;
        let mut date = Command::new("date");
        clock.govern(date.arg("+%s"));
        let told: u64 = String::from_utf8(date.output().await?.stdout)?
            .trim()
            .parse()?;
        let behind = SystemClock.unix_time().as_secs().saturating_sub(told);
        assert!((4_000..6_000).contains(&behind), "{behind} s behind");
        Ok(())
    }
}

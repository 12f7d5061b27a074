use std::{path::Path, process::Stdio, time::Duration};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::TestResult;

/// A process of chromedriver. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Driver {
    _process: Child,
    port: u16,
    profile: TempDir,
}

impl Driver {
    /// Starts one on a free port, and returns when it listens.
    pub(super) async fn start() -> TestResult<Self> {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("chromedriver: {error}; {HINT}"))?;
        let output = process.stdout.take().ok_or("no pipe of chromedriver")?;
        let mut lines = BufReader::new(output).lines();
        let port = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(port) = port_in(&line) {
                    return TestResult::Ok(port);
                }
            }
            Err(format!("chromedriver ended at once; {HINT}").into())
        };
        let port = timeout(LONGEST_START, port).await;
        let port = port.map_err(|_late| format!("no port for {LONGEST_START:?}"))??;
        // It goes on to write, and a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_line)) = lines.next_line().await {} });
        Ok(Self {
            _process: process,
            port,
            profile: TempDir::with_prefix("latchkey-browser-")?,
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// An empty folder, which lives as long as the driver.
    pub(super) fn profile(&self) -> &Path {
        self.profile.path()
    }
}

const LONGEST_START: Duration = Duration::from_secs(120);
const HINT: &str = "install it (apt-get install chromium chromium-driver), or leave these tests out with \
    LATCHKEY_SKIP=browser";

fn port_in(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("started successfully on port ")?;
    port.trim_end_matches('.').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_in_what_the_driver_says() {
        let line = "ChromeDriver was started successfully on port 41003.";
        assert_eq!(port_in(line), Some(41003));
        assert_eq!(port_in("Starting ChromeDriver 156.0 on port 0"), None);
    }
}

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::ServerError;

/// A shell that runs a clean-up command when this process ends or lets go of it.
///
/// It reads lines until its standard input closes, then runs the last one. The kernel closes the
/// pipe at every end of this process, also at `SIGKILL`, where no destructor runs.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
    orders: Option<ChildStdin>,
}

const SCRIPT: &str = r#"order=:; while IFS= read -r line; do order=$line; done; eval "$order""#;

impl Watchdog {
    pub(super) fn start(order: &str) -> Result<Self, ServerError> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C and a test runner's timeout go to the group of the test process.
            .process_group(0)
            .spawn()
            .map_err(ServerError::io("start the watchdog of a test server"))?;
        let orders = shell.stdin.take();
        let mut watchdog = Self { shell, orders };
        watchdog.order(order)?;
        Ok(watchdog)
    }

    /// Replaces the clean-up command; `order` is one line of shell.
    pub(super) fn order(&mut self, order: &str) -> Result<(), ServerError> {
        debug_assert!(!order.contains('\n'), "an order is one line");
        let Some(orders) = &mut self.orders else {
            return Ok(());
        };
        writeln!(orders, "{order}").map_err(ServerError::io("instruct the watchdog"))
    }
}

impl Drop for Watchdog {
    /// Runs the clean-up command and waits for its end.
    fn drop(&mut self) {
        self.orders = None;
        // Nothing is left to do about a shell that cannot be waited for.
        let _ended = self.shell.wait();
    }
}

/// `text` as one word of a shell command.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_order_runs_when_the_watchdog_is_dropped_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let touch = |name: &str| format!("touch {}", quoted(file(name).to_str().unwrap()));

        let mut watchdog = Watchdog::start(&touch("first")).unwrap();
        watchdog.order(&touch("it's last")).unwrap();
        assert!(!file("it's last").exists());
        drop(watchdog);
        assert!(file("it's last").exists());
        assert!(!file("first").exists());
    }
}

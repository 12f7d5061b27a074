use std::{io, process::Stdio};

use tokio::process::{Child, ChildStdout, Command};

/// A program that ends with this one, at the latest.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> io::Result<(Self, ChildStdout)> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().expect("its output is piped");
        Ok((Self(child), output))
    }

    /// Ends it without any order, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> io::Result<()> {
        self.0.kill().await
    }
}

use std::{env, process::Stdio, time::Duration};

use latchkey_benches::{Result, locks::Nodes};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::library::Library;

pub(super) const READY: &str = "ready";
pub(super) const ASK: &str = "ask";
pub(super) const RELEASE: &str = "release";

/// One of the two processes, as this one has it.
pub(super) struct Player {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Player {
    pub(super) async fn start(library: Library, name: &str, nodes: &Nodes) -> Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .args([
                "take-turns",
                "--",
                library.name(),
                name,
                nodes.first()?.prefix(),
            ])
            .args(nodes.urls())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the pipes of a process are missing".into());
        };
        let mut player = Self {
            _process: process,
            input,
            output: BufReader::new(output).lines(),
        };
        match player.line().await?.as_str() {
            READY => Ok(player),
            other => Err(other.into()),
        }
    }

    pub(super) async fn tell(&mut self, word: &str) -> Result<()> {
        Ok(self.input.write_all(format!("{word}\n").as_bytes()).await?)
    }

    /// When it has acquired the lock, or has begun to give it back, on a clock that all processes share.
    pub(super) async fn moment(&mut self) -> Result<Duration> {
        Ok(Duration::from_nanos(self.line().await?.parse()?))
    }

    async fn line(&mut self) -> Result<String> {
        let line = self.output.next_line().await?;
        line.ok_or_else(|| "a process has ended".into())
    }
}

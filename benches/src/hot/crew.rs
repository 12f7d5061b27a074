use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{Contest, Pace, READY, Told};
use crate::{RedisServer, Result, tasks};

/// Starts these processes, lets them all go at the same moment, and hears what came of it.
///
/// # Errors
/// A process cannot be started, or ends early.
pub async fn run(processes: Vec<Command>, pace: Pace, server: &RedisServer) -> Result<Contest> {
    let starting = processes.into_iter().map(Member::start).collect();
    let members: Vec<Member> = tasks::all(starting).await?;
    let before = server.usage().await?;
    let order = format!("{}\n", serde_json::to_string(&pace)?);
    let working = members.into_iter().map(|member| member.work(order.clone()));
    let told = tasks::all(working.collect()).await?;
    let usage = server.usage().await?.since(before);
    Ok(Contest::of(&told, pace.measure(), usage.server))
}

struct Member {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Member {
    /// Returns when it is ready.
    async fn start(mut command: Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the pipes of a process are missing".into());
        };
        let mut member = Self {
            process,
            input,
            output: BufReader::new(output).lines(),
        };
        match member.line().await?.as_str() {
            READY => Ok(member),
            other => Err(format!("a process is not ready but says {other}").into()),
        }
    }

    async fn work(mut self, order: String) -> Result<Told> {
        self.input.write_all(order.as_bytes()).await?;
        let told = serde_json::from_str(&self.line().await?)?;
        self.process.wait().await?;
        Ok(told)
    }

    async fn line(&mut self) -> Result<String> {
        let line = self.output.next_line().await?;
        line.ok_or_else(|| "a process has ended early".into())
    }
}

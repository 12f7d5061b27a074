use std::{ffi::OsStr, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::spawn_blocking,
    time::timeout,
};

use super::python;
use crate::TestResult;

/// A Python program that answers each line with a line. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Process {
    _process: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts `script` in the environment `name`, in which the `requirements` are installed.
    pub(super) async fn start(
        name: &'static str,
        requirements: &'static str,
        script: &str,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> TestResult<Self> {
        let python = spawn_blocking(move || python::with(name, requirements)).await??;
        let mut process = Command::new(python)
            .arg(script)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the pipes of a foreign client are missing".into());
        };
        Ok(Self {
            _process: process,
            input,
            answers: BufReader::new(output).lines(),
        })
    }

    /// The answer to a line.
    pub(super) async fn ask(&mut self, line: &str) -> TestResult<String> {
        self.input.write_all(format!("{line}\n").as_bytes()).await?;
        let answer = timeout(LONGEST_ANSWER, self.answers.next_line()).await;
        let answer = answer.map_err(|_late| format!("no answer within {LONGEST_ANSWER:?}"))??;
        answer.ok_or_else(|| "the foreign client has ended".into())
    }
}

// Starting Python, and a library that imports much, takes its time on a busy machine.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);

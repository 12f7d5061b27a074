use std::{process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use crate::{TestResult, binary};

/// Runs the example `replicas` with `arguments`; what it prints.
///
/// # Errors
/// When it says that something was lost, or does not end within two minutes.
pub async fn replicas(arguments: &[&str]) -> TestResult<String> {
    let program = tokio::task::spawn_blocking(|| binary::example("replicas")).await??;
    let run = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let run = timeout(LONGEST_RUN, run).await;
    let output = run.map_err(|_late| format!("still running after {LONGEST_RUN:?}"))??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {said}{errors}", output.status).into())
}

const LONGEST_RUN: Duration = Duration::from_secs(120);

#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::borrow::Cow;
use std::io::{self, BufReader};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::failures::Failures;

/// One line of the final table.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) action: Action,
}

#[derive(Debug)]
pub(crate) enum Action {
    Run(Command),
    /// Runs tests: what failed is told again at the end.
    Test(Command),
    /// Named in `LATCHKEY_SKIP`.
    Skip,
    /// Cannot be done here or was not asked for, and why.
    LeaveOut(String),
}

impl Step {
    pub(crate) fn new(name: impl Into<String>, action: Action) -> Self {
        let name = name.into();
        Self { name, action }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped,
    LeftOut(String),
    NotRun,
}

#[derive(Debug)]
struct Row {
    name: String,
    outcome: Outcome,
    took: Duration,
    failures: Failures,
}

/// Runs the steps in order and prints what became of each; `true` if none failed.
///
/// Ends at the first failure, so that its output stands last, unless it is to keep going.
pub(crate) fn run(steps: Vec<Step>, keep_going: bool) -> bool {
    let mut rows: Vec<Row> = Vec::new();
    for Step { name, action } in steps {
        let failed = rows.iter().any(|row| row.outcome == Outcome::Failed);
        let row = match action {
            Action::Skip => Row::not_executed(name, Outcome::Skipped),
            Action::LeaveOut(reason) => Row::not_executed(name, Outcome::LeftOut(reason)),
            Action::Run(_) | Action::Test(_) if failed && !keep_going => {
                Row::not_executed(name, Outcome::NotRun)
            }
            Action::Run(command) => execute(name, command, run_command),
            Action::Test(command) => execute(name, command, run_tests),
        };
        if let Outcome::Skipped | Outcome::LeftOut(_) = &row.outcome {
            println!("\n== {}: {}", row.name, describe(&row.outcome));
        }
        rows.push(row);
    }
    for row in rows
        .iter()
        .filter(|row| row.failures != Failures::default())
    {
        print!("\n== {}, again: {}", row.name, row.failures.text());
    }
    print!("{}", table(&rows));
    rows.iter().all(|row| row.outcome != Outcome::Failed)
}

impl Row {
    fn not_executed(name: String, outcome: Outcome) -> Self {
        Self {
            name,
            outcome,
            took: Duration::ZERO,
            failures: Failures::default(),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "steps are timed on the real clock"
)]
fn execute(
    name: String,
    command: Command,
    run: fn(Command) -> io::Result<(ExitStatus, Failures)>,
) -> Row {
    println!("\n== {name}: {}", line(&command));
    let start = Instant::now();
    let ended = run(command);
    let took = start.elapsed();
    let (outcome, failures) = match ended {
        Ok((status, failures)) if status.success() => (Outcome::Passed, failures),
        Ok((status, failures)) => {
            println!("== {name}: failed, {status}");
            (Outcome::Failed, failures)
        }
        Err(error) => {
            println!("== {name}: not started, {error}");
            (Outcome::Failed, Failures::default())
        }
    };
    Row {
        name,
        outcome,
        took,
        failures,
    }
}

fn run_command(mut command: Command) -> io::Result<(ExitStatus, Failures)> {
    Ok((command.status()?, Failures::default()))
}

fn run_tests(mut command: Command) -> io::Result<(ExitStatus, Failures)> {
    let mut process = command.stdout(Stdio::piped()).spawn()?;
    let failures = match process.stdout.take() {
        Some(output) => Failures::copy(BufReader::new(output), io::stdout())?,
        None => Failures::default(),
    };
    Ok((process.wait()?, failures))
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let mut words: Vec<String> = Vec::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            let (key, value) = (key.to_string_lossy(), quoted(value.to_string_lossy()));
            words.push(format!("{key}={value}"));
        }
    }
    let program = command.get_program().to_string_lossy();
    words.push(program.rsplit('/').next().unwrap_or(&program).to_owned());
    let arguments = command
        .get_args()
        .map(|word| quoted(word.to_string_lossy()));
    words.extend(arguments.map(Cow::into_owned));
    words.join(" ")
}

fn quoted(word: Cow<'_, str>) -> Cow<'_, str> {
    if word.is_empty() || word.contains([' ', '*']) {
        format!("'{word}'").into()
    } else {
        word
    }
}

fn table(rows: &[Row]) -> String {
    let names = rows.iter().map(|row| row.name.len());
    let width = names.max().unwrap_or_default().max("total".len());
    let line = |name: &str, took: Duration, result: &str| {
        format!("{name:width$}  {:>7.1}  {result}\n", took.as_secs_f64())
    };
    let mut text = format!("\n{:width$}  seconds  result\n", "step");
    for row in rows {
        text += &line(&row.name, row.took, &describe(&row.outcome));
    }
    text + &line(
        "total",
        rows.iter().map(|row| row.took).sum(),
        &counts(rows),
    )
}

fn counts(rows: &[Row]) -> String {
    let [mut ok, mut failed, mut skipped, mut left_out, mut not_run] = [0; 5];
    for row in rows {
        *match row.outcome {
            Outcome::Passed => &mut ok,
            Outcome::Failed => &mut failed,
            Outcome::Skipped => &mut skipped,
            Outcome::LeftOut(_) => &mut left_out,
            Outcome::NotRun => &mut not_run,
        } += 1;
    }
    format!("{ok} ok, {failed} failed, {skipped} skipped, {left_out} left out, {not_run} not run")
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed => "ok".to_owned(),
        Outcome::Failed => "FAILED".to_owned(),
        Outcome::Skipped => "skipped by LATCHKEY_SKIP".to_owned(),
        Outcome::LeftOut(reason) => format!("left out: {reason}"),
        Outcome::NotRun => "not run".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, program: &str) -> Step {
        Step::new(name, Action::Run(Command::new(program)))
    }

    #[test]
    fn a_skipped_or_left_out_step_is_no_failure() {
        let steps = vec![
            step("good", "true"),
            Step::new("skipped", Action::Skip),
            Step::new("left out", Action::LeaveOut("not here".to_owned())),
        ];
        assert!(run(steps, false));
    }

    #[test]
    fn a_failure_or_a_missing_program_fails_the_whole() {
        assert!(!run(vec![step("bad", "false"), step("good", "true")], true));
        assert!(!run(vec![step("missing", "/nonexistent/program")], true));
    }

    #[test]
    fn after_a_failure_nothing_runs_unless_it_keeps_going() {
        let folder = std::env::temp_dir().join(format!("latchkey-xtask-{}", std::process::id()));
        for (keep_going, ran) in [(false, false), (true, true)] {
            let mut mark = Command::new("mkdir");
            mark.arg(&folder);
            run(
                vec![step("bad", "false"), Step::new("mark", Action::Run(mark))],
                keep_going,
            );
            assert_eq!(std::fs::remove_dir(&folder).is_ok(), ran);
        }
    }

    #[test]
    fn the_table_counts_every_outcome() {
        let outcomes = [
            Outcome::Passed,
            Outcome::Passed,
            Outcome::Failed,
            Outcome::Skipped,
            Outcome::LeftOut("no daemon".to_owned()),
            Outcome::NotRun,
        ];
        let rows = outcomes.map(|outcome| Row {
            name: "step".to_owned(),
            outcome,
            took: Duration::from_millis(1500),
            failures: Failures::default(),
        });
        let text = table(&rows);
        assert!(text.contains("left out: no daemon"), "{text}");
        let last = "total      9.0  2 ok, 1 failed, 1 skipped, 1 left out, 1 not run\n";
        assert!(text.ends_with(last), "{text}");
    }

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/toolchain/bin/cargo");
        command
            .args(["bench", "--bench", "*"])
            .env("RUSTDOCFLAGS", "-D warnings")
            .env_remove("LATCHKEY_SKIP");
        assert_eq!(
            line(&command),
            "RUSTDOCFLAGS='-D warnings' cargo bench --bench '*'"
        );
    }
}

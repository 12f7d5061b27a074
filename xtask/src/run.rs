#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::borrow::Cow;
use std::process::Command;
use std::time::{Duration, Instant};

/// One line of the final table.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) action: Action,
}

#[derive(Debug)]
pub(crate) enum Action {
    Run(Command),
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
}

/// Runs the steps in order and prints what became of each; `true` if none failed.
///
/// Ends at the first failure, so that its output stands last, unless it is to keep going.
pub(crate) fn run(steps: Vec<Step>, keep_going: bool) -> bool {
    let mut rows: Vec<Row> = Vec::new();
    for Step { name, action } in steps {
        let failed = rows.iter().any(|row| row.outcome == Outcome::Failed);
        let (outcome, took) = match action {
            Action::Skip => (Outcome::Skipped, Duration::ZERO),
            Action::LeaveOut(reason) => (Outcome::LeftOut(reason), Duration::ZERO),
            Action::Run(_) if failed && !keep_going => (Outcome::NotRun, Duration::ZERO),
            Action::Run(command) => execute(&name, command),
        };
        if let Outcome::Skipped | Outcome::LeftOut(_) = &outcome {
            println!("\n== {name}: {}", describe(&outcome));
        }
        rows.push(Row {
            name,
            outcome,
            took,
        });
    }
    print!("{}", table(&rows));
    rows.iter().all(|row| row.outcome != Outcome::Failed)
}

#[expect(
    clippy::disallowed_methods,
    reason = "steps are timed on the real clock"
)]
fn execute(name: &str, mut command: Command) -> (Outcome, Duration) {
    println!("\n== {name}: {}", line(&command));
    let start = Instant::now();
    let status = command.status();
    let took = start.elapsed();
    let outcome = match status {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(status) => {
            println!("== {name}: failed, {status}");
            Outcome::Failed
        }
        Err(error) => {
            println!("== {name}: not started, {error}");
            Outcome::Failed
        }
    };
    (outcome, took)
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

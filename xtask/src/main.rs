//! The project's own commands; `cargo xtask` alone lists them.

mod bench; // the benchmarks
mod cargo; // cargo, run at the root of the workspace
mod checks; // what `test` consists of
mod failures; // what failing tests said, to be told again at the end
mod run; // runs steps in order, times and counts them
mod setup; // what must be on the machine before anything runs
mod skip; // the parts left out on request

use std::env;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  test [--quick] [--keep-going]   set up what is missing, then format, lints, docs and all tests
                                  --quick: one clippy run, one kind of server
                                  --keep-going: run the other steps after one failed
  bench [--short]                 the benchmarks; --short only finds broken ones
  doc                             the documentation of every crate of the workspace

LATCHKEY_SKIP=a,b leaves out parts of `test`: format clippy doc processes containers
                  postgresql foreign-clients browser deny";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match perform(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::from(2)
        }
    }
}

/// Whether all went well; `Err` when nothing could be run at all.
fn perform(words: &[String]) -> Result<bool, String> {
    let Some((command, flags)) = words.split_first() else {
        return Err(USAGE.to_owned());
    };
    match command.as_str() {
        "test" => {
            let [quick, keep_going] = switches(["--quick", "--keep-going"], flags)?;
            checks::run(quick, keep_going)
        }
        "bench" => {
            let [short] = switches(["--short"], flags)?;
            bench::run(short)
        }
        "doc" => {
            let [] = switches([], flags)?;
            checks::doc()
        }
        _ => Err(format!("unknown command {command}\n\n{USAGE}")),
    }
}

/// Which of the known switches are given.
fn switches<const N: usize>(known: [&str; N], given: &[String]) -> Result<[bool; N], String> {
    if let Some(unknown) = given.iter().find(|flag| !known.contains(&flag.as_str())) {
        return Err(format!("unknown argument {unknown}\n\n{USAGE}"));
    }
    Ok(known.map(|flag| given.iter().any(|word| word == flag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn switches_are_found_in_any_order() {
        let known = ["--quick", "--keep-going"];
        assert_eq!(switches(known, &words("--keep-going")), Ok([false, true]));
        assert_eq!(
            switches(known, &words("--keep-going --quick")),
            Ok([true, true])
        );
    }

    #[test]
    fn unknown_words_are_errors_that_name_them() {
        for line in ["tset", "test --fast", "bench --quick", "doc --short"] {
            let message = perform(&words(line)).expect_err(line);
            let last = line.split(' ').next_back().unwrap();
            assert!(message.contains(last), "{message}");
        }
    }
}

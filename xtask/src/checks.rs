#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::cargo::{cargo, target_dir};
use crate::run::{self, Action, Step};
use crate::setup;
use crate::skip::{Part, SkipList};

/// Crates that must also be clean without their features.
const BARE: [&str; 8] = [
    "session-lock",
    "session-core",
    "session-redis",
    "session-postgres",
    "session-cookie",
    "session-web",
    "session-testkit",
    "latchkey",
];

/// `cargo xtask test`.
pub(crate) fn run(quick: bool, keep_going: bool) -> Result<bool, String> {
    let skip = SkipList::from_env()?;
    setup::rust_components()?;
    setup::c_compiler()?;
    if !skip.contains(Part::Processes) {
        setup::redis_server()?;
    }
    if !skip.contains(Part::Postgresql) {
        setup::postgresql()?;
    }
    if !skip.contains(Part::ForeignClients) {
        setup::python()?;
    }
    if !skip.contains(Part::Browser) {
        setup::browser()?;
    }
    let machine = Machine {
        docker: setup::docker(),
        cargo_deny: setup::cargo_deny(),
        advisories: advisories(),
    };
    Ok(run::run(steps(quick, &skip, &machine), keep_going))
}

/// `cargo xtask doc`.
pub(crate) fn doc() -> Result<bool, String> {
    let passed = run::run(vec![Step::new("doc", Action::Run(rustdoc()))], false);
    if passed {
        let index = target_dir().join("doc/latchkey/index.html");
        println!("{}", index.display());
    }
    Ok(passed)
}

/// What the machine has beside the toolchain; `Err` says in one line why not.
struct Machine {
    docker: Result<(), String>,
    cargo_deny: Result<(), String>,
    advisories: bool,
}

// All features come first: that build is the largest, and the tests use it again.
fn steps(quick: bool, skip: &SkipList, machine: &Machine) -> Vec<Step> {
    let unless_skipped = |part, action| {
        if skip.contains(part) {
            Action::Skip
        } else {
            action
        }
    };
    let cargo_unless_skipped = |part, words: &str| unless_skipped(part, Action::Run(cargo(words)));

    let mut steps = vec![
        Step::new(
            "format",
            cargo_unless_skipped(Part::Format, "fmt --all --check"),
        ),
        Step::new(
            "clippy, all features",
            cargo_unless_skipped(Part::Clippy, CLIPPY_ALL),
        ),
        Step::new("doc", unless_skipped(Part::Doc, Action::Run(rustdoc()))),
    ];
    steps.extend(tests(quick, skip, &machine.docker));
    if !quick {
        steps.push(Step::new(
            "clippy, default features",
            cargo_unless_skipped(Part::Clippy, CLIPPY_DEFAULT),
        ));
        // One crate at a time: crates built together lend each other their features.
        // Libraries only: the dev-dependencies of tests would do the same.
        for package in BARE {
            let words = format!("clippy --package {package} --no-default-features -- -D warnings");
            let name = format!("clippy, {package} bare");
            steps.push(Step::new(name, cargo_unless_skipped(Part::Clippy, &words)));
        }
    }
    let deny = match &machine.cargo_deny {
        Ok(()) => Action::Run(deny(machine.advisories)),
        Err(reason) => Action::LeaveOut(reason.clone()),
    };
    steps.push(Step::new("deny", unless_skipped(Part::Deny, deny)));
    steps
}

const CLIPPY_ALL: &str = "clippy --workspace --all-targets --all-features -- -D warnings";
const CLIPPY_DEFAULT: &str = "clippy --workspace --all-targets -- -D warnings";

fn rustdoc() -> Command {
    let mut command = cargo("doc --no-deps --workspace --all-features");
    command.env("RUSTDOCFLAGS", "-D warnings");
    command
}

/// Everything once, then what is not a doctest again with the other kind of server.
///
/// The second run selects the same packages, though not all have tests with servers: another selection would unify other
/// features, and building those takes longer than running the rest.
fn tests(quick: bool, skip: &SkipList, docker: &Result<(), String>) -> Vec<Step> {
    let mut everything_ran = false;
    let mut steps = Vec::new();
    for kind in [Part::Processes, Part::Containers] {
        let action = if skip.contains(kind) {
            Action::Skip
        } else if quick && everything_ran {
            Action::LeaveOut("--quick runs one kind of server".to_owned())
        } else if let (Part::Containers, Err(reason)) = (kind, docker) {
            Action::LeaveOut(reason.clone())
        } else {
            let mut command = cargo_test(skip, everything_ran);
            command.env("LATCHKEY_TEST_SERVERS", kind.name());
            everything_ran = true;
            Action::Test(command)
        };
        steps.push(Step::new(format!("tests, {}", kind.name()), action));
    }
    for (part, name) in [
        (Part::Postgresql, "tests, PostgreSQL"),
        (Part::ForeignClients, "tests, foreign clients"),
        (Part::Browser, "tests, browser"),
    ] {
        if skip.contains(part) {
            steps.push(Step::new(name, Action::Skip));
        }
    }
    if !everything_ran {
        // Neither kind: the fixtures count what they leave out, or use LATCHKEY_TEST_REDIS_URL.
        steps.push(Step::new("tests", Action::Test(cargo_test(skip, false))));
    }
    steps
}

/// What takes long and shows nothing new with another kind of server: it uses none, or differs in what is stored alone.
const ONCE: [&str; 24] = [
    "broken::",
    "chaos::",
    "browser::",
    "web::",
    "model::",
    "memory_store",
    "in_memory",
    "composed",
    "simulation::",
    "schedules::",
    "sealed_json_on_one_redis",
    "over_a_pool",
    "on_a_cluster",
    "cluster::",
    "sentinel::",
    "topologies::",
    "noting_its_writes",
    "written_through",
    "locked_by_",
    "on_postgresql",
    "as_bytes",
    "as_json",
    "foreign::",
    "write_through::",
];

// Most tests wait for time to pass: more of them at once than there are cores.
const TEST_THREADS: &str = "6";

fn cargo_test(skip: &SkipList, again: bool) -> Command {
    let mut command = cargo("test --workspace --all-features --no-fail-fast");
    if env::var_os("RUST_TEST_THREADS").is_none() {
        command.env("RUST_TEST_THREADS", TEST_THREADS);
    }
    if again {
        command.args(["--tests", "--"]);
        for once in ONCE {
            command.args(["--skip", once]);
        }
    }
    match skip.fixtures() {
        none if none.is_empty() => command.env_remove(SkipList::VARIABLE),
        parts => command.env(SkipList::VARIABLE, parts),
    };
    command
}

/// Only the check of advisories needs data from elsewhere; it is made if that data is here.
fn deny(advisories: bool) -> Command {
    let mut command = cargo("deny --offline check bans licenses sources");
    if advisories {
        command.arg("advisories");
    }
    command
}

fn advisories() -> bool {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    home.is_some_and(|home| home.join("advisory-dbs").is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_DOCKER: &str = "no Docker daemon answers (connection refused)";

    fn plan(quick: bool, skip: &str, docker: bool) -> Vec<Step> {
        let machine = Machine {
            docker: if docker {
                Ok(())
            } else {
                Err(NO_DOCKER.to_owned())
            },
            cargo_deny: Ok(()),
            advisories: false,
        };
        steps(quick, &SkipList::parse(skip).unwrap(), &machine)
    }

    /// What becomes of the steps whose names begin so: the arguments, or why there are none.
    fn actions(steps: &[Step], prefix: &str) -> Vec<String> {
        let wanted = steps.iter().filter(|step| step.name.starts_with(prefix));
        let shown = wanted.map(|step| match &step.action {
            Action::Run(command) | Action::Test(command) => format!("{command:?}"),
            Action::Skip => "skip".to_owned(),
            Action::LeaveOut(reason) => reason.clone(),
        });
        shown.collect()
    }

    #[test]
    fn tests_run_with_both_kinds_of_server_and_doctests_once() {
        let runs = actions(&plan(false, "", true), "tests");
        let [processes, containers] = &runs[..] else {
            panic!("{runs:?}")
        };
        assert!(
            processes.contains("LATCHKEY_TEST_SERVERS=\"processes\""),
            "{processes}"
        );
        assert!(!processes.contains("--tests"), "{processes}");
        assert!(
            containers.contains("LATCHKEY_TEST_SERVERS=\"containers\""),
            "{containers}"
        );
        assert!(containers.contains("--tests"), "{containers}");
    }

    #[test]
    fn without_docker_containers_are_left_out_with_the_reason() {
        let runs = actions(&plan(false, "", false), "tests");
        assert_eq!(runs[1], NO_DOCKER);
    }

    #[test]
    fn whatever_is_skipped_everything_is_tested_once() {
        for (skip, docker) in [
            ("processes", true),
            ("processes", false),
            ("containers", true),
            ("processes,containers", true),
        ] {
            let runs = actions(&plan(false, skip, docker), "tests");
            let full = runs
                .iter()
                .filter(|run| run.contains("test") && !run.contains("--tests"));
            assert_eq!(full.count(), 1, "{skip}: {runs:?}");
        }
    }

    #[test]
    fn every_part_that_is_skipped_is_counted_and_not_run() {
        for (part, prefix) in [
            ("format", "format"),
            ("clippy", "clippy"),
            ("doc", "doc"),
            ("postgresql", "tests, PostgreSQL"),
            ("foreign-clients", "tests, foreign"),
            ("browser", "tests, browser"),
            ("deny", "deny"),
        ] {
            let runs = actions(&plan(false, part, true), prefix);
            assert!(!runs.is_empty(), "{part}");
            assert!(runs.iter().all(|run| run == "skip"), "{part}: {runs:?}");
        }
    }

    #[test]
    fn quick_runs_one_clippy_and_one_kind_of_server() {
        let steps = plan(true, "", true);
        assert_eq!(actions(&steps, "clippy").len(), 1);
        assert_eq!(
            actions(&steps, "tests")[1],
            "--quick runs one kind of server"
        );
    }
}

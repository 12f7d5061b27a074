use crate::cargo::cargo;
use crate::run::{self, Action, Step};
use crate::setup;

/// `cargo xtask bench`.
///
/// The short form measures each benchmark just long enough to find one that is broken, and keeps
/// no numbers: they would be compared with real ones later.
pub(crate) fn run(short: bool) -> Result<bool, String> {
    setup::redis_server()?;
    // `--bench *` leaves out the library, whose test harness does not know criterion's arguments.
    let mut command = cargo("bench --package latchkey-benches --bench * --");
    if short {
        command.args(["--quick", "--noplot", "--discard-baseline"]);
    }
    command.env("LATCHKEY_TEST_SERVERS", "processes");
    Ok(run::run(
        vec![Step::new("benchmarks", Action::Run(command))],
        false,
    ))
}

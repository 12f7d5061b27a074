use crate::cargo::cargo;
use crate::run::{self, Action, Step};
use crate::setup;

/// `cargo xtask bench`.
///
/// The short form runs each benchmark just long enough to find one that is broken. It keeps no
/// numbers, so it takes the build of the tests, which is there already, instead of an optimised one.
pub(crate) fn run(short: bool) -> Result<bool, String> {
    setup::redis_server()?;
    // `--bench *` leaves out the libraries, whose test harness does not know criterion's arguments.
    let words = if short {
        "bench --workspace --all-features --profile dev --bench * -- --quick --noplot --discard-baseline"
    } else {
        "bench --package latchkey-benches --bench *"
    };
    let mut command = cargo(words);
    command.env("LATCHKEY_TEST_SERVERS", "processes");
    let name = if short {
        "benchmarks, short"
    } else {
        "benchmarks"
    };
    Ok(run::run(vec![Step::new(name, Action::Run(command))], false))
}

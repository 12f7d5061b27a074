use std::path::Path;
use std::process::Command;

use crate::cargo::{cargo, root};
use crate::run::{self, Action, Step};
use crate::setup;

/// `cargo xtask bench`.
pub(crate) fn run(short: bool) -> Result<bool, String> {
    setup::redis_server()?;
    let steps = if short {
        vec![step("benchmarks, short", cargo(SHORT))]
    } else {
        let plots = root().join("docs/benchmarks").join(setup::today()?);
        all(&plots, setup::bench_python().as_deref())
    };
    Ok(run::run(steps, false))
}

/// Each benchmark just long enough to find one that is broken. It keeps no numbers, so it takes the build of the tests, which
/// is there already, instead of an optimised one.
///
/// `--bench *` leaves out the libraries, whose test harness does not know criterion's arguments.
const SHORT: &str = "bench --workspace --all-features --profile dev --bench * -- --quick --noplot --discard-baseline";

fn all(plots: &Path, python: Option<&Path>) -> Vec<Step> {
    let package = "bench --package latchkey-benches";
    let few = "--bench sessions --bench locks --bench ratios --bench memory";
    let mut plotted = cargo(&format!("{package} --bench reads --bench growth --"));
    plotted.arg("--plots").arg(plots);
    let peers = "run --release --locked --manifest-path benches/peers/Cargo.toml --";
    let mut peers = cargo(peers);
    peers.arg("--plots").arg(plots);
    if let Some(python) = python {
        peers.arg("--python").arg(python);
    }
    vec![
        step("benchmarks", cargo(&format!("{package} {few}"))),
        step("benchmarks, with plots", plotted),
        step("beside other libraries", peers),
    ]
}

fn step(name: &str, mut command: Command) -> Step {
    command.env("LATCHKEY_TEST_SERVERS", "processes");
    Step::new(name, Action::Run(command))
}

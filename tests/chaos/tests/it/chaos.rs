use std::{env, time::Duration};

use latchkey_chaos::{ChaosResult, Options, Topology, run};

/// How long faults happen; `LATCHKEY_CHAOS_SECONDS` says another time, `LATCHKEY_CHAOS_SEED` another seed.
const SECONDS: u64 = 60;
const SEED: u64 = 20_261_122;

fn number(variable: &str, default: u64) -> ChaosResult<u64> {
    match env::var(variable) {
        Ok(number) => Ok(number.parse()?),
        Err(_) => Ok(default),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_redis_nothing_is_lost_and_no_promise_is_broken_whatever_fails() -> ChaosResult {
    let span = Duration::from_secs(number("LATCHKEY_CHAOS_SECONDS", SECONDS)?);
    let seed = number("LATCHKEY_CHAOS_SEED", SEED)?;
    let program = (env!("CARGO_BIN_EXE_chaos_worker").into(), Vec::new());
    let report = run(&Options::new(Topology::Single, span, seed, program), |_| {}).await?;
    assert!(report.is_good(), "{report}");
    assert_eq!(report.lost, 0);
    // Something happened at all, on a slow machine too.
    assert!(report.operations.written > 100, "{report}");
    Ok(())
}

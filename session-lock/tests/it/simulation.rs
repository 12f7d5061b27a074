//! The whole lock in seeded schedules: clients whose clocks drift and who are paused and cut off, over a network that
//! loses, delays and doubles messages, on nodes that go down and forget.
//!
//! All chance follows from one seed, and time is virtual. `LATCHKEY_SIM_SEEDS=100000` goes through more seeds;
//! `LATCHKEY_SIM_SEED=7` goes through that one and prints its trace:
//! `LATCHKEY_SIM_SEED=7 cargo test -p session-lock --test it simulation::no_schedule -- --nocapture`

mod chance; // numbers that follow from a seed
mod check; // what must not be
mod client; // who takes locks
mod network; // servers, and the way to them
mod time; // clocks that drift
mod world; // one schedule

use std::str::FromStr;

/// What is wrong with the nodes, so that the simulation has something to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    Nothing,
    /// A lock is freed whoever holds it.
    ReleaseOfOthers,
    /// The fence stays where it is, but the answer is yes.
    RaiseSaysYes,
    /// A node that has lost its data counts at once.
    MarkerSurvives,
}

const SEEDS: u64 = 2_000;

#[test]
fn no_schedule_breaks_the_lock() {
    if let Some(seed) = setting("LATCHKEY_SIM_SEED") {
        let outcome = world::run(seed, Sabotage::Nothing, true);
        for line in &outcome.trace {
            println!("{line}");
        }
        assert_eq!(outcome.violations, [""; 0], "seed {seed}");
        return;
    }
    let seeds = setting("LATCHKEY_SIM_SEEDS").unwrap_or(SEEDS);
    let mut grants = 0;
    for seed in 0..seeds {
        let outcome = world::run(seed, Sabotage::Nothing, false);
        assert!(
            outcome.violations.is_empty(),
            "{:#?}\nto see it again: LATCHKEY_SIM_SEED={seed} cargo test -p session-lock --test it \
             simulation::no_schedule -- --nocapture",
            outcome.violations
        );
        grants += outcome.grants;
    }
    println!("{seeds} seeds, {grants} grants");
    // A network in which nobody gets a lock would show nothing.
    assert!(grants as u64 > 4 * seeds, "only {grants} grants");
}

#[test]
fn a_seed_always_gives_the_same_schedule() {
    for seed in 0..50 {
        let (first, again) = (traced(seed), traced(seed));
        assert!(first.trace.len() > 50);
        for (line, (one, other)) in first.trace.iter().zip(&again.trace).enumerate() {
            assert_eq!(one, other, "seed {seed}, line {line}");
        }
        assert_eq!(first.trace.len(), again.trace.len(), "seed {seed}");
    }
}

#[test]
fn releasing_what_others_hold_is_found() {
    assert_found(Sabotage::ReleaseOfOthers, "several holders");
}

#[test]
fn a_fence_that_is_not_raised_is_found() {
    assert_found(Sabotage::RaiseSaysYes, "came after");
}

#[test]
fn a_node_that_counts_without_its_data_is_found() {
    assert_found(Sabotage::MarkerSurvives, "several holders");
}

fn traced(seed: u64) -> check::Outcome {
    world::run(seed, Sabotage::Nothing, true)
}

fn assert_found(sabotage: Sabotage, violation: &str) {
    let shows = |seed| {
        let outcome = world::run(seed, sabotage, false);
        outcome
            .violations
            .iter()
            .any(|found| found.contains(violation))
    };
    let found = (0..SEEDS).any(shows);
    assert!(found, "{SEEDS} seeds do not find {sabotage:?}");
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    let value = text.parse().ok();
    assert!(value.is_some(), "{name} has to be a number, not {text:?}");
    value
}

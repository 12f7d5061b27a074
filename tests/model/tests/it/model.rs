//! What the lock over several nodes promises holds in every state of its protocol; without each of its precautions it does
//! not.
//!
//! `LATCHKEY_MODEL_WALKS=1000000` goes more ways by chance; `LATCHKEY_MODEL_SEED=7` goes that one.

use std::{env, ops::Range, str::FromStr as _};

use latchkey_model::{
    Counted, Expiry, Floor, Promise, Report, Rules, Sabotage, counterexample, exhaustive, walk,
};

fn assert_holds(report: &Report) {
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
    // Where nobody gets the lock, everything is kept.
    assert!(report.granted && report.granted_again);
}

#[test]
fn there_is_one_holder_and_tokens_grow() {
    let rules = Rules {
        expiry: Expiry::where_validity_is(Counted::FromSending),
        extensions: 1,
        ..Rules::PLAIN
    };
    assert_eq!(rules.expiry, Expiry::AfterValidity);
    assert_holds(&exhaustive::<3, 3>(Rules {
        first_fences: 2,
        ..rules
    }));
    assert_holds(&exhaustive::<3, 3>(Rules { copies: 1, ..rules }));
}

// Of four nodes, two are no quorum.
#[test]
fn an_even_number_of_nodes_keeps_the_promises_too() {
    let rules = Rules {
        extensions: 1,
        losses: 1,
        ..Rules::PLAIN
    };
    assert_holds(&exhaustive::<4, 2>(rules));
}

#[test]
fn tokens_grow_also_where_locks_vanish_at_any_step() {
    assert_holds(&exhaustive::<3, 2>(Rules {
        first_fences: 1,
        copies: 1,
        ..TOKENS_ONLY
    }));
}

#[test]
fn nodes_may_lose_their_data_with_marker_and_clock() {
    let rules = Rules {
        floor: Floor::Clock,
        extensions: 1,
        ..Rules::PLAIN
    };
    assert_holds(&exhaustive::<3, 3>(Rules { losses: 1, ..rules }));
    assert_holds(&exhaustive::<3, 2>(Rules {
        losses: 2,
        copies: 1,
        ..rules
    }));
}

#[test]
fn nodes_may_lose_their_data_with_marker_and_the_floor_of_others() {
    let rules = Rules {
        floor: Floor::Others,
        extensions: 1,
        ..Rules::PLAIN
    };
    assert_holds(&exhaustive::<3, 3>(Rules { losses: 1, ..rules }));
    assert_holds(&exhaustive::<3, 2>(Rules {
        losses: 2,
        copies: 1,
        ..rules
    }));
}

const TOKENS_ONLY: Rules = Rules {
    expiry: Expiry::AnyTime,
    one_holder: false,
    ..Rules::PLAIN
};

#[test]
fn validity_measured_from_the_reply_is_found() {
    let rules = Rules {
        expiry: Expiry::where_validity_is(Counted::FromReply),
        ..Rules::PLAIN
    };
    counterexample::<3, 2>(rules, Promise::OneHolder).unwrap();
}

#[test]
fn an_extension_that_counts_where_the_lock_is_gone_is_found() {
    let rules = Rules {
        extensions: 1,
        ..without(Sabotage::ExtensionOfNothing)
    };
    counterexample::<3, 2>(rules, Promise::OneHolder).unwrap();
}

#[test]
fn releasing_what_others_hold_is_found() {
    counterexample::<3, 3>(without(Sabotage::ReleaseOfOthers), Promise::OneHolder).unwrap();
}

#[test]
fn the_naive_maximum_is_found() {
    let rules = Rules {
        first_fences: 1,
        ..without(Sabotage::NaiveMaximum)
    };
    counterexample::<3, 2>(rules, Promise::TokensGrow).unwrap();
}

// What follows needs locks that vanish before their time.
#[test]
fn raising_without_looking_at_the_owner_is_found() {
    let rules = Rules {
        sabotage: Sabotage::RaiseForAnybody,
        first_fences: 1,
        ..TOKENS_ONLY
    };
    counterexample::<3, 2>(rules, Promise::TokensAreUnique).unwrap();
}

#[test]
fn a_yes_from_a_node_whose_fence_is_above_the_token_is_found() {
    let rules = Rules {
        sabotage: Sabotage::RaiseSaysYes,
        first_fences: 1,
        copies: 1,
        ..TOKENS_ONLY
    };
    counterexample::<3, 2>(rules, Promise::TokensAreUnique).unwrap();
}

#[test]
fn a_fence_above_the_token_that_counts_as_standing_at_it_is_found() {
    let rules = Rules {
        sabotage: Sabotage::StandsAbove,
        first_fences: 1,
        ..TOKENS_ONLY
    };
    counterexample::<3, 2>(rules, Promise::TokensAreUnique).unwrap();
}

#[test]
fn a_loss_of_data_without_marker_is_found() {
    let rules = Rules {
        losses: 1,
        ..without(Sabotage::NoMarker)
    };
    counterexample::<3, 2>(rules, Promise::OneHolder).unwrap();
}

#[test]
fn a_loss_of_data_without_floor_is_found() {
    let rules = Rules {
        losses: 1,
        ..without(Sabotage::NoFloor)
    };
    counterexample::<3, 2>(rules, Promise::TokensGrow).unwrap();
}

#[test]
fn a_floor_from_before_the_last_loss_is_found() {
    let rules = Rules {
        losses: 2,
        copies: 1,
        floor: Floor::Others,
        ..without(Sabotage::StaleFloor)
    };
    counterexample::<3, 2>(rules, Promise::TokensGrow).unwrap();
}

fn without(precaution: Sabotage) -> Rules {
    Rules {
        sabotage: precaution,
        ..Rules::PLAIN
    }
}

#[test]
fn no_walk_breaks_the_lock() {
    assert_walks_hold(FAR);
}

#[test]
fn no_walk_breaks_the_lock_with_the_floor_of_others() {
    assert_walks_hold(Rules {
        floor: Floor::Others,
        ..FAR
    });
}

#[test]
fn no_walk_on_which_locks_vanish_breaks_tokens() {
    assert_walks_hold(FAR_TOKENS_ONLY);
}

#[test]
fn walks_find_what_is_wrong() {
    for (sabotage, promise) in [
        (Sabotage::NaiveMaximum, Promise::TokensGrow),
        (Sabotage::NoMarker, Promise::OneHolder),
        (Sabotage::NoFloor, Promise::TokensGrow),
    ] {
        assert_walks_find(Rules { sabotage, ..FAR }, promise);
    }
    for sabotage in [Sabotage::RaiseForAnybody, Sabotage::StandsAbove] {
        let rules = Rules {
            sabotage,
            ..FAR_TOKENS_ONLY
        };
        assert_walks_find(rules, Promise::TokensAreUnique);
    }
}

const FAR: Rules = Rules {
    clients: 3,
    first_fences: 2,
    retries_above: true,
    copies: 3,
    extensions: 2,
    losses: 3,
    ..Rules::PLAIN
};

const FAR_TOKENS_ONLY: Rules = Rules {
    expiry: Expiry::AnyTime,
    one_holder: false,
    losses: 0,
    ..FAR
};

const WALKS: u64 = 4000;

fn assert_walks_hold(rules: Rules) {
    let mut granted_again = 0;
    for seed in seeds() {
        let report = walk::<5, 8>(rules, seed);
        let broken = &report.broken;
        assert!(
            broken.is_empty(),
            "{rules:?} {broken:#?}\nto see it again: LATCHKEY_MODEL_SEED={seed} cargo test -p latchkey-model walk"
        );
        granted_again += u64::from(report.granted_again);
    }
    let walks = seeds().end - seeds().start;
    assert!(
        walks == 1 || granted_again * 200 > walks,
        "only {granted_again}"
    );
}

fn assert_walks_find(rules: Rules, promise: Promise) {
    let found = (0..WALKS).any(|seed| {
        let broken = walk::<5, 8>(rules, seed).broken;
        broken.iter().any(|(broken, _)| *broken == promise)
    });
    assert!(found, "{:?} is not found in {WALKS} walks", rules.sabotage);
}

fn seeds() -> Range<u64> {
    match setting("LATCHKEY_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("LATCHKEY_MODEL_WALKS").unwrap_or(WALKS),
    }
}

fn setting(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(
        u64::from_str(&value)
            .unwrap_or_else(|_| panic!("{name} has to be a number, not {value:?}")),
    )
}

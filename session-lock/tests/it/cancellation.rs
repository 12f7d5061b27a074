//! Callers that are cut off at each of their awaits, while each node does something else: no lock is left behind.

use std::time::Duration;

use session_lock::AcquireOptions;
use session_testkit::{Act, Step, cancel_after, settle};

use crate::bench::{MS, Quorum, SECOND, give_fence};

// Short, for each of thousands of runs waits for it.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(250);

const ACTS: [Act; 5] = [
    Act::Ok,
    Act::Fail,
    Act::LoseAnswer,
    // Later than the node timeout, so that releases overtake it.
    Act::Slow(Duration::from_millis(60)),
    Act::Hang,
];

/// What three nodes do, in every combination.
fn combinations() -> impl Iterator<Item = [Act; 3]> {
    ACTS.into_iter().enumerate().flat_map(|(at, first)| {
        let seconds = ACTS[at..].iter().enumerate();
        seconds.flat_map(move |(next, second)| {
            let thirds = ACTS[at + next..].iter();
            thirds.map(move |third| [first, *second, *third])
        })
    })
}

/// Acquires and releases once, cut off after `polls`; whether it came to its end.
async fn use_lock(quorum: &Quorum, polls: usize) -> bool {
    let used = cancel_after(polls, async {
        let options = AcquireOptions::default().wait_at_most(100 * MS);
        if let Ok(lease) = quorum.lock.acquire_with("r", options).await {
            lease.extend().await.ok();
            lease.release().await.ok();
        }
    });
    used.await.is_some()
}

/// Goes through all awaits with the nodes doing these things at one step.
async fn cut_off_everywhere(step: Step, acts: [Act; 3]) {
    for polls in 0.. {
        let quorum = Quorum::with(3, |builder| builder.release_timeout(RELEASE_TIMEOUT));
        // Different fences make a raise necessary.
        give_fence(&quorum.nodes[0], "r", 1 << 51).await;
        for (node, act) in quorum.nodes.iter().zip(acts) {
            node.always(step, act);
        }
        let ticking = quorum.ticking_by(5 * MS);
        let finished = use_lock(&quorum, polls).await;
        drop(ticking);
        quorum.clock.pass(50 * MS, 10 * MS).await;
        quorum.nodes.iter().for_each(|node| node.resume());
        quorum.rest().await;
        // A node that fails at releases holds the lock until its TTL ends; everywhere else nothing is left.
        let failing = acts
            .iter()
            .filter(|act| step == Step::Release && **act == Act::Fail);
        let left = quorum.held("r");
        assert!(
            left <= failing.count(),
            "{left} left: {step:?} {acts:?}, cut off after {polls}"
        );
        if finished {
            assert!(polls > 3, "nothing was cut off");
            return;
        }
    }
}

macro_rules! cut_off_at {
    ($($name:ident: $step:ident),*) => {$(
        #[tokio::test]
        async fn $name() {
            for acts in combinations() {
                cut_off_everywhere(Step::$step, acts).await;
            }
        }
    )*};
}

cut_off_at!(
    nothing_is_left_where_acquiring_is_cut_off: Acquire,
    nothing_is_left_where_raising_is_cut_off: Raise,
    nothing_is_left_where_extending_is_cut_off: Extend,
    nothing_is_left_where_releasing_is_cut_off: Release
);

#[tokio::test]
async fn nothing_is_left_where_waiting_is_cut_off() {
    for polls in 0.. {
        let quorum = Quorum::of(3);
        let theirs = quorum.another().acquire("r").await.unwrap();
        let ticking = quorum.ticking_by(5 * MS);
        let finished = tokio::join!(use_lock(&quorum, polls), async {
            settle().await;
            drop(theirs);
        });
        drop(ticking);
        quorum.rest().await;
        quorum.clock.pass(SECOND, 100 * MS).await;
        assert_eq!(quorum.held("r"), 0);
        if finished.0 {
            return;
        }
    }
}

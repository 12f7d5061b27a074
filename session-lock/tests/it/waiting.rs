//! Waiting for a lock that others hold.

use session_lock::{AcquireError, Clock as _, Redlock, RedlockLease, Resource};
use session_testkit::{Act, Step, settle};
use tokio::task::JoinHandle;

use crate::bench::{MS, NO_TIME, Quorum, SECOND};

fn acquire(lock: &Redlock, name: &'static str) -> JoinHandle<Result<RedlockLease, AcquireError>> {
    let lock = lock.clone();
    tokio::spawn(async move { lock.acquire_timeout(name, 3_000 * SECOND).await })
}

fn attempts(quorum: &Quorum) -> usize {
    let asked = quorum.nodes.iter().map(|node| node.take_asked());
    asked
        .flatten()
        .filter(|step| *step == Step::Acquire)
        .count()
}

#[tokio::test]
async fn a_waiter_is_woken_by_the_release_and_not_by_a_clock() {
    let quorum = Quorum::of(5);
    let theirs = quorum.another().acquire("r").await.unwrap();
    let ours = acquire(&quorum.lock, "r");
    settle().await;
    assert!(!ours.is_finished());
    let released = quorum.clock.now();
    theirs.release().await.unwrap();
    let lease = ours.await.unwrap().unwrap();
    assert_eq!(quorum.since(released), NO_TIME);
    assert_eq!(quorum.held_by(&lease), 5);
}

#[tokio::test]
async fn a_waiter_that_hears_too_few_nodes_tries_a_moment_after_the_first_message() {
    let quorum = Quorum::of(5);
    quorum.nodes[..3]
        .iter()
        .for_each(|node| node.always(Step::Watch, Act::Fail));
    let theirs = quorum.another().acquire("r").await.unwrap();
    let ours = acquire(&quorum.lock, "r");
    settle().await;
    theirs.release().await.unwrap();
    settle().await;
    assert!(!ours.is_finished());
    quorum.clock.pass(MS, MS).await;
    drop(ours.await.unwrap().unwrap());
}

#[tokio::test]
async fn messages_of_too_few_nodes_are_no_reason_to_ask() {
    let quorum = Quorum::of(5);
    let theirs = quorum.another().acquire("r").await.unwrap();
    let ours = acquire(&quorum.lock, "r");
    settle().await;
    attempts(&quorum);
    for node in &quorum.nodes[..2] {
        use session_lock::LockNode as _;
        node.memory()
            .release(&[theirs.held().clone()])
            .await
            .unwrap();
    }
    quorum.clock.pass(SECOND / 2, MS).await;
    assert_eq!(attempts(&quorum), 0);
    drop(theirs);
    let _ticking = quorum.ticking();
    drop(ours.await.unwrap().unwrap());
}

#[tokio::test]
async fn lost_messages_are_made_up_for_by_looking() {
    let quorum = Quorum::of(3);
    quorum
        .nodes
        .iter()
        .for_each(|node| node.always(Step::Watch, Act::Fail));
    let theirs = quorum.another().acquire("r").await.unwrap();
    let ours = acquire(&quorum.lock, "r");
    quorum.clock.pass(10 * SECOND, 10 * MS).await;
    // Every 100 ms or so, and not all the time.
    let asked = attempts(&quorum) / 3;
    assert!((50..250).contains(&asked), "asked {asked} times");
    theirs.release().await.unwrap();
    let released = quorum.clock.now();
    let _ticking = quorum.ticking();
    drop(ours.await.unwrap().unwrap());
    assert!(quorum.since(released) < 200 * MS);
}

#[tokio::test]
async fn a_waiter_that_hears_all_nodes_hardly_asks() {
    let quorum = Quorum::of(3);
    let _theirs = quorum.another().acquire("r").await.unwrap();
    let _ours = acquire(&quorum.lock, "r");
    quorum.clock.pass(10 * SECOND, 10 * MS).await;
    let asked = attempts(&quorum) / 3;
    assert!((5..15).contains(&asked), "asked {asked} times");
}

#[tokio::test]
async fn the_lock_of_a_dead_holder_is_taken_when_it_has_run_out() {
    let quorum = Quorum::of(3);
    let dead = Quorum::on(quorum.nodes.clone(), quorum.clock.clone(), |builder| {
        builder.ttl(3 * SECOND).without_renewal()
    });
    let theirs = dead.lock.acquire("r").await.unwrap();
    let start = quorum.clock.now();
    let ours = acquire(&quorum.lock, "r");
    let _ticking = quorum.ticking();
    let lease = ours.await.unwrap().unwrap();
    let waited = quorum.since(start);
    assert!(
        waited >= 3 * SECOND && waited < 3 * SECOND + 10 * MS,
        "{waited:?}"
    );
    assert!(!theirs.is_valid());
    assert!(lease.is_valid());
}

#[tokio::test]
async fn waiting_ends_with_its_timeout() {
    let quorum = Quorum::of(3);
    let _theirs = quorum.another().acquire("r").await.unwrap();
    for wait in [MS, 700 * MS, 5 * SECOND] {
        let start = quorum.clock.now();
        let ticking = quorum.ticking();
        let error = quorum.lock.acquire_timeout("r", wait).await.unwrap_err();
        drop(ticking);
        assert!(
            matches!(error, AcquireError::Held { waited, .. } if waited >= wait),
            "{error:?}"
        );
        assert!(quorum.since(start) <= wait + 2 * MS);
    }
}

#[tokio::test]
async fn callers_of_one_process_take_turns_in_the_order_in_which_they_came() {
    let quorum = Quorum::of(5);
    let first = quorum.lock.acquire("r").await.unwrap();
    let waiters: Vec<_> = (0..20).map(|_| acquire(&quorum.lock, "r")).collect();
    settle().await;
    drop(first);
    let _ticking = quorum.ticking();
    let mut last = session_lock::FencingToken(0);
    for waiter in waiters {
        let lease = waiter.await.unwrap().unwrap();
        assert!(lease.fencing_token() > last, "somebody was overtaken");
        last = lease.fencing_token();
        lease.release().await.unwrap();
    }
}

#[tokio::test]
async fn only_the_first_in_line_asks_the_nodes() {
    let quorum = Quorum::of(5);
    let _theirs = quorum.another().acquire("r").await.unwrap();
    let _waiters: Vec<_> = (0..100).map(|_| acquire(&quorum.lock, "r")).collect();
    settle().await;
    attempts(&quorum);
    quorum.clock.pass(10 * SECOND, 10 * MS).await;
    assert!(attempts(&quorum) / 5 < 15);
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused_and_waiters_who_leave_make_room() {
    let quorum = Quorum::with(3, |builder| builder.max_waiters(2));
    let _theirs = quorum.another().acquire("r").await.unwrap();
    let waiters: Vec<_> = (0..3).map(|_| acquire(&quorum.lock, "r")).collect();
    settle().await;
    let error = quorum.lock.acquire("r").await.unwrap_err();
    assert!(
        matches!(error, AcquireError::Busy { waiting: 2 }),
        "{error:?}"
    );
    assert!(error.is_retryable());
    // Other locks have lines of their own, and whoever only tries stands in none.
    quorum
        .lock
        .acquire("other")
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    let error = quorum.lock.try_acquire("r").await.unwrap_err();
    assert!(matches!(error, AcquireError::Held { .. }), "{error:?}");
    waiters[1].abort();
    settle().await;
    let more = acquire(&quorum.lock, "r");
    settle().await;
    assert!(!more.is_finished());
}

// Several processes ask at the same moment, each gets the votes of some nodes, and all give back and ask again.
#[tokio::test]
async fn split_votes_come_to_an_end() {
    for count in [3, 4, 5] {
        let quorum = Quorum::of(count);
        let locks: Vec<_> = (0..5).map(|_| quorum.another()).collect();
        // Each process is nearest to another node.
        let resource = Resource::new("r").unwrap();
        let start = quorum.clock.now();
        let ticking = quorum.ticking();
        let turns = locks.iter().map(|lock| {
            let (lock, resource) = (lock.clone(), resource.clone());
            tokio::spawn(async move {
                for _ in 0..20 {
                    let lease = lock
                        .acquire_timeout(&resource, 3_000 * SECOND)
                        .await
                        .unwrap();
                    lease.release().await.unwrap();
                }
            })
        });
        for turn in turns.collect::<Vec<_>>() {
            turn.await.unwrap();
        }
        drop(ticking);
        let took = quorum.since(start);
        assert!(took < 10 * SECOND, "100 turns took {took:?}");
    }
}

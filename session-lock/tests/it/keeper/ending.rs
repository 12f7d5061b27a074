use futures_util::poll;
use session_testkit::settle;
use tokio::runtime::{Builder, Runtime};

use super::*;

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

#[tokio::test]
async fn a_dropped_lease_is_released() {
    let mut bench = Bench::new();
    drop(bench.grant("a"));
    assert_eq!(bench.next().await, Asked::Release(vec!["a"]));
}

#[tokio::test]
async fn a_finished_lease_is_not_released_again() {
    let mut bench = Bench::new();
    bench.grant("a").finish();
    assert_eq!(bench.keeper.outstanding(), 0);
    assert_eq!(bench.after(TTL).await, []);
}

#[tokio::test]
async fn a_lease_dropped_on_a_plain_thread_is_released() {
    let mut bench = Bench::new();
    let lease = bench.grant("a");
    std::thread::spawn(move || drop(lease)).join().unwrap();
    assert_eq!(bench.next().await, Asked::Release(vec!["a"]));
}

#[tokio::test]
async fn a_lease_dropped_while_unwinding_is_released() {
    let mut bench = Bench::new();
    let lease = bench.grant("a");
    let task = tokio::spawn(async move {
        let _lease = lease;
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(bench.next().await, Asked::Release(vec!["a"]));
}

#[test]
fn a_lease_dropped_after_its_runtime_harms_nothing_and_is_released_on_the_next() {
    let mut bench = Bench::new();
    let first = runtime();
    let lease = first.block_on(async { bench.grant("a") });
    drop(first);
    drop(lease);
    assert_eq!(bench.keeper.outstanding(), 1);

    runtime().block_on(async {
        let other = bench.grant("b");
        assert_eq!(bench.next().await, Asked::Release(vec!["a"]));
        assert_eq!(bench.after(THIRD).await, [Asked::Renew(vec!["b"])]);
        drop(other);
        assert_eq!(bench.next().await, Asked::Release(vec!["b"]));
    });
}

#[test]
fn a_lease_outlives_its_runtime_and_is_renewed_on_the_next() {
    let mut bench = Bench::new();
    let first = runtime();
    let lease = first.block_on(async { bench.grant("a") });
    drop(first);
    runtime().block_on(async {
        let _other = bench.grant("b");
        assert_eq!(bench.after(THIRD).await, [Asked::Renew(vec!["a", "b"])]);
        assert_eq!(lease.remaining(), VALIDITY);
    });
}

#[test]
fn a_lease_can_be_granted_and_dropped_without_any_runtime() {
    let bench = Bench::new();
    let lease = bench.grant("a");
    assert_eq!(lease.remaining(), VALIDITY);
    drop(lease);
    drop(bench.keeper.ask("b", OwnerValue::random(), terms()));
}

// The release was left to a task that no longer ran: a shutdown on another runtime waited for it to no end.
#[test]
fn drained_gives_back_what_was_dropped_after_the_runtime() {
    let mut bench = Bench::new();
    let first = runtime();
    let lease = first.block_on(async { bench.grant("a") });
    drop(first);
    drop(lease);
    runtime().block_on(bench.keeper.drained());
    assert_eq!(bench.asked.try_recv(), Ok(Asked::Release(vec!["a"])));
}

#[tokio::test]
async fn an_unanswered_request_is_given_back() {
    let mut bench = Bench::new();
    drop(bench.keeper.ask("a", OwnerValue::random(), terms()));
    assert_eq!(bench.next().await, Asked::Release(vec!["a"]));
}

#[tokio::test]
async fn a_refused_request_is_not_given_back() {
    let mut bench = Bench::new();
    let pending = bench.keeper.ask("a", OwnerValue::random(), terms());
    pending.refused();
    assert_eq!(bench.after(TTL).await, []);
    assert_eq!(bench.keeper.outstanding(), 0);
}

#[tokio::test]
async fn drained_waits_for_held_leases_and_for_their_release() {
    let mut bench = Bench::new();
    bench.keeper.drained().await;
    let (dropped, finished) = (bench.grant("a"), bench.grant("b"));
    let keeper = &bench.keeper;
    let mut drained = Box::pin(keeper.drained());
    assert!(poll!(&mut drained).is_pending());
    drop(dropped);
    settle().await;
    assert!(poll!(&mut drained).is_pending());
    finished.finish();
    assert!(poll!(&mut drained).is_ready());
    drop(drained);
    assert_eq!(bench.next().await, Asked::Release(vec!["a"]));
}

#[tokio::test]
async fn drained_is_woken_by_the_last_release() {
    let bench = Bench::new();
    let lease = bench.grant("a");
    let keeper = Arc::new(bench.keeper);
    let drained = tokio::spawn({
        let keeper = Arc::clone(&keeper);
        async move { keeper.drained().await }
    });
    settle().await;
    assert!(!drained.is_finished());
    drop(lease);
    drained.await.unwrap();
    assert_eq!(keeper.outstanding(), 0);
}

// The task held the back end for ever when the last lease of a dropped keeper was finished instead of dropped.
#[tokio::test]
async fn the_task_ends_when_keeper_and_leases_are_gone() {
    for finish in [true, false] {
        let bench = Bench::new();
        let server = Arc::downgrade(&bench.server);
        let lease = bench.grant("a");
        settle().await;
        drop(bench);
        settle().await;
        assert!(
            server.upgrade().is_some(),
            "a lease needs the task that keeps it"
        );
        if finish {
            lease.finish();
        } else {
            drop(lease);
        }
        settle().await;
        assert!(server.upgrade().is_none(), "the task still runs");
    }
}

#[tokio::test]
async fn leases_outlive_their_keeper_and_are_renewed() {
    let Bench {
        clock,
        mut asked,
        server: _server,
        keeper,
    } = Bench::new();
    let lease = keeper.ask("a", OwnerValue::random(), terms()).granted(None);
    drop(keeper);
    clock.pass(THIRD, THIRD).await;
    assert_eq!(asked.recv().await, Some(Asked::Renew(vec!["a"])));
    settle().await;
    assert_eq!(lease.remaining(), VALIDITY);
}

use std::{future::Future, pin::Pin, task::Poll};

use futures_util::poll;
use session_lock::{KeepAlive, LossCause, Renewal};

use super::*;

/// A loss signal that can be looked at without waiting for it.
type Lost = Pin<Box<dyn Future<Output = LossCause> + Send>>;

fn lost(lease: &Lease<Resource>) -> Lost {
    Box::pin(lease.lost())
}

#[tokio::test]
async fn a_lease_is_renewed_at_each_third_of_its_ttl() {
    let mut bench = Bench::new();
    let lease = bench.grant("a");
    for _ in 0..4 {
        assert_eq!(bench.after(THIRD - INSTANT).await, []);
        assert_eq!(bench.after(INSTANT).await, [Asked::Renew(vec!["a"])]);
        assert_eq!(lease.remaining(), VALIDITY);
    }
}

#[tokio::test]
async fn a_resource_that_ends_sooner_is_renewed_sooner() {
    let mut bench = Bench::new();
    let pending = bench.keeper.ask("a", OwnerValue::random(), terms());
    let _lease = pending.granted(Some(KeepAlive {
        left: Duration::from_millis(600),
        full: Duration::from_millis(600),
    }));
    assert_eq!(bench.after(Duration::from_millis(199)).await, []);
    let renewed = bench.after(Duration::from_millis(1)).await;
    assert_eq!(renewed, [Asked::Renew(vec!["a"])]);
}

#[tokio::test]
async fn leases_that_are_due_together_are_renewed_in_one_flight() {
    let mut bench = Bench::new();
    let _leases = [bench.grant("b"), bench.grant("a")];
    assert_eq!(bench.after(THIRD).await, [Asked::Renew(vec!["a", "b"])]);
}

#[tokio::test]
async fn a_lease_taken_later_is_renewed_later() {
    let mut bench = Bench::new();
    let _first = bench.grant("a");
    assert_eq!(bench.after(Duration::from_secs(1)).await, []);
    let _second = bench.grant("b");
    let second = Duration::from_secs(2);
    assert_eq!(bench.after(second).await, [Asked::Renew(vec!["a"])]);
    let second = Duration::from_secs(1);
    assert_eq!(bench.after(second).await, [Asked::Renew(vec!["b"])]);
}

/// A process that holds many leases, taken one after the other, does not renew them one by one.
#[tokio::test]
async fn leases_that_are_due_soon_come_along_with_those_that_are_due() {
    let mut bench = Bench::new();
    let _first = bench.grant("a");
    assert_eq!(bench.after(THIRD / 4).await, []);
    let _second = bench.grant("b");
    bench.after(INSTANT).await;
    let _third = bench.grant("c");
    let (rest, quarter) = (THIRD * 3 / 4 - INSTANT, THIRD / 4 + INSTANT);
    for (span, renewed) in [
        (rest, vec!["a", "b"]),
        (quarter, vec!["c"]),
        (rest, vec!["a", "b"]),
    ] {
        assert_eq!(bench.after(span).await, [Asked::Renew(renewed)]);
    }
}

#[tokio::test]
async fn validity_counts_from_before_the_request() {
    let bench = Bench::new();
    let pending = bench.keeper.ask("a", OwnerValue::random(), terms());
    bench.clock.advance(Duration::from_secs(2));
    let lease = pending.granted(None);
    assert_eq!(lease.remaining(), VALIDITY - Duration::from_secs(2));
}

#[tokio::test]
async fn validity_of_a_renewal_counts_from_when_it_was_sent() {
    let mut bench = Bench::new();
    let lease = bench.grant("a");
    bench.server.hangs();
    assert_eq!(bench.after(THIRD).await.len(), 1);
    bench.after(Duration::from_secs(2)).await;
    bench.server.answers_what_hung();
    bench.after(Duration::ZERO).await;
    assert_eq!(lease.remaining(), VALIDITY - Duration::from_secs(2));
}

#[tokio::test]
async fn lost_resolves_exactly_when_validity_ends_though_the_server_hangs() {
    let mut bench = Bench::new();
    let lease = bench.grant("a");
    let mut lost = lost(&lease);
    bench.server.hangs();
    bench.after(VALIDITY - INSTANT).await;
    assert_eq!(poll!(&mut lost), Poll::Pending);
    assert!(lease.is_valid());
    bench.after(INSTANT).await;
    assert_eq!(poll!(&mut lost), Poll::Ready(LossCause::Expired));
    assert!(!lease.is_valid());
    assert_eq!(lease.loss(), Some(LossCause::Expired));
}

#[tokio::test]
async fn lost_wakes_a_task_of_its_own() {
    let mut bench = Bench::new();
    let lease = bench.grant("a");
    bench.server.hangs();
    let watcher = tokio::spawn(lease.lost());
    bench.after(VALIDITY - INSTANT).await;
    assert!(!watcher.is_finished());
    bench.clock.advance(INSTANT);
    assert_eq!(watcher.await.unwrap(), LossCause::Expired);
}

#[tokio::test]
async fn lost_moves_on_with_each_renewal() {
    let mut bench = Bench::new();
    let lease = bench.grant("a");
    let mut lost = lost(&lease);
    for _ in 0..9 {
        bench.after(THIRD).await;
        assert_eq!(poll!(&mut lost), Poll::Pending);
    }
}

#[tokio::test]
async fn lost_says_what_a_renewal_found() {
    for cause in [LossCause::Stolen, LossCause::Gone] {
        let mut bench = Bench::new();
        let lease = bench.grant("a");
        let mut lost = lost(&lease);
        bench.server.answers(Renewal::Lost(cause));
        bench.after(THIRD).await;
        assert_eq!(poll!(&mut lost), Poll::Ready(cause));
        assert_eq!(lease.loss(), Some(cause));
        assert_eq!(bench.after(LONGEST_HOLD).await, [], "renewed a lost lease");
    }
}

#[tokio::test]
async fn lost_says_that_the_lease_was_given_back() {
    let bench = Bench::new();
    let lease = bench.grant("a");
    let lost = lease.lost();
    drop(lease);
    assert_eq!(lost.await, LossCause::Released);
}

#[tokio::test]
async fn a_renewal_without_answer_is_tried_again_while_the_lease_lives() {
    let mut bench = Bench::new();
    let lease = bench.grant("a");
    bench.server.answers(Renewal::Unknown);
    assert_eq!(bench.after(THIRD).await.len(), 1);
    assert_eq!(lease.remaining(), VALIDITY - THIRD);
    bench.server.answers(Renewal::Extended);
    assert_eq!(bench.after(THIRD).await.len(), 1);
    assert_eq!(lease.remaining(), VALIDITY);
}

#[tokio::test]
async fn a_server_that_hangs_does_not_stop_the_renewal_of_others() {
    let mut bench = Bench::new();
    let _stuck = bench.grant("a");
    bench.server.hangs();
    assert_eq!(bench.after(THIRD).await, [Asked::Renew(vec!["a"])]);
    bench.server.hangs.store(false, Ordering::SeqCst);
    let later = bench.grant("b");
    let renewed = bench.after(THIRD).await;
    assert_eq!(renewed, [Asked::Renew(vec!["a", "b"])]);
    assert_eq!(later.remaining(), VALIDITY);
}

// A renewal was sent in time, its answer came after the validity had ended. The holder had been told of the loss and
// then found the lease valid again.
#[tokio::test]
async fn a_late_answer_never_brings_a_lost_lease_back() {
    let mut bench = Bench::new();
    let lease = bench.grant("a");
    bench.server.hangs();
    bench.after(VALIDITY).await;
    assert_eq!(lease.loss(), Some(LossCause::Expired));
    bench.server.answers_what_hung();
    bench.after(Duration::ZERO).await;
    assert_eq!(lease.loss(), Some(LossCause::Expired));
    assert_eq!(lease.remaining(), Duration::ZERO);
    assert_eq!(bench.after(LONGEST_HOLD).await, [], "renewed a lost lease");
}

#[tokio::test]
async fn a_late_answer_brings_nothing_back_that_nobody_has_asked_about_yet() {
    let mut bench = Bench::new();
    let lease = bench.grant("a");
    bench.server.hangs();
    bench.after(THIRD).await;
    // Time that this process sleeps through: answer and end of validity are seen in one turn.
    bench.clock.advance(VALIDITY - THIRD);
    bench.server.answers_what_hung();
    bench.after(Duration::ZERO).await;
    assert_eq!(lease.loss(), Some(LossCause::Expired));
}

#[tokio::test]
async fn nothing_is_renewed_beyond_the_longest_hold() {
    let mut bench = Bench::new();
    let lease = bench.grant("a");
    let mut lost = lost(&lease);
    let mut renewals = 0;
    for _ in 0..LONGEST_HOLD.as_secs() - 1 {
        renewals += bench.after(Duration::from_secs(1)).await.len();
    }
    assert_eq!(renewals, 19);
    assert_eq!(lease.remaining(), Duration::from_secs(1));
    bench.after(Duration::from_secs(1) - INSTANT).await;
    assert_eq!(poll!(&mut lost), Poll::Pending);
    assert_eq!(bench.after(INSTANT).await, []);
    assert_eq!(poll!(&mut lost), Poll::Ready(LossCause::HeldTooLong));
    assert_eq!(bench.after(LONGEST_HOLD).await, []);
}

#[test]
fn leases_and_what_makes_them_move_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent(_: impl Send + 'static) {}
    shared::<Lease<Resource>>();
    shared::<Keeper<Resource>>();
    let bench = Bench::new();
    sent(bench.grant("a").lost());
}

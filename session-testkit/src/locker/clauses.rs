use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use session_core::{AcquireError, LockRequest, Locker, SessionId, SessionKey};
use session_lock::{Drift, FencingToken, Lease, LeaseTerms, Ttl};

use super::LockerFixture;
use crate::{cancel_after, primary::ms};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(10);
const ANY: FencingToken = FencingToken(0);

/// Clause 1: one lease at a time, of each key for itself.
pub async fn a_key_is_locked_by_one_at_a_time<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let (key, other) = (key(), key());
    let lease = lock(&locker, &key).await;
    assert_eq!(lease.held().resource, key);
    let refused = locker.lock(&key, &request(LONG, Duration::ZERO), ANY).await;
    assert!(
        matches!(refused, Err(AcquireError::Held { .. })),
        "{refused:?}"
    );
    let free = lock(&locker, &other).await;
    locker.release(free).await;
    assert!(lease.is_valid());
    locker.release(lease).await;
}

/// Release waits for the answer.
pub async fn a_released_lock_is_free_at_once<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let key = key();
    for _ in 0..5 {
        let lease = lock(&locker, &key).await;
        locker.release(lease).await;
    }
}

/// Dropping releases in the background.
pub async fn a_dropped_lease_frees_the_lock<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let key = key();
    drop(lock(&locker, &key).await);
    let next = meanwhile(fixture, locker.lock(&key, &request(LONG, LONG / 2), ANY)).await;
    locker.release(next.expect("it is free soon")).await;
}

/// A lease lives as long as its holder does.
pub async fn a_lease_is_renewed_while_it_is_held<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let key = key();
    let ttl = ms(900);
    let mut renewed = request(ttl, Duration::ZERO);
    renewed.terms.longest_hold = LONG;
    let lease = locker.lock(&key, &renewed, ANY).await;
    let lease = lease.expect("nobody holds it");
    fixture.pass(ttl * 2).await;
    assert!(lease.is_valid(), "{:?}", lease.loss());
    let refused = locker.lock(&key, &request(LONG, Duration::ZERO), ANY).await;
    assert!(
        matches!(refused, Err(AcquireError::Held { .. })),
        "{refused:?}"
    );
    locker.release(lease).await;
}

/// A holder that hangs blocks nobody for ever.
pub async fn a_lock_that_is_never_given_back_is_free_after_the_longest_hold<F: LockerFixture>(
    fixture: &F,
) {
    let locker = fixture.locker();
    let key = key();
    let hangs = locker
        .lock(&key, &request(SHORT, Duration::ZERO), ANY)
        .await;
    let hangs = hangs.expect("nobody holds it");
    let next = meanwhile(fixture, locker.lock(&key, &request(LONG, LONG), ANY)).await;
    let next = next.expect("the lease has run out");
    assert!(!hangs.is_valid(), "two hold it");
    locker.release(next).await;
}

/// Clause 1: a stale owner frees nobody else's lock.
pub async fn release_by_a_late_holder_leaves_the_next_one_alone<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let key = key();
    let late = locker
        .lock(&key, &request(SHORT, Duration::ZERO), ANY)
        .await;
    let late = late.expect("nobody holds it");
    let next = meanwhile(fixture, locker.lock(&key, &request(LONG, LONG), ANY)).await;
    let next = next.expect("the lease has run out");
    locker.release(late).await;
    let refused = locker.lock(&key, &request(LONG, Duration::ZERO), ANY).await;
    assert!(
        matches!(refused, Err(AcquireError::Held { .. })),
        "{refused:?}"
    );
    locker.release(next).await;
}

/// Clause 1: tokens tell earlier holders from later ones.
pub async fn every_lease_has_a_larger_token<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let key = key();
    let mut last = FencingToken(0);
    for _ in 0..5 {
        let lease = lock(&locker, &key).await;
        let token = token(&lease);
        assert!(token > last, "{token:?} after {last:?}");
        last = token;
        locker.release(lease).await;
    }
}

/// Clause 1: also when the locker has forgotten how far it was.
pub async fn tokens_grow_beyond_the_floor<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let key = key();
    let lease = lock(&locker, &key).await;
    let floor = FencingToken(token(&lease).0 + 1_000_000);
    locker.release(lease).await;
    let lease = locker
        .lock(&key, &request(LONG, Duration::ZERO), floor)
        .await;
    let lease = lease.expect("nobody holds it");
    assert!(token(&lease) > floor);
    let above = token(&lease);
    locker.release(lease).await;
    let lease = lock(&locker, &key).await;
    assert!(token(&lease) > above, "the floor was forgotten");
    locker.release(lease).await;
}

/// Clause 1: a token is made when the lock is granted, not when it is asked for.
pub async fn a_lease_that_was_waited_for_has_a_larger_token<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let key = key();
    let holder = lock(&locker, &key).await;
    let waiter = tokio::spawn({
        let locker = locker.clone();
        async move { locker.lock(&key, &request(LONG, LONG), ANY).await }
    });
    fixture.pass(ms(100)).await;
    let held = token(&holder);
    locker.release(holder).await;
    let next = meanwhile(fixture, waiter).await.expect("no task fails");
    let next = next.expect("it is free");
    assert!(token(&next) > held);
    locker.release(next).await;
}

/// Clause 2: first come, first served.
pub async fn waiters_come_in_the_order_in_which_they_asked<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let key = key();
    let holder = lock(&locker, &key).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let waiters: Vec<_> = (0..5)
        .map(|number| {
            let (locker, order) = (locker.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                let lease = locker.lock(&key, &request(LONG, LONG), ANY).await;
                order.lock().expect("no task fails").push(number);
                locker.release(lease.expect("it is free in the end")).await;
            })
        })
        .collect();
    fixture.pass(ms(100)).await;
    locker.release(holder).await;
    for waiter in waiters {
        meanwhile(fixture, waiter).await.expect("no task fails");
    }
    assert_eq!(*order.lock().expect("no task fails"), [0, 1, 2, 3, 4]);
}

/// Clause 2: nobody waits for longer than asked for.
pub async fn wait_timeout_is_kept<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let (key, clock) = (key(), locker.clock());
    let holder = lock(&locker, &key).await;
    for wait in [Duration::ZERO, ms(150)] {
        let start = clock.now();
        let refused = meanwhile(fixture, locker.lock(&key, &request(LONG, wait), ANY)).await;
        let took = clock.now().saturating_since(start);
        assert!(
            matches!(refused, Err(AcquireError::Held { waited, .. }) if waited >= wait),
            "{refused:?}"
        );
        assert!(
            took >= wait && took < wait + LONG / 4,
            "waited for {took:?}"
        );
    }
    locker.release(holder).await;
}

/// Clause 2: the number of waiters is bounded.
pub async fn one_waiter_too_many_is_busy<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let key = key();
    let holder = lock(&locker, &key).await;
    let only_one = LockRequest {
        max_waiters: 1,
        ..request(LONG, LONG)
    };
    let mut first = locker.lock(&key, &only_one, ANY);
    let mut second = locker.lock(&key, &only_one, ANY);
    let (refused, waiting) = meanwhile(fixture, async {
        tokio::select! {
            biased;
            refused = &mut first => (refused, second),
            refused = &mut second => (refused, first),
        }
    })
    .await;
    assert!(
        matches!(refused, Err(AcquireError::Busy { waiting: 1 })),
        "{refused:?}"
    );
    locker.release(holder).await;
    let lease = meanwhile(fixture, waiting).await;
    locker.release(lease.expect("the waiter gets it")).await;
}

/// Clause 3: a lock that nobody asks for any more is given back.
pub async fn cancelled_lock_leaves_nothing<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let key = key();
    for polls in 0..500 {
        let (ask, wait) = (request(LONG, Duration::ZERO), request(LONG, LONG / 2));
        let lock = locker.lock(&key, &ask, ANY);
        let finished = cancel_after(polls, lock).await.is_some();
        let next = meanwhile(fixture, locker.lock(&key, &wait, ANY)).await;
        locker.release(next.expect("it is free soon")).await;
        if finished {
            return;
        }
    }
    panic!("the lock is never granted");
}

/// Clause 3: who stops waiting is out of the queue.
pub async fn cancelled_wait_leaves_nothing<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let key = key();
    for polls in 1..12 {
        // It may be on its way to a waiter that has just gone.
        let holder = lock_soon(fixture, &key).await;
        let wait = request(LONG, ms(50));
        let waited = cancel_after(polls, locker.lock(&key, &wait, ANY));
        let waited = meanwhile(fixture, waited).await;
        assert!(!matches!(waited, Some(Ok(_))), "two hold it");
        locker.release(holder).await;
        let wait = request(LONG, LONG / 2);
        let next = meanwhile(fixture, locker.lock(&key, &wait, ANY)).await;
        locker.release(next.expect("nobody is before it")).await;
    }
}

/// Clause 3: a release goes on when nobody waits for it.
pub async fn cancelled_release_frees_the_lock<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let key = key();
    for polls in 0..500 {
        let lease = lock_soon(fixture, &key).await;
        let released = cancel_after(polls, locker.release(lease)).await;
        let next = lock_soon(fixture, &key).await;
        locker.release(next).await;
        if released.is_some() {
            return;
        }
    }
    panic!("the release is never answered");
}

/// A shutdown waits for whoever is at work.
pub async fn drained_waits_for_held_leases<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let lease = lock(&locker, &key()).await;
    let draining = tokio::spawn({
        let locker = locker.clone();
        async move { locker.drained().await }
    });
    fixture.pass(ms(100)).await;
    assert!(!draining.is_finished());
    drop(lease);
    meanwhile(fixture, draining).await.expect("no task fails");
}

/// Clause 1, under load.
pub async fn many_tasks_never_hold_a_key_together<F: LockerFixture>(fixture: &F) {
    let locker = fixture.locker();
    let key = key();
    let inside = Arc::new(AtomicUsize::new(0));
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (locker, inside, tokens) =
                (locker.clone(), Arc::clone(&inside), Arc::clone(&tokens));
            tokio::spawn(async move {
                for _ in 0..25 {
                    let lease = locker.lock(&key, &request(LONG, LONG * 2), ANY).await;
                    let lease = lease.expect("it is free in the end");
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                    tokens.lock().expect("no task fails").push(token(&lease));
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    locker.release(lease).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no task fails");
    }
    let tokens = tokens.lock().expect("no task fails");
    assert_eq!(tokens.len(), 200);
    assert!(tokens.is_sorted_by(|earlier, later| earlier < later));
}

fn key() -> SessionKey {
    *SessionId::random().key()
}

/// A lease of `span` that is not renewed beyond it.
fn request(span: Duration, wait: Duration) -> LockRequest {
    LockRequest {
        terms: LeaseTerms {
            ttl: Ttl::new(span).expect("the TTL is valid"),
            drift: Drift::default(),
            longest_hold: span,
        },
        wait,
        max_waiters: 64,
    }
}

async fn lock(locker: &impl Locker, key: &SessionKey) -> Lease<SessionKey> {
    let lease = locker.lock(key, &request(LONG, Duration::ZERO), ANY).await;
    lease.expect("nobody holds it")
}

async fn lock_soon<F: LockerFixture>(fixture: &F, key: &SessionKey) -> Lease<SessionKey> {
    let (locker, request) = (fixture.locker(), request(LONG, LONG / 2));
    let lease = meanwhile(fixture, locker.lock(key, &request, ANY)).await;
    lease.expect("it is free soon")
}

fn token(lease: &Lease<SessionKey>) -> FencingToken {
    lease.fencing_token().expect("each lease has a token")
}

async fn meanwhile<F: LockerFixture, T>(fixture: &F, future: impl Future<Output = T> + Send) -> T {
    let mut future = pin!(future);
    loop {
        tokio::select! {
            biased;
            done = &mut future => return done,
            () = fixture.pass(ms(10)) => {}
        }
    }
}

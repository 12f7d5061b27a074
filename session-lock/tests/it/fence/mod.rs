//! Checks of fencing tokens: a holder that comes too late is refused, whatever the lock protects.

mod in_memory;
mod in_redis;
mod in_sql;

use session_lock::{RedlockLease, random_bytes};

use crate::bench::{Quorum, TTL};

/// Two leases of one lock. The first holder was paused beyond its TTL, and the second has the lock.
async fn paused_and_next(quorum: &Quorum) -> (RedlockLease, RedlockLease) {
    let paused = quorum.lock.acquire("r").await.unwrap();
    quorum.clock.advance(2 * TTL);
    let next = quorum.another().acquire("r").await.unwrap();
    assert!(!paused.is_valid());
    assert!(next.is_valid());
    (paused, next)
}

/// 1 to `count`, in any order.
fn shuffled(count: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (1..=count).collect();
    numbers.sort_by_cached_key(|_| random_bytes::<16>());
    numbers
}

fn assert_grows(accepted: &[u64], last: u64) {
    assert!(accepted.is_sorted_by(|a, b| a < b), "{accepted:?}");
    assert_eq!(accepted.last(), Some(&last));
}

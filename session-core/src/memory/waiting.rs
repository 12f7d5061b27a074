use std::{sync::Arc, time::Duration};

use session_lock::{FencingToken, Held, KeepAlive, Keeper, Lease, OwnerValue, Pending};

use super::{locks::Asked, table::Table};
use crate::{AcquireError, LockRequest, SessionKey};

/// Locks `key`, waiting in line while others hold it. `life` says how long what is locked lives, or why
/// there is nothing to lock; it is asked again once the lock is held, for much can happen while one waits. `token`
/// makes the fencing token then.
pub(super) async fn lock(
    table: &Arc<Table>,
    keeper: &Keeper<SessionKey>,
    key: &SessionKey,
    request: &LockRequest,
    life: impl Fn() -> Result<KeepAlive, AcquireError> + Send + Sync,
    token: impl Fn() -> Option<FencingToken> + Send + Sync,
) -> Result<Lease<SessionKey>, AcquireError> {
    let start = table.now();
    let deadline = start + request.wait;
    // Dropping `pending` gives the lock of a session back that has ended just now.
    let granted_now = |pending: Pending<'_, SessionKey>| match life() {
        Ok(life) => Ok(pending.granted_with_token(Some(life), token())),
        Err(error) => Err(error),
    };
    table.ensure_cleanup();
    loop {
        life()?;
        let owner = OwnerValue::random();
        let mut pending = keeper.ask(*key, owner, request.terms);
        let held = Held {
            resource: *key,
            owner,
        };
        let ttl = request.terms.ttl.get();
        let asked = table
            .shard(key)
            .locks
            .ask(&held, ttl, request.max_waiters, table.now());
        let (mut granted, mut look) = match asked {
            Asked::Granted => return granted_now(pending),
            Asked::Wait { granted, until } => (granted, until),
            Asked::Busy { waiting } => {
                pending.refused();
                return Err(AcquireError::Busy { waiting });
            }
        };
        loop {
            tokio::select! {
                biased;
                handed_over = &mut granted => match handed_over {
                    Ok(moment) => {
                        pending.count_from(moment);
                        return granted_now(pending);
                    }
                    // The lock was freed for all: the session was ended. Look again.
                    Err(_) => break pending.refused(),
                },
                () = table.clock().sleep_until(look.min(deadline)) => {}
            }
            let now = table.now();
            let locks = &mut table.shard(key).locks;
            let ahead = locks.ahead(&held);
            match locks.look(key, now) {
                // Dropping `pending` gives back a lock that is handed over at this very moment.
                _ if now >= deadline => {
                    return Err(AcquireError::Held {
                        waited: now.saturating_since(start),
                        ahead,
                    });
                }
                Some(until) => look = until.max(now + SHORTEST_LOOK),
                None => break pending.refused(),
            }
        }
    }
}

// A lock whose holder's time is up is handed over by the look itself; this only keeps a clock that stands still, as
// in tests, from turning the wait into a busy loop.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);

//! Waiting for a lock within this process, and by its first for all of it.

use std::{future::Future, sync::Arc};

use session_core::{AcquireError, Granted, LockRequest, SessionKey};
use session_lock::Clock;

use crate::lines::{LineFull, Lines, Place, Queued, Step};

/// Who grants the lock of one session.
pub(crate) trait Grants: Sync {
    fn clock(&self) -> &dyn Clock;

    /// Asks for the lock once, as if nobody waited for it. `None`: somebody else holds it.
    fn try_lock(&self) -> impl Future<Output = Result<Option<Granted>, AcquireError>> + Send;

    /// Whether there is a session whose lock can be waited for.
    fn check(&self) -> impl Future<Output = Result<(), AcquireError>> + Send;

    /// Makes ready to hear that it is this process' turn. Without that, it looks by itself.
    fn listen(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// How this process is to stand in the queue for the lock.
    fn queued(&self) -> Queued;

    /// Takes the lock if it is this process' turn. `None`: it waits for it, in the queue.
    fn look(
        &self,
        place: &Place,
        queued: &Queued,
    ) -> impl Future<Output = Result<Option<Granted>, AcquireError>> + Send;
}

/// Takes the lock of a session, after whoever came before.
pub(crate) async fn lock(
    grants: &impl Grants,
    lines: &Arc<Lines>,
    key: &SessionKey,
    request: &LockRequest,
) -> Result<Granted, AcquireError> {
    let clock = grants.clock();
    let start = clock.now();
    let deadline = start + request.wait;
    let place = lines.join(key, request.max_waiters);
    let place = place.map_err(|LineFull { waiting }| AcquireError::Busy { waiting })?;
    let held = || AcquireError::Held {
        waited: clock.now().saturating_since(start),
        ahead: place.ahead(),
    };
    if place.is_alone() {
        tokio::select! {
            biased;
            granted = place.passed_on() => return Ok(granted),
            tried = grants.try_lock() => if let Some(granted) = tried? {
                return Ok(granted);
            }
        }
    } else if request.wait.is_zero() {
        // Nobody goes ahead of those who wait; but there may be nothing left to wait for.
        grants.check().await?;
    }
    if !request.wait.is_zero() {
        tokio::select! {
            biased;
            granted = place.passed_on() => return Ok(granted),
            () = grants.listen() => {}
        }
    }
    loop {
        if let Some(granted) = place.take_passed_on() {
            return Ok(granted);
        }
        let now = clock.now();
        if now >= deadline {
            return Err(held());
        }
        match place.next_step(now, || grants.queued()) {
            Step::Look(queued) => {
                // Boxed, because it is rare and would make every future larger.
                let look = Box::pin(grants.look(&place, &queued));
                tokio::select! {
                    biased;
                    // The answer to the look is then for whoever is first in line next.
                    granted = place.passed_on() => return Ok(granted),
                    looked = look => if let Some(granted) = looked? {
                        return Ok(granted);
                    }
                }
            }
            Step::Wait(look_at) => {
                let until = look_at.map_or(deadline, |look_at| look_at.min(deadline));
                tokio::select! {
                    biased;
                    () = place.turn() => {}
                    () = clock.sleep_until(until) => {}
                }
            }
        }
    }
}

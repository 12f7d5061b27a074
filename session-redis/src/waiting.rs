use std::{future::Future, time::Duration};

use redis::Value;
use session_core::{AcquireError, BadRecord, Granted, LockRequest, RecordError, SessionKey};
use session_lock::{Keeper, Pending, link::Entry};

use crate::{
    delivery::Server,
    keys::Keys,
    lines::{LineFull, Place, Queued, Step},
    scripts::Code,
    waiters::{Waiters, queue_ttl_ms},
};

/// A store whose locks are waited for.
pub(crate) trait Contended: Sync {
    fn server(&self) -> &Server;

    fn waiters(&self) -> &Waiters;

    fn keeper(&self) -> &Keeper<SessionKey>;

    /// Asks for the lock once, as if nobody waited for it. `None`: somebody else holds it.
    fn try_lock(
        &self,
        key: &SessionKey,
        keys: &Keys,
        request: &LockRequest,
    ) -> impl Future<Output = Result<Option<Granted>, AcquireError>> + Send;

    /// Whether there is a session whose lock can be waited for.
    fn check(&self, key: &SessionKey) -> impl Future<Output = Result<(), AcquireError>> + Send;

    /// A call of the script that takes a lock in its turn, or puts a process into its queue.
    fn wait(&self, keys: &Keys, args: &[&[u8]]) -> Entry;

    /// The session, under the lock that `wait` took. `more`: what that has answered beside.
    fn load_locked(
        &self,
        key: &SessionKey,
        keys: &Keys,
        taken: Pending<'_, SessionKey>,
        more: Option<Value>,
    ) -> impl Future<Output = Result<Granted, AcquireError>> + Send;
}

/// Takes the lock of a session, after whoever came before.
pub(crate) async fn lock(
    store: &impl Contended,
    key: &SessionKey,
    keys: &Keys,
    request: &LockRequest,
) -> Result<Granted, AcquireError> {
    let clock = &store.server().clock;
    let start = clock.now();
    let deadline = start + request.wait;
    let place = store.waiters().join(key, request.max_waiters);
    let place = place.map_err(|LineFull { waiting }| AcquireError::Busy { waiting })?;
    let held = || AcquireError::Held {
        waited: clock.now().saturating_since(start),
        ahead: place.ahead(),
    };
    if place.is_alone() {
        tokio::select! {
            biased;
            granted = place.passed_on() => return Ok(granted),
            tried = store.try_lock(key, keys, request) => if let Some(granted) = tried? {
                return Ok(granted);
            }
        }
    } else if request.wait.is_zero() {
        // Nobody goes ahead of those who wait; but there may be nothing left to wait for.
        store.check(key).await?;
    }
    loop {
        if let Some(granted) = place.take_passed_on() {
            return Ok(granted);
        }
        let now = clock.now();
        if now >= deadline {
            return Err(held());
        }
        match place.next_step(now, || store.waiters().queued()) {
            Step::Look(queued) => {
                // Boxed, because it is rare and would make every future larger.
                let look = Box::pin(look(store, key, keys, request, &place, &queued));
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

/// Takes the lock if it is this process' turn. `None`: it waits for it, on the server.
async fn look(
    store: &impl Contended,
    key: &SessionKey,
    keys: &Keys,
    request: &LockRequest,
    place: &Place,
    queued: &Queued,
) -> Result<Option<Granted>, AcquireError> {
    let server = store.server();
    let sent_at = server.clock.now();
    let ttl_ms = request.terms.ttl.as_millis().to_string();
    let queue_ttl_ms = queue_ttl_ms().to_string();
    let since = queued.since.map(|since| since.as_millis().to_string());
    let args: [&[u8]; 4] = [
        &queued.name,
        ttl_ms.as_bytes(),
        queue_ttl_ms.as_bytes(),
        since.as_deref().unwrap_or_default().as_bytes(),
    ];
    let wait = store.wait(keys, &args);
    let answer = server.run_for_more(&|| wait.clone().into()).await;
    // Without an answer it may stand in the queue, or have the lock: whoever is first in line next finds out.
    let (answer, more) = answer.map_err(|error| server.failed("wait for a session", error))?;
    if answer.code == Code::Nothing {
        let left = u64::try_from(answer.extra).map_or(Duration::MAX / 2, Duration::from_millis);
        let ahead = match more {
            Some(Value::Int(ahead)) => usize::try_from(ahead).unwrap_or_default(),
            _ => 0,
        };
        let look_at = server.clock.now() + store.waiters().look_after(queued, left);
        place.waits(answer.now, ahead, look_at);
        return Ok(None);
    }
    place.is_served();
    let bad = |fault| Err(RecordError::new(key, fault).into());
    match answer.code {
        Code::Done => {
            let mut taken = store.keeper().ask(*key, queued.owner, request.terms);
            taken.count_from(sent_at);
            store.load_locked(key, keys, taken, more).await.map(Some)
        }
        Code::NoRecord | Code::Ended | Code::Expired => Err(AcquireError::NoSession),
        Code::Rotated => Err(AcquireError::Rotated),
        Code::WrongType => bad(BadRecord::WrongType),
        Code::ForeignLock => bad(BadRecord::ForeignLock),
        _ => bad(BadRecord::Unreadable),
    }
}

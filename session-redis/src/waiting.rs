use std::{future::Future, time::Duration};

use session_core::{AcquireError, BadRecord, Granted, LockRequest, RecordError, SessionKey};
use session_lock::link::Entry;

use crate::{
    delivery::Server,
    keys::Keys,
    scripts::Code,
    waiters::{LineFull, Waiters, queue_ttl_ms},
};

/// A store whose locks are waited for.
pub(crate) trait Contended: Sync {
    fn server(&self) -> &Server;

    fn waiters(&self) -> &Waiters;

    /// Asks for the lock once. `None`: somebody else holds it.
    fn try_lock(
        &self,
        key: &SessionKey,
        keys: &Keys,
        request: &LockRequest,
    ) -> impl Future<Output = Result<Option<Granted>, AcquireError>> + Send;

    /// Whether there is a session whose lock can be waited for.
    fn check(&self, key: &SessionKey) -> impl Future<Output = Result<(), AcquireError>> + Send;

    /// A call of the script that puts a process into the queue of a lock.
    fn wait(&self, keys: &Keys, args: &[&[u8]]) -> Entry;
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
    let held = || AcquireError::Held {
        waited: clock.now().saturating_since(start),
    };
    let place = store.waiters().join(key, request.max_waiters);
    let place = place.map_err(|LineFull { waiting }| AcquireError::Busy { waiting })?;
    if request.wait.is_zero() && !place.is_first() {
        // Nobody goes ahead of those who wait; but there may be nothing left to wait for.
        store.check(key).await?;
        return Err(held());
    }
    let mut look = if place.is_first() { start } else { deadline };
    loop {
        if look > clock.now() {
            tokio::select! {
                biased;
                () = place.turn() => {}
                () = clock.sleep_until(look.min(deadline)) => {}
            }
            if clock.now() >= deadline {
                return Err(held());
            }
        }
        if let Some(granted) = store.try_lock(key, keys, request).await? {
            return Ok(granted);
        }
        if request.wait.is_zero() {
            return Err(held());
        }
        let left = Box::pin(queue_up(store, key, keys)).await?;
        look = clock.now() + store.waiters().look_after(left.unwrap_or_default());
    }
}

/// Puts this process into the server's queue, if it listens. `None`: the lock is free now; else how long it is held
/// unless renewed.
async fn queue_up(
    store: &impl Contended,
    key: &SessionKey,
    keys: &Keys,
) -> Result<Option<Duration>, AcquireError> {
    let (server, channel) = (store.server(), store.waiters().channel_for(key));
    let ttl_ms = queue_ttl_ms().to_string();
    let wait = store.wait(keys, &[channel.as_bytes(), ttl_ms.as_bytes()]);
    let answer = server.run(&|| wait.clone().into()).await;
    let answer = answer.map_err(|error| server.failed("wait for a session", error))?;
    match answer.code {
        Code::Done => Ok(Some(
            u64::try_from(answer.extra).map_or(Duration::MAX / 2, Duration::from_millis),
        )),
        Code::Nothing => Ok(None),
        Code::NoRecord | Code::Ended | Code::Expired => Err(AcquireError::NoSession),
        Code::Rotated => Err(AcquireError::Rotated),
        Code::WrongType => Err(RecordError::new(key, BadRecord::WrongType).into()),
        Code::ForeignLock => Err(RecordError::new(key, BadRecord::ForeignLock).into()),
        _ => Err(RecordError::new(key, BadRecord::Unreadable).into()),
    }
}

//! Asking the server for a lock that others want, too: the one way of all stores.

use std::{future::Future, time::Duration};

use redis::Value;
use session_core::{AcquireError, BadRecord, Granted, LockRequest, RecordError, SessionKey};
use session_lock::{Clock, Keeper, Pending, link::Entry};

use crate::{
    delivery::Server,
    keys::Keys,
    lines::{Place, Queued},
    scripts::Code,
    waiters::{Waiters, queue_ttl_ms},
    waiting::{self, Grants},
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
    let asked = Asked {
        store,
        key,
        keys,
        request,
    };
    waiting::lock(&asked, store.waiters().lines(), key, request).await
}

/// The lock of one session, as it is asked of the server.
struct Asked<'a, S> {
    store: &'a S,
    key: &'a SessionKey,
    keys: &'a Keys,
    request: &'a LockRequest,
}

impl<S: Contended> Grants for Asked<'_, S> {
    fn clock(&self) -> &dyn Clock {
        &*self.store.server().clock
    }

    async fn try_lock(&self) -> Result<Option<Granted>, AcquireError> {
        self.store.try_lock(self.key, self.keys, self.request).await
    }

    async fn check(&self) -> Result<(), AcquireError> {
        self.store.check(self.key).await
    }

    async fn listen(&self) {
        self.store.waiters().listen(self.key).await;
    }

    fn queued(&self) -> Queued {
        self.store.waiters().queued(self.key)
    }

    async fn look(&self, place: &Place, queued: &Queued) -> Result<Option<Granted>, AcquireError> {
        let Self {
            store,
            key,
            keys,
            request,
        } = *self;
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
            let look_at = server.clock.now() + store.waiters().look_after(key, queued, left);
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
}

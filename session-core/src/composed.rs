use std::{pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use session_lock::{Clock, FencingToken, Lease, LossCause};

use crate::{
    AcquireError, Capabilities, CommitError, Committed, Creation, DestroyError, Granted, Listed,
    LoadLocked, LockRequest, Locker, Outbox, PrimaryStore, Promise, ReadError, RecordKind,
    RecordStore, Revocation, Rotation, SessionKey, Standing, StoreError, Stored, TouchAfter,
    UserKey, Write,
};

/// A primary made of a store of records and a locker beside it.
///
/// What protects the record is the fencing token of the lease: loading under the lock registers it with the record
/// store, which from then on refuses every earlier holder. A write without a lease takes the lock for its duration.
/// Cheap to clone; clones share both.
#[derive(Debug)]
pub struct Composed<R, L> {
    records: Arc<R>,
    locker: Arc<L>,
}

impl<R, L> Clone for Composed<R, L> {
    fn clone(&self) -> Self {
        Self {
            records: Arc::clone(&self.records),
            locker: Arc::clone(&self.locker),
        }
    }
}

impl<R: RecordStore, L: Locker> Composed<R, L> {
    /// A primary on `records`, locked by `locker`.
    pub fn new(records: R, locker: L) -> Self {
        Self {
            records: Arc::new(records),
            locker: Arc::new(locker),
        }
    }

    /// Waits for the lock only while the session lives.
    async fn acquire(
        &self,
        key: &SessionKey,
        request: &LockRequest,
        floor: FencingToken,
    ) -> Result<Lease<SessionKey>, AcquireError> {
        // In line at once: whoever tried first without a place would be overtaken by those who asked later.
        let mut in_line = pin!(self.locker.lock(key, request, floor));
        let clock = self.clock();
        let mut is_first = true;
        loop {
            let pause = async {
                if is_first {
                    // By the time of the runtime: due also where the clock of a test stands still.
                    tokio::time::sleep(FIRST_LOOK).await;
                } else {
                    clock.sleep_until(clock.now() + LOOK_EVERY).await;
                }
            };
            tokio::select! {
                biased;
                answer = &mut in_line => {
                    if let Err(AcquireError::Held { .. }) = &answer {
                        self.look(key).await?;
                    }
                    return answer;
                }
                () = pause => is_first = false,
            }
            self.look(key).await?;
        }
    }

    /// The locker does not know when a session ends, so whoever waits looks.
    async fn look(&self, key: &SessionKey) -> Result<(), AcquireError> {
        let standing = self.records.load(key, TouchAfter::Never).await?;
        lockable(standing).map(|_lives| ())
    }

    /// Touches the record for as long as the lease lives: a held guard keeps its session alive.
    fn keep_alive(&self, lease: &Lease<SessionKey>, stored: &Stored) {
        // Without a runtime nothing can be touched; the lease is not renewed then either.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (records, clock) = (Arc::clone(&self.records), self.clock());
        let (key, lost) = (lease.held().resource, lease.lost());
        let (left, full) = (stored.time_to_live, stored.header.idle_timeout);
        runtime.spawn(async move {
            let mut lost = pin!(lost);
            loop {
                // A failed touch is tried again while what is left is enough for that.
                let touched = records.touch(&key).await.is_ok();
                let pause = if touched { full } else { left.min(full) } / 3;
                tokio::select! {
                    _cause = &mut lost => return,
                    () = clock.sleep_until(clock.now() + pause.max(SHORTEST_PAUSE)) => {}
                }
            }
        });
    }
}

// A lock that nobody holds is granted before that, and nothing has to be looked at.
const FIRST_LOOK: Duration = Duration::from_millis(20);
// How long a waiter may go on waiting for a session that has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);
// A session that lives for milliseconds must not turn its touches into a busy loop.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

#[async_trait]
impl<R: RecordStore, L: Locker> PrimaryStore for Composed<R, L> {
    fn capabilities(&self) -> Capabilities {
        self.records
            .capabilities()
            .without(Promise::OptimisticUpdate)
    }

    fn place(&self) -> Option<String> {
        self.records.place()
    }

    async fn open_outbox(&self, secondaries: &[&str]) -> Result<(), StoreError> {
        self.records.open_outbox(secondaries).await
    }

    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        self.records.outbox()
    }

    fn secondaries(&self) -> Vec<String> {
        self.records.secondaries()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.locker.clock()
    }

    async fn lock(&self, key: &SessionKey, request: &LockRequest) -> Result<Granted, AcquireError> {
        let mut floor = FencingToken::default();
        let deadline = self.clock().now() + request.wait;
        loop {
            let request = LockRequest {
                wait: deadline.saturating_since(self.clock().now()),
                ..*request
            };
            let lease = self.acquire(key, &request, floor).await?;
            match self.records.load_locked(key, token(&lease)).await? {
                LoadLocked::Loaded(standing) => match lockable(standing) {
                    Ok(stored) => {
                        if stored.time_to_live < request.terms.longest_hold {
                            self.keep_alive(&lease, &stored);
                        }
                        return Ok(Granted { lease, stored });
                    }
                    Err(error) => {
                        self.locker.release(lease).await;
                        return Err(error);
                    }
                },
                LoadLocked::Behind(registered) => {
                    self.locker.release(lease).await;
                    floor = registered;
                }
            }
        }
    }

    async fn commit(
        &self,
        lease: Lease<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        // Only this process knows that its lease has run out if nobody has taken the lock since.
        still_held(&lease)?;
        let committed = self
            .records
            .commit(&lease.held().resource, token(&lease), write)
            .await;
        self.locker.release(lease).await;
        committed
    }

    async fn end(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        still_held(&lease)?;
        let key = lease.held().resource;
        let ended = self.records.end(&key, token(&lease)).await;
        self.locker.release(lease).await;
        ended
    }

    async fn release(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        still_held(&lease)?;
        let key = lease.held().resource;
        let touched = self.records.touch_locked(&key, token(&lease)).await;
        self.locker.release(lease).await;
        touched
    }

    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        self.records.load(key, touch_after).await
    }

    async fn create(&self, key: &SessionKey, creation: Creation) -> Result<Committed, CommitError> {
        self.records.create(key, creation).await
    }

    async fn update(
        &self,
        key: &SessionKey,
        write: Write,
        request: &LockRequest,
    ) -> Result<Committed, CommitError> {
        let request = LockRequest {
            wait: Duration::ZERO,
            ..*request
        };
        let granted = self
            .lock(key, &request)
            .await
            .map_err(|error| match error {
                AcquireError::NoSession => CommitError::Destroyed,
                AcquireError::Rotated => CommitError::Rotated,
                AcquireError::Record(error) => CommitError::Record(error),
                AcquireError::Store(error) => CommitError::Store(error),
                AcquireError::ShutDown => CommitError::ShutDown,
                _ => CommitError::LockHeld,
            })?;
        self.commit(granted.lease, write).await
    }

    async fn destroy(&self, key: &SessionKey) -> Result<Option<Stored>, DestroyError> {
        self.records.destroy(key).await
    }

    async fn rotate(
        &self,
        lease: Lease<SessionKey>,
        rotation: Rotation,
    ) -> Result<Committed, CommitError> {
        still_held(&lease)?;
        let key = lease.held().resource;
        let rotated = self.records.rotate(&key, token(&lease), rotation).await;
        self.locker.release(lease).await;
        rotated
    }

    async fn standing(&self, user: &UserKey) -> Result<Standing, StoreError> {
        self.records.standing(user).await
    }

    async fn list(&self, user: &UserKey) -> Result<Vec<Listed>, StoreError> {
        self.records.list(user).await
    }

    async fn revoke(&self, user: &UserKey, which: Revocation) -> Result<u64, StoreError> {
        self.records.revoke(user, which).await
    }

    async fn enable(&self, user: &UserKey) -> Result<(), StoreError> {
        self.records.enable(user).await
    }

    async fn revoke_everything(&self) -> Result<(), StoreError> {
        self.records.revoke_everything().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.records.ping().await
    }

    async fn drained(&self) {
        self.locker.drained().await;
    }
}

fn token(lease: &Lease<SessionKey>) -> FencingToken {
    lease
        .fencing_token()
        .expect("a locker gives each lease a fencing token")
}

/// The session, if it can be locked.
fn lockable(standing: Option<Stored>) -> Result<Stored, AcquireError> {
    match standing.ok_or(AcquireError::NoSession)? {
        stored if stored.header.kind == RecordKind::Live => Ok(stored),
        _ => Err(AcquireError::Rotated),
    }
}

fn still_held(lease: &Lease<SessionKey>) -> Result<(), CommitError> {
    lease.loss().map_or(Ok(()), |cause: LossCause| {
        Err(CommitError::LeaseLost { cause })
    })
}

use std::{pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use session_lock::{Clock, FencingToken, Lease, LossCause};

use crate::{
    AcquireError, Capabilities, CommitError, Committed, Creation, DestroyError, Granted,
    LoadLocked, LockRequest, Locker, PrimaryStore, Promise, ReadError, RecordStore, SessionKey,
    StoreError, Stored, TouchAfter, Write,
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
        let at_once = LockRequest {
            wait: Duration::ZERO,
            ..*request
        };
        match self.locker.lock(key, &at_once, floor).await {
            Err(AcquireError::Held { .. }) => {}
            answer => return answer,
        }
        let mut in_line = pin!(self.locker.lock(key, request, floor));
        let clock = self.clock();
        loop {
            // The locker does not know when a session ends, so whoever waits looks.
            if self.records.load(key, TouchAfter::Never).await?.is_none() {
                return Err(AcquireError::NoSession);
            }
            tokio::select! {
                biased;
                answer = &mut in_line => return answer,
                () = clock.sleep_until(clock.now() + LOOK_EVERY) => {}
            }
        }
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
                LoadLocked::Loaded(Some(stored)) => {
                    if stored.time_to_live < request.terms.longest_hold {
                        self.keep_alive(&lease, &stored);
                    }
                    return Ok(Granted { lease, stored });
                }
                LoadLocked::Loaded(None) => {
                    self.locker.release(lease).await;
                    return Err(AcquireError::NoSession);
                }
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
        let ended = self.records.destroy(&lease.held().resource).await;
        self.locker.release(lease).await;
        ended.map_err(|error| match error {
            DestroyError::Record(error) => CommitError::Record(error),
            DestroyError::Store(error) => CommitError::Unknown(error),
        })
    }

    async fn release(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        let held = still_held(&lease);
        if held.is_ok() {
            self.records.touch(&lease.held().resource).await?;
        }
        self.locker.release(lease).await;
        held
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
                AcquireError::Record(error) => CommitError::Record(error),
                AcquireError::Store(error) => CommitError::Store(error),
                AcquireError::ShutDown => CommitError::ShutDown,
                _ => CommitError::LockHeld,
            })?;
        self.commit(granted.lease, write).await
    }

    async fn destroy(&self, key: &SessionKey) -> Result<Option<Stored>, DestroyError> {
        self.records.destroy(key).await.map(|()| None)
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

fn still_held(lease: &Lease<SessionKey>) -> Result<(), CommitError> {
    lease.loss().map_or(Ok(()), |cause: LossCause| {
        Err(CommitError::LeaseLost { cause })
    })
}

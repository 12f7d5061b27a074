use std::{sync::Arc, time::Duration};

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
#[derive(Debug)]
pub struct Composed<R, L> {
    records: Arc<R>,
    locker: L,
}

impl<R: RecordStore, L: Locker> Composed<R, L> {
    /// A primary on `records`, locked by `locker`.
    pub fn new(records: R, locker: L) -> Self {
        Self {
            records: Arc::new(records),
            locker,
        }
    }

    /// Waits for the lock only if the session lives.
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
            Err(AcquireError::Held { .. }) if !request.wait.is_zero() => {}
            answer => return answer,
        }
        if self.records.load(key, TouchAfter::Never).await?.is_none() {
            return Err(AcquireError::NoSession);
        }
        self.locker.lock(key, request, floor).await
    }

    /// Touches the record for as long as the lease lives: a held guard keeps its session alive.
    fn keep_alive(&self, lease: &Lease<SessionKey>, time_to_live: Duration) {
        let (records, key, lost) = (
            Arc::clone(&self.records),
            lease.held().resource,
            lease.lost(),
        );
        tokio::spawn(async move {
            tokio::pin!(lost);
            loop {
                // A failed touch is tried again at the next turn.
                records.touch(&key).await.ok();
                tokio::select! {
                    _cause = &mut lost => return,
                    () = tokio::time::sleep(time_to_live / 3) => {}
                }
            }
        });
    }
}

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
        loop {
            let lease = self.acquire(key, request, floor).await?;
            match self.records.load_locked(key, token(&lease)).await? {
                LoadLocked::Loaded(Some(stored)) => {
                    if stored.time_to_live < request.terms.longest_hold {
                        self.keep_alive(
                            &lease,
                            stored.time_to_live.min(stored.header.idle_timeout),
                        );
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

    async fn destroy(&self, key: &SessionKey) -> Result<(), DestroyError> {
        self.records.destroy(key).await
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

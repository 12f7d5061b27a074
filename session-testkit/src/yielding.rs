use std::{future::poll_fn, sync::Arc, task::Poll};

use async_trait::async_trait;
use session_core::{
    AcquireError, Capabilities, CommitError, Committed, Creation, DestroyError, Granted,
    LoadLocked, LockRequest, Locker, PrimaryStore, ReadError, RecordStore, SessionKey, StoreError,
    Stored, TouchAfter, Write,
};
use session_lock::{Clock, FencingToken, Lease};

/// A store or locker that waits a moment before and after each operation, as one behind a network does.
///
/// In memory every operation is finished at its first poll. Behind this wrapper, tasks get in between and futures
/// can be dropped in the middle.
#[derive(Clone, Debug)]
pub struct Yielding<S>(pub S);

async fn between<T>(operation: impl Future<Output = T>) -> T {
    turn().await;
    let answer = operation.await;
    turn().await;
    answer
}

/// Goes to the end of the line of tasks that are ready. Tokio's `yield_now` reverses the order of those who yield.
async fn turn() {
    let mut waited = false;
    poll_fn(|context| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[async_trait]
impl<S: PrimaryStore> PrimaryStore for Yielding<S> {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.0.clock()
    }

    async fn lock(&self, key: &SessionKey, request: &LockRequest) -> Result<Granted, AcquireError> {
        between(self.0.lock(key, request)).await
    }

    async fn commit(
        &self,
        lease: Lease<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        between(self.0.commit(lease, write)).await
    }

    async fn end(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        between(self.0.end(lease)).await
    }

    async fn release(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        between(self.0.release(lease)).await
    }

    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        between(self.0.load(key, touch_after)).await
    }

    async fn create(&self, key: &SessionKey, creation: Creation) -> Result<Committed, CommitError> {
        between(self.0.create(key, creation)).await
    }

    async fn update(
        &self,
        key: &SessionKey,
        write: Write,
        request: &LockRequest,
    ) -> Result<Committed, CommitError> {
        between(self.0.update(key, write, request)).await
    }

    async fn destroy(&self, key: &SessionKey) -> Result<(), DestroyError> {
        between(self.0.destroy(key)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        between(self.0.ping()).await
    }

    async fn drained(&self) {
        between(self.0.drained()).await;
    }
}

#[async_trait]
impl<S: RecordStore> RecordStore for Yielding<S> {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        between(self.0.load(key, touch_after)).await
    }

    async fn load_locked(
        &self,
        key: &SessionKey,
        token: FencingToken,
    ) -> Result<LoadLocked, ReadError> {
        between(self.0.load_locked(key, token)).await
    }

    async fn commit(
        &self,
        key: &SessionKey,
        token: FencingToken,
        write: Write,
    ) -> Result<Committed, CommitError> {
        between(self.0.commit(key, token, write)).await
    }

    async fn create(&self, key: &SessionKey, creation: Creation) -> Result<Committed, CommitError> {
        between(self.0.create(key, creation)).await
    }

    async fn touch(&self, key: &SessionKey) -> Result<(), StoreError> {
        between(self.0.touch(key)).await
    }

    async fn destroy(&self, key: &SessionKey) -> Result<(), DestroyError> {
        between(self.0.destroy(key)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        between(self.0.ping()).await
    }
}

#[async_trait]
impl<L: Locker> Locker for Yielding<L> {
    fn clock(&self) -> Arc<dyn Clock> {
        self.0.clock()
    }

    async fn lock(
        &self,
        key: &SessionKey,
        request: &LockRequest,
        floor: FencingToken,
    ) -> Result<Lease<SessionKey>, AcquireError> {
        between(self.0.lock(key, request, floor)).await
    }

    async fn release(&self, lease: Lease<SessionKey>) {
        between(self.0.release(lease)).await;
    }

    async fn drained(&self) {
        between(self.0.drained()).await;
    }
}

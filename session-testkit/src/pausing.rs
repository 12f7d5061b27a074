use std::{
    future::{Future, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use async_trait::async_trait;
use session_core::{
    AcquireError, Bucket, Capabilities, Codec, CommitError, Committed, Creation, DestroyError,
    ExpiryNotice, Granted, Listed, LoadLocked, LockRequest, Locker, Outbox, PrimaryStore,
    ReadError, RecordStore, Revocation, Rotation, SessionId, SessionKey, Standing, StoreError,
    StoreTime, Stored, TouchAfter, UserKey, Write,
};
use session_lock::{Clock, FencingToken, Lease};
use tokio::sync::Barrier;

/// A store or locker that pauses before and after each operation.
#[derive(Clone, Debug)]
pub struct Pausing<S, P> {
    operations: S,
    pause: P,
}

/// What happens before and after each operation of a [`Pausing`] store.
pub trait Pause: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// Lets the operation, or its caller, go on when it is done.
    fn pause(&self) -> impl Future<Output = ()> + Send;
}

/// A store that waits a moment before and after each operation, as one behind a network does.
///
/// In memory every operation is finished at its first poll. Behind this wrapper, tasks get in between and futures
/// can be dropped in the middle.
pub type Yielding<S> = Pausing<S, Turn>;

/// Lets the other tasks go first.
#[derive(Clone, Copy, Debug)]
pub struct Turn;

impl Pause for Turn {
    async fn pause(&self) {
        turn().await;
    }
}

impl<S> Yielding<S> {
    /// Around that store.
    pub const fn new(store: S) -> Self {
        Self {
            operations: store,
            pause: Turn,
        }
    }
}

/// A store that a test can stop right before and after each of its operations, and do something else meanwhile.
pub type Stopping<S> = Pausing<S, Stops>;

/// Where a [`Stopping`] store stops. Clones share it.
#[derive(Clone, Debug)]
pub struct Stops(Arc<Door>);

#[derive(Debug)]
struct Door {
    passed: AtomicUsize,
    closed_at: usize,
    door: Barrier,
}

impl Stops {
    /// Nowhere: only counts.
    pub fn nowhere() -> Self {
        Self::at(usize::MAX)
    }

    /// At that pause, counted from 0: an even one is before an operation, an odd one behind it.
    pub fn at(number: usize) -> Self {
        Self(Arc::new(Door {
            passed: AtomicUsize::new(0),
            closed_at: number,
            door: Barrier::new(2),
        }))
    }

    /// How many pauses there were.
    pub fn passed(&self) -> usize {
        self.0.passed.load(Ordering::SeqCst)
    }

    /// Waits until the store has stopped, does that, and lets the store go on.
    pub async fn meanwhile<T>(&self, act: impl Future<Output = T>) -> T {
        self.0.door.wait().await;
        let done = act.await;
        self.0.door.wait().await;
        done
    }
}

impl Pause for Stops {
    async fn pause(&self) {
        if self.0.passed.fetch_add(1, Ordering::SeqCst) == self.0.closed_at {
            self.0.door.wait().await;
            self.0.door.wait().await;
        }
    }
}

impl<S> Stopping<S> {
    /// Around that store.
    pub const fn new(store: S, stops: Stops) -> Self {
        Self {
            operations: store,
            pause: stops,
        }
    }
}

impl<S: Sync, P: Pause> Pausing<S, P> {
    async fn between<T: Send>(&self, operation: impl Future<Output = T> + Send) -> T {
        self.pause.pause().await;
        let answer = operation.await;
        self.pause.pause().await;
        answer
    }
}

/// Goes to the end of the line of tasks that are ready. Tokio's `yield_now` reverses the order of those who yield.
pub(crate) async fn turn() {
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
impl<S: PrimaryStore, P: Pause> PrimaryStore for Pausing<S, P> {
    fn capabilities(&self) -> Capabilities {
        self.operations.capabilities()
    }

    fn place(&self) -> Option<String> {
        self.operations.place()
    }

    async fn open_outbox(&self, secondaries: &[&str]) -> Result<(), StoreError> {
        self.operations.open_outbox(secondaries).await
    }

    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        self.operations.outbox()
    }

    fn secondaries(&self) -> Vec<String> {
        self.operations.secondaries()
    }

    fn shared_codec(&self) -> Option<Codec> {
        self.operations.shared_codec()
    }

    fn new_id(&self) -> SessionId {
        self.operations.new_id()
    }

    fn new_id_in(&self, bucket: Bucket) -> SessionId {
        self.operations.new_id_in(bucket)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.operations.clock()
    }

    fn time(&self) -> StoreTime {
        self.operations.time()
    }

    fn on_expiry(&self, notice: ExpiryNotice) {
        self.operations.on_expiry(notice);
    }

    async fn lock(&self, key: &SessionKey, request: &LockRequest) -> Result<Granted, AcquireError> {
        self.between(self.operations.lock(key, request)).await
    }

    async fn commit(
        &self,
        lease: Lease<SessionKey>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        self.between(self.operations.commit(lease, write)).await
    }

    async fn end(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        self.between(self.operations.end(lease)).await
    }

    async fn release(&self, lease: Lease<SessionKey>) -> Result<(), CommitError> {
        self.between(self.operations.release(lease)).await
    }

    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        self.between(self.operations.load(key, touch_after)).await
    }

    async fn create(&self, key: &SessionKey, creation: Creation) -> Result<Committed, CommitError> {
        self.between(self.operations.create(key, creation)).await
    }

    async fn update(
        &self,
        key: &SessionKey,
        write: Write,
        request: &LockRequest,
    ) -> Result<Committed, CommitError> {
        self.between(self.operations.update(key, write, request))
            .await
    }

    async fn destroy(&self, key: &SessionKey) -> Result<Option<Stored>, DestroyError> {
        self.between(self.operations.destroy(key)).await
    }

    async fn rotate(
        &self,
        lease: Lease<SessionKey>,
        rotation: Rotation,
    ) -> Result<Committed, CommitError> {
        self.between(self.operations.rotate(lease, rotation)).await
    }

    async fn standing(&self, user: &UserKey) -> Result<Standing, StoreError> {
        self.between(self.operations.standing(user)).await
    }

    async fn list(&self, user: &UserKey) -> Result<Vec<Listed>, StoreError> {
        self.between(self.operations.list(user)).await
    }

    async fn revoke(&self, user: &UserKey, which: Revocation) -> Result<u64, StoreError> {
        self.between(self.operations.revoke(user, which)).await
    }

    async fn enable(&self, user: &UserKey) -> Result<(), StoreError> {
        self.between(self.operations.enable(user)).await
    }

    async fn revoke_everything(&self) -> Result<(), StoreError> {
        self.between(self.operations.revoke_everything()).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.between(self.operations.ping()).await
    }

    async fn drained(&self) {
        self.between(self.operations.drained()).await;
    }
}

#[async_trait]
impl<S: RecordStore, P: Pause> RecordStore for Pausing<S, P> {
    fn capabilities(&self) -> Capabilities {
        self.operations.capabilities()
    }

    fn place(&self) -> Option<String> {
        self.operations.place()
    }

    async fn open_outbox(&self, secondaries: &[&str]) -> Result<(), StoreError> {
        self.operations.open_outbox(secondaries).await
    }

    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        self.operations.outbox()
    }

    fn secondaries(&self) -> Vec<String> {
        self.operations.secondaries()
    }

    async fn load(
        &self,
        key: &SessionKey,
        touch_after: TouchAfter,
    ) -> Result<Option<Stored>, ReadError> {
        self.between(self.operations.load(key, touch_after)).await
    }

    async fn load_locked(
        &self,
        key: &SessionKey,
        token: FencingToken,
    ) -> Result<LoadLocked, ReadError> {
        self.between(self.operations.load_locked(key, token)).await
    }

    async fn commit(
        &self,
        key: &SessionKey,
        token: FencingToken,
        write: Write,
    ) -> Result<Committed, CommitError> {
        self.between(self.operations.commit(key, token, write))
            .await
    }

    async fn create(&self, key: &SessionKey, creation: Creation) -> Result<Committed, CommitError> {
        self.between(self.operations.create(key, creation)).await
    }

    async fn touch(&self, key: &SessionKey) -> Result<(), StoreError> {
        self.between(self.operations.touch(key)).await
    }

    async fn touch_locked(&self, key: &SessionKey, token: FencingToken) -> Result<(), CommitError> {
        self.between(self.operations.touch_locked(key, token)).await
    }

    async fn end(&self, key: &SessionKey, token: FencingToken) -> Result<(), CommitError> {
        self.between(self.operations.end(key, token)).await
    }

    async fn destroy(&self, key: &SessionKey) -> Result<Option<Stored>, DestroyError> {
        self.between(self.operations.destroy(key)).await
    }

    async fn rotate(
        &self,
        key: &SessionKey,
        token: FencingToken,
        rotation: Rotation,
    ) -> Result<Committed, CommitError> {
        self.between(self.operations.rotate(key, token, rotation))
            .await
    }

    async fn standing(&self, user: &UserKey) -> Result<Standing, StoreError> {
        self.between(self.operations.standing(user)).await
    }

    async fn list(&self, user: &UserKey) -> Result<Vec<Listed>, StoreError> {
        self.between(self.operations.list(user)).await
    }

    async fn revoke(&self, user: &UserKey, which: Revocation) -> Result<u64, StoreError> {
        self.between(self.operations.revoke(user, which)).await
    }

    async fn enable(&self, user: &UserKey) -> Result<(), StoreError> {
        self.between(self.operations.enable(user)).await
    }

    async fn revoke_everything(&self) -> Result<(), StoreError> {
        self.between(self.operations.revoke_everything()).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.between(self.operations.ping()).await
    }
}

#[async_trait]
impl<L: Locker, P: Pause> Locker for Pausing<L, P> {
    fn clock(&self) -> Arc<dyn Clock> {
        self.operations.clock()
    }

    async fn lock(
        &self,
        key: &SessionKey,
        request: &LockRequest,
        floor: FencingToken,
    ) -> Result<Lease<SessionKey>, AcquireError> {
        self.between(self.operations.lock(key, request, floor))
            .await
    }

    async fn release(&self, lease: Lease<SessionKey>) {
        self.between(self.operations.release(lease)).await;
    }

    async fn drained(&self) {
        self.between(self.operations.drained()).await;
    }
}

use std::{future::Future, sync::Arc, time::Duration};

use session_core::{
    Capabilities, Composed, MemoryLocker, MemoryRecords, MemorySecondary, MemoryStore,
    PrimaryStore, Promise, RedlockLocker,
};
use session_lock::{Clock, LockNode, MemoryNode, Redlock};
use session_testkit::{
    FakeClock, Yielding, locker::LockerFixture, primary::PrimaryFixture, records::RecordsFixture,
    secondary::SecondaryFixture,
};

const PROMISES: Capabilities = Capabilities::NONE
    .with(Promise::NoLostUpdate)
    .with(Promise::LateHolderWritesNothing)
    .with(Promise::ExactlyOnceCommit)
    .with(Promise::LogoutIsFinal)
    .with(Promise::BothClocks)
    .with(Promise::Rotation)
    .with(Promise::Users);

/// How time passes in a fixture.
pub(crate) trait Time: Clone + Send + Sync + 'static {
    fn start() -> Self;
    fn clock(&self) -> Arc<dyn Clock>;
    fn pass(&self, span: Duration) -> impl Future<Output = ()> + Send;
}

#[derive(Clone)]
pub(crate) struct RealTime;

impl Time for RealTime {
    fn start() -> Self {
        Self
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(session_lock::SystemClock)
    }

    async fn pass(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

impl Time for FakeClock {
    fn start() -> Self {
        Self::new()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clone())
    }

    async fn pass(&self, span: Duration) {
        Self::pass(self, span, Duration::from_millis(10)).await;
    }
}

/// A store in memory under test.
pub(crate) struct Memory<S, T> {
    store: S,
    time: T,
}

/// A kind of store in memory.
pub(crate) trait Kind: PrimaryStore + Clone {
    const PROMISES: Capabilities;
    fn on(clock: Arc<dyn Clock>) -> Self;
}

impl Kind for MemoryStore {
    const PROMISES: Capabilities = PROMISES.with(Promise::OptimisticUpdate);

    fn on(clock: Arc<dyn Clock>) -> Self {
        Self::builder().clock(clock).build().unwrap()
    }
}

impl Kind for Composed<MemoryRecords, MemoryLocker> {
    const PROMISES: Capabilities = PROMISES;

    fn on(clock: Arc<dyn Clock>) -> Self {
        Self::new(
            MemoryRecords::with_clock(Arc::clone(&clock)),
            MemoryLocker::with_clock(clock),
        )
    }
}

impl Kind for Composed<Yielding<MemoryRecords>, Yielding<MemoryLocker>> {
    const PROMISES: Capabilities = PROMISES;

    fn on(clock: Arc<dyn Clock>) -> Self {
        Self::new(
            Yielding::new(MemoryRecords::with_clock(Arc::clone(&clock))),
            Yielding::new(MemoryLocker::with_clock(clock)),
        )
    }
}

impl<S: Kind> Kind for Yielding<S> {
    const PROMISES: Capabilities = S::PROMISES;

    fn on(clock: Arc<dyn Clock>) -> Self {
        Self::new(S::on(clock))
    }
}

impl<S: Kind, T: Time> PrimaryFixture for Memory<S, T> {
    type Store = S;

    const PROMISES: Capabilities = S::PROMISES;

    async fn fresh() -> Self {
        let time = T::start();
        Self {
            store: S::on(time.clock()),
            time,
        }
    }

    fn store(&self) -> S {
        self.store.clone()
    }

    async fn pass(&self, span: Duration) {
        self.time.pass(span).await;
    }
}

/// Half of a composed store, on fake time.
pub(crate) struct Half<S> {
    half: S,
    clock: FakeClock,
}

impl<S> Half<S> {
    fn on(make: impl FnOnce(Arc<dyn Clock>) -> S) -> Self {
        let clock = FakeClock::new();
        let half = make(Arc::new(clock.clone()));
        Self { half, clock }
    }
}

impl RecordsFixture for Half<Yielding<MemoryRecords>> {
    type Store = Yielding<MemoryRecords>;

    async fn fresh() -> Self {
        Self::on(|clock| Yielding::new(MemoryRecords::with_clock(clock)))
    }

    fn store(&self) -> Self::Store {
        self.half.clone()
    }

    async fn pass(&self, span: Duration) {
        Time::pass(&self.clock, span).await;
    }
}

impl LockerFixture for Half<MemoryLocker> {
    type Locker = MemoryLocker;

    async fn fresh() -> Self {
        Self::on(MemoryLocker::with_clock)
    }

    fn locker(&self) -> MemoryLocker {
        self.half.clone()
    }

    async fn pass(&self, span: Duration) {
        Time::pass(&self.clock, span).await;
    }
}

impl LockerFixture for Half<Yielding<MemoryLocker>> {
    type Locker = Yielding<MemoryLocker>;

    async fn fresh() -> Self {
        Self::on(|clock| Yielding::new(MemoryLocker::with_clock(clock)))
    }

    fn locker(&self) -> Self::Locker {
        self.half.clone()
    }

    async fn pass(&self, span: Duration) {
        Time::pass(&self.clock, span).await;
    }
}

/// A secondary in memory.
pub(crate) struct Second(MemorySecondary);

impl SecondaryFixture for Second {
    type Store = MemorySecondary;

    async fn fresh() -> Self {
        Self(MemorySecondary::new())
    }

    fn store(&self) -> MemorySecondary {
        self.0.clone()
    }
}

/// Three nodes in memory.
pub(crate) fn redlock(clock: &Arc<dyn Clock>) -> RedlockLocker {
    let node = |name: &str| Arc::new(MemoryNode::new(name, Arc::clone(clock))) as Arc<dyn LockNode>;
    let nodes = ["a", "b", "c"].map(node).to_vec();
    let lock = Redlock::builder(nodes).clock(Arc::clone(clock));
    let lock = lock.longest_ttl(Duration::from_secs(60)).build();
    RedlockLocker::new(lock.unwrap()).unwrap()
}

impl LockerFixture for Half<RedlockLocker> {
    type Locker = RedlockLocker;

    async fn fresh() -> Self {
        Self::on(|clock| redlock(&clock))
    }

    fn locker(&self) -> RedlockLocker {
        self.half.clone()
    }

    async fn pass(&self, span: Duration) {
        Time::pass(&self.clock, span).await;
    }
}

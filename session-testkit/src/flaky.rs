use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use session_core::{
    Applied, Change, Fault, Row, SecondaryStore, SessionHandle, StoreError, StoreTime,
};
use tokio::sync::watch;

/// A secondary that fails, lags and loses answers as the test says. Clones share everything.
#[derive(Clone, Debug)]
pub struct Flaky<S> {
    store: S,
    mood: Arc<watch::Sender<Mood>>,
    asked: Arc<AtomicUsize>,
    chance: Arc<AtomicU64>,
    late: Arc<Mutex<Vec<Change>>>,
    refused: Arc<Mutex<HashSet<SessionHandle>>>,
}

/// How a [`Flaky`] secondary fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mood {
    /// It does what it is asked.
    Well,
    /// It cannot be reached.
    Down,
    /// It does what it is asked, and its answers are lost.
    Deaf,
    /// It answers nothing until its mood changes.
    Hanging,
    /// It says that it is late, and may take the change over yet: by [`Flaky::catch_up`].
    Late,
    /// It takes nothing, and never will.
    Refusing,
    /// Any of being well, down, deaf and slow, by chance.
    Random,
}

impl<S: SecondaryStore> Flaky<S> {
    /// A secondary that is well, on `store`.
    pub fn new(store: S) -> Self {
        Self {
            store,
            mood: Arc::new(watch::Sender::new(Mood::Well)),
            asked: Arc::default(),
            chance: Arc::new(AtomicU64::new(1)),
            late: Arc::default(),
            refused: Arc::default(),
        }
    }

    /// From now on it fares so.
    pub fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// From now on it takes nothing of that session, however it fares.
    pub fn refuse(&self, session: SessionHandle) {
        self.refused().insert(session);
    }

    /// How often it was asked to take a change over.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// What lies below it.
    pub const fn inner(&self) -> &S {
        &self.store
    }

    /// Takes over what it was asked for while it was late; how many changes.
    ///
    /// # Errors
    /// Those of the store below.
    pub async fn catch_up(&self) -> Result<usize, StoreError> {
        let late = std::mem::take(&mut *self.late());
        for change in &late {
            self.store.apply(change).await?;
        }
        Ok(late.len())
    }

    fn refused(&self) -> MutexGuard<'_, HashSet<SessionHandle>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn late(&self) -> MutexGuard<'_, Vec<Change>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next number of a sequence that is the same in each test. Source: Knuth's MMIX generator.
    fn draw(&self) -> u64 {
        let next = |state: u64| {
            let state = state.wrapping_mul(6_364_136_223_846_793_005);
            Some(state.wrapping_add(1_442_695_040_888_963_407))
        };
        let drawn = self
            .chance
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        drawn.unwrap_or_default() >> 33
    }

    async fn face(&self) -> Result<bool, StoreError> {
        let mut moods = self.mood.subscribe();
        loop {
            let mood = *moods.borrow_and_update();
            match mood {
                Mood::Well => return Ok(true),
                Mood::Deaf => return Ok(false),
                Mood::Down | Mood::Late => return Err(failed(Fault::Unreachable)),
                Mood::Refusing => return Err(refused()),
                Mood::Hanging => {
                    if moods.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                Mood::Random => match self.draw() % 8 {
                    0 | 1 => return Err(failed(Fault::Unreachable)),
                    2 => return Ok(false),
                    3 => tokio::task::yield_now().await,
                    _ => return Ok(true),
                },
            }
        }
    }
}

#[async_trait]
impl<S: SecondaryStore> SecondaryStore for Flaky<S> {
    async fn apply(&self, change: &Change) -> Result<Applied, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if *self.mood.borrow() == Mood::Late {
            self.late().push(change.clone());
        }
        if self.refused().contains(&change.session) {
            return Err(refused());
        }
        let is_heard = self.face().await?;
        let applied = self.store.apply(change).await?;
        if is_heard {
            return Ok(applied);
        }
        Err(failed(Fault::Unreachable))
    }

    async fn seen(&self, session: SessionHandle, idle_end: StoreTime) -> Result<(), StoreError> {
        self.face().await?;
        self.store.seen(session, idle_end).await
    }

    async fn load(&self, session: SessionHandle) -> Result<Option<Row>, StoreError> {
        self.store.load(session).await
    }

    fn place(&self) -> Option<String> {
        self.store.place()
    }
}

fn refused() -> StoreError {
    failed(Fault::Unsuitable("it does not take this".to_owned()))
}

fn failed(fault: Fault) -> StoreError {
    StoreError::new("write to a secondary", "a flaky one", fault)
}

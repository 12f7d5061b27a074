use latchkey_benches::{Record, Result, Subject, locks::Locker as _};

use crate::rslock::Rslock;

/// A session store that knows no locks, with one of rslock around each change: what a careful user builds.
#[derive(Clone)]
pub(crate) struct Careful<S> {
    store: S,
    locks: Rslock,
}

/// A store whose sessions have locks of these names.
pub(crate) trait Named: Subject {
    fn lock_name(name: &Self::Name) -> String;
}

impl<S> Careful<S> {
    pub(crate) const fn new(store: S, locks: Rslock) -> Self {
        Self { store, locks }
    }
}

impl<S: Named> Subject for Careful<S> {
    type Name = S::Name;

    async fn create(&self, record: &Record) -> Result<S::Name> {
        self.store.create(record).await
    }

    async fn cycle(&self, name: &S::Name) -> Result<u64> {
        let lease = self.locks.acquire(&S::lock_name(name)).await?;
        let count = self.store.cycle(name).await;
        self.locks.release(lease).await?;
        count
    }

    async fn update(&self, name: &S::Name) -> Result<u64> {
        self.cycle(name).await
    }

    async fn read(&self, name: &S::Name) -> Result<u64> {
        self.store.read(name).await
    }
}

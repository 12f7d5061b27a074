//! Reads that are answered from this process, and are not older than a bound.

mod entries; // the records, and whether they may be shown
mod tracking; // the connection on which they were read

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use session_core::{ReadError, Recent, SessionKey, TouchAfter};
use session_lock::{
    Clock,
    link::{Call, CallError, Finder, Link, Settings, Source},
};

pub(crate) use self::entries::Entries;
use self::{entries::Found, tracking::Tracking};
use crate::{
    delivery::Server,
    sentinel::is_replica,
    store::{self, Inner},
};

/// What a [`RedisStore`](crate::RedisStore) that caches reads has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStatistics {
    /// Reads that asked the server nothing.
    pub hits: u64,
    /// Reads of sessions that were not known here.
    pub misses: u64,
    /// Reads of sessions that were known, but for longer than the bound nothing was heard of the server.
    pub unsure: u64,
    /// Sessions of which the server said that they were changed or ended.
    pub invalidations: u64,
    /// How often everything was dropped: with a new connection, or because the server said so.
    pub resets: u64,
    /// How many sessions are known.
    pub sessions: usize,
    /// About how many bytes they take.
    pub bytes: u64,
}

/// The records that this process knows, and the connection that keeps them current.
pub(crate) struct CachedReads {
    entries: Arc<Entries>,
    counts: Arc<Counts>,
    link: Link,
    clock: Arc<dyn Clock>,
    is_asking: AtomicBool,
    has_warned: AtomicBool,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    unsure: AtomicU64,
    invalidations: AtomicU64,
    resets: AtomicU64,
}

impl CachedReads {
    /// `finder`: of a server that can tell of changes.
    pub(crate) fn new(finder: Arc<dyn Finder>, server: &Server, entries: Entries) -> Self {
        let (entries, counts) = (Arc::new(entries), Arc::<Counts>::default());
        let tracking = Arc::new(Tracking {
            entries: Arc::clone(&entries),
            counts: Arc::clone(&counts),
        });
        let settings = Settings {
            call_timeout: server.way.call_timeout(),
            pause_after_failure: PAUSE,
            most_alone: 1,
            greeting: Some(Arc::clone(&tracking) as _),
            hearing: Some(tracking),
        };
        let (source, node) = (Source::Sought(finder), server.way.node().into());
        Self {
            entries,
            counts,
            link: Link::with_settings(source, node, settings),
            clock: Arc::clone(&server.clock),
            is_asking: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
        }
    }

    /// To be called before anybody is told that a session was written.
    pub(crate) fn forget(&self, key: &SessionKey) {
        self.entries.forget(key);
    }

    /// Waits until everything was heard of that the server has done so far: after writes to sessions that are not known by
    /// name.
    pub(crate) async fn catch_up(&self) {
        if self.ask().await.is_err() {
            self.entries.forget_all();
        }
    }

    pub(crate) fn statistics(&self) -> CacheStatistics {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheStatistics {
            hits: count(&self.counts.hits),
            misses: count(&self.counts.misses),
            unsure: count(&self.counts.unsure),
            invalidations: count(&self.counts.invalidations),
            resets: count(&self.counts.resets),
            sessions: self.entries.len(),
            bytes: self.entries.bytes(),
        }
    }

    /// Asks the server anything, so that its answer tells that nothing is under way any more. It is asked for its role,
    /// because a replica tells of changes when it hears of them.
    async fn ask(&self) -> Result<(), CallError> {
        let asked = self.clock.now();
        let mut call = Call::default();
        call.add(redis::cmd("ROLE"));
        let answers = self.link.join(call).await?;
        if answers.first().is_some_and(is_replica) {
            self.renew();
        } else {
            self.entries.answered(asked);
        }
        Ok(())
    }

    /// Another server is the master now.
    pub(crate) fn renew(&self) {
        self.link.renew();
        self.entries.forget_all();
    }

    fn ask_behind(self: &Arc<Self>) {
        if !self.is_asking.swap(true, Ordering::AcqRel) {
            let asking = Asking(Arc::clone(self));
            tokio::spawn(async move {
                // Unanswered, what is known becomes too old to be shown.
                asking.0.ask().await.ok();
            });
        }
    }

    fn warn_once(&self, error: &CallError) {
        if !self.has_warned.swap(true, Ordering::AcqRel) {
            let node = self.link.node();
            tracing::warn!(node, fault = %error.fault, "cannot cache reads; the server is asked each time");
        }
    }
}

// As long as no connection can be had, reads do not wait for one.
const PAUSE: Duration = Duration::from_secs(1);

/// Somebody asks. Ends also with the runtime.
struct Asking(Arc<CachedReads>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.is_asking.store(false, Ordering::Release);
    }
}

/// A record that this process knows, or else the server.
pub(crate) async fn load(
    inner: &Arc<Inner>,
    cached: &Arc<CachedReads>,
    key: &SessionKey,
    touch_after: TouchAfter,
) -> Result<Option<Recent>, ReadError> {
    // Whoever reads again and again until something changes must not keep the change from being heard of. Before the look,
    // because it may take a while.
    tokio::task::coop::consume_budget().await;
    let (count, outcome) = match cached.entries.get(key) {
        Found::Current(entry, stored) => {
            let decoded = Some(Arc::clone(&entry.decoded));
            count(&cached.counts.hits);
            measure("hit");
            if cached.entries.is_ageing() {
                cached.ask_behind();
            }
            if store::is_to_be_touched(&stored, touch_after) && entry.touch() {
                let touched = inner.touch(key);
                tokio::spawn(async move {
                    if touched.await.is_err() {
                        entry.was_not_touched();
                    }
                });
            }
            return Ok(Some(Recent { stored, decoded }));
        }
        Found::Unsure => (&cached.counts.unsure, "unsure"),
        Found::Nothing => (&cached.counts.misses, "miss"),
    };
    self::count(count);
    measure(outcome);
    let (keys, place) = (inner.prefix.keys(key), cached.entries.begin(key));
    let asked = cached.clock.now();
    let answers = match cached.link.join(store::read(&keys)).await {
        Ok(answers) => answers,
        Err(error) => {
            drop(place);
            cached.warn_once(&error);
            return Ok(inner.load(key, touch_after).await?.map(Recent::from));
        }
    };
    cached.entries.answered(asked);
    let stored = inner.answered(key, &keys, answers, touch_after).await?;
    if let (Some(place), Some(stored)) = (place, &stored) {
        place.fill(stored.clone(), asked);
    }
    Ok(stored.map(Recent::from))
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// One more read, for the metrics.
#[cfg(feature = "metrics")]
fn measure(outcome: &'static str) {
    metrics::counter!("latchkey_cached_reads_total", "outcome" => outcome).increment(1);
}

#[cfg(not(feature = "metrics"))]
const fn measure(_outcome: &'static str) {}

impl fmt::Debug for CachedReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedReads")
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}

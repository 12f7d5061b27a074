//! Spans and metrics. Their names stand in [`guide::metrics`](crate::guide::metrics), and nowhere else than here and in the
//! crates that add to them. Without the feature `metrics`, all but the spans comes to nothing.

use std::{fmt, future::Future, sync::Arc};

use session_lock::Clock;
#[cfg(feature = "metrics")]
use session_lock::Moment;
use tracing::{Instrument as _, Span};

use crate::{
    AcquireError, CommitError, CommitReport, Event, ReadError, Snapshot, WithError,
    write_through::Named,
};
#[cfg(feature = "metrics")]
use crate::{Applied, Backlog, Change, Row, SecondaryStore, SessionHandle, StoreError, StoreTime};

/// Counts when something begins.
#[derive(Clone)]
pub(crate) struct Stopwatch {
    #[cfg(feature = "metrics")]
    started: (Moment, Arc<dyn Clock>),
}

impl Stopwatch {
    #[cfg(feature = "metrics")]
    pub(crate) fn start(clock: &Arc<dyn Clock>) -> Self {
        Self {
            started: (clock.now(), Arc::clone(clock)),
        }
    }

    #[cfg(not(feature = "metrics"))]
    pub(crate) const fn start(_clock: &Arc<dyn Clock>) -> Self {
        Self {}
    }

    #[cfg(feature = "metrics")]
    fn record(&self, name: &'static str, outcome: &'static str) {
        let (started, clock) = &self.started;
        let seconds = clock.now().saturating_since(*started).as_secs_f64();
        metrics::histogram!(name, "outcome" => outcome).record(seconds);
    }

    #[cfg(not(feature = "metrics"))]
    #[expect(clippy::unused_self, reason = "it is nothing without the feature")]
    const fn record(&self, _name: &'static str, _outcome: &'static str) {}
}

impl fmt::Debug for Stopwatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopwatch")
    }
}

#[cfg(feature = "metrics")]
fn count(name: &'static str, outcome: &'static str) {
    metrics::counter!(name, "outcome" => outcome).increment(1);
}

#[cfg(not(feature = "metrics"))]
const fn count(_name: &'static str, _outcome: &'static str) {}

/// Waiting for a lock.
pub(crate) async fn lock<T>(
    clock: &Arc<dyn Clock>,
    work: impl Future<Output = Result<T, AcquireError>>,
) -> Result<T, AcquireError> {
    let watch = Stopwatch::start(clock);
    let locked = work.instrument(span("lock")).await;
    let outcome = match &locked {
        Ok(_) => "granted",
        Err(AcquireError::Held { .. }) => "held",
        Err(AcquireError::Busy { .. }) => "busy",
        Err(AcquireError::NoSession) => "no_session",
        Err(AcquireError::Rotated) => "rotated",
        Err(AcquireError::AlreadyHeld) => "already_held",
        Err(_) => "failed",
    };
    watch.record("latchkey_lock_wait_seconds", outcome);
    locked
}

/// Reading without a lock.
pub(crate) async fn read(
    work: impl Future<Output = Result<Option<Snapshot>, ReadError>>,
) -> Result<Option<Snapshot>, ReadError> {
    let read = work.instrument(span("read")).await;
    let outcome = match &read {
        Ok(Some(_)) => "found",
        Ok(None) => "no_session",
        Err(_) => "failed",
    };
    count("latchkey_reads_total", outcome);
    read
}

/// Storing what was changed under a lock, and new sessions.
pub(crate) async fn commit(
    work: impl Future<Output = Result<CommitReport, CommitError>>,
) -> Result<CommitReport, CommitError> {
    let committed = work.instrument(span("commit")).await;
    count("latchkey_commits_total", outcome_of(&committed));
    committed
}

pub(crate) fn outcome_of(committed: &Result<CommitReport, CommitError>) -> &'static str {
    match committed {
        Ok(report) if report.is_ended => "ended",
        Ok(report) if report.is_stored() => "stored",
        Ok(_) => "unchanged",
        Err(CommitError::SecondaryFailed { report }) if report.is_ended => "ended",
        Err(error) => failure(error),
    }
}

const fn failure(error: &CommitError) -> &'static str {
    match error {
        CommitError::LeaseLost { .. } => "lease_lost",
        CommitError::Conflict => "conflict",
        CommitError::LockHeld => "lock_held",
        CommitError::Destroyed => "destroyed",
        CommitError::Expired => "expired",
        CommitError::Rotated => "rotated",
        CommitError::Superseded | CommitError::UserDisabled => "superseded",
        CommitError::TooManySessions { .. } => "too_many_sessions",
        CommitError::TooLarge { .. } => "too_large",
        CommitError::SecondaryFailed { .. } => "stored",
        CommitError::Unknown(_) => "unknown",
        _ => "failed",
    }
}

/// A change without a lock.
pub(crate) async fn update<T, E>(
    work: impl Future<Output = Result<T, WithError<E>>>,
) -> Result<T, WithError<E>> {
    let updated = work.instrument(span("update")).await;
    let outcome = match &updated {
        Ok(_) => "stored",
        Err(WithError::Acquire(AcquireError::NoSession)) => "no_session",
        Err(WithError::Acquire(_)) => "not_acquired",
        Err(WithError::Body(_)) => "refused",
        Err(WithError::Commit(error)) => failure(error),
    };
    count("latchkey_updates_total", outcome);
    updated
}

/// Something that observers are told of.
pub(crate) fn event(event: &Event) {
    let name = match event {
        Event::Created { .. } => "created",
        Event::Rotated { .. } => "rotated",
        Event::LoggedIn { .. } => "logged_in",
        Event::LoggedOut { .. } => "logged_out",
        Event::Ended { .. } => "ended",
        Event::Destroyed { .. } => "destroyed",
        Event::Revoked { .. } => "revoked",
        Event::RevokedEverything => "revoked_everything",
        Event::Expired { .. } => "expired",
        Event::LeaseLost { .. } => "lease_lost",
        Event::RecordCorrupt { .. } => "record_corrupt",
        Event::SetAside { .. } => "set_aside",
    };
    count("latchkey_events_total", name);
    #[cfg(feature = "metrics")]
    if let Event::SetAside { secondary, .. } = event {
        delivery(secondary, "set_aside");
    }
}

/// Counts what becomes of the changes that a secondary is given.
#[cfg(feature = "metrics")]
pub(crate) fn deliveries(named: Named) -> Named {
    let (name, store) = (Arc::clone(&named.name), named.store);
    Named {
        store: Arc::new(Counted { name, store }),
        ..named
    }
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn deliveries(named: Named) -> Named {
    named
}

#[cfg(feature = "metrics")]
fn delivery(secondary: &Arc<str>, outcome: &'static str) {
    let secondary = Arc::clone(secondary);
    metrics::counter!("latchkey_deliveries_total", "secondary" => secondary, "outcome" => outcome)
        .increment(1);
}

/// How much waits for a secondary.
#[cfg(feature = "metrics")]
pub(crate) fn backlog(secondary: &Arc<str>, backlog: Backlog, now: StoreTime) {
    let gauge = |name: &'static str| metrics::gauge!(name, "secondary" => Arc::clone(secondary));
    let age = backlog.oldest.map(|noted| now.saturating_since(noted));
    #[expect(clippy::cast_precision_loss, reason = "nobody counts so many sessions")]
    let count = |sessions: u64| sessions as f64;
    gauge("latchkey_outbox_sessions").set(count(backlog.sessions));
    gauge("latchkey_outbox_set_aside").set(count(backlog.set_aside));
    gauge("latchkey_outbox_age_seconds").set(age.unwrap_or_default().as_secs_f64());
}

/// A secondary whose deliveries are counted.
#[cfg(feature = "metrics")]
struct Counted {
    name: Arc<str>,
    store: Arc<dyn SecondaryStore>,
}

#[cfg(feature = "metrics")]
#[async_trait::async_trait]
impl SecondaryStore for Counted {
    async fn apply(&self, change: &Change) -> Result<Applied, StoreError> {
        // Whoever waits no longer drops it.
        let mut outcome = Outcome(&self.name, "failed");
        let applied = self.store.apply(change).await;
        outcome.1 = match &applied {
            Ok(Applied::Changed) => "delivered",
            Ok(Applied::Known) => "known",
            Err(_) => "failed",
        };
        applied
    }

    async fn seen(&self, session: SessionHandle, idle_end: StoreTime) -> Result<(), StoreError> {
        self.store.seen(session, idle_end).await
    }

    async fn load(&self, session: SessionHandle) -> Result<Option<Row>, StoreError> {
        self.store.load(session).await
    }

    fn place(&self) -> Option<String> {
        self.store.place()
    }
}

#[cfg(feature = "metrics")]
impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[cfg(feature = "metrics")]
struct Outcome<'a>(&'a Arc<str>, &'static str);

#[cfg(feature = "metrics")]
impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        delivery(self.0, self.1);
    }
}

/// How long a lock is held: from when it is granted until it is given back.
#[derive(Debug)]
pub(crate) struct Hold {
    watch: Stopwatch,
    outcome: &'static str,
}

impl Hold {
    pub(crate) fn begin(clock: &Arc<dyn Clock>) -> Self {
        Self {
            watch: Stopwatch::start(clock),
            outcome: "dropped",
        }
    }

    /// It ends now, and in this way.
    pub(crate) fn end(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.watch
            .record("latchkey_lock_hold_seconds", self.outcome);
    }
}

fn span(operation: &'static str) -> Span {
    tracing::debug_span!("session", operation)
}

//! One secondary, and the task that brings it up to date.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use session_lock::{Clock, Moment};
use tokio::sync::Notify;

use super::{
    Change, Delivery, Found, OutboxEntry, PendingEntry, Row, SecondaryPolicy, SecondaryReport,
    SecondaryStore, Version,
    plan::{Done, EVERYTHING, Named, Plan},
};
use crate::{
    BadRecord, Event, Fault, Header, SessionData, SessionHandle, SessionKey, StoreError, StoreTime,
    Stored,
};

/// A secondary, what waits for it in this process, and how it fares.
pub(crate) struct Secondary {
    at: usize,
    name: Arc<str>,
    store: Arc<dyn SecondaryStore>,
    policy: SecondaryPolicy,
    // Std mutexes: held for a few instructions, never across an await.
    queue: Mutex<Queue>,
    health: Mutex<Health>,
    /// How many changes were applied.
    applied: AtomicU64,
    wake: Notify,
}

/// A version exactly as it is stored.
pub(crate) struct Written {
    pub(super) entry: OutboxEntry,
    pub(super) header: Header,
    pub(super) data: SessionData,
    pub(super) idle_end: StoreTime,
}

#[derive(Default)]
struct Queue {
    written: HashMap<SessionKey, Arc<Written>>,
    bytes: usize,
    looks: BTreeSet<u16>,
    seen: HashMap<SessionHandle, StoreTime>,
    /// What the outbox is to be told.
    delivered: HashMap<SessionKey, OutboxEntry>,
    /// When the first of these was delivered.
    since: Option<Moment>,
}

#[derive(Default)]
struct Health {
    /// The last error, and until when nothing more is tried.
    down: Option<(StoreError, Moment)>,
    pause: Duration,
    /// How often changes of a session were refused, and how many others had been applied when that began.
    strikes: HashMap<SessionHandle, (u32, u64)>,
}

/// Beyond these, what is written is left to be read from the primary.
const MOST_QUEUED: usize = 4096;
const MOST_QUEUED_BYTES: usize = 16 << 20;
/// How many changes are on their way to a secondary at once.
const SIDE_BY_SIDE: usize = 16;
/// The outbox is told of this many together, or after that time: the next change of a session makes it needless.
const TOLD_TOGETHER: usize = 1024;
const TOLD_AFTER: Duration = Duration::from_millis(50);
/// How often the outbox is looked through, ...
const LOOKED_THROUGH_EVERY: Duration = Duration::from_secs(1);
/// ... for what its writer has not delivered by then.
const LEFT_TO_WRITERS: Duration = Duration::from_secs(1);
/// For how long a deliverer has its part of the outbox.
const CLAIM: Duration = Duration::from_secs(10);
const PAGE: usize = 128;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After so many refusals, while others were applied, a change is set aside.
const MOST_STRIKES: u32 = 5;
const MOST_REMEMBERED: usize = 10_000;

impl Secondary {
    pub(super) fn new(at: usize, named: Named) -> Self {
        Self {
            at,
            name: named.name,
            store: named.store,
            policy: named.policy,
            queue: Mutex::default(),
            health: Mutex::default(),
            applied: AtomicU64::new(0),
            wake: Notify::new(),
        }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn store(&self) -> &dyn SecondaryStore {
        &*self.store
    }

    pub(super) fn values(
        &self,
        session: SessionHandle,
        row: &Row,
    ) -> Result<SessionData, BadRecord> {
        self.policy.values(&self.name, session, row)
    }

    pub(super) const fn patience(&self) -> Duration {
        self.policy.patience()
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(super) fn look(&self, bucket: u16) {
        self.queue().looks.insert(bucket);
        self.wake();
    }

    pub(super) fn seen(&self, session: SessionHandle, idle_end: StoreTime) {
        let mut queue = self.queue();
        if queue.seen.len() < MOST_QUEUED {
            let known = queue.seen.entry(session).or_insert(idle_end);
            *known = idle_end.max(*known);
        }
    }

    /// Leaves what a commit has done to the task.
    pub(super) fn leave(&self, plan: &Plan, done: &Done) -> SecondaryReport {
        let delivery = match self.is_down(plan.clock.now()) {
            Some(error) => Delivery::Failed(error),
            None => Delivery::Later,
        };
        match done {
            Done::Changed(key) => self.look(key.bucket().number()),
            Done::Wrote(written) if matches!(delivery, Delivery::Later) => {
                let mut queue = self.queue();
                queue.delivered.remove(&written.entry.key);
                if queue.written.len() < MOST_QUEUED && queue.bytes < MOST_QUEUED_BYTES {
                    queue.bytes += written.data.encoded_len_max();
                    if let Some(older) =
                        queue.written.insert(written.entry.key, Arc::clone(written))
                    {
                        queue.bytes -= older.data.encoded_len_max();
                    }
                }
                drop(queue);
                self.wake();
            }
            Done::Wrote(_) | Done::Joined(_) => {}
        }
        self.report(delivery)
    }

    /// Delivers what a commit has done, within the time that the commit waits.
    pub(super) async fn follow_now(&self, plan: &Plan, done: &Done) -> SecondaryReport {
        let deliver = async {
            match done {
                Done::Wrote(written) => {
                    let change = self.change_of(written);
                    let Some(change) = change else {
                        return Err(self.refused("a value that its codec cannot hold"));
                    };
                    self.apply(&*plan.clock, &change).await?;
                    self.delivered(plan.clock.now(), [written.entry]);
                    Ok(())
                }
                Done::Changed(key) | Done::Joined(key) => {
                    let bucket = key.bucket().number();
                    let range = bucket..=bucket;
                    let left = self.deliver_range(plan, &range, StoreTime::MAX).await?;
                    if left.may_hold(key) {
                        let error = self.is_down(plan.clock.now());
                        return Err(
                            error.unwrap_or_else(|| self.refused("a change that it did not take"))
                        );
                    }
                    Ok(())
                }
            }
        };
        let (clock, patience) = (&plan.clock, self.patience());
        let delivery = tokio::select! {
            biased;
            delivered = deliver => match delivered {
                Ok(()) => Delivery::Delivered,
                Err(error) => Delivery::Failed(error),
            },
            () = clock.sleep_until(clock.now() + patience) => if self.policy.is_required() {
                Delivery::Failed(self.late(patience))
            } else {
                Delivery::Later
            },
        };
        // What was not delivered stands in the outbox.
        self.report(delivery)
    }

    /// Brings the secondary up to date, for as long as the plan stands.
    pub(super) async fn run(&self, plan: &Weak<Plan>) {
        let mut next_pass = None;
        loop {
            let Some(plan) = plan.upgrade() else {
                return;
            };
            let now = plan.clock.now();
            let pass_at = *next_pass.get_or_insert(now + LOOKED_THROUGH_EVERY);
            self.empty_queue(&plan).await;
            if now >= pass_at {
                self.pass(&plan).await;
                next_pass = None;
            }
            self.tell_outbox(&plan, false).await;
            let told_at = self.queue().since.map(|since| since + TOLD_AFTER);
            let until = told_at.map_or(pass_at, |told_at| told_at.min(pass_at));
            let clock = Arc::clone(&plan.clock);
            drop(plan);
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = clock.sleep_until(until) => {}
            }
        }
    }

    /// Delivers whatever waits; for how many sessions something waits yet.
    pub(super) async fn drain(&self, plan: &Plan) -> u64 {
        self.tell_outbox(plan, true).await;
        // What is left is counted.
        self.deliver_range(plan, &EVERYTHING, StoreTime::MAX)
            .await
            .ok();
        let backlog = plan.outbox.backlog(self.at).await;
        // If it is not known, it is not nothing.
        backlog.map_or(1, |backlog| backlog.sessions)
    }

    /// What was written and seen in this process.
    async fn empty_queue(&self, plan: &Plan) {
        loop {
            let (written, looks, seen) = {
                let mut queue = self.queue();
                queue.bytes = 0;
                (
                    std::mem::take(&mut queue.written),
                    std::mem::take(&mut queue.looks),
                    std::mem::take(&mut queue.seen),
                )
            };
            if written.is_empty() && looks.is_empty() && seen.is_empty() {
                return;
            }
            let changes = written.into_values().filter_map(|written| {
                let change = self.change_of(&written)?;
                Some((written.entry, change))
            });
            let delivered = self.deliver(plan, changes.collect()).await;
            self.delivered(plan.clock.now(), delivered);
            for bucket in looks {
                let range = bucket..=bucket;
                // What is left is found by the next pass.
                self.deliver_range(plan, &range, StoreTime::MAX).await.ok();
            }
            // Lost, the next use tells it.
            stream::iter(seen)
                .for_each_concurrent(SIDE_BY_SIDE, async |(session, idle_end)| {
                    self.tell_seen(&*plan.clock, session, idle_end).await;
                })
                .await;
        }
    }

    /// Looks through the parts of the outbox that no other process looks through.
    async fn pass(&self, plan: &Plan) {
        let until = plan.store.time().before(LEFT_TO_WRITERS);
        for part in plan.outbox.parts() {
            if self.is_down(plan.clock.now()).is_some() {
                return;
            }
            let claimed = plan.outbox.claim(&part, plan.deliverer, CLAIM).await;
            let delivered = match claimed {
                Ok(false) => continue,
                Ok(true) => self.deliver_range(plan, &part, until).await,
                Err(error) => Err(error),
            };
            if self.is_down(plan.clock.now()).is_some() {
                return;
            }
            if let Err(error) = delivered {
                tracing::warn!(secondary = &*self.name, %error, "the outbox cannot be looked through");
                return;
            }
        }
    }

    /// Delivers what was noted in a range of buckets; what of that the secondary does not have.
    async fn deliver_range(
        &self,
        plan: &Plan,
        range: &RangeInclusive<u16>,
        until: StoreTime,
    ) -> Result<Left, StoreError> {
        let mut left = Left::default();
        loop {
            if let Some(error) = self.is_down(plan.clock.now()) {
                return Err(error);
            }
            let page = plan.outbox.pending(self.at, range, until, PAGE);
            let page = page.await?;
            let bytes: usize = page.iter().map(PendingEntry::bytes).sum();
            let is_last = page.len() < PAGE && bytes <= PendingEntry::BYTES_AT_ONCE;
            let has_moved = self.deliver_page(plan, page, &mut left).await?;
            if is_last || !has_moved {
                left.has_more = !is_last;
                return Ok(left);
            }
        }
    }

    /// Whether something of a page is out of the way now.
    async fn deliver_page(
        &self,
        plan: &Plan,
        page: Vec<PendingEntry>,
        left: &mut Left,
    ) -> Result<bool, StoreError> {
        let (mut done, mut changes, mut aside) = (Vec::new(), Vec::new(), Vec::new());
        let entries: Vec<_> = page.iter().map(|pending| pending.entry).collect();
        for pending in page {
            let entry = pending.entry;
            match self.decide(plan, pending) {
                Decision::Apply(change) => changes.push((entry, change)),
                Decision::Done => done.push(entry),
                Decision::Later => {}
                Decision::Refuse => aside.push(entry),
            }
        }
        // Others first: one that is refused is not to be in their way.
        changes.sort_by_key(|(entry, _)| self.health().strikes.contains_key(&entry.session));
        done.extend(self.deliver(plan, changes).await);
        left.keys.extend(entries.iter().map(|entry| entry.key));
        for entry in &done {
            left.keys.remove(&entry.key);
        }
        aside.extend(self.struck_out(entries));
        if !done.is_empty() {
            plan.outbox.delivered(self.at, &done).await?;
        }
        for entry in &aside {
            self.set_aside(plan, entry).await?;
        }
        Ok(!done.is_empty() || !aside.is_empty())
    }

    fn decide(&self, plan: &Plan, pending: PendingEntry) -> Decision {
        let PendingEntry { entry, found } = pending;
        let end = |version| Change {
            session: entry.session,
            version,
            row: None,
        };
        match found {
            // Also if an end was noted: that has failed.
            Found::Live(stored) => match self.change_to(plan, &entry.key, &stored) {
                Some(change) => Decision::Apply(change),
                None => Decision::Refuse,
            },
            _ if entry.version.is_end() => Decision::Apply(end(entry.version)),
            Found::Moved => Decision::Done,
            Found::Frozen => Decision::Later,
            // It ran out.
            Found::Nothing => Decision::Apply(end(Version::ended(entry.version.revision()))),
            Found::Unusable(_) => Decision::Refuse,
        }
    }

    /// The change to what is stored; `None` if it cannot be read or not be shown.
    fn change_to(&self, plan: &Plan, key: &SessionKey, stored: &Stored) -> Option<Change> {
        let header = &stored.header;
        let opened = plan.seal.open(key, header, &stored.body, plan.max_record);
        let idle_end = stored.read_at.after(stored.time_to_live);
        self.change(header, &opened.ok()?.data, idle_end)
    }

    fn change_of(&self, written: &Written) -> Option<Change> {
        self.change(&written.header, &written.data, written.idle_end)
    }

    fn change(&self, header: &Header, data: &SessionData, idle_end: StoreTime) -> Option<Change> {
        let (session, policy) = (header.handle, &self.policy);
        Some(Change {
            session,
            version: Version::stored(header.revision),
            row: Some(policy.row(&self.name, session, header, data, idle_end)?),
        })
    }

    /// Applies changes side by side; those that were applied.
    async fn deliver(&self, plan: &Plan, changes: Vec<(OutboxEntry, Change)>) -> Vec<OutboxEntry> {
        let apply = async |(entry, change): (OutboxEntry, Change)| {
            let applied = self.apply(&*plan.clock, &change).await;
            applied.is_ok().then_some(entry)
        };
        let applied = stream::iter(changes)
            .map(apply)
            .buffer_unordered(SIDE_BY_SIDE);
        applied
            .filter_map(|entry| async move { entry })
            .collect()
            .await
    }

    /// Applies one change, unless the secondary is known to be down.
    async fn apply(&self, clock: &dyn Clock, change: &Change) -> Result<(), StoreError> {
        if let Some(error) = self.is_down(clock.now()) {
            return Err(error);
        }
        let limit = self.policy.limit();
        let applied = tokio::select! {
            biased;
            applied = self.store.apply(change) => applied,
            () = clock.sleep_until(clock.now() + limit) => Err(self.late(limit)),
        };
        let mut health = self.health();
        match applied {
            Ok(_) => {
                self.applied.fetch_add(1, Ordering::Relaxed);
                health.strikes.remove(&change.session);
                if health.down.take().is_some() {
                    tracing::info!(secondary = &*self.name, "a secondary is back");
                }
                health.pause = Duration::ZERO;
                Ok(())
            }
            Err(error) => {
                let applied = self.applied.load(Ordering::Relaxed);
                if health.strikes.len() < MOST_REMEMBERED {
                    let strikes = health.strikes.entry(change.session);
                    strikes.or_insert((0, applied)).0 += 1;
                }
                // What nobody but an administrator can help is not the whole secondary's fault: others are tried.
                if error.is_retryable() {
                    health.down(&self.name, &error, clock.now());
                }
                Err(error)
            }
        }
    }

    async fn tell_seen(&self, clock: &dyn Clock, session: SessionHandle, idle_end: StoreTime) {
        if self.is_down(clock.now()).is_some() {
            return;
        }
        tokio::select! {
            biased;
            seen = self.store.seen(session, idle_end) => if let Err(error) = seen {
                tracing::debug!(secondary = &*self.name, %error, "a use of a session was not told");
            },
            () = clock.sleep_until(clock.now() + self.policy.limit()) => {}
        }
    }

    /// Those of sessions whose changes were refused again and again, while those of others were not.
    fn struck_out(&self, mut entries: Vec<OutboxEntry>) -> Vec<OutboxEntry> {
        let applied = self.applied.load(Ordering::Relaxed);
        let health = self.health();
        entries.retain(|entry| {
            let strikes = health.strikes.get(&entry.session);
            strikes.is_some_and(|(strikes, before)| *strikes >= MOST_STRIKES && applied > *before)
        });
        entries
    }

    async fn set_aside(&self, plan: &Plan, entry: &OutboxEntry) -> Result<(), StoreError> {
        plan.outbox.set_aside(self.at, entry).await?;
        self.health().strikes.remove(&entry.session);
        let session = entry.session;
        tracing::error!(
            secondary = &*self.name,
            ?session,
            "a secondary does not take a session"
        );
        plan.observers.tell(|| Event::SetAside {
            secondary: Arc::clone(&self.name),
            session,
        });
        Ok(())
    }

    /// Notes what the outbox is to be told.
    fn delivered(&self, now: Moment, entries: impl IntoIterator<Item = OutboxEntry>) {
        let mut queue = self.queue();
        for entry in entries {
            // Of a session that was written again, a later version is told.
            if !queue.written.contains_key(&entry.key) {
                queue.delivered.insert(entry.key, entry);
                if queue.since.is_none() {
                    queue.since = Some(now);
                    self.wake();
                }
            }
        }
    }

    /// Tells the outbox what was delivered, if there is enough of it, or for long enough.
    async fn tell_outbox(&self, plan: &Plan, at_once: bool) {
        let entries: Vec<_> = {
            let mut queue = self.queue();
            let now = plan.clock.now();
            let is_old = queue.since.is_some_and(|since| now >= since + TOLD_AFTER);
            if !at_once && !is_old && queue.delivered.len() < TOLD_TOGETHER {
                return;
            }
            queue.since = None;
            std::mem::take(&mut queue.delivered).into_values().collect()
        };
        if !entries.is_empty()
            && let Err(error) = plan.outbox.delivered(self.at, &entries).await
        {
            // They are delivered once more, and known then.
            tracing::debug!(secondary = &*self.name, %error, "the outbox was not told");
        }
    }

    /// The last error, while nothing is tried.
    fn is_down(&self, now: Moment) -> Option<StoreError> {
        let health = self.health();
        let (error, until) = health.down.as_ref()?;
        (now < *until).then(|| error.clone())
    }

    fn report(&self, delivery: Delivery) -> SecondaryReport {
        SecondaryReport {
            name: Arc::clone(&self.name),
            is_required: self.policy.is_required(),
            delivery,
        }
    }

    fn late(&self, limit: Duration) -> StoreError {
        self.error(Fault::TimedOut(limit))
    }

    fn refused(&self, what: &'static str) -> StoreError {
        self.error(Fault::Unsuitable(what.to_owned()))
    }

    fn error(&self, fault: Fault) -> StoreError {
        StoreError::new(
            "write to a secondary",
            format!("secondary {}", self.name),
            fault,
        )
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    fn down(&mut self, name: &str, error: &StoreError, now: Moment) {
        if self.down.is_none() {
            tracing::warn!(secondary = name, %error, "a secondary cannot be written to");
        }
        // Several that were on their way together count as one.
        if self.down.as_ref().is_none_or(|(_, until)| now >= *until) {
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            self.down = Some((error.clone(), now + self.pause));
        }
    }
}

/// What a secondary does not have after a delivery.
#[derive(Default)]
struct Left {
    /// Not taken, not to be told yet, or set aside.
    keys: HashSet<SessionKey>,
    /// Whether there is something else, which was not looked at.
    has_more: bool,
}

impl Left {
    fn may_hold(&self, key: &SessionKey) -> bool {
        self.has_more || self.keys.contains(key)
    }
}

enum Decision {
    Apply(Change),
    Done,
    Later,
    Refuse,
}

impl fmt::Debug for Secondary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secondary")
            .field("name", &self.name)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

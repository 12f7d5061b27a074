use std::{
    fmt,
    ops::RangeInclusive,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use session_lock::Clock;

use super::{
    Backlog, Outbox, OutboxEntry, Row, SecondaryPolicy, SecondaryStore, Version,
    delivery::{Secondary, Written},
};
use crate::{
    ConfigError, Error, Fault, Header, PrimaryStore, SessionData, SessionHandle, SessionKey,
    StoreError, StoreTime, event::Observers, measure, seal::Seal,
};

/// A secondary as it was given to the builder.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: Arc<str>,
    pub(crate) store: Arc<dyn SecondaryStore>,
    pub(crate) policy: SecondaryPolicy,
}

/// Puts the secondaries in the order that they have in the outbox.
///
/// # Errors
/// A name that is not one, or is there twice; a policy out of its range; a secondary that is the primary.
pub(crate) fn in_order(
    primary: &dyn PrimaryStore,
    mut all: Vec<Named>,
) -> Result<Vec<Named>, ConfigError> {
    all.sort_by(|one, other| one.name.cmp(&other.name));
    let place = primary.place();
    for (at, one) in all.iter().enumerate() {
        let others = &all[..at];
        let names: Vec<&str> = others.iter().map(|other| &*other.name).collect();
        check_name(&one.name, &names)?;
        one.policy.check()?;
        let own = one.store.place();
        if own.is_some() && own == place {
            let (found, allowed) = (
                format!("{:?}", one.name),
                "another place than the primary's",
            );
            return Err(ConfigError::new("place of a secondary", found, allowed));
        }
        let is_there = |other: &Named| own.is_some() && other.store.place() == own;
        if others.iter().any(is_there) {
            let (found, allowed) = (format!("{:?}", one.name), "a place of its own for each");
            return Err(ConfigError::new("place of a secondary", found, allowed));
        }
    }
    if all.len() > MOST {
        let (found, allowed) = (all.len().to_string(), "at most 16");
        return Err(ConfigError::new("number of secondaries", found, allowed));
    }
    Ok(all)
}

const MOST: usize = 16;

/// Names of secondaries, in the order of the outbox: for stores that take them from elsewhere than the builder of
/// [`Sessions`](crate::Sessions).
///
/// # Errors
/// One that is there twice, or is anything but 1 to 32 of `a-z`, `0-9` and `-`.
pub fn secondary_names<'a>(names: &[&'a str]) -> Result<Vec<&'a str>, ConfigError> {
    let mut names = names.to_vec();
    names.sort_unstable();
    for (at, name) in names.iter().enumerate() {
        check_name(name, &names[..at])?;
    }
    Ok(names)
}

fn check_name(name: &str, others: &[&str]) -> Result<(), ConfigError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let allowed = if !(1..=32).contains(&name.len()) || !name.bytes().all(fits) {
        "1 to 32 of a-z, 0-9 and -"
    } else if others.contains(&name) {
        "a name of its own for each"
    } else {
        return Ok(());
    };
    Err(ConfigError::new(
        "name of a secondary",
        format!("{name:?}"),
        allowed,
    ))
}

/// Where changes go beside the primary.
pub(crate) struct Plan {
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) store: Arc<dyn PrimaryStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seal: Seal,
    pub(super) max_record: usize,
    pub(super) observers: Observers,
    /// Who claims parts of the outbox.
    pub(super) deliverer: u64,
    secondaries: Vec<Arc<Secondary>>,
    running: AtomicBool,
}

/// What a commit has done.
pub(crate) enum Done {
    /// It has stored exactly this.
    Wrote(Arc<Written>),
    /// It has changed what stands under this key.
    Changed(SessionKey),
    /// Another commit of this process, which sees to it, has stored a later version under this key in its place.
    Joined(SessionKey),
}

impl Plan {
    pub(crate) fn new(
        store: &Arc<dyn PrimaryStore>,
        outbox: Arc<dyn Outbox>,
        all: Vec<Named>,
        seal: Seal,
        max_record: usize,
        observers: Observers,
    ) -> Arc<Self> {
        let secondaries = all.into_iter().map(measure::deliveries).enumerate();
        let secondaries = secondaries.map(|(at, named)| Arc::new(Secondary::new(at, named)));
        Arc::new(Self {
            outbox,
            clock: store.clock(),
            store: Arc::clone(store),
            seal,
            max_record,
            observers,
            deliverer: u64::from_be_bytes(session_lock::random_bytes()),
            secondaries: secondaries.collect(),
            running: AtomicBool::new(false),
        })
    }

    /// Sees to what a commit has done, and says how far that came.
    pub(crate) async fn follow(self: &Arc<Self>, done: Done) -> Vec<SecondaryReport> {
        self.ensure_running();
        // Mostly nobody waits.
        if self.secondaries.iter().all(|one| one.patience().is_zero()) {
            let reports = self.secondaries.iter().map(|one| one.leave(self, &done));
            return reports.collect();
        }
        let reports = self.secondaries.iter().map(|one| async {
            if one.patience().is_zero() {
                one.leave(self, &done)
            } else {
                one.follow_now(self, &done).await
            }
        });
        join_all(reports).await
    }

    /// Sees to what was changed in a bucket, without waiting for it.
    pub(crate) fn look(self: &Arc<Self>, bucket: u16) {
        self.ensure_running();
        for secondary in &self.secondaries {
            secondary.look(bucket);
        }
    }

    /// A session was used, and ends at that time if it is not used again.
    pub(crate) fn seen(self: &Arc<Self>, session: SessionHandle, idle_end: StoreTime) {
        self.ensure_running();
        for secondary in &self.secondaries {
            secondary.seen(session, idle_end);
        }
    }

    pub(super) fn secondaries(&self) -> &[Arc<Secondary>] {
        &self.secondaries
    }

    /// Starts the tasks that deliver, if there is a runtime and they do not run yet.
    pub(crate) fn ensure_running(self: &Arc<Self>) {
        if self.running.load(Ordering::Acquire) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.running.swap(true, Ordering::AcqRel) {
            let running = Arc::new(Running(Arc::downgrade(self)));
            for secondary in &self.secondaries {
                let (running, secondary) = (Arc::clone(&running), Arc::clone(secondary));
                runtime.spawn(async move { secondary.run(&running.0).await });
            }
            #[cfg(feature = "metrics")]
            runtime.spawn(async move { watch_backlogs(&running.0).await });
        }
    }
}

/// Tells metrics how much waits, for as long as the plan stands.
#[cfg(feature = "metrics")]
async fn watch_backlogs(plan: &Weak<Plan>) {
    loop {
        let Some(plan) = plan.upgrade() else {
            return;
        };
        for secondary in &plan.secondaries {
            // Where it cannot be asked, there are errors enough.
            if let Ok(backlog) = plan.outbox.backlog(secondary.at()).await {
                measure::backlog(&secondary.name().into(), backlog, plan.store.time());
            }
        }
        let clock = Arc::clone(&plan.clock);
        drop(plan);
        clock.sleep_until(clock.now() + BACKLOG_EVERY).await;
    }
}

/// It is the same for all processes, and counting costs the primary some.
#[cfg(feature = "metrics")]
const BACKLOG_EVERY: Duration = Duration::from_secs(10);

impl Drop for Plan {
    fn drop(&mut self) {
        for secondary in &self.secondaries {
            secondary.wake();
        }
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.secondaries).finish()
    }
}

/// The tasks of a plan: says so if they end with their runtime.
struct Running(Weak<Plan>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(plan) = self.0.upgrade() {
            plan.running.store(false, Ordering::Release);
        }
    }
}

/// A version as a commit has stored it, if it was stored as it is.
pub(crate) fn written(
    key: SessionKey,
    header: Header,
    data: SessionData,
    now: StoreTime,
) -> Arc<Written> {
    let entry = OutboxEntry {
        key,
        session: header.handle,
        version: Version::stored(header.revision),
    };
    Arc::new(Written {
        entry,
        idle_end: now.after(header.time_to_live(now)),
        header,
        data,
    })
}

/// How far a commit came at one secondary.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SecondaryReport {
    /// The name of the secondary.
    pub name: Arc<str>,
    /// Whether it is required.
    pub is_required: bool,
    /// How far the commit came.
    pub delivery: Delivery,
}

/// How far a commit came at a secondary.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// The secondary has it.
    Delivered,
    /// The secondary gets it later; the commit did not wait for that.
    Later,
    /// The secondary cannot be written to at present. It gets it later.
    Failed(StoreError),
}

impl SecondaryReport {
    pub(crate) const fn has_failed(&self) -> bool {
        self.is_required && !matches!(self.delivery, Delivery::Delivered)
    }
}

/// The secondaries of a service, from [`Sessions::write_through`](crate::Sessions::write_through).
#[derive(Clone, Debug)]
pub struct WriteThrough {
    plan: Arc<Plan>,
}

impl WriteThrough {
    pub(crate) const fn new(plan: Arc<Plan>) -> Self {
        Self { plan }
    }

    /// The names of the secondaries, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.plan.secondaries().iter().map(|one| one.name())
    }

    /// What a secondary knows of a session: the values that it was shown; `None` if it knows of none that lives.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no secondary of that name; [`Error::Store`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn load(
        &self,
        name: &str,
        session: SessionHandle,
    ) -> Result<Option<(Row, SessionData)>, Error> {
        let secondary = self.named(name)?;
        let row = secondary.store().load(session).await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let values = secondary.values(session, &row).map_err(|reason| {
            let fault = Fault::Unsuitable("what it holds cannot be read".to_owned());
            let place = format!("secondary {name}");
            StoreError::new("read a session", place, fault).with_source(reason)
        })?;
        Ok(Some((row, values)))
    }

    /// How much waits for a secondary.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no secondary of that name; [`Error::Store`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn backlog(&self, name: &str) -> Result<Backlog, Error> {
        let at = self.named(name)?.at();
        Ok(self.plan.outbox.backlog(at).await?)
    }

    /// Delivers everything that waits, also what other processes have noted: for a shutdown, and before secondaries are
    /// moved. What is set aside stays there.
    ///
    /// # Errors
    /// [`DrainTimedOut`] when something still waits after `limit`. It is delivered later.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn drain(&self, limit: Duration) -> Result<(), DrainTimedOut> {
        let clock = &self.plan.clock;
        let over = clock.now() + limit;
        let mut waiting = 0;
        let drained = async {
            loop {
                waiting = 0;
                for secondary in self.plan.secondaries() {
                    waiting += secondary.drain(&self.plan).await;
                }
                if waiting == 0 {
                    return;
                }
                clock.sleep_until(clock.now() + BETWEEN_DRAINS).await;
            }
        };
        tokio::select! {
            biased;
            () = drained => Ok(()),
            () = clock.sleep_until(over) => Err(DrainTimedOut { limit, waiting }),
        }
    }

    /// Notes every session that lives for one secondary: after it was added to a service that runs, or has lost its data.
    /// How many sessions. Takes time in proportion to their number.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no secondary of that name; [`Error::Store`]. Doing it again is safe.
    ///
    /// # Cancel safety
    /// Cancelled, some sessions may not be noted.
    pub async fn note_all(&self, name: &str) -> Result<u64, Error> {
        let at = self.named(name)?.at();
        Ok(self.plan.outbox.note_all(at).await?)
    }

    /// Tries again what was set aside, because the secondary would not take it; how many sessions.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no secondary of that name; [`Error::Store`]. Doing it again is safe.
    ///
    /// # Cancel safety
    /// Cancelled, some sessions may stay aside.
    pub async fn retry_set_aside(&self, name: &str) -> Result<u64, Error> {
        let at = self.named(name)?.at();
        Ok(self.plan.outbox.retry(at).await?)
    }

    fn named(&self, name: &str) -> Result<&Secondary, ConfigError> {
        let mut all = self.plan.secondaries().iter();
        all.find(|one| one.name() == name)
            .map(|one| &**one)
            .ok_or_else(|| {
                let (found, allowed) = (format!("{name:?}"), "one of those that were named");
                ConfigError::new("name of a secondary", found, allowed)
            })
    }
}

const BETWEEN_DRAINS: Duration = Duration::from_millis(50);

/// Changes still waited for secondaries when the time for a drain was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("changes of {waiting} sessions still waited for secondaries after {limit:?}")]
#[non_exhaustive]
pub struct DrainTimedOut {
    /// The limit that was given.
    pub limit: Duration,
    /// How many sessions had changes that waited, summed over the secondaries.
    pub waiting: u64,
}

/// All buckets.
pub(super) const EVERYTHING: RangeInclusive<u16> = 0..=0x0fff;

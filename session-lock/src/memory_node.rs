use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    Admission, Admitted, Clock, Extension, Fault, FencingToken, Held, LockNode, Moment, NodeAnswer,
    NodeFault, NodeRequest, OwnerValue, Resource, Ttl, Watch, WatchSender,
    node::{FENCE_BEYOND_MAX, FENCE_TTL, TICKS_PER_MILLISECOND},
};

/// A node in the memory of this process, for tests and examples. Clones share everything.
///
/// Keeps the whole contract of [`LockNode`]. It takes its time from a [`Clock`], so that a test can own it. What has
/// run out is swept away within an hour of use: memory is bounded by the resources in use and those granted within the
/// last 25 hours.
#[derive(Clone)]
pub struct MemoryNode {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    clock: Arc<dyn Clock>,
    // A std mutex: held for a few instructions and never across an await.
    data: Mutex<Data>,
    watches: Mutex<HashMap<Resource, WatchSender>>,
}

#[derive(Default)]
struct Data {
    /// Set while the node is admitted: every fence is larger than this.
    marker: Option<u64>,
    asked: Option<Asked>,
    locks: HashMap<Resource, Lock>,
    fences: HashMap<Resource, Fence>,
    /// The number of entries at which the next sweep is worth its work.
    sweep_at: usize,
    /// When the next sweep is due, however few the entries are.
    sweep_by: Option<Moment>,
}

/// An admission that was asked for and not yet granted.
#[derive(Clone, Copy)]
struct Asked {
    first: Moment,
    floor: u64,
}

#[derive(Clone, Copy)]
enum Lock {
    Held { owner: OwnerValue, until: Moment },
    Foreign,
}

#[derive(Clone, Copy)]
struct Fence {
    value: u64,
    until: Moment,
}

impl MemoryNode {
    /// An empty node, not admitted yet.
    pub fn new(name: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                name: name.into(),
                clock,
                data: Mutex::default(),
                watches: Mutex::default(),
            }),
        }
    }

    /// Forgets everything, as a server without a disk does when it restarts. Watches live on and are all told.
    pub fn lose_data(&self) {
        *self.data() = Data::default();
        self.watches().values().for_each(WatchSender::freed);
    }

    /// Puts something under the name of the lock that is no lock. It stays until the data are lost.
    pub fn put_foreign(&self, resource: &Resource) {
        self.data().locks.insert(resource.clone(), Lock::Foreign);
    }

    /// Under which owner value the lock is held now.
    pub fn holder(&self, resource: &Resource) -> Option<OwnerValue> {
        match self.data().lock(resource, self.now()) {
            Some(Lock::Held { owner, .. }) => Some(owner),
            _ => None,
        }
    }

    /// Whether what stands under the name of the lock is no lock.
    pub fn is_foreign(&self, resource: &Resource) -> bool {
        matches!(self.data().locks.get(resource), Some(Lock::Foreign))
    }

    /// How many locks, fences and watches the node remembers.
    pub fn entries(&self) -> usize {
        let data = self.data();
        let stored = data.locks.len() + data.fences.len();
        drop(data);
        stored + self.watches().len()
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        let data = self.inner.data.lock();
        data.unwrap_or_else(PoisonError::into_inner)
    }

    fn watches(&self) -> MutexGuard<'_, HashMap<Resource, WatchSender>> {
        let watches = self.inner.watches.lock();
        watches.unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        self.inner.clock.now()
    }

    fn check(&self, fence: u64) -> Result<u64, NodeFault> {
        if fence <= FencingToken::MAX.0 {
            return Ok(fence);
        }
        let fault = Fault::Unsuitable(FENCE_BEYOND_MAX.to_owned());
        Err(NodeFault::new(self.name(), fault))
    }
}

impl Asked {
    /// No two waits begin at the same moment: a request that is too late for one comes a TTL after its beginning.
    fn wait(self) -> u64 {
        let since_origin = self
            .first
            .saturating_since(Moment::from_origin(Duration::ZERO));
        u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Data {
    /// What stands under the name of the lock now.
    fn lock(&self, resource: &Resource, now: Moment) -> Option<Lock> {
        let lock = self.locks.get(resource).copied();
        lock.filter(|lock| lock.stands(now))
    }

    fn is_held(&self, held: &Held<Resource>, now: Moment) -> bool {
        self.lock(&held.resource, now)
            .is_some_and(|lock| matches!(lock, Lock::Held { owner, .. } if owner == held.owner))
    }

    /// Locks for a full TTL.
    fn set_lock(&mut self, held: &Held<Resource>, ttl: Ttl, now: Moment) {
        let until = now + ttl.get();
        let owner = held.owner;
        self.locks
            .insert(held.resource.clone(), Lock::Held { owner, until });
        self.sweep(now);
    }

    fn fence(&self, resource: &Resource, now: Moment) -> Option<u64> {
        let fence = self.fences.get(resource);
        fence
            .filter(|fence| now < fence.until)
            .map(|fence| fence.value)
    }

    fn set_fence(&mut self, resource: &Resource, value: u64, now: Moment) {
        let until = now + FENCE_TTL;
        self.fences.insert(resource.clone(), Fence { value, until });
    }

    fn sweep(&mut self, now: Moment) {
        let is_due = self.sweep_by.is_none_or(|due| due <= now);
        if self.locks.len() + self.fences.len() < self.sweep_at && !is_due {
            return;
        }
        self.locks.retain(|_, lock| lock.stands(now));
        self.fences.retain(|_, fence| now < fence.until);
        self.locks.shrink_to(2 * self.locks.len());
        self.fences.shrink_to(2 * self.fences.len());
        self.sweep_at = FIRST_SWEEP.max(2 * (self.locks.len() + self.fences.len()));
        self.sweep_by = Some(now + SWEEP_EVERY);
    }
}

const FIRST_SWEEP: usize = 64;
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

impl Lock {
    fn stands(self, now: Moment) -> bool {
        match self {
            Self::Held { until, .. } => now < until,
            Self::Foreign => true,
        }
    }
}

#[async_trait]
impl LockNode for MemoryNode {
    fn name(&self) -> &str {
        &self.inner.name
    }

    async fn acquire(&self, request: &NodeRequest) -> Result<NodeAnswer, NodeFault> {
        let (now, resource) = (self.now(), &request.held.resource);
        let mut data = self.data();
        let Some(marker) = data.marker else {
            return Ok(NodeAnswer::NotAdmitted);
        };
        match data.lock(resource, now) {
            Some(Lock::Foreign) => return Ok(NodeAnswer::WrongType),
            Some(Lock::Held { owner, until }) if owner != request.held.owner => {
                let left = Some(until.saturating_since(now));
                return Ok(NodeAnswer::Held { left });
            }
            _ => {}
        }
        let from_clock = || {
            let since_1970 = self.inner.clock.unix_time();
            millis(since_1970).saturating_mul(TICKS_PER_MILLISECOND)
        };
        let remembered = data.fence(resource, now);
        let base = match remembered {
            Some(fence) => fence,
            None if request.clock_floor => from_clock(),
            None => 0,
        };
        let fence = base.max(marker).max(request.floor);
        let fence = self.check(fence.saturating_add(1))?;
        data.set_fence(resource, fence, now);
        data.set_lock(&request.held, request.ttl, now);
        Ok(NodeAnswer::Granted { fence })
    }

    async fn raise(&self, held: &Held<Resource>, token: FencingToken) -> Result<bool, NodeFault> {
        let (now, token) = (self.now(), self.check(token.0)?);
        let mut data = self.data();
        if !data.is_held(held, now) {
            return Ok(false);
        }
        let fence = data.fence(&held.resource, now);
        if fence.is_some_and(|fence| fence > token) {
            return Ok(false);
        }
        data.set_fence(&held.resource, token, now);
        Ok(true)
    }

    async fn extend(&self, leases: &[(Held<Resource>, Ttl)]) -> Result<Vec<Extension>, NodeFault> {
        let now = self.now();
        let mut data = self.data();
        let extend = |(held, ttl): &(Held<Resource>, Ttl)| match data.lock(&held.resource, now) {
            Some(Lock::Held { owner, .. }) if owner == held.owner => {
                if let Some(fence) = data.fence(&held.resource, now) {
                    data.set_fence(&held.resource, fence, now);
                }
                data.set_lock(held, *ttl, now);
                Extension::Extended
            }
            Some(Lock::Held { .. }) => Extension::Stolen,
            Some(Lock::Foreign) | None => Extension::Gone,
        };
        Ok(leases.iter().map(extend).collect())
    }

    async fn release(&self, leases: &[Held<Resource>]) -> Result<Vec<bool>, NodeFault> {
        let now = self.now();
        let mut data = self.data();
        let mut release = |held: &Held<Resource>| {
            let is_held = data.is_held(held, now);
            if is_held {
                data.locks.remove(&held.resource);
            }
            is_held
        };
        let released: Vec<bool> = leases.iter().map(&mut release).collect();
        drop(data);
        let watches = self.watches();
        for (held, _) in leases.iter().zip(&released).filter(|(_, freed)| **freed) {
            if let Some(watch) = watches.get(&held.resource) {
                watch.freed();
            }
        }
        Ok(released)
    }

    async fn admit(&self, admission: &Admission) -> Result<Admitted, NodeFault> {
        let (now, floor) = (self.now(), self.check(admission.floor.unwrap_or(0))?);
        let mut data = self.data();
        if let Some(marker) = data.marker {
            data.marker = Some(marker.max(floor));
            return Ok(Admitted::Yes);
        }
        // Where admission was asked for before, somebody knows better.
        let first_use = admission.first_use && data.asked.is_none();
        let mut asked = data.asked.unwrap_or(Asked { first: now, floor });
        asked.floor = asked.floor.max(floor);
        let longest = admission.longest_ttl.get();
        let left = longest.saturating_sub(now.saturating_since(asked.first));
        let wait = asked.wait();
        let known =
            admission.floor.is_some() && admission.wait.is_none_or(|read_in| read_in == wait);
        if known && (first_use || left.is_zero()) {
            (data.marker, data.asked) = (Some(asked.floor), None);
            return Ok(Admitted::Yes);
        }
        data.asked = Some(asked);
        Ok(Admitted::In { left, wait })
    }

    async fn highest_fence(&self) -> Result<u64, NodeFault> {
        let now = self.now();
        let data = self.data();
        let fences = data.fences.values().filter(|fence| now < fence.until);
        let highest = fences.map(|fence| fence.value).max();
        Ok(highest.max(data.marker).unwrap_or(0))
    }

    async fn watch(&self, resource: &Resource) -> Option<Watch> {
        let mut watches = self.watches();
        // Whoever waits pays for those who left: there is one entry for each resource that is waited for.
        watches.retain(|_, watch| !watch.is_idle());
        if let Some(watch) = watches.get(resource) {
            return Some(watch.watch());
        }
        let (sender, watch) = Watch::new();
        watches.insert(resource.clone(), sender);
        Some(watch)
    }
}

impl fmt::Debug for MemoryNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNode")
            .field("name", &self.inner.name)
            .finish_non_exhaustive()
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

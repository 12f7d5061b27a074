use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use session_lock::{
    Admission, Admitted, Extension, Fault, FencingToken, Held, LockNode, MemoryNode, NodeAnswer,
    NodeFault, NodeRequest, Resource, Ttl, Watch, WatchSender,
};
use tokio::sync::oneshot;

use super::{Sabotage, chance::Chance, check::Record, time::DriftingClock};

/// How bad the network is, in percent of the messages.
#[derive(Debug)]
pub(super) struct Weather {
    pub(super) lost: u64,
    pub(super) slow: u64,
    pub(super) doubled: u64,
    /// Whether everything arrives from now on.
    pub(super) calm: AtomicBool,
}

/// A server: it can be down, and lose its data.
pub(super) struct Server {
    pub(super) memory: MemoryNode,
    sabotage: Sabotage,
    up: AtomicBool,
    losses: AtomicU64,
    /// One for each who listens: those of one sender would be told in an order that no seed decides.
    watches: Mutex<BTreeMap<Resource, Vec<WatchSender>>>,
}

impl Server {
    pub(super) fn new(memory: MemoryNode, sabotage: Sabotage) -> Self {
        let server = Self {
            memory,
            sabotage,
            up: AtomicBool::new(true),
            losses: AtomicU64::new(0),
            watches: Mutex::default(),
        };
        server.admit_at_once();
        server
    }

    pub(super) fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::SeqCst);
    }

    pub(super) fn lose_data(&self) {
        self.memory.lose_data();
        self.losses.fetch_add(1, Ordering::SeqCst);
        if self.sabotage == Sabotage::MarkerSurvives {
            self.admit_at_once();
        }
        let watches = self.watches.lock().unwrap();
        watches.values().flatten().for_each(WatchSender::freed);
    }

    fn admit_at_once(&self) {
        let admission = Admission {
            first_use: true,
            longest_ttl: Ttl::new(Ttl::MIN).unwrap(),
            floor: Some(0),
            wait: None,
        };
        at_once(self.memory.admit(&admission)).unwrap();
    }

    fn raise(&self, held: &Held<Resource>, token: FencingToken) -> Result<bool, NodeFault> {
        if self.sabotage == Sabotage::RaiseSaysYes {
            return Ok(true);
        }
        at_once(self.memory.raise(held, token))
    }

    fn release(&self, leases: &[Held<Resource>]) -> Result<Vec<bool>, NodeFault> {
        let whoever = |held: &Held<Resource>| Held {
            owner: self.memory.holder(&held.resource).unwrap_or(held.owner),
            resource: held.resource.clone(),
        };
        let released = if self.sabotage == Sabotage::ReleaseOfOthers {
            let leases: Vec<_> = leases.iter().map(whoever).collect();
            at_once(self.memory.release(&leases))?
        } else {
            at_once(self.memory.release(leases))?
        };
        let watches = self.watches.lock().unwrap();
        for (held, _) in leases.iter().zip(&released).filter(|(_, freed)| **freed) {
            let listeners = watches.get(&held.resource).into_iter().flatten();
            listeners.for_each(WatchSender::freed);
        }
        drop(watches);
        Ok(released)
    }

    fn watch(&self, resource: &Resource) -> Watch {
        let (sender, watch) = Watch::new();
        let mut watches = self.watches.lock().unwrap();
        let listeners = watches.entry(resource.clone()).or_default();
        listeners.retain(|other| !other.is_idle());
        listeners.push(sender);
        watch
    }
}

/// The way from one client to one server.
pub(super) struct Link {
    pub(super) client: usize,
    pub(super) server: Arc<Server>,
    pub(super) clock: DriftingClock,
    pub(super) chance: Chance,
    pub(super) weather: Arc<Weather>,
    pub(super) record: Arc<Record>,
}

/// What becomes of one request.
struct Route {
    arrives: bool,
    answered: bool,
    /// Whether the client hears of a loss, as of a connection that breaks; else it hears nothing.
    told: bool,
    there: Duration,
    back: Duration,
    copy: Option<Duration>,
}

impl Link {
    fn route(&self) -> Route {
        let (chance, weather) = (&self.chance, &self.weather);
        let calm = weather.calm.load(Ordering::SeqCst);
        let happens = |percent| chance.percent(percent) && !calm;
        let delay = || match (happens(weather.slow), happens(10)) {
            (true, true) => chance.millis(100..LATEST_MS),
            (true, false) => chance.millis(8..120),
            (false, _) => chance.millis(0..4),
        };
        Route {
            arrives: !happens(weather.lost),
            answered: !happens(weather.lost),
            told: chance.percent(50),
            there: delay(),
            back: delay(),
            copy: happens(weather.doubled).then(|| chance.millis(0..LATEST_MS)),
        }
    }

    async fn send<T: fmt::Debug + Send + 'static>(
        &self,
        what: &'static str,
        request: impl Fn(&Server) -> Result<T, NodeFault> + Send + Sync + 'static,
    ) -> Result<T, NodeFault> {
        let route = self.route();
        let request = Arc::new(request);
        if let Some(later) = route.copy {
            self.deliver(what, route.there + later, Arc::clone(&request), None);
        }
        let answer = if route.arrives {
            let (answer, answered) = oneshot::channel();
            self.deliver(what, route.there, request, Some(answer));
            answered.await.ok()
        } else {
            None
        };
        tokio::time::sleep(route.back).await;
        self.clock.awake().await;
        match answer.filter(|_| route.answered) {
            Some(answer) => answer,
            None if route.told => Err(NodeFault::new(self.name(), Fault::Unreachable)),
            None => std::future::pending().await,
        }
    }

    /// A message that is on its way arrives, whether or not somebody waits for the answer.
    fn deliver<T: fmt::Debug + Send + 'static>(
        &self,
        what: &'static str,
        delay: Duration,
        request: Arc<impl Fn(&Server) -> Result<T, NodeFault> + Send + Sync + 'static>,
        answer: Option<oneshot::Sender<Result<T, NodeFault>>>,
    ) {
        let (client, server, record) = (
            self.client,
            Arc::clone(&self.server),
            Arc::clone(&self.record),
        );
        // What takes a node into use ends with its connection: it must not meet data that were lost after it was sent.
        let losses = server.losses.load(Ordering::SeqCst);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let stale = what == "admit" && losses != server.losses.load(Ordering::SeqCst);
            if stale || !server.up.load(Ordering::SeqCst) {
                return;
            }
            let found = request(&server);
            let copy = if answer.is_none() { ", a copy" } else { "" };
            let name = server.memory.name();
            record.note(|| format!("client {client} to {name}: {what}{copy}: {found:?}"));
            if let Some(answer) = answer {
                answer.send(found).ok();
            }
        });
    }
}

/// No message is on its way for longer, and no copy is later than the message by more.
pub(super) const LATEST_MS: u64 = 2_500;

#[async_trait]
impl LockNode for Link {
    fn name(&self) -> &str {
        self.server.memory.name()
    }

    async fn acquire(&self, request: &NodeRequest) -> Result<NodeAnswer, NodeFault> {
        let request = request.clone();
        self.send("acquire", move |server| {
            at_once(server.memory.acquire(&request))
        })
        .await
    }

    async fn raise(&self, held: &Held<Resource>, token: FencingToken) -> Result<bool, NodeFault> {
        let held = held.clone();
        self.send("raise", move |server| server.raise(&held, token))
            .await
    }

    async fn extend(&self, leases: &[(Held<Resource>, Ttl)]) -> Result<Vec<Extension>, NodeFault> {
        let leases = leases.to_vec();
        self.send("extend", move |server| {
            at_once(server.memory.extend(&leases))
        })
        .await
    }

    async fn release(&self, leases: &[Held<Resource>]) -> Result<Vec<bool>, NodeFault> {
        let leases = leases.to_vec();
        self.send("release", move |server| server.release(&leases))
            .await
    }

    async fn admit(&self, admission: &Admission) -> Result<Admitted, NodeFault> {
        let admission = *admission;
        self.send("admit", move |server| {
            at_once(server.memory.admit(&admission))
        })
        .await
    }

    async fn highest_fence(&self) -> Result<u64, NodeFault> {
        self.send("highest fence", |server| {
            at_once(server.memory.highest_fence())
        })
        .await
    }

    async fn watch(&self, resource: &Resource) -> Option<Watch> {
        let resource = resource.clone();
        let watch = self.send("watch", move |server| Ok(server.watch(&resource)));
        watch.await.ok()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.name()).finish()
    }
}

/// A node in memory never waits.
fn at_once<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().unwrap()
}

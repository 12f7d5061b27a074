use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use session_lock::{
    Admission, Admitted, Clock, Extension, Fault, FencingToken, Held, LockNode, MemoryNode, Moment,
    NodeAnswer, NodeFault, NodeRequest, OwnerValue, Resource, Ttl, Watch,
};
use tokio::sync::oneshot;

use crate::pausing::turn;

/// A node in memory whose network does what the test says, step by step. Clones share everything.
///
/// A request that is on its way arrives, whether or not its caller still waits for the answer: dropping a call takes
/// nothing back. Each call waits at least one turn for its request and one for its answer, so that tasks get in between and
/// futures can be dropped there.
#[derive(Clone)]
pub struct ScriptedNode {
    inner: Arc<Inner>,
}

struct Inner {
    node: MemoryNode,
    clock: Arc<dyn Clock>,
    network: Mutex<Network>,
    restarts: AtomicU64,
}

#[derive(Default)]
struct Network {
    script: HashMap<Step, VecDeque<Act>>,
    always: HashMap<Step, Act>,
    asked: Vec<Step>,
    under_way: Vec<UnderWay>,
}

/// A request that has not arrived yet.
struct UnderWay {
    /// When it arrives; `None`: when the node is resumed.
    due: Option<Moment>,
    arrive: Box<dyn FnOnce(&MemoryNode) + Send>,
}

/// What a node can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the methods of the trait")]
#[expect(missing_docs, reason = "named as the methods")]
pub enum Step {
    Acquire,
    Raise,
    Extend,
    Release,
    Admit,
    HighestFence,
    Watch,
}

/// What the network does with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "tests go through all of them")]
pub enum Act {
    /// It arrives, and so does the answer.
    #[default]
    Ok,
    /// It does not arrive: an error at once.
    Fail,
    /// It is refused for want of permission.
    Refuse,
    /// It arrives, but the answer is lost: an error.
    LoseAnswer,
    /// It arrives after this time.
    Slow(Duration),
    /// It arrives when the node is [resumed](ScriptedNode::resume).
    Hang,
}

impl ScriptedNode {
    /// A node that counts already and of which everything arrives.
    pub fn new(name: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        let node = Self::unused(name, clock);
        let admitted = Ttl::new(Ttl::MIN).is_ok_and(|longest_ttl| {
            let admission = Admission {
                first_use: true,
                longest_ttl,
                floor: Some(0),
                wait: None,
            };
            at_once(node.inner.node.admit(&admission)).is_ok()
        });
        debug_assert!(admitted, "a node in memory is admitted at once");
        node
    }

    /// A node that was never used.
    pub fn unused(name: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                node: MemoryNode::new(name, Arc::clone(&clock)),
                clock,
                network: Mutex::default(),
                restarts: AtomicU64::new(0),
            }),
        }
    }

    /// What happens at the next requests of this kind, one after the other; after them what happens [always](Self::always).
    pub fn next(&self, step: Step, acts: impl IntoIterator<Item = Act>) {
        self.network().script.entry(step).or_default().extend(acts);
    }

    /// What happens at every request of this kind that is not in the script.
    pub fn always(&self, step: Step, act: Act) {
        self.network().always.insert(step, act);
    }

    /// The same for requests of every kind.
    pub fn always_all(&self, act: Act) {
        for step in Step::ALL {
            self.always(step, act);
        }
    }

    /// Lets everything that hangs arrive, in the order in which it was sent, and nothing hang any more.
    pub fn resume(&self) {
        let now = self.inner.clock.now();
        let mut network = self.network();
        network.always.retain(|_, act| *act != Act::Hang);
        for request in &mut network.under_way {
            request.due.get_or_insert(now);
        }
        drop(network);
        self.catch_up();
    }

    /// Starts anew without its data.
    pub fn restart_empty(&self) {
        self.inner.node.lose_data();
        self.inner.restarts.fetch_add(1, Ordering::SeqCst);
    }

    /// Under which owner value the lock is held now.
    pub fn holder(&self, resource: &Resource) -> Option<OwnerValue> {
        self.catch_up();
        self.inner.node.holder(resource)
    }

    /// What was asked for so far, since the last call.
    pub fn take_asked(&self) -> Vec<Step> {
        std::mem::take(&mut self.network().asked)
    }

    /// The node itself, beyond its network.
    pub fn memory(&self) -> &MemoryNode {
        &self.inner.node
    }

    fn network(&self) -> MutexGuard<'_, Network> {
        let network = self.inner.network.lock();
        network.unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets arrive what is due.
    fn catch_up(&self) {
        let now = self.inner.clock.now();
        let is_due = |request: &mut UnderWay| request.due.is_some_and(|due| due <= now);
        let mut due: Vec<_> = self.network().under_way.extract_if(.., is_due).collect();
        due.sort_by_key(|request| request.due);
        for request in due {
            (request.arrive)(&self.inner.node);
        }
    }

    async fn send<T: Send + 'static>(
        &self,
        step: Step,
        request: impl FnOnce(&MemoryNode) -> Result<T, NodeFault> + Send + 'static,
    ) -> Result<T, NodeFault> {
        let now = self.inner.clock.now();
        let (answer, answered) = oneshot::channel();
        let arrive = Box::new(move |node: &MemoryNode| {
            // Whoever asked may have left.
            answer.send(request(node)).ok();
        });
        let act = self.network().next_act(step);
        let due = match act {
            Act::Ok | Act::LoseAnswer | Act::Fail | Act::Refuse => Some(now),
            Act::Slow(delay) => Some(now + delay),
            Act::Hang => None,
        };
        if !matches!(act, Act::Fail | Act::Refuse) {
            self.network().under_way.push(UnderWay { due, arrive });
        }
        turn().await;
        if let Some(due) = due {
            self.inner.clock.sleep_until(due).await;
        }
        self.catch_up();
        turn().await;
        let fault = |fault| Err(NodeFault::new(self.name(), fault));
        match act {
            Act::Fail | Act::LoseAnswer => return fault(Fault::Unreachable),
            Act::Refuse => return fault(Fault::Denied),
            Act::Ok | Act::Slow(_) | Act::Hang => {}
        }
        answered
            .await
            .unwrap_or_else(|_gone| fault(Fault::Unreachable))
    }
}

impl Network {
    fn next_act(&mut self, step: Step) -> Act {
        self.asked.push(step);
        let scripted = self.script.get_mut(&step).and_then(VecDeque::pop_front);
        scripted.unwrap_or_else(|| self.always.get(&step).copied().unwrap_or_default())
    }
}

impl Step {
    /// Every kind of request.
    pub const ALL: [Self; 7] = [
        Self::Acquire,
        Self::Raise,
        Self::Extend,
        Self::Release,
        Self::Admit,
        Self::HighestFence,
        Self::Watch,
    ];
}

/// What a future comes to that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => unreachable!("a node in memory answers at once"),
    }
}

#[async_trait]
impl LockNode for ScriptedNode {
    fn name(&self) -> &str {
        self.inner.node.name()
    }

    async fn acquire(&self, request: &NodeRequest) -> Result<NodeAnswer, NodeFault> {
        let request = request.clone();
        self.send(Step::Acquire, move |node| at_once(node.acquire(&request)))
            .await
    }

    async fn raise(&self, held: &Held<Resource>, token: FencingToken) -> Result<bool, NodeFault> {
        let held = held.clone();
        self.send(Step::Raise, move |node| at_once(node.raise(&held, token)))
            .await
    }

    async fn extend(&self, leases: &[(Held<Resource>, Ttl)]) -> Result<Vec<Extension>, NodeFault> {
        let leases = leases.to_vec();
        self.send(Step::Extend, move |node| at_once(node.extend(&leases)))
            .await
    }

    async fn release(&self, leases: &[Held<Resource>]) -> Result<Vec<bool>, NodeFault> {
        let leases = leases.to_vec();
        self.send(Step::Release, move |node| at_once(node.release(&leases)))
            .await
    }

    async fn admit(&self, admission: &Admission) -> Result<Admitted, NodeFault> {
        let admission = *admission;
        self.send(Step::Admit, move |node| at_once(node.admit(&admission)))
            .await
    }

    async fn highest_fence(&self) -> Result<u64, NodeFault> {
        self.send(Step::HighestFence, |node| at_once(node.highest_fence()))
            .await
    }

    async fn watch(&self, resource: &Resource) -> Option<Watch> {
        let resource = resource.clone();
        let watch = self.send(Step::Watch, move |node| Ok(at_once(node.watch(&resource))));
        watch.await.ok()?
    }

    fn restarts(&self) -> u64 {
        self.inner.restarts.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for ScriptedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedNode")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

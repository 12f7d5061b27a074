//! Leases and their keeper on a clock that the tests own.

mod ending; // dropped leases, dropped keepers, ended runtimes
mod renewal; // when leases are renewed and when they are lost

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use session_lock::{
    Drift, Held, Keeper, Lease, LeaseBackend, LeaseTerms, OwnerValue, Renewal, Ttl,
};
use session_testkit::FakeClock;
use tokio::sync::{Semaphore, mpsc};

const TTL: Duration = Duration::from_secs(9);
const THIRD: Duration = Duration::from_secs(3);
/// What a lease of [`TTL`] is valid for: 1 % and 2 ms less.
const VALIDITY: Duration = Duration::from_millis(8_908);
const LONGEST_HOLD: Duration = Duration::from_secs(60);
const INSTANT: Duration = Duration::from_nanos(1);

fn terms() -> LeaseTerms {
    LeaseTerms {
        ttl: Ttl::new(TTL).unwrap(),
        drift: Drift::default(),
        longest_hold: LONGEST_HOLD,
    }
}

type Resource = &'static str;

/// A lock server that notes what it is asked and answers as the test says.
struct Server {
    asked: mpsc::UnboundedSender<Asked>,
    answer: Mutex<Renewal>,
    /// Renewals wait for a permit while it is closed.
    hangs: AtomicBool,
    gate: Semaphore,
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Renew(Vec<Resource>),
    Release(Vec<Resource>),
}

impl Server {
    fn answers(&self, renewal: Renewal) {
        *self.answer.lock().unwrap() = renewal;
    }

    fn hangs(&self) {
        self.hangs.store(true, Ordering::SeqCst);
    }

    fn answers_what_hung(&self) {
        self.hangs.store(false, Ordering::SeqCst);
        self.gate.add_permits(100);
    }
}

fn names(leases: impl Iterator<Item = Resource>) -> Vec<Resource> {
    let mut names: Vec<_> = leases.collect();
    names.sort_unstable();
    names
}

#[async_trait]
impl LeaseBackend<Resource> for Server {
    async fn renew(&self, leases: &[(Held<Resource>, LeaseTerms)]) -> Vec<Renewal> {
        let asked = names(leases.iter().map(|(held, _)| held.resource));
        self.asked.send(Asked::Renew(asked)).ok();
        if self.hangs.load(Ordering::SeqCst) {
            self.gate.acquire().await.unwrap().forget();
        }
        vec![*self.answer.lock().unwrap(); leases.len()]
    }

    async fn release(&self, leases: &[Held<Resource>]) {
        let released = names(leases.iter().map(|held| held.resource));
        self.asked.send(Asked::Release(released)).ok();
    }
}

/// A keeper over a [`Server`], and what the server was asked.
struct Bench {
    clock: FakeClock,
    server: Arc<Server>,
    asked: mpsc::UnboundedReceiver<Asked>,
    keeper: Keeper<Resource>,
}

impl Bench {
    fn new() -> Self {
        let clock = FakeClock::new();
        let (sender, asked) = mpsc::unbounded_channel();
        let server = Arc::new(Server {
            asked: sender,
            answer: Mutex::new(Renewal::Extended),
            hangs: AtomicBool::new(false),
            gate: Semaphore::new(0),
        });
        let backend: Arc<dyn LeaseBackend<Resource>> = Arc::clone(&server) as _;
        let keeper = Keeper::new(backend, Arc::new(clock.clone()));
        Self {
            clock,
            server,
            asked,
            keeper,
        }
    }

    fn grant(&self, resource: Resource) -> Lease<Resource> {
        self.keeper
            .ask(resource, OwnerValue::random(), terms())
            .granted(None)
    }

    /// The next thing that the server was asked; waits for it.
    async fn next(&mut self) -> Asked {
        self.asked.recv().await.unwrap()
    }

    /// Lets `span` pass at once and everybody do what is due; what the server was asked meanwhile.
    async fn after(&mut self, span: Duration) -> Vec<Asked> {
        self.clock.pass(span, span).await;
        std::iter::from_fn(|| self.asked.try_recv().ok()).collect()
    }
}

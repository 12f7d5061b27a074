use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use session_lock::{FirstUse, LockNode, MemoryNode, Redlock, Resource};

use super::{
    Sabotage,
    chance::Chance,
    check::{Outcome, Record},
    client::Client,
    network::{LATEST_MS, Link, Server, Weather},
    time::{DriftingClock, TrueTime},
};

const TTL: Duration = Duration::from_secs(1);
/// Two clocks that are wrong by so much against each other stay within the allowance of 1 % of the TTL.
const DRIFT_PARTS_PER_MILLION: u64 = 4_500;

/// Goes through the one schedule that follows from `seed`.
pub(super) fn run(seed: u64, sabotage: Sabotage, traced: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::new(seed, sabotage, traced);
        world.go_by().await;
        world.record.outcome()
    })
}

struct World {
    chance: Chance,
    record: Arc<Record>,
    weather: Arc<Weather>,
    servers: Vec<Arc<Server>>,
    clients: Vec<Arc<Client>>,
    /// How many of the servers may ever lose their data.
    forgetful: u64,
    time: TrueTime,
    resources: u64,
    clock_floor: bool,
}

impl World {
    fn new(seed: u64, sabotage: Sabotage, traced: bool) -> Self {
        let chance = Chance::new(seed);
        let time = TrueTime::begin();
        let nodes = if chance.percent(50) { 3 } else { 5 };
        // Without the clock's help, what a minority forgets is known to the others.
        let clock_floor = chance.percent(50);
        let server = |number: u64| {
            let clock = Arc::new(clock(time, &chance));
            let memory = MemoryNode::new(format!("node-{number}"), clock);
            Arc::new(Server::new(memory, sabotage))
        };
        let mut world = Self {
            servers: (0..nodes).map(server).collect(),
            record: Arc::new(Record::new(time, traced)),
            weather: Arc::new(Weather {
                lost: chance.within(0..15),
                slow: chance.within(0..25),
                doubled: chance.within(0..20),
                calm: AtomicBool::new(false),
            }),
            clients: Vec::new(),
            forgetful: if clock_floor { nodes } else { nodes / 2 },
            time,
            resources: chance.within(1..3),
            clock_floor,
            chance,
        };
        for _ in 0..world.chance.within(2..5) {
            let client = world.client();
            world.clients.push(Arc::new(client));
        }
        world
    }

    fn client(&self) -> Client {
        let number = self.clients.len();
        let clock = clock(self.time, &self.chance);
        let link = |server: &Arc<Server>| {
            let link = Link {
                client: number,
                server: Arc::clone(server),
                clock: clock.clone(),
                chance: self.chance.fork(),
                weather: Arc::clone(&self.weather),
                record: Arc::clone(&self.record),
            };
            Arc::new(link) as Arc<dyn LockNode>
        };
        let lock = Redlock::builder(self.servers.iter().map(link).collect())
            .ttl(TTL)
            .node_timeout(self.chance.millis(8..60))
            .clock_floor(self.clock_floor)
            .first_use(FirstUse::AfterLongestTtl)
            .clock(Arc::new(clock.clone()))
            .dice(Arc::new(self.chance.fork()))
            .build()
            .unwrap();
        Client {
            number,
            lock,
            clock,
            chance: self.chance.fork(),
            record: Arc::clone(&self.record),
            resources: self.resources,
        }
    }

    async fn go_by(&self) {
        let run = |client: &Arc<Client>| {
            let client = Arc::clone(client);
            tokio::spawn(async move { client.run().await })
        };
        let clients: Vec<_> = self.clients.iter().map(run).collect();
        while !clients.iter().all(|client| client.is_finished()) {
            tokio::time::sleep(self.chance.millis(20..1_000)).await;
            self.disturb();
        }
        for client in clients {
            client.await.unwrap();
        }
        self.weather.calm.store(true, Ordering::SeqCst);
        tokio::time::sleep(AFTERMATH).await;
        self.check_nothing_is_left(&self.clients);
        self.check_it_still_works().await;
    }

    fn disturb(&self) {
        if self.chance.percent(40) {
            let at = self.chance.within(0..self.clients.len() as u64);
            let span = self.chance.millis(5..1_500);
            self.record.note(|| format!("client {at} pauses {span:?}"));
            self.clients[usize::try_from(at).unwrap()].clock.pause(span);
            return;
        }
        let at = self.chance.within(0..self.servers.len() as u64);
        let server = Arc::clone(&self.servers[usize::try_from(at).unwrap()]);
        let forgets = at < self.forgetful && self.chance.percent(50);
        let span = self.chance.millis(0..600);
        self.record
            .note(|| format!("node-{at} is down for {span:?}, forgets: {forgets}"));
        server.set_up(false);
        if forgets {
            server.lose_data();
        }
        tokio::spawn(async move {
            tokio::time::sleep(span).await;
            server.set_up(true);
        });
    }

    fn check_nothing_is_left(&self, clients: &[Arc<Client>]) {
        for resource in 0..self.resources {
            let resource: Resource = format!("resource-{resource}").try_into().unwrap();
            for server in &self.servers {
                if server.memory.holder(&resource).is_some() {
                    let name = server.memory.name();
                    self.record
                        .violated(&format!("{name} still holds {resource:?}"));
                }
            }
        }
        for client in clients {
            let outstanding = client.lock.outstanding();
            if outstanding > 0 {
                let number = client.number;
                self.record
                    .violated(&format!("client {number} is not done: {outstanding}"));
            }
        }
    }

    async fn check_it_still_works(&self) {
        let late = Arc::new(self.client());
        let floor = self.record.highest_token("resource-0");
        let wait = Duration::from_secs(20);
        match late.lock.acquire_timeout("resource-0", wait).await {
            Ok(lease) => {
                let lease = Arc::new(lease);
                self.record.granted("resource-0", &lease, floor);
                self.record.ended("resource-0", &lease);
            }
            Err(error) => self
                .record
                .violated(&format!("nobody gets a lock: {error}")),
        }
        tokio::time::sleep(AT_ONCE).await;
        self.check_nothing_is_left(&[late]);
    }
}

/// What was under way when the last client ended has arrived by then, copies too, and the locks that it took have run out
/// by each clock: one that nobody gives back any more is left to its TTL.
const AFTERMATH: Duration = Duration::from_millis(2 * LATEST_MS)
    .saturating_add(TTL)
    .saturating_add(Duration::from_millis(10));

/// A few messages that are neither lost nor slow: a lock that is given back in calm weather does not wait for its TTL.
const AT_ONCE: Duration = Duration::from_millis(50);

fn clock(time: TrueTime, chance: &Chance) -> DriftingClock {
    let drift = chance.within(0..2 * DRIFT_PARTS_PER_MILLION + 1);
    let drift = i64::try_from(drift).unwrap() - i64::try_from(DRIFT_PARTS_PER_MILLION).unwrap();
    DriftingClock::new(time, drift)
}

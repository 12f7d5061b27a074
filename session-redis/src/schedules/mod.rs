//! Lines and cohorts under thousands of schedules.
//!
//! shuttle decides at each mutex and each await who goes on, by chance from a seed; time and the server are simulated.
//! What `server` and `member` assert holds in every schedule. `LATCHKEY_SCHEDULES=100000` goes through more of them. One
//! that fails prints its seed:
//! `LATCHKEY_SCHEDULES=1 SHUTTLE_RANDOM_SEED=seed cargo test -p session-redis --lib name_of_the_test` goes through it again.

mod chance; // what happens at random
mod cohorts; // tests of guards that follow each other
mod lines; // tests of waiting
mod member; // who wants the session, and what it does with it
mod process; // lines, cohorts and leases of one process
mod server; // the lock, its queue and the record

use std::{collections::HashMap, env, sync::Arc, time::Duration};

use session_testkit::FakeClock;
use shuttle::future::{JoinHandle, block_on, spawn, yield_now};

use tokio::sync::Notify;

use self::{
    member::{Act, Member},
    process::Process,
    server::Server,
};

/// Goes through so many schedules of what `scenario` does.
fn schedules(many: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let wanted = env::var("LATCHKEY_SCHEDULES").ok();
    let many = wanted.map_or(many, |wanted| {
        wanted.parse().expect("a number of schedules")
    });
    shuttle::check_random_with_seed(scenario, SEED, many);
}

// Always the same, so that a test that fails does so again.
const SEED: u64 = 0x1a7c;

/// A server, and processes that work on it.
struct World {
    clock: FakeClock,
    server: Arc<Server>,
    processes: Vec<Arc<Process>>,
}

impl World {
    fn new(processes: usize) -> Self {
        Self::with_ttl(processes, server::LONG)
    }

    fn with_ttl(processes: usize, ttl: Duration) -> Self {
        let (clock, server) = (FakeClock::new(), Arc::new(Server::new(ttl)));
        let processes = (0..processes).map(|number| Process::start(number, &server, &clock));
        Self {
            processes: processes.collect(),
            clock,
            server,
        }
    }

    /// So many members, one after the other in this or that process.
    fn members(&self, many: u8, act: impl Fn() -> Act) -> Vec<Member> {
        let process = |_| chance::one_of(&self.processes);
        let members = (0..many).map(|number| Member::new(number, process(number), act()));
        members.collect()
    }

    /// Lets all of them want the session, those of one process in this order.
    fn run(self, members: Vec<Member>) {
        let mut in_line = HashMap::new();
        let all = members.into_iter().map(|member| {
            let next = Arc::<Notify>::default();
            let turn = in_line.insert(member.process.number, Arc::clone(&next));
            spawn(async move {
                if let Some(turn) = turn {
                    turn.notified().await;
                }
                member.run(&next).await;
            })
        });
        let all = all.collect();
        self.see_through(all);
    }

    /// Waits until all have ended, while time goes by; then nobody holds anything or waits for anything.
    fn see_through(self, all: Vec<JoinHandle<()>>) {
        let clock = self.clock.clone();
        let time = spawn(async move {
            for _ in 0..LONGEST_TICKS {
                clock.advance(chance::tick());
                yield_now().await;
            }
            panic!("somebody waits for ever");
        });
        block_on(async {
            for one in all {
                one.await.unwrap();
            }
            while !self.server.is_quiet()
                || self.processes.iter().any(|process| !process.is_quiet())
            {
                yield_now().await;
            }
        });
        time.abort();
        self.server.check_end();
        for process in self.processes {
            process.stop();
        }
    }
}

// Far more than any scenario needs.
const LONGEST_TICKS: usize = 20_000;

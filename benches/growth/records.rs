use std::time::Duration;

use latchkey::Sessions;
use latchkey_benches::{
    Action, Comparison, Cost, Load, Plain, Record, RedisServer, Result, Run, Subject,
};
use tokio::sync::Mutex;

use crate::axis::Axis;

/// 1,000 to 1,000,000 sessions of 1 KiB.
pub(crate) async fn more(run: &Run) -> Result<Axis> {
    let counts: &[u64] = if run.is_short() {
        &[100, 1_000]
    } else {
        &[1_000, 10_000, 100_000, 1_000_000]
    };
    let sizes = counts.iter().map(|count| (*count, Record::of(KIB)));
    measure("sessions", "growth-sessions", counts, sizes, run).await
}

/// 1 KiB to 256 KiB at 1,000 sessions.
pub(crate) async fn larger(run: &Run) -> Result<Axis> {
    let (sessions, kib): (_, &[u64]) = if run.is_short() {
        (100, &[1, 16])
    } else {
        (1_000, &[1, 4, 16, 64, 256])
    };
    let record = |kib: &u64| Record::of(usize::try_from(*kib).map_or(KIB, |kib| kib * KIB));
    let sizes = kib.iter().map(|kib| (sessions, record(kib)));
    measure("KiB of a record", "growth-bytes", kib, sizes, run).await
}

const KIB: usize = 1024;
const SLICE: Duration = Duration::from_millis(300);
const TASKS: usize = 64;

#[derive(Clone, Copy)]
enum Operation {
    Cycle,
    Update,
    Snapshot,
    PlainCycle,
}

const OPERATIONS: [(Operation, &str); 4] = [
    (Operation::Cycle, "locked cycle"),
    (Operation::Update, "`update`"),
    (Operation::Snapshot, "snapshot"),
    (Operation::PlainCycle, "GET + SET"),
];

async fn measure(
    name: &'static str,
    file: &'static str,
    sizes: &[u64],
    populations: impl Iterator<Item = (u64, Record)>,
    run: &Run,
) -> Result<Axis> {
    let mut filled = Vec::new();
    for (count, record) in populations {
        filled.push(Population::fill(usize::try_from(count)?, record).await?);
        eprintln!("filled with {count} sessions of {record} bytes");
    }
    let mut operations = OPERATIONS.map(|(_, name)| (name.to_owned(), Comparison::of(sizes.len())));
    for round in 0..run.rounds() {
        for ((operation, _), (_, costs)) in OPERATIONS.iter().zip(&mut operations) {
            let measure = async |at: usize| filled[at].cost(*operation, run.slice(SLICE)).await;
            costs.round(measure).await?;
        }
        eprintln!("{name}: round {} of {}", round + 1, run.rounds());
    }
    for population in &filled {
        population.check().await?;
    }
    Ok(Axis {
        name,
        file,
        sizes: sizes.to_vec(),
        operations: operations.into(),
    })
}

/// Sessions on a server of their own, and as many plain records.
struct Population {
    server: RedisServer,
    sessions: Mutex<Load<Sessions>>,
    plain: Mutex<Load<Plain>>,
}

impl Population {
    async fn fill(count: usize, record: Record) -> Result<Self> {
        let server = RedisServer::start().await?;
        let (sessions, plain) = (server.sessions().await?, server.plain().await?);
        Ok(Self {
            sessions: Mutex::new(Load::over(sessions, record, TASKS, count).await?),
            plain: Mutex::new(Load::over(plain, record, TASKS, count).await?),
            server,
        })
    }

    async fn cost(&self, operation: Operation, slice: Duration) -> Result<Cost> {
        match operation {
            Operation::Cycle => self.of(&self.sessions, Action::Cycle, slice).await,
            Operation::Update => self.of(&self.sessions, Action::Update, slice).await,
            Operation::Snapshot => self.of(&self.sessions, Action::Read, slice).await,
            Operation::PlainCycle => self.of(&self.plain, Action::Cycle, slice).await,
        }
    }

    async fn of<S: Subject>(
        &self,
        load: &Mutex<Load<S>>,
        action: Action,
        slice: Duration,
    ) -> Result<Cost> {
        load.lock().await.cost(action, slice, &self.server).await
    }

    async fn check(&self) -> Result<()> {
        self.sessions.lock().await.check().await?;
        self.plain.lock().await.check().await
    }
}

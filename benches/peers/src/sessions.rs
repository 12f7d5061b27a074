use std::time::Duration;

use clap::value_parser;
use latchkey::Sessions;
use latchkey_benches::{
    Action, Comparison, Cost, Load, Plain, Record, RedisServer, Result, Run, Subject,
    plot::{Line, Plot},
};

use crate::{actix::Actix, careful::Careful, rslock::Rslock, table::row, tower::Tower};

/// Sessions beside those of other libraries, each task with a session of its own.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many tasks work at the same time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256], value_parser = value_parser!(u32).range(1..))]
    tasks: Vec<u32>,

    /// The size of the records
    #[arg(long, value_delimiter = ',', default_values_t = [Record::USUAL, Record::LARGE])]
    bytes: Vec<Record>,
}

#[derive(Clone, Copy)]
enum Rival {
    Latchkey,
    Update,
    Plain,
    Tower,
    Actix,
    CarefulTower,
    CarefulActix,
}

const RIVALS: [(Rival, &str); 7] = [
    (Rival::Latchkey, "Latchkey, locked"),
    (Rival::Update, "Latchkey, `update`"),
    (Rival::Plain, "GET + SET"),
    (Rival::Tower, "tower-sessions, no lock"),
    (Rival::Actix, "actix-session, no lock"),
    (Rival::CarefulTower, "tower-sessions + rslock"),
    (Rival::CarefulActix, "actix-session + rslock"),
];

const SLICE: Duration = Duration::from_millis(400);

const HEAD: &str = "
## Uncontended: each task changes a session of its own

| bytes | tasks | | cycles/s | lowest to highest | locked cycle : this, in a round | lowest to highest | server CPU µs | client CPU µs |
|--:|--:|---|--:|:-:|--:|:-:|--:|--:|
";

/// Load, change, store.
pub(crate) async fn measure(args: &Args, run: &Run) -> Result<String> {
    let bench = Bench::new(run.slice(SLICE)).await?;
    let mut text = HEAD.to_owned();
    for &record in &args.bytes {
        let mut lines = RIVALS.map(|(_, name)| Line {
            name: name.to_owned(),
            points: Vec::new(),
        });
        for &tasks in &args.tasks {
            let comparison = bench.compare(run.rounds(), record, tasks as usize).await?;
            for (at, (_, name)) in RIVALS.iter().enumerate() {
                text += &row(&format!("{record} | {tasks} | {name}"), &comparison, at);
                let rate = comparison.spread(at, |cost| cost.per_second).median;
                lines[at].points.push((tasks.into(), rate));
            }
        }
        let plot = Plot {
            title: format!("Load, change, store: {record} bytes, each task its own session"),
            x: "tasks at the same time",
            y: "cycles per second",
            lines: lines.into(),
        };
        run.plot(&plot, &format!("sessions-{record}"))?;
    }
    Ok(text)
}

/// Each library with its connections to the same server.
struct Bench {
    server: RedisServer,
    sessions: Sessions,
    plain: Plain,
    tower: Tower,
    actix: Actix,
    careful_tower: Careful<Tower>,
    careful_actix: Careful<Actix>,
    slice: Duration,
}

impl Bench {
    async fn new(slice: Duration) -> Result<Self> {
        let server = RedisServer::start().await?;
        let url = server.url().to_owned();
        let locks = Rslock::new(std::slice::from_ref(&url))?;
        let (tower, actix) = (Tower::new(&url).await?, Actix::new(&url).await?);
        Ok(Self {
            sessions: server.sessions().await?,
            plain: server.plain().await?,
            careful_tower: Careful::new(tower.clone(), locks.clone()),
            careful_actix: Careful::new(actix.clone(), locks),
            tower,
            actix,
            server,
            slice,
        })
    }

    async fn compare(&self, rounds: u32, record: Record, tasks: usize) -> Result<Comparison<Cost>> {
        let mut comparison = Comparison::of(RIVALS.len());
        for round in 0..rounds {
            let measure = async |at: usize| self.rival(RIVALS[at].0, record, tasks).await;
            comparison.round(measure).await?;
            eprintln!(
                "{record} bytes, {tasks} tasks: round {} of {rounds}",
                round + 1
            );
        }
        Ok(comparison)
    }

    async fn rival(&self, rival: Rival, record: Record, tasks: usize) -> Result<Cost> {
        let (cycle, update) = (Action::Cycle, Action::Update);
        match rival {
            Rival::Latchkey => self.cost(&self.sessions, cycle, record, tasks).await,
            Rival::Update => self.cost(&self.sessions, update, record, tasks).await,
            Rival::Plain => self.cost(&self.plain, cycle, record, tasks).await,
            Rival::Tower => self.cost(&self.tower, cycle, record, tasks).await,
            Rival::Actix => self.cost(&self.actix, cycle, record, tasks).await,
            Rival::CarefulTower => self.cost(&self.careful_tower, cycle, record, tasks).await,
            Rival::CarefulActix => self.cost(&self.careful_actix, cycle, record, tasks).await,
        }
    }

    async fn cost<S: Subject>(
        &self,
        subject: &S,
        action: Action,
        record: Record,
        tasks: usize,
    ) -> Result<Cost> {
        self.server.clear_all().await?;
        let mut load = Load::new(subject.clone(), record, tasks).await?;
        let cost = load.cost(action, self.slice, &self.server).await?;
        load.check().await?;
        Ok(cost)
    }
}

use std::time::Duration;

use clap::value_parser;
use latchkey_benches::{
    Comparison, Cost, Result, Run, Until,
    locks::{Latchkey, LockLoad, Locker, Nodes},
};

use crate::{TTL, library::Library, plain::Plain, redlock::Redlock, rslock::Rslock, table::row};

/// Locks over several nodes: acquire and release.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Over how many nodes a lock is spread
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3, 5], value_parser = value_parser!(u32).range(1..=9))]
    nodes: Vec<u32>,

    /// How many tasks work at the same time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64], value_parser = value_parser!(u32).range(1..))]
    tasks: Vec<u32>,

    /// Which libraries; ratios are taken to the first
    #[arg(long, value_delimiter = ',', default_values = ["latchkey", "rslock", "redlock", "plain"])]
    libraries: Vec<Library>,
}

const SLICE: Duration = Duration::from_millis(400);

const HEAD: &str = "
## Locks over several nodes

| nodes | tasks | library | cycles/s | lowest to highest | first : this, in a round | lowest to highest | server CPU µs | client CPU µs |
|--:|--:|---|--:|:-:|--:|:-:|--:|--:|
";

/// Acquire and release, without anybody else wanting the lock.
pub(crate) async fn measure(args: &Args, run: &Run) -> Result<String> {
    let (mut text, rounds) = (HEAD.to_owned(), run.rounds());
    for &count in &args.nodes {
        let nodes = Nodes::start(count as usize).await?;
        let bench = Bench::new(&nodes, run.slice(SLICE)).await?;
        for &tasks in &args.tasks {
            let mut comparison = Comparison::of(args.libraries.len());
            for round in 0..rounds {
                let measure =
                    async |at: usize| bench.cost(args.libraries[at], tasks as usize).await;
                comparison.round(measure).await?;
                eprintln!(
                    "{count} nodes, {tasks} tasks: round {} of {rounds}",
                    round + 1
                );
            }
            for (at, library) in args.libraries.iter().enumerate() {
                let what = format!("{count} | {tasks} | {}", library.name());
                text += &row(&what, &comparison, at);
            }
        }
    }
    Ok(text)
}

/// Each library with its connections to the same nodes.
struct Bench<'a> {
    nodes: &'a Nodes,
    latchkey: Latchkey,
    rslock: Rslock,
    redlock: Redlock,
    plain: Plain,
    slice: Duration,
}

impl<'a> Bench<'a> {
    async fn new(nodes: &'a Nodes, slice: Duration) -> Result<Self> {
        let urls = nodes.urls();
        Ok(Self {
            nodes,
            latchkey: Latchkey::new(&urls, TTL)?,
            rslock: Rslock::new(&urls)?,
            redlock: Redlock::new(&urls),
            plain: Plain::new(&urls).await?,
            slice,
        })
    }

    async fn cost(&self, library: Library, tasks: usize) -> Result<Cost> {
        match library {
            Library::Latchkey => self.cost_of(&self.latchkey, tasks).await,
            Library::Rslock => self.cost_of(&self.rslock, tasks).await,
            Library::Redlock => self.cost_of(&self.redlock, tasks).await,
            Library::Plain => self.cost_of(&self.plain, tasks).await,
            Library::Session => Err("a session has a lock on one server, not on nodes".into()),
        }
    }

    async fn cost_of<L: Locker>(&self, locker: &L, tasks: usize) -> Result<Cost> {
        let load = LockLoad::new(locker.clone(), tasks);
        load.check(self.nodes).await?;
        load.run(Until::Passed(self.slice / 10)).await?;

        let before = self.nodes.usage().await?;
        let outcome = load.run(Until::Passed(self.slice)).await?;
        let usage = self.nodes.usage().await?.since(before);
        load.check(self.nodes).await?;
        Ok(Cost::of(outcome, usage))
    }
}

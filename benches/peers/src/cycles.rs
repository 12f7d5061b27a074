use latchkey_benches::{
    Cost, Result, Until,
    locks::{Latchkey, LockLoad, Locker, Nodes},
};

use crate::{
    TTL,
    args::{Args, Library},
    plain::Plain,
    redlock::Redlock,
    rslock::Rslock,
    table::Table,
};

/// Acquire and release, without anybody else wanting the lock.
pub(crate) async fn measure(args: &Args) -> Result<String> {
    let mut text = String::new();
    for &count in &args.nodes {
        let nodes = Nodes::start(count as usize).await?;
        let bench = Bench::new(&nodes, args).await?;
        for &tasks in &args.tasks {
            let mut table = Table::new(&args.libraries);
            for round in 0..args.rounds {
                let mut order: Vec<_> = args.libraries.iter().copied().enumerate().collect();
                if round % 2 == 1 {
                    order.reverse();
                }
                for (at, library) in order {
                    table.add(at, bench.cost(library, tasks as usize).await?);
                }
                eprintln!(
                    "{count} nodes, {tasks} tasks: round {} of {}",
                    round + 1,
                    args.rounds
                );
            }
            text += &table.rows(count, tasks);
        }
    }
    Ok(format!("{}{text}\n", Table::HEAD))
}

/// Each library with its connections to the same nodes.
struct Bench<'a> {
    nodes: &'a Nodes,
    latchkey: Latchkey,
    rslock: Rslock,
    redlock: Redlock,
    plain: Plain,
    args: &'a Args,
}

impl<'a> Bench<'a> {
    async fn new(nodes: &'a Nodes, args: &'a Args) -> Result<Self> {
        let urls = nodes.urls();
        Ok(Self {
            nodes,
            latchkey: Latchkey::new(&urls, TTL)?,
            rslock: Rslock::new(&urls)?,
            redlock: Redlock::new(&urls),
            plain: Plain::new(&urls).await?,
            args,
        })
    }

    async fn cost(&self, library: Library, tasks: usize) -> Result<Cost> {
        match library {
            Library::Latchkey => self.cost_of(&self.latchkey, tasks).await,
            Library::Rslock => self.cost_of(&self.rslock, tasks).await,
            Library::Redlock => self.cost_of(&self.redlock, tasks).await,
            Library::Plain => self.cost_of(&self.plain, tasks).await,
        }
    }

    async fn cost_of<L: Locker>(&self, locker: &L, tasks: usize) -> Result<Cost> {
        let load = LockLoad::new(locker.clone(), tasks);
        load.check(self.nodes).await?;
        load.run(Until::Passed(self.args.slice() / 10)).await?;

        let before = self.nodes.usage().await?;
        let outcome = load.run(Until::Passed(self.args.slice())).await?;
        let usage = self.nodes.usage().await?.since(before);
        load.check(self.nodes).await?;
        Ok(Cost::of(outcome, usage))
    }
}

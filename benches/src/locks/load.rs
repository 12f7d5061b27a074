use std::{process, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{Locker, Nodes};
use crate::{Outcome, Result, Stopwatch, Until, tasks};

/// Tasks that work at the same time, each on a lock of its own.
#[derive(Debug)]
pub struct LockLoad<L> {
    locker: L,
    names: Vec<Arc<str>>,
}

impl<L: Locker> LockLoad<L> {
    /// A lock for each of the `tasks`.
    pub fn new(locker: L, tasks: usize) -> Self {
        let name = |number| format!("lock-{}-{number}", process::id()).into();
        Self {
            locker,
            names: (0..tasks).map(name).collect(),
        }
    }

    /// Lets all tasks take their lock and give it back, over and over.
    ///
    /// # Errors
    /// The library fails.
    pub async fn run(&self, until: Until) -> Result<Outcome> {
        let start = Stopwatch::start();
        let work = |name: &Arc<str>| {
            let (locker, name) = (self.locker.clone(), Arc::clone(name));
            async move {
                let mut times = 0_u64;
                while match until {
                    Until::Times(limit) => times < limit,
                    Until::Passed(limit) => start.elapsed() < limit,
                } {
                    let lease = locker.acquire(&name).await?;
                    locker.release(lease).await?;
                    times += 1;
                }
                Ok(times)
            }
        };
        let times = tasks::all(self.names.iter().map(work).collect()).await?;
        Ok(Outcome {
            elapsed: start.elapsed(),
            actions: times.iter().sum(),
        })
    }

    /// Takes each lock once more and looks at the nodes: it is there while it is held, and gone afterwards.
    ///
    /// # Errors
    /// The library fails, a quorum does not have the lock, or a node keeps it.
    pub async fn check(&self, nodes: &Nodes) -> Result<()> {
        for name in &self.names {
            all_gone(nodes, name).await?;
            let lease = self.locker.acquire(name).await?;
            let held = nodes.holding(name).await?;
            if held < nodes.quorum() {
                return Err(format!("{name} is held, but only {held} nodes have it").into());
            }
            self.locker.release(lease).await?;
            all_gone(nodes, name).await?;
        }
        Ok(())
    }
}

/// Libraries that need no more than a quorum may tell the other nodes a moment later.
async fn all_gone(nodes: &Nodes, name: &str) -> Result<()> {
    let start = Stopwatch::start();
    while nodes.holding(name).await? > 0 {
        if start.elapsed() > PATIENCE {
            return Err(format!("{name} is given back, but nodes have it still").into());
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(1);

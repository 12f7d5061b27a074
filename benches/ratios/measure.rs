use std::time::Duration;

use latchkey::Sessions;
use latchkey_benches::{Action, Cost, Load, Plain, Record, RedisServer, Result, Subject, Until};

/// What is measured on, and for how long.
pub(crate) struct Bench {
    server: RedisServer,
    sessions: Sessions,
    plain: Plain,
    slice: Duration,
}

/// Latchkey and plain commands, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) latchkey: Cost,
    pub(crate) plain: Cost,
}

/// How much work at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) tasks: u32,
    pub(crate) record: Record,
}

impl Bench {
    pub(crate) async fn new(server: RedisServer, slice: Duration) -> Result<Self> {
        Ok(Self {
            sessions: server.sessions().await?,
            plain: server.plain().await?,
            server,
            slice,
        })
    }

    pub(crate) async fn pair(
        &self,
        action: Action,
        setting: Setting,
        plain_first: bool,
    ) -> Result<Pair> {
        if plain_first {
            let plain = self.cost(&self.plain, action, setting).await?;
            let latchkey = self.cost(&self.sessions, action, setting).await?;
            Ok(Pair { latchkey, plain })
        } else {
            let latchkey = self.cost(&self.sessions, action, setting).await?;
            let plain = self.cost(&self.plain, action, setting).await?;
            Ok(Pair { latchkey, plain })
        }
    }

    async fn cost<S: Subject>(
        &self,
        subject: &S,
        action: Action,
        setting: Setting,
    ) -> Result<Cost> {
        self.server.clear().await?;
        let Setting { tasks, record } = setting;
        let mut load = Load::new(subject.clone(), record, tasks as usize).await?;
        let warm_up = self.slice / 10;
        load.run(action, Until::Passed(warm_up)).await?;

        let before = self.server.usage().await?;
        let outcome = load.run(action, Until::Passed(self.slice)).await?;
        let usage = self.server.usage().await?.since(before);
        load.check().await?;

        Ok(Cost::of(outcome, usage))
    }

    pub(crate) async fn clear(&self) -> Result<()> {
        self.server.clear().await
    }
}

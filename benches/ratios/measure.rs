use std::time::Duration;

use latchkey::Sessions;
use latchkey_benches::{Action, Load, Plain, Record, RedisServer, Result, Subject, Until};

/// What is measured on, and for how long.
pub(crate) struct Bench {
    server: RedisServer,
    sessions: Sessions,
    plain: Plain,
    slice: Duration,
}

/// What one action cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) per_second: f64,
    pub(crate) server_us: f64,
    pub(crate) client_us: f64,
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

        let actions = outcome.actions as f64;
        Ok(Cost {
            per_second: actions / outcome.elapsed.as_secs_f64(),
            server_us: usage.server.as_secs_f64() * 1e6 / actions,
            client_us: usage.client.as_secs_f64() * 1e6 / actions,
        })
    }

    pub(crate) async fn clear(&self) -> Result<()> {
        self.server.clear().await
    }
}

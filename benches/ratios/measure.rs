use std::time::Duration;

use latchkey::Sessions;
use latchkey_benches::{Action, Cost, Load, Plain, Record, RedisServer, Result, Subject};

/// What is measured on, and for how long.
pub(crate) struct Bench {
    server: RedisServer,
    sessions: Sessions,
    /// What is compared with those, instead of those with plain commands.
    through: Option<Sessions>,
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
    pub(crate) async fn new(server: RedisServer, slice: Duration, through: bool) -> Result<Self> {
        Ok(Self {
            through: match through {
                true => Some(server.sessions_written_through().await?),
                false => None,
            },
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
        match &self.through {
            None => {
                self.both(&self.sessions, &self.plain, action, setting, plain_first)
                    .await
            }
            Some(through) => {
                self.both(through, &self.sessions, action, setting, plain_first)
                    .await
            }
        }
    }

    async fn both(
        &self,
        latchkey: &impl Subject,
        plain: &impl Subject,
        action: Action,
        setting: Setting,
        plain_first: bool,
    ) -> Result<Pair> {
        if plain_first {
            let plain = self.cost(plain, action, setting).await?;
            let latchkey = self.cost(latchkey, action, setting).await?;
            Ok(Pair { latchkey, plain })
        } else {
            let latchkey = self.cost(latchkey, action, setting).await?;
            let plain = self.cost(plain, action, setting).await?;
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
        let cost = load.cost(action, self.slice, &self.server).await?;
        load.check().await?;
        Ok(cost)
    }

    pub(crate) async fn clear(&self) -> Result<()> {
        self.server.clear().await
    }
}

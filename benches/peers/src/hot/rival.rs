use std::env;

use clap::ValueEnum;
use latchkey_benches::{
    Record, RedisServer, Result, Subject,
    hot::{self, Contest, Pace},
};
use tokio::process::Command;

use super::python::Python;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rival {
    Latchkey,
    Rslock,
    Redlock,
    RedisPy,
    PythonRedisLock,
    /// One task without any lock, and nobody else
    Owner,
}

impl Rival {
    pub(super) const NAMES: [&str; 6] = [
        "latchkey",
        "rslock",
        "redlock",
        "redis-py",
        "python-redis-lock",
        "owner",
    ];

    pub(super) const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    pub(super) const fn is_python(self) -> bool {
        matches!(self, Self::RedisPy | Self::PythonRedisLock)
    }
}

/// What they meet on.
pub(super) struct Ground {
    pub(super) server: RedisServer,
    pub(super) python: Python,
}

impl Ground {
    /// Lets them all want one new session, and returns with it how many changes were lost.
    pub(super) async fn contest(
        &self,
        rival: Rival,
        processes: usize,
        pace: Pace,
    ) -> Result<(Contest, u64)> {
        self.server.clear_all().await?;
        let (processes, pace) = if rival == Rival::Owner {
            // It does not think: nobody would have the session meanwhile.
            let alone = Pace {
                tasks: 1,
                think_us: 0,
                ..pace
            };
            (1, alone)
        } else {
            (processes, pace)
        };
        let (contest, stored) = if rival == Rival::Latchkey {
            let sessions = self.server.sessions().await?;
            let id = Subject::create(&sessions, &Record::USUAL).await?;
            let contest = self.run(rival, id.expose(), processes, pace).await?;
            (contest, sessions.read(&id).await?)
        } else {
            let plain = self.server.plain().await?;
            let key = plain.create(&Record::USUAL).await?;
            let contest = self.run(rival, &key, processes, pace).await?;
            (contest, plain.read(&key).await?)
        };
        let lost = contest.added.checked_sub(stored);
        let lost = lost.ok_or("more is stored than was added")?;
        Ok((contest, lost))
    }

    async fn run(
        &self,
        rival: Rival,
        record: &str,
        processes: usize,
        pace: Pace,
    ) -> Result<Contest> {
        let commands = (0..processes).map(|_| self.command(rival, record));
        let commands: Result<_> = commands.collect();
        hot::run(commands?, pace, &self.server).await
    }

    fn command(&self, rival: Rival, record: &str) -> Result<Command> {
        let url = self.server.url();
        if rival.is_python() {
            return Ok(self.python.command(rival, url, record));
        }
        let mut command = Command::new(env::current_exe()?);
        command.args([
            "hot-member",
            "--",
            rival.name(),
            url,
            self.server.prefix(),
            record,
        ]);
        Ok(command)
    }
}

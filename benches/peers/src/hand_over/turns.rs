use std::time::Duration;

use latchkey::{SessionGuard, Sessions};
use latchkey_benches::{
    Record, RedisServer, Result,
    locks::{Latchkey, Locker},
};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::player::{ASK, READY};
use crate::{TTL, library::Library, redlock::Redlock, rslock::Rslock};

/// What one of two processes works with.
#[derive(Debug, clap::Args)]
pub(crate) struct Turns {
    library: Library,
    name: String,
    prefix: String,
    urls: Vec<String>,
}

/// The other side.
pub(crate) async fn take_turns(turns: &Turns) -> Result<()> {
    let Turns { library, urls, .. } = turns;
    match library {
        Library::Latchkey => take_with(&Latchkey::new(urls, TTL)?, &turns.name).await,
        Library::Rslock => take_with(&Rslock::new(urls)?, &turns.name).await,
        Library::Redlock => take_with(&Redlock::new(urls), &turns.name).await,
        Library::Session => take_with(&Session::new(turns).await?, &turns.name).await,
        Library::Plain => Err("plain commands do not wait for a lock".into()),
    }
}

async fn take_with<L: Locker>(locker: &L, name: &str) -> Result<()> {
    // Connections are made, scripts are loaded.
    let lease = locker.acquire(name).await?;
    locker.release(lease).await?;
    say(READY).await?;
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let mut held = None;
    while let Some(line) = input.next_line().await? {
        if line == ASK {
            held = Some(locker.acquire(name).await?);
            say(&now().as_nanos().to_string()).await?;
        } else if let Some(lease) = held.take() {
            let begun = now();
            locker.release(lease).await?;
            say(&begun.as_nanos().to_string()).await?;
        }
    }
    Ok(())
}

async fn say(line: &str) -> Result<()> {
    let mut output = tokio::io::stdout();
    output.write_all(format!("{line}\n").as_bytes()).await?;
    Ok(output.flush().await?)
}

fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), nanos)
}

/// The lock of a session; each turn changes it.
#[derive(Clone)]
struct Session(Sessions);

impl Session {
    async fn new(turns: &Turns) -> Result<Self> {
        let url = turns.urls.first().ok_or("no server")?;
        let server = RedisServer::beside(url, &turns.prefix).await?;
        Ok(Self(server.sessions().await?))
    }
}

impl Locker for Session {
    type Lease = SessionGuard;

    async fn acquire(&self, id: &str) -> Result<SessionGuard> {
        Ok(self.0.lock(&id.parse()?).await?)
    }

    async fn release(&self, mut session: SessionGuard) -> Result<()> {
        session.modify(Record::COUNT, |count: &mut u64| *count += 1)?;
        session.commit().await?;
        Ok(())
    }
}

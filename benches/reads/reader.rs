use std::{sync::Arc, time::Duration};

use latchkey::{SessionId, Sessions};
use latchkey_benches::{Cost, Plain, RedisServer, Result, Run, Subject};

use tokio::runtime::Handle;

use crate::{
    crowd::{Crowd, Reading, Sight},
    delay,
};

/// A way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// `GET`
    Plain,
    /// A snapshot
    Snapshot,
    /// A snapshot, and the first one of each session in a slice also touches it
    Touching,
    /// A snapshot of a store that caches reads
    Cached,
}

/// Ratios are taken to the first.
pub(crate) const READERS: [Reader; 4] = [
    Reader::Plain,
    Reader::Snapshot,
    Reader::Touching,
    Reader::Cached,
];

impl Reader {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "GET",
            Self::Snapshot => "snapshot",
            Self::Touching => "snapshot with touch",
            Self::Cached => "cached snapshot",
        }
    }
}

/// What is read, by whom, and who writes meanwhile.
pub(crate) struct Bench {
    server: RedisServer,
    plain: Pair<Plain>,
    sessions: Pair<Sessions>,
    cached: Pair<Sessions>,
    elsewhere: Handle,
    slice: Duration,
    delays: usize,
}

struct Pair<S: Subject> {
    crowd: Arc<Crowd<S::Name>>,
    reader: S,
    /// With connections of its own, and in a runtime of its own: another process would be no further away.
    writer: S,
}

/// One reader in one round.
pub(crate) struct Measured {
    pub(crate) cost: Cost,
    pub(crate) changes: f64,
    pub(crate) first: f64,
    pub(crate) delays_ms: Vec<f64>,
}

const SLICE: Duration = Duration::from_millis(500);
const STALENESS: Duration = Duration::from_millis(500);

impl Bench {
    pub(crate) async fn new(sessions: usize, elsewhere: Handle, run: &Run) -> Result<Self> {
        let server = RedisServer::start().await?;
        let (url, prefix) = (server.url().to_owned(), server.prefix().to_owned());
        let writers = elsewhere.spawn(async move {
            let server = RedisServer::beside(&url, &prefix).await?;
            Result::<_>::Ok((server.plain().await?, server.sessions().await?))
        });
        let (plain_writer, sessions_writer) = writers.await??;
        let exact = Sight::Exact;
        let plain = Pair::new(server.plain().await?, plain_writer, sessions, exact).await?;
        let cached = server.sessions_that_cache(STALENESS).await?;
        let cached = Pair::new(cached, sessions_writer.clone(), sessions, Sight::Lagging).await?;
        let pair = Pair::new(server.sessions().await?, sessions_writer, sessions, exact);
        Ok(Self {
            sessions: pair.await?,
            plain,
            cached,
            elsewhere,
            slice: run.slice(SLICE),
            delays: if run.is_short() { 5 } else { 50 },
            server,
        })
    }

    pub(crate) async fn version(&self) -> Result<String> {
        self.server.version().await
    }

    pub(crate) async fn measure(&self, reader: Reader, tasks: usize) -> Result<Measured> {
        match reader {
            Reader::Plain => self.pair(&self.plain, tasks).await,
            Reader::Snapshot => self.pair(&self.sessions, tasks).await,
            Reader::Touching => {
                self.server.age(AGED).await?;
                let measured = self.pair(&self.sessions, tasks).await?;
                self.check_touched(self.sessions.crowd.first()).await?;
                Ok(measured)
            }
            Reader::Cached => self.pair(&self.cached, tasks).await,
        }
    }

    async fn pair<S: Subject>(&self, pair: &Pair<S>, tasks: usize) -> Result<Measured> {
        let Pair {
            crowd,
            reader,
            writer,
        } = pair;
        // Nothing is done to warm up: it would spend the touches that are due.
        let before = self.server.usage().await?;
        let reading = crowd.read(reader, writer, &self.elsewhere, tasks, self.slice);
        let Reading {
            outcome,
            changes,
            first,
        } = reading.await?;
        let usage = self.server.usage().await?.since(before);
        let delays = delay::measure(crowd, reader, writer, &self.elsewhere, self.delays);
        Ok(Measured {
            cost: Cost::of(outcome, usage),
            changes,
            first,
            delays_ms: delays.await?,
        })
    }

    async fn check_touched(&self, id: &SessionId) -> Result<()> {
        let session = self.sessions.reader.snapshot(id).await?;
        let left = session.ok_or("the session is gone")?.remaining().idle;
        if left > AGED {
            Ok(())
        } else {
            Err(format!("a session that was read ends in {left:?}").into())
        }
    }
}

impl<S: Subject> Pair<S> {
    async fn new(reader: S, writer: S, records: usize, sight: Sight) -> Result<Self> {
        Ok(Self {
            crowd: Crowd::create(&reader, records, sight).await?,
            reader,
            writer,
        })
    }
}

/// What is left of their 30 minutes, so that a touch is due.
const AGED: Duration = Duration::from_secs(20 * 60);

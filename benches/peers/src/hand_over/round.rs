use std::{process, sync::Arc, time::Duration};

use latchkey_benches::{Plain, Record, Result, Stopwatch, Subject, locks::Nodes};
use tokio::time::sleep;

use super::player::{ASK, Player, RELEASE};
use crate::library::Library;

/// The servers, and what a flight to one of them takes.
pub(super) struct Table<'a> {
    nodes: &'a Nodes,
    turns: u32,
    plain: Plain,
    record: Arc<str>,
}

/// In milliseconds.
pub(super) struct Times {
    pub(super) hand_overs: Vec<f64>,
    /// Of a GET, each after a hand-over.
    pub(super) flights: Vec<f64>,
}

impl<'a> Table<'a> {
    pub(super) async fn new(nodes: &'a Nodes, turns: u32) -> Result<Self> {
        let plain = nodes.first()?.plain().await?;
        let record = plain.create(&Record::USUAL).await?;
        Ok(Self {
            nodes,
            turns,
            plain,
            record,
        })
    }

    pub(super) async fn round(&self, library: Library, round: u32) -> Result<Times> {
        let name = self.name(library, round).await?;
        let mut holder = Player::start(library, &name, self.nodes).await?;
        let mut waiter = Player::start(library, &name, self.nodes).await?;
        holder.tell(ASK).await?;
        holder.moment().await?;
        let (mut hand_overs, mut flights) = (Vec::new(), Vec::new());
        for turn in 0..WARM_UP + self.turns {
            waiter.tell(ASK).await?;
            // It has found the lock taken when this is over. Libraries that look again and again are met at any moment of
            // their pauses.
            sleep(WAITS + Duration::from_millis(u64::from(turn * 37 % 100))).await;
            holder.tell(RELEASE).await?;
            let (released, acquired) = (holder.moment().await?, waiter.moment().await?);
            let time = acquired.checked_sub(released);
            let time = time.ok_or("two processes held the lock at the same time")?;
            let flight = self.flight().await?;
            if turn >= WARM_UP {
                hand_overs.push(time.as_secs_f64() * 1e3);
                flights.push(flight);
            }
            std::mem::swap(&mut holder, &mut waiter);
        }
        holder.tell(RELEASE).await?;
        holder.moment().await?;
        Ok(Times {
            hand_overs,
            flights,
        })
    }

    async fn name(&self, library: Library, round: u32) -> Result<String> {
        if library == Library::Session {
            let sessions = self.nodes.first()?.sessions().await?;
            let id = Subject::create(&sessions, &Record::USUAL).await?;
            return Ok(id.expose().to_owned());
        }
        Ok(format!(
            "hand-over-{}-{}-{round}",
            library.name(),
            process::id()
        ))
    }

    async fn flight(&self) -> Result<f64> {
        // As at a hand-over, nobody has run just now.
        sleep(STILL).await;
        let start = Stopwatch::start();
        self.plain.read(&self.record).await?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }
}

/// Each process has waited once before it counts: connections and subscriptions stand.
const WARM_UP: u32 = 2;
const WAITS: Duration = Duration::from_millis(50);
const STILL: Duration = Duration::from_millis(10);

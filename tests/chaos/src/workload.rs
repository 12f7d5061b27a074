use std::{
    error::Error,
    io::{self, Read as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use latchkey::{RedisStore, SecondaryPolicy, Sessions, SessionsBuilder, Timeouts, core::WhenFull};
use serde::{Deserialize, Serialize};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    Chance, Client, Held, Known, Outcome, Recorder, Told,
    board::{Board, Place},
};

/// What one process of a run is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) seed: u64,
    pub(crate) process: u64,
    pub(crate) tasks: u64,
    pub(crate) sessions: u64,
    pub(crate) primary: String,
    pub(crate) mirror: String,
    pub(crate) board: PathBuf,
    pub(crate) settings: Settings,
}

/// Of the library, the same for all processes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "tests fill it in")]
pub struct Settings {
    /// How long a lock outlives its holder.
    pub lease: Duration,
    /// How long one waits for a session.
    pub wait: Duration,
    /// How long an old ID is good for reading.
    pub grace: Duration,
    /// How old a cached read may be.
    pub staleness: Duration,
    /// How long one call may take.
    pub call: Duration,
    /// How long a write is asked for again.
    pub resolve: Duration,
    /// Lua before every script, which breaks them.
    pub prelude: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(2),
            wait: Duration::from_secs(4),
            grace: Duration::from_secs(4),
            staleness: Duration::from_millis(500),
            call: Duration::from_secs(1),
            resolve: Duration::from_secs(4),
            prelude: String::new(),
        }
    }
}

impl Settings {
    /// A store with these settings.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn store(&self, url: &str) -> latchkey::Result<RedisStore> {
        RedisStore::builder()
            .call_timeout(self.call)
            .resolve_timeout(self.resolve)
            .cached_reads(self.staleness)
            .script_prelude(self.prelude.clone())
            .connect(url)
            .await
    }

    /// Sessions on it.
    pub fn sessions(&self, store: RedisStore) -> SessionsBuilder {
        Sessions::builder(store)
            .lease(self.lease)
            .wait_timeout(self.wait)
            .grace(self.grace)
            // Nothing that the clients have not asked for ends a session.
            .sessions_per_user(1_000_000, WhenFull::Refuse)
    }
}

/// The name of the secondary.
pub(crate) const MIRROR: &str = "mirror";
/// Users who log in.
const USERS: u64 = 5;

/// Does what the orders say until its input ends: the whole of a worker process. `orders` is what the run gave it.
///
/// # Errors
/// When the orders cannot be read, or the process cannot begin.
pub async fn worker(orders: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let orders: Orders = serde_json::from_str(orders)?;
    let ended = input_ended();
    let Some(sessions) = connect(&orders, &ended).await else {
        return Ok(());
    };
    let recorder = Arc::new(Recorder::printing(orders.process));
    let mut tasks = JoinSet::new();
    for number in 0..orders.tasks {
        let client = Client::new(
            sessions.clone(),
            Arc::clone(&recorder),
            number,
            orders.settings.staleness,
        );
        let chance = Chance::new(orders.seed ^ (orders.process << 20) ^ number.rotate_left(32));
        let task = Task {
            client,
            chance,
            board: Board::new(&orders.board),
            sessions: orders.sessions,
        };
        tasks.spawn(task.go_on(Arc::clone(&ended)));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// The server may be down at this very moment.
async fn connect(orders: &Orders, ended: &AtomicBool) -> Option<Sessions> {
    while !ended.load(Ordering::Relaxed) {
        match open(orders).await {
            Ok(sessions) => return Some(sessions),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
    None
}

async fn open(orders: &Orders) -> latchkey::Result<Sessions> {
    let settings = &orders.settings;
    let mirror = RedisStore::builder()
        .call_timeout(settings.call)
        .unchecked_secondary(&orders.mirror)?;
    let store = settings.store(&orders.primary).await?;
    settings
        .sessions(store)
        .secondary(
            MIRROR,
            mirror,
            SecondaryPolicy::eventual().timeout(settings.call),
        )
        .open()
        .await
}

struct Task {
    client: Client,
    chance: Chance,
    board: Board,
    sessions: u64,
}

impl Task {
    async fn go_on(mut self, ended: Arc<AtomicBool>) -> io::Result<()> {
        while !ended.load(Ordering::Relaxed) {
            self.one().await?;
            sleep(Duration::from_millis(self.chance.below(30))).await;
        }
        Ok(())
    }

    /// One request, as a handler might make it. Draws the same number of times in any case.
    async fn one(&mut self) -> io::Result<()> {
        let at = self.chance.below(self.sessions);
        let what = self.chance.below(100);
        let span = self.chance.below(100);
        let user = self.chance.below(USERS);
        let place = self.board.look(at);
        let Some(known) = place.now.clone() else {
            let life = (span < 10).then(short_life).flatten();
            let known = self.client.create(life).await;
            return self.board.post(at, &place, known.as_ref());
        };
        match what {
            0..20 => {
                let outcome = self.client.update(&known).await;
                if outcome == Outcome::Failed && span < 30 {
                    self.look_after(at, &place, &known).await?;
                }
            }
            20..35 => _ = self.client.read(&known, true).await,
            35..43 => _ = self.client.read(&known, false).await,
            43..50 => {
                let before = place.before.as_ref().unwrap_or(&known);
                self.client.read(before, span < 50).await;
            }
            50..51 => {
                if self.client.destroy(&known).await == Outcome::Done {
                    self.board.post(at, &place, None)?;
                }
            }
            51..52 => _ = self.client.revoke_all(user).await,
            _ => return self.locked(at, &place, &known, what, span, user).await,
        }
        Ok(())
    }

    async fn locked(
        &mut self,
        at: u64,
        place: &Place,
        known: &Known,
        what: u64,
        span: u64,
        user: u64,
    ) -> io::Result<()> {
        let ticket = match what {
            90..94 => self.client.begin_login(user).await,
            _ => None,
        };
        let mut held = match self.client.lock(known).await {
            Ok(held) => held,
            Err(Told::Absent) => return self.board.post(at, place, None),
            Err(_) => return Ok(()),
        };
        work(&mut held, span).await;
        match what {
            52..62 => self.client.discard(held).await,
            88..90 => {
                if self.client.end(held).await == Outcome::Done {
                    self.board.post(at, place, None)?;
                }
            }
            90..94 => {
                let (outcome, known) = self.client.login(held, user, ticket).await;
                self.moved(at, place, outcome, known)?;
            }
            94..100 => {
                let (outcome, known) = self.client.rotate(held).await;
                self.moved(at, place, outcome, Some(known))?;
            }
            _ => {
                let padding = if span < 12 { 4_000 } else { 0 };
                self.client.change(held, padding).await;
            }
        }
        Ok(())
    }

    /// Whoever does not know what became of a new ID tries it.
    fn moved(
        &self,
        at: u64,
        place: &Place,
        outcome: Outcome,
        known: Option<Known>,
    ) -> io::Result<()> {
        match known {
            Some(known) if outcome != Outcome::Failed => self.board.post(at, place, Some(&known)),
            _ => Ok(()),
        }
    }

    /// A session that is gone makes room for another one.
    async fn look_after(&self, at: u64, place: &Place, known: &Known) -> io::Result<()> {
        match self.client.read(known, false).await {
            Some(crate::Seen::Current(_)) | None => Ok(()),
            Some(_) => self.board.post(at, place, None),
        }
    }
}

/// Mostly short, sometimes longer than others like to wait.
async fn work(held: &mut Held, span: u64) {
    let ticks = match span {
        0..60 => 0,
        60..98 => span / 20,
        _ => 60,
    };
    for _ in 0..ticks {
        sleep(Duration::from_millis(5)).await;
        held.look();
    }
}

/// Of a session that ends by itself while others use it.
fn short_life() -> Option<Timeouts> {
    Timeouts::new(Duration::from_secs(20), Duration::from_secs(20)).ok()
}

fn input_ended() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    thread::spawn(move || {
        // An input that cannot be read has ended.
        drop(io::stdin().read_to_end(&mut Vec::new()));
        flag.store(true, Ordering::Relaxed);
    });
    ended
}

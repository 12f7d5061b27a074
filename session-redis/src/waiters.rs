//! Waiting for a lock: in line within this process, and in a queue of processes on the server.
//!
//! Whoever asks for a lock goes to the end of this process' line for it, and only the first in line talks to the
//! server. If the lock is taken, it enters the process into the server's queue; a release takes the process that waits
//! longest out of the queue and publishes the lock's key on its channel.
//! Messages can be lost, so the first in line also looks by itself: when the lock runs out, and once a second.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{Client, PushInfo, PushKind, Value, aio::MultiplexedConnection};
use session_core::{Fault, SessionKey};
use tokio::sync::{Notify, mpsc};

use session_lock::link::{self, CallError, Entry};

use crate::{
    delivery::Server,
    keys::{Prefix, session_of},
    server_time::millis,
};

/// Who waits in this process, and how it hears that a lock is free.
#[derive(Debug)]
pub(crate) struct Waiters {
    shared: Arc<Shared>,
    server: Arc<Server>,
    /// `None`: only a pool of connections is there, which cannot receive messages.
    client: Option<Client>,
    channel: String,
    prefix: Prefix,
}

#[derive(Default)]
struct Shared {
    lines: Mutex<HashMap<SessionKey, Line>>,
    /// Locks that this process does not wait for any more: it is to leave their queues.
    left: Mutex<Vec<SessionKey>>,
    changed: Notify,
    closed: AtomicBool,
    running: AtomicBool,
    listening: AtomicBool,
    warned: AtomicBool,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Arc<Notify>>,
    /// Whether this process may stand in the server's queue.
    queued: bool,
}

/// A place in the line for one lock. Dropping it leaves the line.
pub(crate) struct Place {
    shared: Arc<Shared>,
    key: SessionKey,
    turn: Arc<Notify>,
}

/// Too many wait in this process already.
pub(crate) struct LineFull {
    pub(crate) waiting: usize,
}

impl Waiters {
    pub(crate) fn new(
        server: Arc<Server>,
        client: Option<Client>,
        channel: String,
        prefix: Prefix,
    ) -> Self {
        Self {
            shared: Arc::default(),
            server,
            client,
            channel,
            prefix,
        }
    }

    /// Where messages can be heard; `None` on a pool.
    pub(crate) const fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// Goes to the end of the line.
    pub(crate) fn join(&self, key: &SessionKey, max_waiters: usize) -> Result<Place, LineFull> {
        let turn = Arc::new(Notify::new());
        let mut lines = self.shared.lines();
        let line = lines.entry(*key).or_default();
        if line.waiting.len() >= max_waiters {
            return Err(LineFull {
                waiting: line.waiting.len(),
            });
        }
        line.waiting.push_back(Arc::clone(&turn));
        drop(lines);
        Ok(Place {
            shared: Arc::clone(&self.shared),
            key: *key,
            turn,
        })
    }

    /// The channel on which this process hears of a lock, to be put into the lock's queue. Empty while it does not hear.
    pub(crate) fn channel_for(&self, key: &SessionKey) -> &str {
        self.ensure_running();
        if !self.shared.listening.load(Ordering::Acquire) {
            return "";
        }
        if let Some(line) = self.shared.lines().get_mut(key) {
            line.queued = true;
        }
        &self.channel
    }

    /// How long the first in line waits for a message before it looks by itself, `left` being what the lock has left.
    pub(crate) fn look_after(&self, left: Duration) -> Duration {
        let hears = self.shared.listening.load(Ordering::Acquire);
        let longest = if hears { LOOK } else { BLIND_LOOK };
        // One millisecond more: the server expires on a millisecond grid.
        longest.min(left + Duration::from_millis(1))
    }

    fn ensure_running(&self) {
        let Some(client) = &self.client else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.shared.running.swap(true, Ordering::AcqRel) {
            let listener = Listener {
                shared: Arc::clone(&self.shared),
                server: Arc::clone(&self.server),
                client: client.clone(),
                channel: self.channel.clone(),
                prefix: self.prefix.clone(),
            };
            runtime.spawn(async move { listener.run().await });
        }
    }
}

const LOOK: Duration = Duration::from_secs(1);
const BLIND_LOOK: Duration = Duration::from_millis(20);

impl Drop for Waiters {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, HashMap<SessionKey, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> MutexGuard<'_, Vec<SessionKey>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the first in line to look; whether there is anybody.
    fn wake(&self, key: &SessionKey) -> bool {
        let lines = self.lines();
        let first = lines.get(key).and_then(|line| line.waiting.front());
        first.inspect(|turn| turn.notify_one()).is_some()
    }

    fn wake_all(&self) {
        for line in self.lines().values() {
            line.waiting
                .iter()
                .take(1)
                .for_each(|turn| turn.notify_one());
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("lines", &self.lines().len())
            .finish_non_exhaustive()
    }
}

impl Place {
    /// Whether nobody in this process came before.
    pub(crate) fn is_first(&self) -> bool {
        let lines = self.shared.lines();
        let first = lines.get(&self.key).and_then(|line| line.waiting.front());
        first.is_some_and(|first| Arc::ptr_eq(first, &self.turn))
    }

    /// Resolves when there is reason to look: this place has become the first in line, or a message came for it.
    /// Cancel safe.
    pub(crate) async fn turn(&self) {
        self.turn.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.shared.lines();
        let Some(line) = lines.get_mut(&self.key) else {
            return;
        };
        let was_first = line
            .waiting
            .front()
            .is_some_and(|first| Arc::ptr_eq(first, &self.turn));
        line.waiting.retain(|turn| !Arc::ptr_eq(turn, &self.turn));
        let queued = line.queued;
        match line.waiting.front() {
            Some(next) if was_first => next.notify_one(),
            Some(_) => {}
            None => {
                lines.remove(&self.key);
                drop(lines);
                if queued {
                    self.shared.left().push(self.key);
                    self.shared.changed.notify_one();
                }
            }
        }
    }
}

/// The task that listens for free locks and takes this process out of queues.
struct Listener {
    shared: Arc<Shared>,
    server: Arc<Server>,
    client: Client,
    channel: String,
    prefix: Prefix,
}

impl Listener {
    async fn run(&self) {
        let (sender, mut messages) = mpsc::unbounded_channel();
        // The subscription lives as long as its connection.
        let mut connection = None;
        while !self.shared.closed.load(Ordering::Acquire) {
            if connection.is_none() {
                connection = self.subscribe(sender.clone()).await;
                // What was published while nobody listened is lost.
                self.shared.wake_all();
            }
            let left = std::mem::take(&mut *self.shared.left());
            for key in left {
                self.leave(&key).await;
            }
            let clock = &self.server.clock;
            tokio::select! {
                message = messages.recv() => match message {
                    Some(PushInfo { kind: PushKind::Message, data }) => self.heard(&data).await,
                    Some(PushInfo { kind: PushKind::Disconnection, .. }) => {
                        self.shared.listening.store(false, Ordering::Release);
                        connection = None;
                    }
                    _ => {}
                },
                () = self.shared.changed.notified() => {}
                () = clock.sleep_until(clock.now() + RESUBSCRIBE), if connection.is_none() => {}
            }
        }
    }

    async fn subscribe(
        &self,
        sender: mpsc::UnboundedSender<PushInfo>,
    ) -> Option<MultiplexedConnection> {
        let limit = self.server.link.call_timeout();
        let listening = async {
            let mut connection = link::listen(&self.client, sender, limit).await?;
            link::within(limit, connection.subscribe(&self.channel)).await?;
            Ok::<_, CallError>(connection)
        };
        match listening.await {
            Ok(connection) => {
                self.shared.listening.store(true, Ordering::Release);
                Some(connection)
            }
            Err(CallError {
                fault: Fault::TimedOut(_),
                ..
            }) => None,
            Err(error) => {
                if !self.shared.warned.swap(true, Ordering::AcqRel) {
                    let node = self.server.link.node();
                    tracing::warn!(node, fault = %error.fault, "cannot listen for free locks; waiting by looking");
                }
                None
            }
        }
    }

    /// A lock is free. If nobody here waits for it any more, the next process shall have it.
    async fn heard(&self, message: &[Value]) {
        if let [_channel, Value::BulkString(lock)] = message
            && let Some(key) = str::from_utf8(lock).ok().and_then(session_of)
            && !self.shared.wake(&key)
        {
            self.leave(&key).await;
        }
    }

    /// Leaves the queue of a lock, unless somebody here waits for it again.
    async fn leave(&self, key: &SessionKey) {
        if self.shared.lines().contains_key(key) {
            return;
        }
        let keys = self.prefix.keys(key);
        let leave = &self.server.scripts.leave;
        let leave = Entry::new(leave, &keys.all(), &[self.channel.as_bytes()]);
        // Unanswered, the queue's own TTL cleans up, and others look by themselves.
        self.server.run(&|| leave.clone().into()).await.ok();
        // Somebody who came meanwhile may have been taken out with those who left.
        self.shared.wake(key);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.listening.store(false, Ordering::Release);
        self.shared.running.store(false, Ordering::Release);
    }
}

const RESUBSCRIBE: Duration = Duration::from_millis(200);

/// How long a queue stands after its last visitor, in milliseconds: longer than anybody goes without a look.
pub(crate) fn queue_ttl_ms() -> u64 {
    millis(LOOK * 5)
}

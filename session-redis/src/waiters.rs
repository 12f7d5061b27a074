//! Waiting for a lock: in line within this process, and in a queue of processes on the server.
//!
//! In each process only the first in line talks to the server. It enters the process into the queue of the lock; a
//! release takes the process that waits longest out of the queue and publishes the lock's key on its channel.
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

use redis::{Client, Pipeline, PushInfo, PushKind, Value, aio::MultiplexedConnection};
use tokio::sync::{Notify, mpsc};

use crate::{delivery::Server, keys::queue_of, link::config, server_time::millis};

/// Who waits in this process, and how it hears that a lock is free.
#[derive(Debug)]
pub(crate) struct Waiters {
    shared: Arc<Shared>,
    server: Arc<Server>,
    /// `None`: only a pool of connections is there, which cannot receive messages.
    client: Option<Client>,
    channel: String,
}

#[derive(Default)]
struct Shared {
    lines: Mutex<HashMap<Box<str>, Line>>,
    /// Locks that this process does not wait for any more: it is to leave their queues.
    left: Mutex<Vec<Box<str>>>,
    changed: Notify,
    closed: AtomicBool,
    running: AtomicBool,
    listening: AtomicBool,
    warned: AtomicBool,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Arc<Notify>>,
}

/// A place in the line for one lock. Dropping it leaves the line.
pub(crate) struct Place {
    shared: Arc<Shared>,
    lock: Box<str>,
    turn: Arc<Notify>,
}

/// Too many wait in this process already.
pub(crate) struct LineFull {
    pub(crate) waiting: usize,
}

impl Waiters {
    pub(crate) fn new(server: Arc<Server>, client: Option<Client>, channel: String) -> Self {
        Self {
            shared: Arc::default(),
            server,
            client,
            channel,
        }
    }

    /// Whether somebody in this process waits for the lock: then nobody may go ahead of them.
    pub(crate) fn is_waited_for(&self, lock: &str) -> bool {
        self.shared.lines().contains_key(lock)
    }

    /// Goes to the end of the line.
    pub(crate) fn join(&self, lock: &str, max_waiters: usize) -> Result<Place, LineFull> {
        self.ensure_running();
        let turn = Arc::new(Notify::new());
        let mut lines = self.shared.lines();
        let line = lines.entry(lock.into()).or_default();
        if line.waiting.len() >= max_waiters {
            return Err(LineFull {
                waiting: line.waiting.len(),
            });
        }
        if line.waiting.is_empty() {
            turn.notify_one();
        }
        line.waiting.push_back(Arc::clone(&turn));
        drop(lines);
        Ok(Place {
            shared: Arc::clone(&self.shared),
            lock: lock.into(),
            turn,
        })
    }

    /// The channel that this process listens on; `None` while it does not hear.
    pub(crate) fn channel(&self) -> Option<&str> {
        self.shared
            .listening
            .load(Ordering::Acquire)
            .then_some(&*self.channel)
    }

    /// How long the first in line waits for a message before it looks by itself, `left` being what the lock has left.
    pub(crate) fn look_after(&self, left: Duration) -> Duration {
        let longest = if self.channel().is_some() {
            LOOK
        } else {
            BLIND_LOOK
        };
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
    fn lines(&self) -> MutexGuard<'_, HashMap<Box<str>, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> MutexGuard<'_, Vec<Box<str>>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the first in line to look; whether there is anybody.
    fn wake(&self, lock: &str) -> bool {
        let lines = self.lines();
        let first = lines.get(lock).and_then(|line| line.waiting.front());
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
    /// Resolves when this place is the first in line and there is reason to look: at first at once, then after each
    /// message. Cancel safe.
    pub(crate) async fn turn(&self) {
        self.turn.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.shared.lines();
        let Some(line) = lines.get_mut(&self.lock) else {
            return;
        };
        let was_first = line
            .waiting
            .front()
            .is_some_and(|first| Arc::ptr_eq(first, &self.turn));
        line.waiting.retain(|turn| !Arc::ptr_eq(turn, &self.turn));
        match line.waiting.front() {
            Some(next) if was_first => next.notify_one(),
            Some(_) => {}
            None => {
                lines.remove(&self.lock);
                drop(lines);
                self.shared.left().push(std::mem::take(&mut self.lock));
                self.shared.changed.notify_one();
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
            for lock in left {
                self.leave(&lock).await;
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
        let connecting = async {
            let config = config().set_push_sender(sender);
            let mut connection = self
                .client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            connection.subscribe(&self.channel).await?;
            Ok::<_, redis::RedisError>(connection)
        };
        match tokio::time::timeout(self.server.link.call_timeout(), connecting).await {
            Ok(Ok(connection)) => {
                self.shared.listening.store(true, Ordering::Release);
                Some(connection)
            }
            Ok(Err(error)) => {
                if !self.shared.warned.swap(true, Ordering::AcqRel) {
                    let node = self.server.link.node();
                    tracing::warn!(node, %error, "cannot listen for free locks; waiting by looking");
                }
                None
            }
            Err(_elapsed) => None,
        }
    }

    /// A lock is free. If nobody here waits for it any more, the next process shall have it.
    async fn heard(&self, message: &[Value]) {
        if let [_channel, Value::BulkString(lock)] = message
            && let Ok(lock) = str::from_utf8(lock)
            && !self.shared.wake(lock)
        {
            self.leave(lock).await;
        }
    }

    /// Leaves the queue of a lock, unless somebody here waits for it again.
    async fn leave(&self, lock: &str) {
        if self.shared.lines().contains_key(lock) {
            return;
        }
        let Some(queue) = queue_of(lock) else { return };
        let mut pipeline = Pipeline::new();
        self.server
            .scripts
            .leave
            .call(&mut pipeline, &[lock, &queue], &[self.channel.as_bytes()]);
        // Unanswered, the queue's own TTL cleans up, and others look by themselves.
        self.server.run(&pipeline).await.ok();
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

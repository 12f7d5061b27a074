//! How this process hears that it is its turn, and leaves queues in which nobody of it waits any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{PushInfo, PushKind, Value, aio::MultiplexedConnection};
use session_core::{Fault, SessionKey};
use tokio::sync::mpsc;

use session_lock::link::{self, CallError, Entry, Finder};

use crate::{
    cluster::Cluster,
    delivery::Server,
    keys::{Prefix, session_of},
    lines::{Lines, Queued},
    server_time::millis,
    shards::Shards,
};

/// Who waits in this process, and how it hears that it is its turn.
///
/// Messages can be lost, so the first in line also looks by itself: when the lock runs out, and once a second.
#[derive(Debug)]
pub(crate) struct Waiters {
    lines: Arc<Lines>,
    listening: Arc<Listening>,
    server: Arc<Server>,
    finder: Option<Arc<dyn Finder>>,
    shards: Option<Arc<Shards>>,
    channel: String,
    prefix: Prefix,
}

/// Where messages are heard.
#[derive(Clone, Debug)]
pub(crate) enum Ears {
    /// Nowhere: a pool of connections cannot receive any.
    None,
    /// From the only server.
    Server(Arc<dyn Finder>),
    /// From the node of a cluster that has the bucket.
    Cluster(Arc<Cluster>),
}

#[derive(Debug, Default)]
struct Listening {
    hears: AtomicBool,
    running: AtomicBool,
    closed: AtomicBool,
    warned: AtomicBool,
}

impl Waiters {
    pub(crate) fn new(server: Arc<Server>, ears: Ears, prefix: Prefix, process: u64) -> Self {
        let lines = Arc::<Lines>::default();
        let (finder, shards) = match ears {
            Ears::None => (None, None),
            Ears::Server(finder) => (Some(finder), None),
            Ears::Cluster(cluster) => {
                let shards = Shards::new(cluster, Arc::clone(&lines), prefix.clone(), process);
                (None, Some(shards))
            }
        };
        Self {
            lines,
            listening: Arc::default(),
            server,
            finder,
            shards,
            channel: prefix.channel(process),
            prefix,
        }
    }

    /// Who waits in this process.
    pub(crate) const fn lines(&self) -> &Arc<Lines> {
        &self.lines
    }

    /// Makes ready to hear of the lock of a session.
    pub(crate) async fn listen(&self, key: &SessionKey) {
        if let Some(shards) = &self.shards {
            shards.listen(key).await;
        }
    }

    /// How this process is to stand in the server's queue for a lock.
    pub(crate) fn queued(&self, key: &SessionKey) -> Queued {
        self.ensure_running();
        if !self.hears(key) {
            return Queued::new("", BLIND_OFFER);
        }
        match &self.shards {
            Some(shards) => Queued::new(&shards.channel(key), OFFER),
            None => Queued::new(&self.channel, OFFER),
        }
    }

    fn hears(&self, key: &SessionKey) -> bool {
        match &self.shards {
            Some(shards) => shards.hears(key),
            None => self.listening.hears.load(Ordering::Acquire),
        }
    }

    /// How long the first in line waits for a message before it looks by itself, `left` being what the lock has left.
    pub(crate) fn look_after(&self, key: &SessionKey, queued: &Queued, left: Duration) -> Duration {
        let is_told = queued.is_told() && self.hears(key);
        if let Some(shards) = &self.shards
            && queued.is_told()
            && !is_told
        {
            // Its slot has moved, or its connection has ended.
            let (shards, key) = (Arc::clone(shards), *key);
            tokio::spawn(async move { shards.listen(&key).await });
        }
        let longest = if is_told { LOOK } else { BLIND_LOOK };
        // One millisecond more: the server expires on a millisecond grid.
        longest.min(left + Duration::from_millis(1))
    }

    fn ensure_running(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.listening.running.swap(true, Ordering::AcqRel) {
            let listener = Listener {
                lines: Arc::clone(&self.lines),
                listening: Arc::clone(&self.listening),
                server: Arc::clone(&self.server),
                finder: self.finder.clone(),
                channel: self.channel.clone(),
                prefix: self.prefix.clone(),
            };
            runtime.spawn(async move { listener.run().await });
        }
    }
}

const LOOK: Duration = Duration::from_secs(1);
const BLIND_LOOK: Duration = Duration::from_millis(20);

/// For how long a lock is kept for a process whose turn it is: if it does not come, the next one waits for that.
const OFFER: Duration = Duration::from_secs(1);
const BLIND_OFFER: Duration = Duration::from_millis(250);

impl Drop for Waiters {
    fn drop(&mut self) {
        self.listening.closed.store(true, Ordering::Release);
        self.lines.changed.notify_one();
    }
}

/// The task that listens and leaves queues.
struct Listener {
    lines: Arc<Lines>,
    listening: Arc<Listening>,
    server: Arc<Server>,
    finder: Option<Arc<dyn Finder>>,
    channel: String,
    prefix: Prefix,
}

impl Listener {
    async fn run(&self) {
        let (ended, mut endings) = mpsc::unbounded_channel();
        // The subscription lives as long as its connection.
        let mut connection = None;
        while !self.listening.closed.load(Ordering::Acquire) {
            if let (None, Some(finder)) = (&connection, &self.finder) {
                connection = self.subscribe(&**finder, ended.clone()).await;
                // What was published while nobody listened is lost.
                self.lines.wake_all();
            }
            for (key, queued) in self.lines.take_left() {
                self.leave(&key, &queued).await;
            }
            let clock = &self.server.clock;
            let is_deaf = connection.is_none() && self.finder.is_some();
            tokio::select! {
                _ = endings.recv() => {
                    self.listening.hears.store(false, Ordering::Release);
                    connection = None;
                }
                () = self.moved(), if connection.is_some() => {
                    self.listening.hears.store(false, Ordering::Release);
                    connection = None;
                }
                () = self.lines.changed.notified() => {}
                () = clock.sleep_until(clock.now() + RESUBSCRIBE), if is_deaf => {}
            }
        }
    }

    /// Resolves when another server has taken the place of the one that is listened to.
    async fn moved(&self) {
        match &self.finder {
            Some(finder) => finder.changed().await,
            None => std::future::pending().await,
        }
    }

    /// `ended` is told when the connection is over.
    async fn subscribe(
        &self,
        finder: &dyn Finder,
        ended: mpsc::UnboundedSender<()>,
    ) -> Option<MultiplexedConnection> {
        let limit = self.server.way.call_timeout();
        let lines = Arc::clone(&self.lines);
        // Where messages are received: whoever waits is not woken by way of another task.
        let hear = move |PushInfo { kind, data }: PushInfo| match kind {
            PushKind::Message => {
                heard(&lines, &data);
                Ok(())
            }
            PushKind::Disconnection => ended.send(()),
            _ => Ok(()),
        };
        let listening = async {
            let client = finder.find().await?;
            let mut connection = link::listen(&client, hear, limit).await?;
            link::within(limit, connection.subscribe(&self.channel)).await?;
            Ok::<_, CallError>(connection)
        };
        match listening.await {
            Ok(connection) => {
                self.listening.hears.store(true, Ordering::Release);
                Some(connection)
            }
            Err(CallError {
                fault: Fault::TimedOut(_),
                ..
            }) => None,
            Err(error) => {
                if !self.listening.warned.swap(true, Ordering::AcqRel) {
                    let node = self.server.way.node();
                    tracing::warn!(node, fault = %error.fault, "cannot listen for free locks; waiting by looking");
                }
                None
            }
        }
    }

    async fn leave(&self, key: &SessionKey, queued: &Queued) {
        let keys = self.prefix.keys(key);
        let leave = &self.server.scripts.leave;
        let leave = Entry::new(leave, &keys.all(), &[&*queued.name]);
        // Unanswered, the queue's own TTL cleans up, and others look by themselves.
        self.server.run(&|| leave.clone().into()).await.ok();
    }
}

/// A lock was offered to this process, or there is nothing left to wait for. If nobody here waits any more, the queue is
/// being left: with that the next process gets the lock.
pub(crate) fn heard(lines: &Lines, message: &[Value]) {
    if let [_channel, Value::BulkString(lock)] = message
        && let Some(key) = str::from_utf8(lock).ok().and_then(session_of)
    {
        lines.wake(&key);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.listening.hears.store(false, Ordering::Release);
        self.listening.running.store(false, Ordering::Release);
    }
}

const RESUBSCRIBE: Duration = Duration::from_millis(200);

/// How long a queue stands after its last visitor, in milliseconds: longer than anybody goes without a look.
pub(crate) fn queue_ttl_ms() -> u64 {
    millis(LOOK * 5)
}

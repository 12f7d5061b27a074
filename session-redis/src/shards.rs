//! Hearing in a cluster that a lock is free: on a channel for each bucket, from the node that has the bucket.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use redis::{PushInfo, PushKind, Value, aio::MultiplexedConnection};
use session_core::{Fault, SessionKey};
use session_lock::link::{self, CallError, slot_of};

use crate::{cluster::Cluster, keys::Prefix, lines::Lines, waiters::heard};

/// The channels of a process: subscribed when somebody waits in a bucket for the first time, and left alone then, so
/// there are at most 4,096.
pub(crate) struct Shards {
    cluster: Arc<Cluster>,
    lines: Arc<Lines>,
    prefix: Prefix,
    process: u64,
    // A std mutex: held for a few instructions, never across an await.
    state: Mutex<State>,
    /// Held by whoever connects to a node.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// By the node's address.
    nodes: HashMap<Arc<str>, Listening>,
    /// Counts connections.
    connected: u64,
    has_warned: bool,
}

/// A connection to a node, and the buckets that are heard on it.
struct Listening {
    number: u64,
    connection: MultiplexedConnection,
    buckets: HashSet<u16>,
}

impl Shards {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        lines: Arc<Lines>,
        prefix: Prefix,
        process: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            lines,
            prefix,
            process,
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        })
    }

    /// The channel of a session's bucket.
    pub(crate) fn channel(&self, key: &SessionKey) -> String {
        self.prefix
            .shard_channel(key.bucket().number(), self.process)
    }

    /// Whether what happens to that session is heard: from the node that has its bucket now. One that had it before may go
    /// on as a replica, and what is published reaches it; but nobody is counted there when the lock is handed over.
    pub(crate) fn hears(&self, key: &SessionKey) -> bool {
        let slot = slot_of(self.channel(key).as_bytes());
        let Some(owner) = self.cluster.known_owner(slot) else {
            return false;
        };
        let state = self.state();
        let node = state.nodes.get(&owner);
        node.is_some_and(|node| node.buckets.contains(&key.bucket().number()))
    }

    /// Listens in the bucket of a session, if that can be had within the time of a call.
    pub(crate) async fn listen(self: &Arc<Self>, key: &SessionKey) {
        if self.hears(key) {
            return;
        }
        if let Err(error) = self.subscribe(key).await
            && !matches!(error.fault, Fault::TimedOut(_))
            && !std::mem::replace(&mut self.state().has_warned, true)
        {
            tracing::warn!(
                node = self.cluster.name(),
                fault = %error.fault,
                "cannot listen for free locks; waiting by looking"
            );
        }
    }

    async fn subscribe(self: &Arc<Self>, key: &SessionKey) -> Result<(), CallError> {
        let limit = self.cluster.call_timeout();
        let channel = self.channel(key);
        let place = self
            .cluster
            .listener_of(slot_of(channel.as_bytes()))
            .await?;
        let (number, mut connection) = self.connected(place).await?;
        let mut command = redis::cmd("SSUBSCRIBE");
        command.arg(&channel);
        let answer = link::within(limit, connection.send_packed_command(&command)).await?;
        match answer {
            Value::Push {
                kind: PushKind::SSubscribe,
                ..
            } => {
                let mut state = self.state();
                // Not if the connection has ended meanwhile.
                let mut nodes = state.nodes.values_mut();
                if let Some(node) = nodes.find(|node| node.number == number) {
                    node.buckets.insert(key.bucket().number());
                }
                Ok(())
            }
            Value::ServerError(error) => {
                // The bucket is elsewhere: the next one who waits asks for the map first.
                self.cluster.ask_behind();
                Err(CallError {
                    fault: link::server_error(&error),
                    source: Some(error.into()),
                    sent: false,
                })
            }
            _ => Err(CallError::refused(Fault::Protocol)),
        }
    }

    async fn connected(
        self: &Arc<Self>,
        (address, client): (Arc<str>, redis::Client),
    ) -> Result<(u64, MultiplexedConnection), CallError> {
        let known = || {
            let state = self.state();
            let node = state.nodes.get(&address)?;
            Some((node.number, node.connection.clone()))
        };
        if let Some(known) = known() {
            return Ok(known);
        }
        let _one = self.connecting.lock().await;
        if let Some(known) = known() {
            return Ok(known);
        }
        let number = {
            let mut state = self.state();
            state.connected += 1;
            state.connected
        };
        let shards = Arc::downgrade(self);
        let hear = move |message: PushInfo| {
            if let Some(shards) = Weak::upgrade(&shards) {
                shards.heard(number, &message);
            }
            Ok::<_, std::convert::Infallible>(())
        };
        let connection = link::listen(&client, hear, self.cluster.call_timeout()).await?;
        let listening = Listening {
            number,
            connection: connection.clone(),
            buckets: HashSet::new(),
        };
        self.state().nodes.insert(address, listening);
        Ok((number, connection))
    }

    /// Where messages are received: whoever waits is not woken by way of another task.
    fn heard(&self, number: u64, message: &PushInfo) {
        match message.kind {
            PushKind::SMessage => heard(&self.lines, &message.data),
            // A slot has gone to another node, or the connection has ended. What is confirmed unasked confuses the client,
            // so it begins anew in both cases.
            PushKind::SUnsubscribe | PushKind::Disconnection => {
                self.state().nodes.retain(|_, node| node.number != number);
                self.cluster.ask_behind();
                // What was published while nobody listened is lost.
                self.lines.wake_all();
            }
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

//! Hearing of sessions that have run out.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use redis::{PushInfo, PushKind, Value, aio::MultiplexedConnection};
use session_core::ExpiryNotice;
use session_lock::link::{Finder, listen};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{cluster::Cluster, keys::session_of_record, store::Inner};

// A server that cannot be reached is asked again after that; what expires meanwhile is not heard of.
const RESUBSCRIBE: Duration = Duration::from_secs(1);

/// Tells `notice` of records of this store that the server lets expire, for as long as the store lives.
pub(crate) async fn watch(store: Weak<Inner>, finder: Arc<dyn Finder>, notice: ExpiryNotice) {
    while let Some(inner) = store.upgrade() {
        let (sender, mut messages) = mpsc::unbounded_channel();
        let connection = subscribe(&inner, &*finder, sender).await;
        let (clock, prefix) = (Arc::clone(&inner.server.clock), inner.prefix.clone());
        drop(inner);
        let mut connected = connection.is_some();
        while connected && store.strong_count() > 0 {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(PushInfo { kind: PushKind::Message, data }) => {
                        let key = data.get(1).and_then(text).filter(|key| prefix.is_of(key));
                        if let Some(key) = key.and_then(session_of_record) {
                            notice(&key);
                        }
                    }
                    Some(PushInfo { kind: PushKind::Disconnection, .. }) | None => connected = false,
                    _ => {}
                },
                () = finder.changed() => connected = false,
                // Looks whether the store is still there.
                () = clock.sleep_until(clock.now() + RESUBSCRIBE) => {}
            }
        }
        drop(connection);
        clock.sleep_until(clock.now() + RESUBSCRIBE).await;
    }
}

/// The same of all masters of a cluster, also of those that come later.
pub(crate) async fn watch_all(store: Weak<Inner>, cluster: Arc<Cluster>, notice: ExpiryNotice) {
    let mut watched: HashMap<String, JoinHandle<()>> = HashMap::new();
    while let Some(inner) = store.upgrade() {
        let clock = Arc::clone(&inner.server.clock);
        drop(inner);
        if let Ok(masters) = cluster.listeners().await {
            // Of one that is a master no more, nothing is heard twice.
            watched.retain(|address, watching| {
                let is_master = masters.iter().any(|(master, _)| **master == **address);
                if !is_master {
                    watching.abort();
                }
                is_master
            });
            for (address, client) in masters {
                watched.entry(address.to_string()).or_insert_with(|| {
                    let (store, notice) = (Weak::clone(&store), Arc::clone(&notice));
                    tokio::spawn(watch(store, Arc::new(client), notice))
                });
            }
        }
        clock.sleep_until(clock.now() + RESUBSCRIBE).await;
    }
}

async fn subscribe(
    inner: &Inner,
    finder: &dyn Finder,
    messages: mpsc::UnboundedSender<PushInfo>,
) -> Option<MultiplexedConnection> {
    let limit = inner.server.way.call_timeout();
    let database = inner.server.database.unwrap_or_default();
    let channel = format!("__keyevent@{database}__:expired");
    let client = finder.find().await.ok()?;
    let mut connection = listen(&client, messages, limit).await.ok()?;
    let subscribed = tokio::time::timeout(limit, connection.subscribe(channel)).await;
    matches!(subscribed, Ok(Ok(()))).then_some(connection)
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

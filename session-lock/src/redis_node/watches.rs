//! Listening for free locks: one connection, made when somebody listens first.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{Client, PushInfo, PushKind, Value, aio::MultiplexedConnection};
use tokio::sync::{Notify, mpsc, watch};

use super::keys::Keys;
use crate::{
    Clock as _, Moment, Resource, SystemClock,
    link::{self, CallError},
    watch::{Watch, WatchSender},
};

/// Who listens in this process, and to what.
pub(super) struct Watches {
    shared: Arc<Shared>,
    /// `None`: only a pool of connections is there, which cannot receive messages.
    client: Option<Client>,
}

struct Shared {
    node: Arc<str>,
    keys: Arc<Keys>,
    call_timeout: Duration,
    topics: Mutex<HashMap<Resource, Topic>>,
    /// Until when it makes no sense to ask for messages.
    deaf_until: Mutex<Option<Moment>>,
    changed: Notify,
    closed: AtomicBool,
    running: AtomicBool,
    warned: AtomicBool,
}

/// What one resource's watchers share.
struct Topic {
    sender: WatchSender,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not subscribed yet.
    New,
    /// The server has confirmed the subscription.
    Heard,
    /// The subscription has ended with its connection. There are watchers to be told, when it stands again.
    Lost,
}

impl Watches {
    pub(super) fn new(
        node: Arc<str>,
        client: Option<Client>,
        keys: Arc<Keys>,
        call_timeout: Duration,
    ) -> Self {
        let shared = Shared {
            node,
            keys,
            call_timeout,
            topics: Mutex::default(),
            deaf_until: Mutex::default(),
            changed: Notify::new(),
            closed: AtomicBool::new(false),
            running: AtomicBool::new(false),
            warned: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            client,
        }
    }

    /// A watch that hears everything from now on; `None` if the server does not tell.
    pub(super) async fn watch(&self, resource: &Resource) -> Option<Watch> {
        let (client, shared) = (self.client.as_ref()?, &*self.shared);
        if shared.is_deaf() {
            return None;
        }
        let (watch, mut state) = shared.topic(resource);
        if *state.borrow() == State::Heard {
            return Some(watch);
        }
        self.ensure_running(client);
        shared.changed.notify_one();
        let confirmed = state.wait_for(|state| *state == State::Heard);
        // The sender goes away with its topic, when the server refuses.
        let confirmed = tokio::time::timeout(shared.call_timeout, confirmed).await;
        matches!(confirmed, Ok(Ok(_))).then_some(watch)
    }

    fn ensure_running(&self, client: &Client) {
        if !self.shared.running.swap(true, Ordering::AcqRel) {
            let listener = Listener {
                shared: Arc::clone(&self.shared),
                client: client.clone(),
            };
            drop(tokio::spawn(async move { listener.run().await }));
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn topics(&self) -> MutexGuard<'_, HashMap<Resource, Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn topic(&self, resource: &Resource) -> (Watch, watch::Receiver<State>) {
        let mut topics = self.topics();
        if let Some(topic) = topics.get(resource) {
            return (topic.sender.watch(), topic.state.subscribe());
        }
        let (sender, watch) = Watch::new();
        let (state, receiver) = watch::channel(State::New);
        topics.insert(resource.clone(), Topic { sender, state });
        (watch, receiver)
    }

    fn is_deaf(&self) -> bool {
        let until = *self
            .deaf_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| SystemClock.now() < until)
    }

    fn deaf_until(&self, until: Moment) {
        *self
            .deaf_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    fn is_watched(&self) -> bool {
        !self.topics().is_empty()
    }

    /// Resources that are watched, and whose subscription does not stand.
    fn unheard(&self) -> Vec<Resource> {
        let topics = self.topics();
        let unheard = topics
            .iter()
            .filter(|(_, topic)| *topic.state.borrow() != State::Heard && !topic.sender.is_idle());
        unheard.map(|(resource, _)| resource.clone()).collect()
    }

    /// The server has confirmed these.
    fn heard(&self, resources: &[Resource]) {
        let topics = self.topics();
        for topic in resources.iter().filter_map(|resource| topics.get(resource)) {
            if topic.state.send_replace(State::Heard) == State::Lost {
                // What was published meanwhile is lost: whoever waits has to look.
                topic.sender.freed();
            }
        }
    }

    /// The connection has broken, and with it every subscription.
    fn lost(&self) {
        for topic in self.topics().values() {
            topic.state.send_if_modified(|state| {
                let was_heard = *state == State::Heard;
                if was_heard {
                    *state = State::Lost;
                }
                was_heard
            });
        }
    }

    /// Those who wait for a first confirmation need not wait any longer.
    fn refuse_new(&self) {
        self.topics()
            .retain(|_, topic| *topic.state.borrow() != State::New);
    }

    /// Takes out the resources that nobody watches any more.
    fn take_idle(&self) -> Vec<Resource> {
        let mut topics = self.topics();
        let idle = topics.extract_if(|_, topic| topic.sender.is_idle());
        idle.map(|(resource, _)| resource).collect()
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches")
            .field("topics", &self.shared.topics().len())
            .finish_non_exhaustive()
    }
}

/// The task that listens.
struct Listener {
    shared: Arc<Shared>,
    client: Client,
}

impl Listener {
    async fn run(&self) {
        let (sender, mut messages) = mpsc::unbounded_channel();
        // The subscriptions live as long as their connection.
        let mut connection: Option<MultiplexedConnection> = None;
        let mut sweep_at = SystemClock.now() + LINGER;
        while !self.shared.closed.load(Ordering::Acquire) {
            if SystemClock.now() >= sweep_at {
                self.unsubscribe_idle(connection.as_mut()).await;
                sweep_at = SystemClock.now() + LINGER;
            }
            let unheard = self.shared.unheard();
            if !unheard.is_empty() {
                connection = match connection {
                    Some(connection) => Some(connection),
                    None => self.connect(sender.clone()).await,
                };
                connection = match connection {
                    Some(connection) => self.subscribe(connection, &unheard).await,
                    None => None,
                };
            }
            let mut wake = self.shared.is_watched().then_some(sweep_at);
            if connection.is_none() && !unheard.is_empty() {
                wake = Some(SystemClock.now() + RETRY);
            }
            tokio::select! {
                message = messages.recv() => match message {
                    Some(PushInfo { kind: PushKind::Message, data }) => self.message(&data),
                    Some(PushInfo { kind: PushKind::Disconnection, .. }) => {
                        connection = None;
                        self.shared.lost();
                    }
                    _ => {}
                },
                () = self.shared.changed.notified() => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    async fn connect(
        &self,
        sender: mpsc::UnboundedSender<PushInfo>,
    ) -> Option<MultiplexedConnection> {
        let connected = link::listen(&self.client, sender, self.shared.call_timeout).await;
        match connected {
            Ok(connection) => Some(connection),
            Err(error) => {
                self.cannot_listen(&error);
                None
            }
        }
    }

    /// Subscribes to all of these, and gives the connection back if it is still of use.
    async fn subscribe(
        &self,
        mut connection: MultiplexedConnection,
        resources: &[Resource],
    ) -> Option<MultiplexedConnection> {
        let keys = &self.shared.keys;
        let channels = resources.iter().map(|resource| keys.channel(resource));
        let channels: Vec<Vec<u8>> = channels.collect();
        match link::within(self.shared.call_timeout, connection.subscribe(channels)).await {
            Ok(()) => {
                self.shared.heard(resources);
                Some(connection)
            }
            Err(error) => {
                self.cannot_listen(&error);
                self.shared.lost();
                None
            }
        }
    }

    fn cannot_listen(&self, error: &CallError) {
        let pause = if error.is_passing() { RETRY } else { REFUSED };
        self.shared.deaf_until(SystemClock.now() + pause);
        self.shared.refuse_new();
        if !self.shared.warned.swap(true, Ordering::AcqRel) {
            let node = &*self.shared.node;
            tracing::warn!(node, fault = %error.fault, "cannot listen for free locks; waiting by looking");
        }
    }

    fn message(&self, message: &[Value]) {
        if let [Value::BulkString(channel), ..] = message
            && let Some(resource) = self.shared.keys.resource_of(channel)
            && let Some(topic) = self.shared.topics().get(&resource)
        {
            topic.sender.freed();
        }
    }

    async fn unsubscribe_idle(&self, connection: Option<&mut MultiplexedConnection>) {
        let idle = self.shared.take_idle();
        if let Some(connection) = connection
            && !idle.is_empty()
        {
            let keys = &self.shared.keys;
            let channels: Vec<Vec<u8>> = idle.iter().map(|idle| keys.channel(idle)).collect();
            // Failed, it costs messages that nobody wants.
            let unsubscribed = connection.unsubscribe(channels);
            link::within(self.shared.call_timeout, unsubscribed)
                .await
                .ok();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.lost();
        self.shared.running.store(false, Ordering::Release);
    }
}

async fn sleep_until(wake: Option<Moment>) {
    match wake {
        Some(moment) => SystemClock.sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

const RETRY: Duration = Duration::from_millis(200);

/// A server that does not permit it is asked again only so often.
const REFUSED: Duration = Duration::from_secs(60);

/// How long a subscription may outlive its last watcher: the next one then need not wait for it.
const LINGER: Duration = Duration::from_secs(1);

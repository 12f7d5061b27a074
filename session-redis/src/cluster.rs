//! A Redis Cluster: which node has which slot, and where a command goes that was sent to another one.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use redis::{Client, ConnectionInfo, Pipeline, Value};
use session_core::Fault;
use session_lock::{
    Clock as _, Moment, SystemClock,
    link::{self, CallError, Link, Redirect, SLOTS, Source},
};

/// The nodes of a cluster. Follows the slots where they go.
pub(crate) struct Cluster {
    /// Those that were named, for errors.
    name: String,
    seeds: Vec<ConnectionInfo>,
    call_timeout: Duration,
    // A std mutex: held for a few instructions, never across an await.
    map: Mutex<Map>,
    /// Held by whoever asks for the map.
    asking: tokio::sync::Mutex<()>,
    is_asked_behind: AtomicBool,
}

#[derive(Default)]
struct Map {
    nodes: HashMap<String, Link>,
    /// The address of the master of each slot.
    owners: Vec<Option<Arc<str>>>,
    /// How often it has changed.
    number: u64,
    asked: Option<Moment>,
}

/// As seen by one node.
struct View {
    epoch: u64,
    owners: Vec<Option<Arc<str>>>,
}

/// The map is asked for at most so often, ...
const BETWEEN_MAPS: Duration = Duration::from_millis(50);
/// ... and a command that nobody can place yet waits so long at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl Cluster {
    /// The cluster that these nodes belong to. None of them was asked yet.
    pub(crate) fn new(seeds: Vec<ConnectionInfo>, call_timeout: Duration) -> Self {
        let names: Vec<_> = seeds.iter().map(|seed| seed.addr().to_string()).collect();
        Self {
            name: format!("the cluster of {}", names.join(", ")),
            seeds,
            call_timeout,
            map: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            is_asked_behind: AtomicBool::new(false),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    /// The slots that nobody serves, as ranges.
    pub(crate) fn missing(&self) -> Vec<String> {
        let map = self.map();
        let is_missing = |slot: &u16| map.owner(Some(*slot)).is_none();
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for slot in (0..SLOTS).filter(is_missing) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        let text = |(first, last)| format!("{first}-{last}");
        ranges.into_iter().map(text).collect()
    }

    /// The ways to all masters, and the number of the map that says so.
    pub(crate) async fn masters(self: &Arc<Self>) -> Result<(Vec<Link>, u64), CallError> {
        let (addresses, number) = self.addresses().await?;
        let links = addresses.iter().map(|address| self.link_to(address));
        Ok((links.collect::<Result<_, _>>()?, number))
    }

    /// The addresses of all masters, and clients to hear of what happens there.
    pub(crate) async fn listeners(self: &Arc<Self>) -> Result<Vec<(Arc<str>, Client)>, CallError> {
        let (addresses, _) = self.addresses().await?;
        let listeners = addresses.into_iter().map(|address| self.listener(address));
        listeners.collect()
    }

    async fn addresses(self: &Arc<Self>) -> Result<(Vec<Arc<str>>, u64), CallError> {
        if self.map().owners.is_empty() {
            self.ask_for_map().await?;
        }
        let map = self.map();
        let mut addresses: Vec<Arc<str>> = map.owners.iter().flatten().cloned().collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok((addresses, map.number))
    }

    /// The way to the master of a slot; of none, to any master.
    pub(crate) async fn owner(self: &Arc<Self>, slot: Option<u16>) -> Result<Link, CallError> {
        self.link_to(&self.address_of(slot).await?)
    }

    /// The address of the master of a slot, and a client to hear of what happens there.
    pub(crate) async fn listener_of(
        self: &Arc<Self>,
        slot: u16,
    ) -> Result<(Arc<str>, Client), CallError> {
        self.listener(self.address_of(Some(slot)).await?)
    }

    /// The address of the master of a slot, as far as it is known here.
    pub(crate) fn known_owner(&self, slot: u16) -> Option<Arc<str>> {
        self.map().owner(Some(slot))
    }

    fn listener(&self, address: Arc<str>) -> Result<(Arc<str>, Client), CallError> {
        let info = self.info_of(&address);
        let client = info.and_then(|info| link::open_pushing(&info).ok());
        let client = client.ok_or_else(|| CallError::refused(Fault::Protocol))?;
        Ok((address, client))
    }

    async fn address_of(self: &Arc<Self>, slot: Option<u16>) -> Result<Arc<str>, CallError> {
        if let Some(address) = self.map().owner(slot) {
            return Ok(address);
        }
        self.ask_for_map().await?;
        let owner = self.map().owner(slot);
        owner.ok_or_else(|| CallError::refused(Fault::Unserved))
    }

    fn link_to(&self, address: &str) -> Result<Link, CallError> {
        let mut map = self.map();
        if let Some(link) = map.nodes.get(address) {
            return Ok(link.clone());
        }
        let link = self.new_link(address);
        let link = link.ok_or_else(|| CallError::refused(Fault::Protocol))?;
        map.nodes.insert(address.to_owned(), link.clone());
        Ok(link)
    }

    fn info_of(&self, address: &str) -> Option<ConnectionInfo> {
        link::at_address(self.seeds.first()?, address)
    }

    fn new_link(&self, address: &str) -> Option<Link> {
        let client = link::open(self.info_of(address)?).ok()?;
        let source = Source::Client(Box::new(client));
        Some(Link::new(source, address.into(), self.call_timeout))
    }

    /// What a call has come to in the end: commands that a node has not executed because it does not have the slot are
    /// taken to where it is.
    pub(crate) async fn settled(
        self: &Arc<Self>,
        slot: Option<u16>,
        answered: Result<Vec<Value>, CallError>,
        pipeline: impl Fn() -> Pipeline + Sync,
    ) -> Result<Vec<Value>, CallError> {
        match answered {
            Ok(values) if values.iter().any(|value| Redirect::of(value).is_some()) => {
                // Boxed, because it is rare and would make every future larger and deeper.
                self.follow(slot, values, pipeline()).boxed().await
            }
            Err(error) => {
                if matches!(error.fault, Fault::Unreachable | Fault::TimedOut(_)) {
                    self.ask_behind();
                }
                Err(error)
            }
            answered => answered,
        }
    }

    async fn follow(
        self: &Arc<Self>,
        slot: Option<u16>,
        mut values: Vec<Value>,
        pipeline: Pipeline,
    ) -> Result<Vec<Value>, CallError> {
        let over = SystemClock.now() + self.call_timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let redirect = |(at, value)| Some((at, Redirect::of(value)?));
            let redirects: Vec<_> = values.iter().enumerate().filter_map(redirect).collect();
            if redirects.is_empty() || SystemClock.now() >= over {
                return Ok(values);
            }
            if redirects.iter().any(|(_, to)| *to == Redirect::Again) {
                self.ask_behind();
                SystemClock.sleep_until(SystemClock.now() + pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            // In their order, one after the other.
            for (at, redirect) in redirects {
                let mut one = Pipeline::new();
                let link = match &redirect {
                    Redirect::Moved(address) => {
                        self.moved(slot, address);
                        self.link_to(address)
                    }
                    Redirect::Ask(address) => {
                        one.cmd("ASKING");
                        self.link_to(address)
                    }
                    Redirect::Again => self.owner(slot).await,
                };
                let Some(command) = pipeline.cmd_iter().nth(at) else {
                    return Err(CallError::refused(Fault::Protocol));
                };
                one.add_command(command.clone());
                // What came before it may have been executed.
                let sent = |error| CallError {
                    sent: true,
                    ..error
                };
                let answers = link.map_err(sent)?.call(&one).await.map_err(sent)?;
                values[at] = answers.into_iter().next_back().unwrap_or(Value::Nil);
            }
        }
    }

    /// A node has said where a slot is.
    fn moved(self: &Arc<Self>, slot: Option<u16>, address: &str) {
        if let Some(slot) = slot {
            let mut map = self.map();
            if let Some(owner) = map.owners.get_mut(usize::from(slot)) {
                *owner = Some(address.into());
                map.number += 1;
            }
        }
        // Seldom one slot alone.
        self.ask_behind();
    }

    /// Asks for the map, without anybody waiting for it.
    pub(crate) fn ask_behind(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.is_asked_behind.swap(true, Ordering::AcqRel) {
            let asking = AskingBehind(Arc::clone(self));
            runtime.spawn(async move { asking.0.ask_for_map().await.ok() });
        }
    }

    /// Asks all nodes that are known for the map, and takes the newest one of those that come soon.
    fn ask_for_map(self: &Arc<Self>) -> BoxFuture<'_, Result<(), CallError>> {
        // Boxed: it is rare, and the compiler gives up on futures that are nested too deeply.
        self.ask_all().boxed()
    }

    async fn ask_all(self: &Arc<Self>) -> Result<(), CallError> {
        let started = SystemClock.now();
        let _one = self.asking.lock().await;
        if let Some(asked) = self.map().asked
            && (asked > started || started.saturating_since(asked) < BETWEEN_MAPS)
        {
            return Ok(());
        }
        let mut asked: Vec<String> = self.map().nodes.keys().cloned().collect();
        for seed in &self.seeds {
            let seed = seed.addr().to_string();
            if !asked.contains(&seed) {
                asked.push(seed);
            }
        }
        let mut views: FuturesUnordered<_> = asked.iter().map(|node| self.view_of(node)).collect();
        let (mut newest, mut error) = (None::<View>, None);
        let mut patience = started + self.call_timeout;
        loop {
            let view = tokio::select! {
                biased;
                view = views.next() => view,
                () = SystemClock.sleep_until(patience) => None,
            };
            match view {
                None => break,
                Some(Ok(view)) => {
                    // One that hangs is not waited for once another one has answered.
                    patience = patience.min(SystemClock.now() + BETWEEN_MAPS);
                    if newest
                        .as_ref()
                        .is_none_or(|newest| newest.epoch < view.epoch)
                    {
                        newest = Some(view);
                    }
                }
                Some(Err(failed)) => error = Some(failed),
            }
        }
        drop(views);
        let mut map = self.map();
        map.asked = Some(SystemClock.now());
        let Some(View { owners, .. }) = newest else {
            let unreachable = || CallError::refused(Fault::Unreachable);
            return Err(error.unwrap_or_else(unreachable).unsent());
        };
        if map.owners != owners {
            map.owners = owners;
            map.number += 1;
        }
        Ok(())
    }

    /// Which node has which slot, as this one sees it.
    async fn view_of(&self, address: &str) -> Result<View, CallError> {
        let mut questions = Pipeline::new();
        questions.cmd("CLUSTER").arg("INFO");
        questions.cmd("CLUSTER").arg("SLOTS");
        let answers = self.link_to(address)?.call(&questions).await?;
        if let Some(Value::ServerError(error)) = answers.last() {
            let fault = match link::server_error(error) {
                Fault::Protocol => {
                    Fault::Unsuitable("the server is no node of a cluster".to_owned())
                }
                fault => fault,
            };
            let source = Some(error.clone().into());
            return Err(CallError {
                fault,
                source,
                sent: false,
            });
        }
        let host = address.rsplit_once(':').map_or("", |(host, _)| host);
        view(host, &answers).ok_or_else(|| CallError::refused(Fault::Protocol))
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody asks. Ends also with the runtime.
struct AskingBehind(Arc<Cluster>);

impl Drop for AskingBehind {
    fn drop(&mut self) {
        self.0.is_asked_behind.store(false, Ordering::Release);
    }
}

impl Map {
    /// Who has a slot; of none, anybody who has one.
    fn owner(&self, slot: Option<u16>) -> Option<Arc<str>> {
        match slot {
            Some(slot) => self.owners.get(usize::from(slot))?.clone(),
            None => self.owners.iter().flatten().next().cloned(),
        }
    }
}

/// `host`: where the node is that says so. It leaves out its own name if it does not know it.
fn view(host: &str, answers: &[Value]) -> Option<View> {
    let [info, slots] = answers else {
        return None;
    };
    let info: String = redis::from_redis_value_ref(info).ok()?;
    let field = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let Value::Array(ranges) = slots else {
        return None;
    };
    let mut owners = vec![None; usize::from(SLOTS)];
    for range in ranges {
        let Value::Array(parts) = range else {
            return None;
        };
        let [
            Value::Int(first),
            Value::Int(last),
            Value::Array(master),
            ..,
        ] = &parts[..]
        else {
            return None;
        };
        let [named, Value::Int(port), ..] = &master[..] else {
            return None;
        };
        let named: Option<String> = redis::from_redis_value_ref(named).ok()?;
        let named = named.filter(|name| !name.is_empty() && name != "?");
        let owner: Arc<str> = format!("{}:{port}", named.as_deref().unwrap_or(host)).into();
        let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
        let served = owners.get_mut(first..=last)?;
        served.fill(Some(owner));
    }
    Some(View {
        epoch: field("cluster_current_epoch")?.parse().ok()?,
        owners,
    })
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

//! The master of a service, as its sentinels name it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{Client, ConnectionInfo, Pipeline, Value};
use session_core::Fault;
use session_lock::{
    Clock as _, SystemClock,
    link::{self, CallError, Finder, Greeting, Link, Source},
};
use tokio::sync::watch;

use crate::store::Inner;

/// The sentinels of a service.
pub(crate) struct Sentinels {
    /// For errors: the service, and those that were named.
    name: Arc<str>,
    links: Vec<Link>,
    service: String,
    /// User, database and TLS of the servers; the address is not used.
    like: ConnectionInfo,
    /// The address of the master, as it was named last.
    master: watch::Sender<Arc<str>>,
}

/// What a sentinel says of a service.
struct Named {
    epoch: u64,
    address: String,
}

/// Once a sentinel has answered, the others are waited for so long.
const OTHERS: Duration = Duration::from_millis(100);
/// How often the sentinels are asked while nothing seems to be wrong: a master that was cut off from everybody else does
/// not know that it is one no more.
const LOOKED_AFTER_EVERY: Duration = Duration::from_secs(1);

impl Sentinels {
    pub(crate) fn new(
        sentinels: &[ConnectionInfo],
        service: String,
        like: ConnectionInfo,
        limit: Duration,
    ) -> Result<Self, redis::RedisError> {
        let names: Vec<_> = sentinels.iter().map(|one| one.addr().to_string()).collect();
        let link = |info: &ConnectionInfo| {
            let node = info.addr().to_string().into();
            let source = Source::Client(Box::new(link::open(info.clone())?));
            Ok::<_, redis::RedisError>(Link::new(source, node, limit))
        };
        Ok(Self {
            name: format!("the master of {service:?} by {}", names.join(", ")).into(),
            links: sentinels.iter().map(link).collect::<Result<_, _>>()?,
            service,
            like,
            master: watch::Sender::new("".into()),
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn database(&self) -> i64 {
        self.like.redis_settings().db()
    }

    /// Where the master is, as the sentinel says whose news are the newest.
    async fn ask(&self) -> Result<ConnectionInfo, CallError> {
        let asked = self.links.iter().map(|sentinel| self.ask_one(sentinel));
        let mut answers: FuturesUnordered<_> = asked.collect();
        let (mut newest, mut error) = (None::<Named>, None);
        let mut patience = None;
        loop {
            let answer = tokio::select! {
                biased;
                answer = answers.next() => answer,
                () = SystemClock.sleep_until(patience.unwrap_or_else(|| SystemClock.now())), if patience.is_some() => None,
            };
            match answer {
                None => break,
                Some(Ok(named)) => {
                    patience.get_or_insert_with(|| SystemClock.now() + OTHERS);
                    if newest
                        .as_ref()
                        .is_none_or(|newest| newest.epoch < named.epoch)
                    {
                        newest = Some(named);
                    }
                }
                Some(Err(failed)) => error = Some(failed),
            }
        }
        let Some(Named { address, .. }) = newest else {
            return Err(error.unwrap_or_else(|| CallError::refused(Fault::Unreachable)));
        };
        let address: Arc<str> = address.into();
        self.master.send_if_modified(|known| {
            let is_new = *known != address;
            *known = Arc::clone(&address);
            is_new
        });
        link::at_address(&self.like, &address).ok_or_else(|| CallError::refused(Fault::Protocol))
    }

    async fn ask_one(&self, sentinel: &Link) -> Result<Named, CallError> {
        let mut question = Pipeline::new();
        question.cmd("SENTINEL").arg("MASTER").arg(&self.service);
        let answers = sentinel.call(&question).await.map_err(CallError::unsent)?;
        match answers.first() {
            Some(Value::ServerError(error)) => {
                let fault = match link::server_error(error) {
                    Fault::Protocol => Fault::Unsuitable(format!(
                        "the sentinel at {} knows no service {:?}, or is no sentinel",
                        sentinel.node(),
                        self.service
                    )),
                    fault => fault,
                };
                let source = Some(error.clone().into());
                let sent = false;
                Err(CallError {
                    fault,
                    source,
                    sent,
                })
            }
            Some(answer) => named(answer).ok_or_else(|| CallError::refused(Fault::Protocol)),
            None => Err(CallError::refused(Fault::Protocol)),
        }
    }
}

fn named(answer: &Value) -> Option<Named> {
    let fields: std::collections::HashMap<String, String> =
        redis::from_redis_value_ref(answer).ok()?;
    let field = |name: &str| fields.get(name).map(String::as_str);
    Some(Named {
        epoch: field("config-epoch")?.parse().ok()?,
        address: format!("{}:{}", field("ip")?, field("port")?),
    })
}

/// Finds the master, for connections of one kind.
#[derive(Debug)]
pub(crate) struct Master {
    sentinels: Arc<Sentinels>,
    /// Whether its connections are to receive messages.
    pushing: bool,
    /// What was found last.
    found: Mutex<Arc<str>>,
}

impl Master {
    pub(crate) fn new(sentinels: &Arc<Sentinels>) -> Arc<Self> {
        Self::of(sentinels, false)
    }

    /// The same, for connections that receive messages.
    pub(crate) fn listening(&self) -> Arc<Self> {
        Self::of(&self.sentinels, true)
    }

    fn of(sentinels: &Arc<Sentinels>, pushing: bool) -> Arc<Self> {
        Arc::new(Self {
            sentinels: Arc::clone(sentinels),
            pushing,
            found: Mutex::new("".into()),
        })
    }

    fn found(&self) -> Arc<str> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&found)
    }

    /// Whether another server is the master now.
    fn is_stale(&self) -> bool {
        *self.found() != **self.sentinels.master.borrow()
    }
}

#[async_trait]
impl Finder for Master {
    async fn find(&self) -> Result<Client, CallError> {
        let info = self.sentinels.ask().await?;
        let address = Arc::clone(&self.sentinels.master.borrow());
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = address;
        let client = if self.pushing {
            link::open_pushing(&info)
        } else {
            link::open(info)
        };
        client.map_err(|error| CallError {
            fault: link::connection_fault(&error),
            source: Some(error),
            sent: false,
        })
    }

    async fn changed(&self) {
        let mut master = self.sentinels.master.subscribe();
        let found = self.found();
        // An error only if the sentinels are gone, which this holds.
        master.wait_for(|address| *address != found).await.ok();
    }
}

/// Whether a server says that it is the master: a sentinel may not know yet that it is not.
#[derive(Debug)]
pub(crate) struct IsMaster;

impl Greeting for IsMaster {
    fn questions(&self) -> Pipeline {
        let mut questions = Pipeline::new();
        questions.cmd("ROLE");
        questions
    }

    fn check(&self, answers: &[Value]) -> Result<(), CallError> {
        match answers {
            [role] if is_replica(role) => Err(CallError::refused(Fault::Unserved)),
            _ => Ok(()),
        }
    }
}

/// Whether this is what a replica answers to `ROLE`. Whoever may not ask is not told.
pub(crate) fn is_replica(role: &Value) -> bool {
    match role {
        Value::Array(parts) => match parts.first() {
            Some(Value::BulkString(name)) => name == b"slave",
            Some(Value::SimpleString(name)) => name == "slave",
            _ => false,
        },
        _ => false,
    }
}

/// Asks the sentinels from time to time, for as long as the store lives, and leaves a master that is one no more.
pub(crate) async fn look_after(store: Weak<Inner>, master: Arc<Master>) {
    while store.strong_count() > 0 {
        // Unanswered, the next time tells.
        master.sentinels.ask().await.ok();
        if master.is_stale()
            && let Some(store) = store.upgrade()
        {
            store.renew();
        }
        SystemClock
            .sleep_until(SystemClock.now() + LOOKED_AFTER_EVERY)
            .await;
    }
}

impl fmt::Debug for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentinels")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared as SharedFuture},
    poll,
};
use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, PushInfo, RedisError, Value,
    aio::{AsyncPushSender, ConnectionLike as _, MultiplexedConnection},
};
use tokio::sync::Notify;

use super::{
    call::{Call, Joined},
    error::{CallError, connection_fault, server_error},
    flights::{Boarding, Flights, HEAVIEST_CALL, Passenger, Ticket, lost},
};
use crate::{Clock as _, Fault, Moment, SystemClock};

/// The way to one server. Reconnects by itself. Cheap to clone.
#[derive(Clone)]
pub struct Link(Arc<Shared>);

struct Shared {
    source: Source,
    node: Arc<str>,
    settings: Settings,
    // A std mutex: held to clone a handle, never across an await.
    way: Mutex<Way>,
    /// Whether the connections of a pool can be taken for greeted.
    #[cfg(feature = "deadpool")]
    greeted: AtomicBool,
    flights: Arc<Flights>,
    /// Whether calls of several callers may become one call of a script: not where keys have to be in one slot.
    joins_scripts: AtomicBool,
}

/// How a way to a server is kept.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "for this project's own crates")]
pub struct Settings {
    /// How long a call may take, connecting included.
    pub call_timeout: Duration,
    /// After a failed attempt to connect, calls fail at once for that long, instead of trying again.
    pub pause_after_failure: Duration,
    /// How many calls have to be under way until the next ones go out together; at least one. Going out together saves
    /// work where many ask, and costs two tasks where only one does.
    pub most_alone: usize,
    /// Asked on each new connection. On the connections of a pool: before the first call, and before the next one after
    /// each failure.
    pub greeting: Option<Arc<dyn Greeting>>,
    /// Who is told what the server says unasked. Needs a client of [`open_pushing`](super::open_pushing); not heard on the
    /// connections of a pool.
    pub hearing: Option<Arc<dyn Hearing>>,
}

impl Settings {
    /// The usual ones.
    pub const fn new(call_timeout: Duration) -> Self {
        Self {
            call_timeout,
            pause_after_failure: Duration::ZERO,
            most_alone: 1,
            greeting: None,
            hearing: None,
        }
    }
}

/// Who is told what a server says unasked.
pub trait Hearing: fmt::Debug + Send + Sync + 'static {
    /// Called in the order of the connection: before anybody is given an answer that came later.
    fn heard(&self, message: PushInfo);
}

/// What a server is asked on a new connection, before that is used.
pub trait Greeting: fmt::Debug + Send + Sync + 'static {
    /// The questions.
    fn questions(&self) -> Pipeline;

    /// Whether the answers are those of a server that can be used.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, answers: &[Value]) -> Result<(), CallError>;
}

/// Finds the server that is to be used now.
#[async_trait]
pub trait Finder: fmt::Debug + Send + Sync + 'static {
    /// A client of that server.
    ///
    /// # Errors
    /// Why there is none.
    async fn find(&self) -> Result<Client, CallError>;

    /// Resolves when another server has taken the place of the one that was found last. Cancel safe.
    async fn changed(&self) {
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl Finder for Client {
    async fn find(&self) -> Result<Self, CallError> {
        Ok(self.clone())
    }
}

/// Where connections come from.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "for this project's own crates")]
pub enum Source {
    /// One connection of our own.
    Client(Box<Client>),
    /// One connection of our own, to a server that is looked for each time.
    Sought(Arc<dyn Finder>),
    #[cfg(feature = "deadpool")]
    /// One of somebody else's, for each call.
    Pool(deadpool_redis::Pool),
}

#[derive(Default)]
struct Way {
    current: Option<Current>,
    connecting: Option<Connecting>,
    failed: Option<(Moment, CallError)>,
}

#[derive(Clone)]
struct Current {
    connection: MultiplexedConnection,
    broken: Arc<Broken>,
}

type Connecting = SharedFuture<BoxFuture<'static, Result<Current, CallError>>>;

/// Tells everybody who waits on a connection that it broke. Its client can leave a request unanswered that was handed
/// over at that very moment, and would let it wait for its deadline.
#[derive(Default)]
struct Broken {
    is_broken: AtomicBool,
    changed: Notify,
}

impl Broken {
    fn set(&self) {
        self.is_broken.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    async fn is_set(&self) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        // Registered before the flag is read: a change in between is not missed.
        changed.as_mut().enable();
        if !self.is_broken.load(Ordering::Acquire) {
            changed.await;
        }
    }
}

impl Link {
    /// A way to `node`, on which no call takes longer than `call_timeout`.
    pub fn new(source: Source, node: Arc<str>, call_timeout: Duration) -> Self {
        Self::with_settings(source, node, Settings::new(call_timeout))
    }

    /// A way to `node`.
    pub fn with_settings(source: Source, node: Arc<str>, settings: Settings) -> Self {
        Self(Arc::new(Shared {
            source,
            node,
            flights: Flights::new(settings.most_alone),
            settings,
            way: Mutex::default(),
            #[cfg(feature = "deadpool")]
            greeted: AtomicBool::new(false),
            joins_scripts: AtomicBool::new(false),
        }))
    }

    /// The server's address, without credentials.
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// How long a call may take, connecting included.
    pub fn call_timeout(&self) -> Duration {
        self.0.settings.call_timeout
    }

    /// From now on, scripts of several callers may become one call: the server is no node of a cluster.
    pub fn join_scripts(&self) {
        self.0.joins_scripts.store(true, Ordering::Relaxed);
    }

    /// Whether a script may use keys of several slots.
    pub fn joins_scripts(&self) -> bool {
        self.0.joins_scripts.load(Ordering::Relaxed)
    }

    /// From now on, calls go over a new connection.
    pub fn renew(&self) {
        self.0.way().current = None;
    }

    /// Sends a pipeline in one flight and returns an answer for each command; errors of the server are answers.
    ///
    /// Cancel safe in that nothing is left behind here; what was sent is executed.
    pub async fn call(&self, pipeline: &Pipeline) -> Result<Vec<Value>, CallError> {
        self.0.call(pipeline).await
    }

    /// Sends a call, together with what others ask for at the same time, and returns an answer for each command.
    /// The answer to the script is nil if it was left alone.
    ///
    /// A call that is very large, or finds fewer than [`Settings::most_alone`] under way, goes out at once and on its own.
    pub async fn join(&self, call: Call) -> Result<Vec<Value>, CallError> {
        if self.0.is_shared() && call.weight <= HEAVIEST_CALL {
            return self.fly(call).await;
        }
        Box::pin(self.call(&call.alone())).await
    }

    async fn fly(&self, call: Call) -> Result<Vec<Value>, CallError> {
        match self.0.flights.book(call) {
            // Boxed, so that whoever flies with others does not carry the room for it.
            Ticket::Alone(call, _flying) => Box::pin(self.0.call_alone(call)).await,
            Ticket::Together { answer, board } => {
                if board {
                    let (shared, boarding) = (Arc::clone(&self.0), self.0.flights.boarding());
                    tokio::spawn(shared.depart(boarding));
                }
                answer.await.unwrap_or_else(|_ended| Err(lost()))
            }
        }
    }
}

impl Shared {
    async fn call(self: &Arc<Self>, pipeline: &Pipeline) -> Result<Vec<Value>, CallError> {
        match &self.source {
            Source::Client(_) | Source::Sought(_) => {
                self.call_shared(Request::Many(pipeline)).await
            }
            #[cfg(feature = "deadpool")]
            Source::Pool(pool) => self.call_pooled(pool, pipeline).await,
        }
    }

    /// Whether all callers share one connection.
    const fn is_shared(&self) -> bool {
        matches!(self.source, Source::Client(_) | Source::Sought(_))
    }

    async fn call_alone(self: &Arc<Self>, call: Call) -> Result<Vec<Value>, CallError> {
        match call.into_script() {
            Ok(script) => self.call_shared(Request::One(&script)).await,
            Err(call) => {
                let pipeline = call.alone();
                self.call_shared(Request::Many(&pipeline)).await
            }
        }
    }

    /// Sends all that wait, in flights of some calls each.
    async fn depart(self: Arc<Self>, mut boarding: Boarding) {
        // All who are about to ask come along: those who have just been answered, above all.
        tokio::task::yield_now().await;
        while let Some((passengers, flying)) = boarding.next() {
            let shared = Arc::clone(&self);
            let mut flight = Box::pin(async move {
                shared.fly(passengers).await;
                drop(flying);
            });
            // On its way before the next one: what is given back must not overtake what asked for it.
            if poll!(&mut flight).is_pending() {
                tokio::spawn(flight);
            }
        }
    }

    async fn fly(self: &Arc<Self>, passengers: Vec<Passenger>) {
        let (calls, answers): (Vec<_>, Vec<_>) = passengers
            .into_iter()
            .map(|passenger| (passenger.call, passenger.answer))
            .unzip();
        let joined = Joined::new(calls, self.joins_scripts.load(Ordering::Relaxed));
        // Whoever does not wait for the answer any more does not get it.
        match self.call(&joined.pipeline).await {
            Ok(values) => {
                for (answer, values) in answers.into_iter().zip(joined.split(values)) {
                    answer.send(Ok(values)).ok();
                }
            }
            Err(error) => {
                for answer in answers {
                    answer.send(Err(error.clone())).ok();
                }
            }
        }
    }

    async fn call_shared(self: &Arc<Self>, request: Request<'_>) -> Result<Vec<Value>, CallError> {
        let Current {
            mut connection,
            broken,
        } = self.connect().await?;
        let answer = tokio::select! {
            biased;
            answer = within(self.settings.call_timeout, ask(&mut connection, request)) => answer,
            () = broken.is_set() => Err(CallError { fault: Fault::Unreachable, source: None, sent: true }),
        };
        if let Err(error) = &answer
            && error.sent
        {
            // Broken or stuck: others need not find that out one by one.
            self.forget(&broken);
            if error.fault == Fault::Unreachable {
                broken.set();
            }
        }
        match answer {
            Ok(answers)
                if matches!(self.source, Source::Sought(_)) && has_become_replica(&answers) =>
            {
                // Another one is the master now; it is looked for by the next call.
                self.forget(&broken);
                let (fault, source) = (Fault::Unreachable, None);
                Err(CallError {
                    fault,
                    source,
                    sent: true,
                })
            }
            answer => answer,
        }
    }

    #[cfg(feature = "deadpool")]
    async fn call_pooled(
        &self,
        pool: &deadpool_redis::Pool,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, CallError> {
        let limit = self.settings.call_timeout;
        let mut connection = match tokio::time::timeout(limit, pool.get()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(deadpool_redis::PoolError::Backend(error))) => {
                return Err(failed(error).unsent());
            }
            Ok(Err(_)) => return Err(CallError::refused(Fault::Unreachable)),
            Err(_elapsed) => return Err(timed_out(limit, false)),
        };
        let answer = async {
            if let Some(greeting) = &self.settings.greeting
                && !self.greeted.load(Ordering::Acquire)
            {
                let greeted = greet(&mut connection, &**greeting).await;
                greeted.map_err(CallError::unsent)?;
                self.greeted.store(true, Ordering::Release);
            }
            let answers = connection.req_packed_commands(pipeline, 0, pipeline.len());
            answers.await.map_err(failed)
        };
        let answer = tokio::time::timeout(limit, answer).await;
        let answer = answer.unwrap_or_else(|_elapsed| Err(timed_out(limit, true)));
        if answer.is_err() {
            self.greeted.store(false, Ordering::Release);
            // Not back into the pool.
            drop(deadpool_redis::Connection::take(connection));
        }
        answer
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(self: &Arc<Self>) -> Result<Current, CallError> {
        let connecting = {
            let mut way = self.way();
            if let Some(current) = &way.current {
                return Ok(current.clone());
            }
            if let Some((at, error)) = &way.failed
                && SystemClock.now().saturating_since(*at) < self.settings.pause_after_failure
            {
                return Err(error.clone());
            }
            match &way.connecting {
                Some(connecting) => connecting.clone(),
                None => {
                    let attempt = attempt(self.source.clone(), self.settings.clone());
                    let attempt = noted(attempt, Arc::downgrade(self)).boxed().shared();
                    way.connecting = Some(attempt.clone());
                    // Callers who give up early must not keep those who come later from ever getting a connection.
                    drop(tokio::spawn(attempt.clone()));
                    attempt
                }
            }
        };
        connecting.await
    }

    fn forget(&self, broken: &Arc<Broken>) {
        let mut way = self.way();
        let current = way.current.as_ref();
        if current.is_some_and(|current| Arc::ptr_eq(&current.broken, broken)) {
            way.current = None;
        }
    }
}

/// One attempt to connect, for all who wait for it; it ends within the call timeout.
async fn attempt(source: Source, settings: Settings) -> Result<Current, CallError> {
    let open = async {
        let client = match source {
            Source::Client(client) => *client,
            Source::Sought(finder) => finder.find().await?,
            #[cfg(feature = "deadpool")]
            Source::Pool(_) => return Err(CallError::refused(Fault::Unreachable)),
        };
        let mut config = config();
        if let Some(hearing) = settings.hearing.clone() {
            config = config.set_push_sender(move |message| {
                hearing.heard(message);
                Ok::<_, Infallible>(())
            });
        }
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connection.await.map_err(failed)?;
        if let Some(greeting) = &settings.greeting {
            greet(&mut connection, &**greeting).await?;
        }
        Ok(Current {
            connection,
            broken: Arc::default(),
        })
    };
    let opened = tokio::time::timeout(settings.call_timeout, open).await;
    let opened = opened.unwrap_or_else(|_elapsed| Err(timed_out(settings.call_timeout, false)));
    opened.map_err(CallError::unsent)
}

/// Leaves the outcome of an attempt for those who come later.
async fn noted(
    attempt: impl Future<Output = Result<Current, CallError>> + Send,
    shared: Weak<Shared>,
) -> Result<Current, CallError> {
    let outcome = attempt.await;
    if let Some(shared) = shared.upgrade() {
        let mut way = shared.way();
        way.connecting = None;
        match &outcome {
            Ok(current) => way.current = Some(current.clone()),
            Err(error) => way.failed = Some((SystemClock.now(), error.clone())),
        }
    }
    outcome
}

async fn greet(
    connection: &mut MultiplexedConnection,
    greeting: &dyn Greeting,
) -> Result<(), CallError> {
    let questions = greeting.questions();
    let answers = connection.req_packed_commands(&questions, 0, questions.len());
    let answers = answers.await;
    greeting.check(&answers.map_err(failed)?)
}

/// Whether a server has refused a write because it is no master any more.
fn has_become_replica(answers: &[Value]) -> bool {
    answers.iter().any(|answer| match answer {
        Value::ServerError(error) => server_error(error) == Fault::ReadOnly,
        _ => false,
    })
}

/// What goes out in one flight.
#[derive(Clone, Copy)]
enum Request<'a> {
    One(&'a Cmd),
    Many(&'a Pipeline),
}

async fn ask(
    connection: &mut MultiplexedConnection,
    request: Request<'_>,
) -> Result<Vec<Value>, RedisError> {
    match request {
        Request::One(command) => Ok(vec![connection.send_packed_command(command).await?]),
        Request::Many(pipeline) => {
            let answers = connection.send_packed_commands(pipeline, 0, pipeline.len());
            answers.await
        }
    }
}

/// A call that a connection could not make or finish.
fn failed(error: RedisError) -> CallError {
    CallError {
        fault: connection_fault(&error),
        source: Some(error),
        sent: true,
    }
}

const fn timed_out(limit: Duration, sent: bool) -> CallError {
    CallError {
        fault: Fault::TimedOut(limit),
        source: None,
        sent,
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("node", &self.0.node)
            .finish_non_exhaustive()
    }
}

/// A connection whose messages `messages` gets, once it subscribes: in their order, and before any later answer.
///
/// # Errors
/// What went wrong, within `limit`.
pub async fn listen(
    client: &Client,
    messages: impl AsyncPushSender,
    limit: Duration,
) -> Result<MultiplexedConnection, CallError> {
    let config = config().set_push_sender(messages);
    within(
        limit,
        client.get_multiplexed_async_connection_with_config(&config),
    )
    .await
}

/// What a connection answers within `limit`.
///
/// # Errors
/// What went wrong.
pub async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, RedisError>> + Send,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map_err(failed),
        Err(_elapsed) => Err(timed_out(limit, true)),
    }
}

/// Deadlines are our own: the client's would only come before or after them.
fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(1024)
}

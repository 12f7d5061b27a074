//! A node on a Redis or Valkey server.

mod builder; // settings
mod greeting; // what each new connection is asked: does the server fit, and is it still the same run
mod keys; // the only place that spells a node's Redis keys
mod scripts; // the only place that loads a node's scripts; Lua stands in lua/
mod watches; // listening for free locks

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::future::join_all;
use redis::{Pipeline, Value};

pub use builder::RedisNodeBuilder;

use self::{
    greeting::Greeter,
    keys::{Keys, ResourceKeys},
    scripts::{Acquired, Scripts, acquired, admitted, extended, was_done},
    watches::Watches,
};
use crate::{
    Admission, Admitted, Extension, Fault, FencingToken, Held, LockNode, NodeAnswer, NodeFault,
    NodeRequest, Resource, Ttl, Watch,
    link::{Call, CallError, Entry, Greeting as _, Link, Routine, lost_script, server_error},
    node::FENCE_BEYOND_MAX,
};

/// A node on one Redis or Valkey server, 6.2 or newer. Clones share everything.
///
/// It is made without a connection, so that a lock can start while some of its nodes are down; the first call connects,
/// and asks the server whether it fits. Each call takes one round trip. One connection serves all tasks, and a second
/// one, made when the first [`watch`](LockNode::watch) is, hears of free locks.
///
/// # On the server
/// | key | what | lives |
/// |---|---|---|
/// | `latchkey:lock:<resource>`, in raw mode `<resource>` | the owner value, as every Redlock library stores it | the TTL |
/// | `latchkey:fence:<resource>` | the fence | 24 h past the last grant |
/// | `latchkey:marker` | the floor of the node's admission | for ever |
/// | `latchkey:pending` | since when admission is asked for | a little longer than the wait |
///
/// What is freed is published on `latchkey:freed:<resource>`. A user of the server needs those keys and channels, and the
/// commands `EVAL EVALSHA MGET GET SET DEL PEXPIRE PTTL TIME PUBLISH SCAN`; `INFO` and `SUBSCRIBE` serve where they are
/// permitted.
#[derive(Clone)]
pub struct RedisNode {
    inner: Arc<Inner>,
}

struct Inner {
    link: Link,
    keys: Arc<Keys>,
    scripts: Arc<Scripts>,
    greeter: Arc<Greeter>,
    watches: Watches,
}

impl RedisNode {
    /// Asks the server at once what is else asked at the first call: that it can be reached and used, with all
    /// permissions.
    ///
    /// # Errors
    /// Wrong address or password, missing permissions, a replica, still loading, a node of a cluster, an eviction policy
    /// that would lose locks, older than 6.2.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn check(&self) -> Result<(), NodeFault> {
        let inner = &*self.inner;
        let answers = inner.link.call(&inner.greeter.questions()).await;
        let checked = answers.and_then(|answers| inner.greeter.check(&answers));
        checked.map_err(|error| self.failed(error))
    }

    /// The Redis key of a resource's lock, for tools and tests.
    ///
    /// # Errors
    /// When the resource is named like one of the node's own keys, in raw key mode or under a prefix that allows it.
    pub fn lock_key(&self, resource: &Resource) -> Result<Vec<u8>, NodeFault> {
        self.inner
            .keys
            .lock(resource)
            .map_err(|fault| self.fault(fault))
    }

    /// Calls a script, together with what others ask for at the same time.
    async fn call<T>(
        &self,
        routine: &Arc<Routine>,
        keys: &[&[u8]],
        args: &[&[u8]],
        read: impl FnOnce(&Value) -> Option<T> + Send,
    ) -> Result<T, NodeFault> {
        let inner = &*self.inner;
        let entry = Entry::new(routine, keys, args);
        let answers = inner.link.join(entry.clone().into()).await;
        let mut answers = answers.map_err(|error| self.failed(error))?;
        if answers.first() == Some(&Value::Nil) {
            // Not simple enough for the script that serves many at once.
            let alone = inner.link.call(&Call::from(entry.clone()).alone()).await;
            answers = alone.map_err(|error| self.failed(error))?;
        }
        if lost_script(&answers) {
            answers = self.call_anew(entry).await?;
        }
        self.understand(answers.first(), read)
    }

    /// A server that has lost the scripts may have lost more: it is greeted before the call is repeated.
    async fn call_anew(&self, entry: Entry) -> Result<Vec<Value>, NodeFault> {
        let inner = &*self.inner;
        let mut pipeline = inner.greeter.questions();
        let greeting = pipeline.len();
        for command in Call::from(entry).spelled_out().cmd_iter() {
            pipeline.add_command(command.clone());
        }
        let answers = inner.link.call(&pipeline).await;
        let mut answers = answers.map_err(|error| self.failed(error))?;
        let answer = answers.split_off(greeting.min(answers.len()));
        let greeted = inner.greeter.check(&answers);
        greeted.map_err(|error| self.failed(error))?;
        Ok(answer)
    }

    /// Runs one command.
    async fn run<T>(
        &self,
        pipeline: &Pipeline,
        read: impl FnOnce(&Value) -> Option<T> + Send,
    ) -> Result<T, NodeFault> {
        let answers = self.inner.link.call(pipeline).await;
        let answers = answers.map_err(|error| self.failed(error))?;
        self.understand(answers.first(), read)
    }

    fn understand<T>(
        &self,
        answer: Option<&Value>,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, NodeFault> {
        let answer = answer.unwrap_or(&Value::Nil);
        self.succeeded(answer)?;
        read(answer).ok_or_else(|| self.fault(Fault::Protocol))
    }

    fn succeeded(&self, answer: &Value) -> Result<(), NodeFault> {
        match answer {
            Value::ServerError(error) => {
                let cause = redis::RedisError::from(error.clone());
                Err(self.fault(server_error(error)).with_source(cause))
            }
            _ => Ok(()),
        }
    }

    fn fault(&self, fault: Fault) -> NodeFault {
        NodeFault::new(self.name(), fault)
    }

    fn failed(&self, error: CallError) -> NodeFault {
        let fault = self.fault(error.fault);
        match error.source {
            Some(source) => fault.with_source(source),
            None => fault,
        }
    }

    fn keys(&self, resource: &Resource) -> Result<ResourceKeys, NodeFault> {
        let keys = self.inner.keys.of(resource);
        keys.map_err(|fault| self.fault(fault))
    }

    fn beyond_max(&self) -> NodeFault {
        self.fault(Fault::Unsuitable(FENCE_BEYOND_MAX.to_owned()))
    }

    fn check_fence(&self, fence: u64) -> Result<(), NodeFault> {
        if fence <= FencingToken::MAX.0 {
            Ok(())
        } else {
            Err(self.beyond_max())
        }
    }
}

#[async_trait]
impl LockNode for RedisNode {
    fn name(&self) -> &str {
        self.inner.link.node()
    }

    async fn acquire(&self, request: &NodeRequest) -> Result<NodeAnswer, NodeFault> {
        let inner = &*self.inner;
        self.check_fence(request.floor)?;
        let keys = self.keys(&request.held.resource)?;
        let ttl_ms = request.ttl.as_millis().to_string();
        let (acquire, given) = match (request.floor, request.clock_floor) {
            (0, true) => (&inner.scripts.acquire, 2),
            (_, true) => (&inner.scripts.acquire_above, 3),
            (_, false) => (&inner.scripts.acquire_above, 4),
        };
        let floor = (given > 2).then(|| request.floor.to_string());
        let args: [&[u8]; 4] = [
            request.held.owner.as_bytes(),
            ttl_ms.as_bytes(),
            floor.as_deref().unwrap_or_default().as_bytes(),
            b"1",
        ];
        let keys = [&*inner.keys.marker, &keys.lock, &keys.fence];
        match self.call(acquire, &keys, &args[..given], acquired).await? {
            Acquired::Answer(answer) => Ok(answer),
            Acquired::BeyondMax => Err(self.beyond_max()),
        }
    }

    async fn raise(&self, held: &Held<Resource>, token: FencingToken) -> Result<bool, NodeFault> {
        let inner = &*self.inner;
        self.check_fence(token.0)?;
        let keys = self.keys(&held.resource)?;
        let token = token.0.to_string();
        let args: [&[u8]; 2] = [held.owner.as_bytes(), token.as_bytes()];
        let (raise, keys) = (&inner.scripts.raise_fence, [&*keys.lock, &keys.fence]);
        self.call(raise, &keys, &args, was_done).await
    }

    async fn extend(&self, leases: &[(Held<Resource>, Ttl)]) -> Result<Vec<Extension>, NodeFault> {
        let extend = leases.iter().map(|(held, ttl)| async {
            let keys = self.keys(&held.resource)?;
            let ttl_ms = ttl.as_millis().to_string();
            let args: [&[u8]; 2] = [held.owner.as_bytes(), ttl_ms.as_bytes()];
            let (extend, keys) = (&self.inner.scripts.extend, [&*keys.lock, &keys.fence]);
            self.call(extend, &keys, &args, extended).await
        });
        let answers = join_all(extend).await;
        if !answers.is_empty() && answers.iter().all(Result::is_err) {
            return answers.into_iter().collect();
        }
        let answers = answers.into_iter();
        Ok(answers
            .map(|answer| answer.unwrap_or(Extension::Failed))
            .collect())
    }

    async fn release(&self, leases: &[Held<Resource>]) -> Result<Vec<bool>, NodeFault> {
        let release = leases.iter().map(|held| async {
            let lock = self.keys(&held.resource)?.lock;
            let channel = self.inner.keys.channel(&held.resource);
            let args: [&[u8]; 2] = [held.owner.as_bytes(), &channel];
            let release = &self.inner.scripts.release;
            self.call(release, &[&lock], &args, was_done).await
        });
        join_all(release).await.into_iter().collect()
    }

    async fn admit(&self, admission: &Admission) -> Result<Admitted, NodeFault> {
        let inner = &*self.inner;
        self.check_fence(admission.floor.unwrap_or(0))?;
        let longest_ms = admission.longest_ttl.as_millis().to_string();
        let first_use = if admission.first_use { b"1" } else { b"0" };
        let floor = admission.floor.map(|floor| floor.to_string());
        let wait = admission.wait.filter(|_| floor.is_some());
        let wait = wait.map(|wait| wait.to_string());
        let (floor, wait) = (floor.as_ref(), wait.as_ref());
        let args = [
            Some(longest_ms.as_bytes()),
            Some(first_use),
            floor.map(String::as_bytes),
            wait.map(String::as_bytes),
        ];
        let args: Vec<&[u8]> = args.into_iter().flatten().collect();
        let keys = [&*inner.keys.marker, &inner.keys.pending];
        self.call(&inner.scripts.admit, &keys, &args, admitted)
            .await
    }

    /// Looks through all keys of the server, a thousand at a time.
    async fn highest_fence(&self) -> Result<u64, NodeFault> {
        let inner = &*self.inner;
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.cmd("GET").arg(&inner.keys.marker);
        let mut highest = self.run(&pipeline, number).await?;
        let (pattern, mut cursor) = (inner.keys.all_fences(), b"0".to_vec());
        loop {
            let mut pipeline = Pipeline::with_capacity(1);
            let scan = pipeline.cmd("SCAN").arg(&cursor);
            scan.arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let (next, fences) = self.run(&pipeline, page).await?;
            if !fences.is_empty() {
                let mut pipeline = Pipeline::with_capacity(1);
                pipeline.cmd("MGET").arg(&fences);
                highest = highest.max(self.run(&pipeline, largest).await?);
            }
            if next == b"0" {
                return Ok(highest);
            }
            cursor = next;
        }
    }

    async fn watch(&self, resource: &Resource) -> Option<Watch> {
        self.inner.watches.watch(resource).await
    }

    /// Known by the run ID that the server tells on each new connection.
    fn restarts(&self) -> u64 {
        self.inner.greeter.restarts()
    }
}

/// A page of `SCAN`: the cursor of the next one, and keys.
fn page(answer: &Value) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let text = |value: &Value| match value {
        Value::BulkString(text) => Some(text.clone()),
        _ => None,
    };
    match answer {
        Value::Array(parts) => match &parts[..] {
            [cursor, Value::Array(keys)] => {
                let keys: Option<_> = keys.iter().map(text).collect();
                Some((text(cursor)?, keys?))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The largest number among values; keys that are gone count as zero.
fn largest(answer: &Value) -> Option<u64> {
    match answer {
        Value::Array(values) => {
            let numbers: Option<Vec<u64>> = values.iter().map(number).collect();
            Some(numbers?.into_iter().max().unwrap_or(0))
        }
        _ => None,
    }
}

fn number(answer: &Value) -> Option<u64> {
    match answer {
        Value::BulkString(text) => str::from_utf8(text).ok()?.parse().ok(),
        Value::Nil => Some(0),
        _ => None,
    }
}

impl fmt::Debug for RedisNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisNode")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

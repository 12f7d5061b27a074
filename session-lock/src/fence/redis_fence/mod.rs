//! Values in Redis that only the holder of the largest token can write.

mod builder; // settings
mod greeting; // what each new connection is asked
mod keys; // the only place that spells the key of a fence
mod scripts; // the only place that loads the scripts; Lua stands in lua/

use std::{fmt, sync::Arc};

use redis::{RedisError, Value};

pub use builder::RedisFenceBuilder;

use self::scripts::{Answer, Scripts, understood};
use super::{Accept, StaleToken};
use crate::{
    Fault, FencingToken, NodeFault,
    link::{Call, CallError, Entry, Link, Routine, lost_script, server_error},
};

/// Values in Redis, each with the largest fencing token that has written it: a write with a smaller one is refused, in the
/// very step of the write. Clones share everything.
///
/// ```no_run
/// use session_lock::{Redlock, fence::RedisFence};
///
/// # async fn example(lock: Redlock) -> Result<(), Box<dyn std::error::Error>> {
/// let reports = RedisFence::connect("redis://127.0.0.1")?;
/// let lease = lock.acquire("report-17").await?;
/// let report = "written under the lock";
/// reports.set("report:17", report, lease.fencing_token()).await?;
/// # Ok(()) }
/// ```
///
/// # On the server
/// The value is a plain string under its own key, for everybody to read. The largest token stands under `{key}:fence`, or
/// `key:fence` if the key has a hash tag: in the same slot, so that it works on a cluster, too. It is kept for 24 h after it
/// was last accepted; the value for ever. Whoever writes the value by other commands is not held back: all writers come
/// through here.
///
/// This type talks to one server, which must hold the slots of its keys. For a client of a whole cluster, and for other
/// commands than `SET`, there are the scripts as [text](super::lua).
///
/// Needs Redis or Valkey 6.2 or newer, and the commands `EVALSHA EVAL TYPE GET SET DEL`; `INFO` and `SCRIPT LOAD` serve
/// where they are permitted.
#[derive(Clone)]
pub struct RedisFence {
    accept: Accept,
    ttl_ms: Arc<str>,
    scripts: Arc<Scripts>,
    link: Arc<Link>,
}

/// A write or a token was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FenceError {
    /// See [`StaleToken`]. Nothing was written by this call. After a fault, `highest` equal to the token says that the
    /// call before had arrived.
    #[error(transparent)]
    Stale(#[from] StaleToken),
    /// Under a key stands something else: no string in place of the value, or no token in place of the fence.
    #[error("on {node} stands something of another type under the key {key}")]
    WrongType {
        /// The server.
        node: String,
        /// The key, escaped.
        key: String,
    },
    /// No key for the fence can be in the same slot of a cluster. Needed is a key with a hash tag, or without `}`.
    #[error(
        "no fence can stand beside the key {key:?}, which is empty or has a closing brace but no hash tag"
    )]
    Key {
        /// The key, escaped.
        key: String,
    },
    /// The server could not be asked. If the request was on its way, it may have been carried out, or yet be.
    #[error(transparent)]
    Fault(#[from] NodeFault),
}

impl FenceError {
    /// Whether the same call can succeed without any change by the caller.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.fault().is_retryable())
    }
}

impl RedisFence {
    /// Stores `value` under `key` if the token is accepted, for ever: a TTL that the key had is gone.
    ///
    /// Both happen in one step, or nothing does.
    ///
    /// # Errors
    /// [`FenceError::Stale`]: somebody with a larger token was here.
    /// [`FenceError::Fault`]: the write may have happened.
    ///
    /// # Cancel safety
    /// Cancelled, the write may happen or not; its token is remembered if it does.
    pub async fn set(
        &self,
        key: impl AsRef<[u8]> + Send,
        value: impl AsRef<[u8]> + Send,
        token: FencingToken,
    ) -> Result<(), FenceError> {
        let (key, value) = (key.as_ref(), value.as_ref());
        let fence = fence_of(key)?;
        let (keys, args) = ([key, &fence], [value]);
        let answer = self.call(&self.scripts.set, &keys, &args, token).await?;
        self.outcome(&answer, token, key, &fence)
    }

    /// Remembers the token for `key` if it is accepted, and touches nothing else.
    ///
    /// Tells a holder that is late before it begins, and keeps those out who are later. What the holder writes afterwards
    /// by other commands is not fenced.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    ///
    /// # Cancel safety
    /// As [`set`](Self::set).
    pub async fn accept(
        &self,
        key: impl AsRef<[u8]> + Send,
        token: FencingToken,
    ) -> Result<(), FenceError> {
        let key = key.as_ref();
        let fence = fence_of(key)?;
        let answer = self
            .call(&self.scripts.accept, &[&fence], &[], token)
            .await?;
        self.outcome(&answer, token, key, &fence)
    }

    /// The key under which the largest token for `key` stands, for scripts of your own.
    ///
    /// # Errors
    /// [`FenceError::Key`].
    pub fn fence_key(key: impl AsRef<[u8]>) -> Result<Vec<u8>, FenceError> {
        fence_of(key.as_ref())
    }

    /// Calls a script, whose last arguments are always the same.
    async fn call(
        &self,
        routine: &Arc<Routine>,
        keys: &[&[u8]],
        args: &[&[u8]],
        token: FencingToken,
    ) -> Result<Answer, FenceError> {
        let token = token.0.to_string();
        let same: &[u8] = match self.accept {
            Accept::Larger => b"0",
            Accept::LargerOrSame => b"1",
        };
        let common: [&[u8]; 3] = [token.as_bytes(), same, self.ttl_ms.as_bytes()];
        let args = [args, &common].concat();
        let entry = Entry::new(routine, keys, &args);
        let weight = args.iter().map(|arg| arg.len()).sum();
        let answers = self
            .link
            .join(Call::from(entry.clone()).carrying(weight))
            .await;
        let mut answers = answers.map_err(|error| self.failed(error))?;
        if lost_script(&answers) {
            let spelled = Call::from(entry).spelled_out();
            let again = self.link.call(&spelled).await;
            answers = again.map_err(|error| self.failed(error))?;
        }
        match answers.first() {
            Some(Value::ServerError(error)) => {
                let fault = NodeFault::new(self.link.node(), server_error(error));
                Err(fault.with_source(RedisError::from(error.clone())).into())
            }
            answer => answer
                .and_then(understood)
                .ok_or_else(|| NodeFault::new(self.link.node(), Fault::Protocol).into()),
        }
    }

    fn outcome(
        &self,
        answer: &Answer,
        token: FencingToken,
        key: &[u8],
        fence: &[u8],
    ) -> Result<(), FenceError> {
        let wrong_type = |key: &[u8]| FenceError::WrongType {
            node: self.link.node().to_owned(),
            key: key.escape_ascii().to_string(),
        };
        match answer {
            Answer::Done => Ok(()),
            Answer::Stale { highest } => Err(StaleToken {
                token,
                highest: *highest,
            }
            .into()),
            Answer::NoString => Err(wrong_type(key)),
            Answer::NoFence => Err(wrong_type(fence)),
        }
    }

    fn failed(&self, error: CallError) -> NodeFault {
        let fault = NodeFault::new(self.link.node(), error.fault);
        match error.source {
            Some(source) => fault.with_source(source),
            None => fault,
        }
    }
}

fn fence_of(key: &[u8]) -> Result<Vec<u8>, FenceError> {
    keys::fence_of(key).ok_or_else(|| FenceError::Key {
        key: key.escape_ascii().to_string(),
    })
}

impl fmt::Debug for RedisFence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisFence")
            .field("name", &self.link.node())
            .field("accept", &self.accept)
            .finish_non_exhaustive()
    }
}

//! Redis as a secondary interface: one key for each session, by its handle.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, Value};
use session_core::{
    Applied, Change, Codec, Error, Fault, Row, SecondaryStore, SessionHandle, StoreError,
    StoreTime, UserId,
};
use session_lock::link::{Call, Entry, NOW, Routine, Script, is_wrong_type};

use crate::{
    RedisStore, RedisStoreBuilder,
    builder::Opened,
    delivery::Server,
    keys::Prefix,
    scripts::{Answer, Code},
    server_time::millis,
};

/// A secondary interface on one Redis or Valkey, 6.2 or newer: for a primary in memory, in PostgreSQL, or on another Redis.
/// Cheap to clone.
///
/// What has ended or run out is forgotten a day later.
#[derive(Clone)]
pub struct RedisSecondary {
    inner: Arc<Inner>,
}

struct Inner {
    server: Server,
    prefix: Prefix,
    apply: Arc<Routine>,
    seen: Arc<Routine>,
}

impl RedisSecondary {
    /// A secondary on the server at `url`, with the default settings.
    ///
    /// # Errors
    /// As [`RedisStore::connect`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        RedisStore::builder().connect_secondary(url).await
    }
}

impl RedisStoreBuilder {
    /// Connects to the server at `url` as a secondary. Reads are never cached.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn connect_secondary(self, url: &str) -> Result<RedisSecondary, Error> {
        let Opened { server, prefix, .. } = self.open_url(url).await?;
        Ok(RedisSecondary::new(server, prefix))
    }

    /// The server at `url` as a secondary, first connected to when there is something to write: so a secondary that is down
    /// keeps no service from starting. Its version and its settings are not checked.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is out of its range, [`Error::Store`] when the URL cannot be read.
    pub fn unchecked_secondary(self, url: &str) -> Result<RedisSecondary, Error> {
        let (server, prefix) = self.unseen(url)?;
        Ok(RedisSecondary::new(server, prefix))
    }
}

impl RedisSecondary {
    fn new(server: Server, prefix: Prefix) -> Self {
        let routine = |text| Arc::new(Routine::new(Script::new(text, "", &[NOW]), None));
        let inner = Inner {
            server,
            prefix,
            apply: routine(include_str!("../lua/row/apply.lua")),
            seen: routine(include_str!("../lua/row/seen.lua")),
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

const WRITE: &str = "write to a secondary";
const READ: &str = "read from a secondary";
/// How long what has ended is known.
const KEPT: Duration = Duration::from_secs(24 * 3600);

impl Inner {
    async fn run(&self, entry: Entry) -> Result<Answer, StoreError> {
        let answer = self.server.run(&|| entry.clone().into()).await;
        let answer = answer.map_err(|error| self.server.failed(WRITE, error))?;
        match answer.code {
            Code::WrongType => Err(self.foreign(WRITE)),
            _ => Ok(answer),
        }
    }

    fn foreign(&self, action: &'static str) -> StoreError {
        let fault = Fault::Unsuitable("something else stands under the key of a row".to_owned());
        StoreError::new(action, self.server.way.node().to_owned(), fault)
    }
}

#[async_trait]
impl SecondaryStore for RedisSecondary {
    async fn apply(&self, change: &Change) -> Result<Applied, StoreError> {
        let inner = &*self.inner;
        let key = inner.prefix.row(&change.session);
        let (row, kept) = (encoded(change), millis(KEPT).to_string());
        let args = [&row[..], kept.as_bytes()];
        let apply = Entry::new(&inner.apply, &[key.as_bytes()], &args);
        match inner.run(apply).await?.code {
            Code::Done => Ok(Applied::Changed),
            Code::Nothing => Ok(Applied::Known),
            _ => Err(inner.server.protocol(WRITE)),
        }
    }

    async fn seen(&self, session: SessionHandle, idle_end: StoreTime) -> Result<(), StoreError> {
        let inner = &*self.inner;
        let key = inner.prefix.row(&session);
        let idle_end = idle_end.as_millis().to_string();
        let seen = Entry::new(&inner.seen, &[key.as_bytes()], &[idle_end.as_bytes()]);
        inner.run(seen).await.map(drop)
    }

    async fn load(&self, session: SessionHandle) -> Result<Option<Row>, StoreError> {
        let (inner, server) = (&*self.inner, &self.inner.server);
        let key = inner.prefix.row(&session);
        let call = || {
            let mut get = Cmd::with_capacity(2, key.len() + 16);
            get.arg("GET").arg(&key);
            let mut call = Call::with_capacity(1);
            call.add(get);
            call
        };
        let answers = server.ask(&call).await;
        let answer = answers.map_err(|error| server.failed(READ, error))?.pop();
        let row = match answer {
            Some(Value::Nil) => return Ok(None),
            Some(Value::BulkString(row)) => Bytes::from(row),
            Some(Value::ServerError(error)) if is_wrong_type(&error) => {
                return Err(inner.foreign(READ));
            }
            Some(Value::ServerError(error)) => return Err(server.fault(READ, &error)),
            _ => return Err(server.protocol(READ)),
        };
        if row.len() == VERSION {
            return Ok(None);
        }
        let row = decoded(&row).ok_or_else(|| inner.foreign(READ))?;
        let end = row.idle_end.min(row.absolute_end);
        Ok((end > server.time.now()).then_some(row))
    }

    fn place(&self) -> Option<String> {
        self.inner.server.place(&self.inner.prefix)
    }
}

/// The length of a version, which is all that stands of an end.
const VERSION: usize = 8;
const SEALED: u8 = 1;
const JSON: u8 = 2;
const USER: u8 = 4;

/// Version, absolute end, idle end, creation (8 bytes each), flags, the user's ID after its length (2 bytes) if there is
/// one, and the body. Numbers are big-endian.
fn encoded(change: &Change) -> Vec<u8> {
    let mut out = change.version.number().to_be_bytes().to_vec();
    let Some(row) = &change.row else {
        return out;
    };
    for time in [row.absolute_end, row.idle_end, row.created] {
        out.extend(time.as_millis().to_be_bytes());
    }
    let flag = |is_so, flag| if is_so { flag } else { 0 };
    out.push(
        flag(row.is_sealed, SEALED)
            | flag(row.codec == Codec::Json, JSON)
            | flag(row.user.is_some(), USER),
    );
    if let Some(user) = &row.user {
        let user = user.as_str().as_bytes();
        // A user's ID has at most 256 bytes.
        out.extend(u16::try_from(user.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(user);
    }
    out.extend(&row.body);
    out
}

fn decoded(row: &Bytes) -> Option<Row> {
    let (fixed, _) = row.split_first_chunk::<33>()?;
    let time = |at: usize| {
        let ms = fixed[at..at + 8].try_into().ok().map(u64::from_be_bytes)?;
        Some(StoreTime::from_millis(ms))
    };
    let flags = fixed[32];
    let mut rest = row.slice(33..);
    let user = if flags & USER == 0 {
        None
    } else {
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
        let user = rest.get(2..2 + length)?;
        let user = UserId::try_from(str::from_utf8(user).ok()?).ok()?;
        rest = rest.slice(2 + length..);
        Some(user)
    };
    Some(Row {
        absolute_end: time(8)?,
        idle_end: time(16)?,
        created: time(24)?,
        user,
        codec: if flags & JSON == 0 {
            Codec::MessagePack
        } else {
            Codec::Json
        },
        is_sealed: flags & SEALED != 0,
        body: rest,
    })
}

impl fmt::Debug for RedisSecondary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSecondary")
            .field("node", &self.inner.server.way.node())
            .finish_non_exhaustive()
    }
}

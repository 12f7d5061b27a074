//! What waits for secondaries, in Redis: noted by the scripts that write, read and taken out by whoever delivers it.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use redis::{Cmd, Value};
use session_core::{
    Backlog, BadRecord, Fault, Found, Header, Outbox, OutboxEntry, PendingEntry, RecordKind,
    SessionHandle, SessionKey, StoreError, StoreTime, Stored, Version,
};
use session_lock::link::{Call, Entry, Routine};

use crate::{
    delivery::Server,
    keys::{Prefix, noted_session, session_of_record},
    scripts::{Answer, Code},
    server_time::millis,
    store::Inner,
    walk::Walk,
};

/// The outbox of a store, for these secondaries.
#[derive(Debug)]
pub(crate) struct RedisOutbox {
    server: Arc<Server>,
    prefix: Prefix,
    names: Vec<String>,
}

const BUCKETS: u16 = 4096;
/// How many buckets make a part, and are asked for at once.
const PART: u16 = 256;
/// How many entries are taken out at once.
const TAKEN_AT_ONCE: usize = 256;
const SIDE_BY_SIDE: usize = 32;
const READ: &str = "read the outbox";
const WRITE: &str = "change the outbox";
// What `pending` says instead of the time that a key has left if it is no record.
const WRONG_TYPE: i64 = -5;

/// Makes the server's list of secondaries this one, if there is none; else it has to be this one.
pub(crate) async fn register(
    server: &Server,
    prefix: &Prefix,
    names: &[&str],
) -> Result<(), StoreError> {
    let key = prefix.secondaries();
    let call = || {
        let mut call = Call::with_capacity(2);
        let mut set = Cmd::new();
        set.arg("SET").arg(&key).arg(names.join(",")).arg("NX");
        let mut get = Cmd::new();
        get.arg("GET").arg(&key);
        call.add(set).add(get);
        call
    };
    let answers = server.ask(&call).await;
    let mut answers = answers.map_err(|error| server.failed("register secondaries", error))?;
    let known = list(server, answers.pop())?;
    if known == names {
        return Ok(());
    }
    let found = format!(
        "the sessions are written through to {known:?}, not to {names:?}; all processes have to name the same \
         secondaries, and `RedisStore::dangerous_replace_secondaries` changes the list"
    );
    let node = server.way.node().to_owned();
    let fault = Fault::Unsuitable(found);
    Err(StoreError::new("register secondaries", node, fault))
}

/// The server's list of secondaries.
pub(crate) async fn registered(
    server: &Server,
    prefix: &Prefix,
) -> Result<Vec<String>, StoreError> {
    let key = prefix.secondaries();
    let call = || {
        let mut get = Cmd::new();
        get.arg("GET").arg(&key);
        let mut call = Call::with_capacity(1);
        call.add(get);
        call
    };
    let answers = server.ask(&call).await;
    let mut answers =
        answers.map_err(|error| server.failed("read the list of secondaries", error))?;
    list(server, answers.pop())
}

/// Makes the server's list of secondaries this one, whatever it was.
pub(crate) async fn replace(
    server: &Server,
    prefix: &Prefix,
    names: &[&str],
) -> Result<(), StoreError> {
    let key = prefix.secondaries();
    let call = || {
        let mut command = Cmd::new();
        if names.is_empty() {
            command.arg("DEL").arg(&key);
        } else {
            command.arg("SET").arg(&key).arg(names.join(","));
        }
        let mut call = Call::with_capacity(1);
        call.add(command);
        call
    };
    let action = "replace the list of secondaries";
    let answers = server.ask(&call).await;
    match answers.map_err(|error| server.failed(action, error))?.pop() {
        Some(Value::ServerError(error)) => Err(server.fault(action, &error)),
        _ => Ok(()),
    }
}

fn list(server: &Server, answer: Option<Value>) -> Result<Vec<String>, StoreError> {
    let action = "read the list of secondaries";
    match answer {
        Some(Value::Nil) => Ok(Vec::new()),
        Some(Value::BulkString(text)) => {
            let text = String::from_utf8(text).map_err(|_no_text| server.protocol(action))?;
            Ok(text.split(',').map(ToOwned::to_owned).collect())
        }
        Some(Value::ServerError(error)) => Err(server.fault(action, &error)),
        _ => Err(server.protocol(action)),
    }
}

/// The list in which scripts note what waits for the secondary of that name.
pub(crate) fn waiting(name: &str) -> String {
    format!("outbox:{name}")
}

/// Where what that secondary does not take is set aside.
fn aside(name: &str) -> String {
    format!("aside:{name}")
}

impl RedisOutbox {
    pub(crate) fn new(inner: &Inner, names: &[&str]) -> Self {
        Self {
            server: Arc::clone(&inner.server),
            prefix: inner.prefix.clone(),
            names: names.iter().map(ToString::to_string).collect(),
        }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    fn outbox(&self, secondary: usize, bucket: u16) -> String {
        self.prefix.outbox(bucket, &waiting(&self.names[secondary]))
    }

    fn aside(&self, secondary: usize, bucket: u16) -> String {
        self.prefix.outbox(bucket, &aside(&self.names[secondary]))
    }

    /// Of one session, whatever becomes of its other key.
    pub(crate) async fn forget(&self, key: &SessionKey, session: &SessionHandle) {
        let noted = self.prefix.noted(key, session);
        let call = || {
            let mut call = Call::with_capacity(self.names.len());
            for secondary in 0..self.names.len() {
                let mut remove = Cmd::new();
                let outbox = self.outbox(secondary, key.bucket().number());
                remove.arg("ZREM").arg(outbox).arg(&noted);
                call.add(remove);
            }
            call
        };
        // Left there, it is found to stand for nothing.
        self.server.ask(&call).await.ok();
    }

    /// As many buckets as one script may have the keys of.
    fn at_once(&self) -> usize {
        if self.server.way.joins_scripts() {
            usize::from(PART)
        } else {
            1
        }
    }

    fn entry(routine: &Arc<Routine>, keys: &[String], args: &[&[u8]]) -> Entry {
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        Entry::new(routine, &keys, args)
    }

    async fn run(
        &self,
        action: &'static str,
        entry: Entry,
    ) -> Result<(Answer, Option<Value>), StoreError> {
        let answer = self.server.run_for_more(&|| entry.clone().into()).await;
        answer.map_err(|error| self.server.failed(action, error))
    }

    /// Runs scripts side by side.
    async fn all(
        &self,
        action: &'static str,
        entries: Vec<Entry>,
    ) -> Result<Vec<(Answer, Option<Value>)>, StoreError> {
        let run = entries.into_iter().map(|entry| self.run(action, entry));
        let answers = stream::iter(run).buffer_unordered(SIDE_BY_SIDE);
        answers.try_collect().await
    }

    /// At most `limit` entries of these buckets.
    async fn pending_in(
        &self,
        secondary: usize,
        buckets: Vec<u16>,
        until: StoreTime,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, StoreError> {
        let keys: Vec<_> = buckets
            .iter()
            .map(|bucket| self.outbox(secondary, *bucket))
            .collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        // An end counts as the revision that it came after.
        let until = until
            .as_millis()
            .saturating_mul(2)
            .saturating_add(1)
            .to_string();
        let (limit, bytes) = (limit.to_string(), PendingEntry::BYTES_AT_ONCE.to_string());
        let args = [until.as_bytes(), limit.as_bytes(), bytes.as_bytes()];
        let entry = Entry::new(&self.server.scripts.pending, &keys, &args);
        let answers = self.server.ask(&|| entry.clone().into()).await;
        let answers = answers.map_err(|error| self.server.failed(READ, error))?;
        match answers.into_iter().next_back() {
            Some(Value::Array(parts)) => self
                .read(&buckets, parts)
                .ok_or_else(|| self.server.protocol(READ)),
            Some(Value::ServerError(error)) => Err(self.server.fault(READ, &error)),
            _ => Err(self.server.protocol(READ)),
        }
    }

    /// What `pending` has answered.
    fn read(&self, buckets: &[u16], parts: Vec<Value>) -> Option<Vec<PendingEntry>> {
        let mut parts = parts.into_iter();
        let Value::Int(now) = parts.next()? else {
            return None;
        };
        let now = StoreTime::from_millis(u64::try_from(now).ok()?);
        self.server.time.heard(now);
        let mut entries = Vec::with_capacity(parts.len() / 5);
        while let Some(bucket) = parts.next() {
            let (
                Value::Int(bucket),
                Value::BulkString(noted),
                Value::BulkString(score),
                Value::BulkString(record),
                Value::Int(left),
            ) = (
                bucket,
                parts.next()?,
                parts.next()?,
                parts.next()?,
                parts.next()?,
            )
            else {
                return None;
            };
            let bucket = *buckets.get(usize::try_from(bucket).ok()?.checked_sub(1)?)?;
            let score: u64 = str::from_utf8(&score).ok()?.parse().ok()?;
            // What nobody of us has noted is left where it is.
            if let Some((key, session)) = noted_session(bucket, &noted) {
                let entry = OutboxEntry {
                    key,
                    session,
                    version: Version::from_number(score),
                };
                let found = found(&record.into(), left, now);
                entries.push(PendingEntry { entry, found });
            }
        }
        Some(entries)
    }
}

fn found(record: &Bytes, left: i64, now: StoreTime) -> Found {
    if left == WRONG_TYPE {
        return Found::Unusable(BadRecord::WrongType);
    }
    if record.is_empty() {
        return Found::Nothing;
    }
    let (header, body) = match Header::decode(record) {
        Ok(decoded) => decoded,
        Err(fault) => return Found::Unusable(fault),
    };
    match header.kind {
        RecordKind::Live => {
            let left = u64::try_from(left).map(Duration::from_millis);
            Found::Live(Stored {
                time_to_live: left.unwrap_or_else(|_for_ever| header.time_to_live(now)),
                header,
                body: record.slice(body..),
                read_at: now,
            })
        }
        RecordKind::Frozen => Found::Frozen,
        RecordKind::Alias => Found::Moved,
        _ => Found::Nothing,
    }
}

#[async_trait]
impl Outbox for RedisOutbox {
    fn parts(&self) -> Vec<RangeInclusive<u16>> {
        let firsts = (0..BUCKETS).step_by(usize::from(PART));
        firsts.map(|first| first..=first + PART - 1).collect()
    }

    async fn claim(
        &self,
        part: &RangeInclusive<u16>,
        deliverer: u64,
        span: Duration,
    ) -> Result<bool, StoreError> {
        let key = [self.prefix.deliverer(*part.start())];
        let (deliverer, span) = (deliverer.to_be_bytes(), millis(span).to_string());
        let args = [&deliverer[..], span.as_bytes()];
        let claim = Self::entry(&self.server.scripts.claim, &key, &args);
        let (answer, _) = self.run(WRITE, claim).await?;
        Ok(answer.code == Code::Done)
    }

    async fn pending(
        &self,
        secondary: usize,
        part: &RangeInclusive<u16>,
        until: StoreTime,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, StoreError> {
        let buckets: Vec<u16> = part.clone().collect();
        let mut all = Vec::new();
        // On a node of a cluster each bucket is asked for by itself.
        for several in buckets.chunks(usize::from(PART)) {
            let room = limit.saturating_sub(all.len());
            if room == 0 {
                break;
            }
            let chunks: Vec<_> = several
                .chunks(self.at_once())
                .map(<[u16]>::to_vec)
                .collect();
            let ask = chunks
                .into_iter()
                .map(|chunk| self.pending_in(secondary, chunk, until, room));
            let found: Vec<Vec<_>> = stream::iter(ask)
                .buffered(SIDE_BY_SIDE)
                .try_collect()
                .await?;
            all.extend(found.into_iter().flatten());
        }
        Ok(all)
    }

    async fn delivered(&self, secondary: usize, entries: &[OutboxEntry]) -> Result<(), StoreError> {
        let together = if self.server.way.joins_scripts() {
            TAKEN_AT_ONCE
        } else {
            1
        };
        let take = entries.chunks(together).map(|entries| {
            let key = |entry: &OutboxEntry| self.outbox(secondary, entry.key.bucket().number());
            let keys: Vec<String> = entries.iter().map(key).collect();
            let words = entries.iter().flat_map(|entry| {
                let noted = self.prefix.noted(&entry.key, &entry.session);
                [noted, entry.version.number().to_string().into_bytes()]
            });
            let words: Vec<Vec<u8>> = words.collect();
            let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            Self::entry(&self.server.scripts.delivered, &keys, &args)
        });
        self.all(WRITE, take.collect()).await.map(drop)
    }

    async fn set_aside(&self, secondary: usize, entry: &OutboxEntry) -> Result<(), StoreError> {
        let bucket = entry.key.bucket().number();
        let keys = [
            self.outbox(secondary, bucket),
            self.aside(secondary, bucket),
        ];
        let noted = self.prefix.noted(&entry.key, &entry.session);
        let score = entry.version.number().to_string();
        let args = [&noted[..], score.as_bytes()];
        let set_aside = Self::entry(&self.server.scripts.set_aside, &keys, &args);
        self.run(WRITE, set_aside).await.map(drop)
    }

    async fn retry(&self, secondary: usize) -> Result<u64, StoreError> {
        let retry = (0..BUCKETS).map(|bucket| {
            let keys = [
                self.aside(secondary, bucket),
                self.outbox(secondary, bucket),
            ];
            Self::entry(&self.server.scripts.retry, &keys, &[])
        });
        let answers = self.all(WRITE, retry.collect()).await?;
        let count = |(answer, _): &(Answer, _)| answer.extra.unsigned_abs();
        Ok(answers.iter().map(count).sum())
    }

    async fn note_all(&self, secondary: usize) -> Result<u64, StoreError> {
        let (mut walk, mut count) = (Walk::default(), 0);
        while let Some(records) = walk.next(&self.server, &self.prefix, WRITE).await? {
            let note = records.into_iter().filter_map(|record| {
                let bucket = session_of_record(&record)?.bucket().number();
                let keys = [record, self.outbox(secondary, bucket)];
                Some(Self::entry(&self.server.scripts.note_one, &keys, &[]))
            });
            let answers = self.all(WRITE, note.collect()).await?;
            let is_noted = |(answer, _): &&(Answer, _)| answer.code == Code::Done;
            count += answers.iter().filter(is_noted).count() as u64;
        }
        Ok(count)
    }

    async fn backlog(&self, secondary: usize) -> Result<Backlog, StoreError> {
        let buckets: Vec<u16> = (0..BUCKETS).collect();
        let ask = buckets.chunks(self.at_once()).map(|buckets| {
            let outboxes = buckets.iter().map(|bucket| self.outbox(secondary, *bucket));
            let aside = buckets.iter().map(|bucket| self.aside(secondary, *bucket));
            let keys: Vec<String> = outboxes.chain(aside).collect();
            Self::entry(&self.server.scripts.backlog, &keys, &[])
        });
        let mut all = Backlog::default();
        for (answer, more) in self.all(READ, ask.collect()).await? {
            let (oldest, set_aside) =
                read_backlog(more).ok_or_else(|| self.server.protocol(READ))?;
            all.sessions += answer.extra.unsigned_abs();
            all.oldest = all.oldest.into_iter().chain(oldest).min();
            all.set_aside += set_aside;
        }
        Ok(all)
    }
}

/// When the oldest entry was noted, and how many are set aside.
fn read_backlog(more: Option<Value>) -> Option<(Option<StoreTime>, u64)> {
    let Value::Array(parts) = more? else {
        return None;
    };
    let [Value::BulkString(oldest), Value::Int(aside)] = &parts[..] else {
        return None;
    };
    let oldest = match str::from_utf8(oldest).ok()? {
        "" => None,
        score => Some(Version::from_number(score.parse().ok()?).revision()),
    };
    let noted = oldest.map(|revision| StoreTime::from_millis(revision.0));
    Some((noted, u64::try_from(*aside).ok()?))
}

//! Sessions of users, and sessions that get another ID.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use redis::Value;
use session_core::{
    CommitError, Committed, Header, Leaves, Listed, LoginTicket, Pointer, RecordKind, Revision,
    Revocation, Rotation, SessionKey, Standing, StoreError, StoreTime, Timeouts, UserEntry,
    UserKey, WhenFull, Write, identity,
};
use session_lock::{Held, link::Entry};

use crate::{
    delivery::{Delivered, Undelivered},
    keys::{self, session_of_record},
    scripts::{Answer, Code},
    server_time::millis,
    store::{Aliases, Inner, TOMBSTONE_TTL},
    walk::Walk,
    write::{self, Encoded, Flight},
};

/// A first version of a session.
pub(crate) struct First {
    pub(crate) header: Header,
    pub(crate) body: Bytes,
    pub(crate) timeouts: Timeouts,
    /// The revision that it has at least.
    pub(crate) at_least: Revision,
}

// No ticket is older; longer than that, because tickets and epochs are counted in different steps.
const EPOCH_TTL: Duration = Duration::from_secs(25 * 3600);
// How many sessions one step ends: about 10 ms of the server's time.
const ENDED_AT_ONCE: &[u8] = b"1000";
const REVOKE: &str = "revoke a user's sessions";
const BUCKETS: u16 = 4096;
const FLOORS_AT_ONCE: usize = 512;
const SIDE_BY_SIDE: usize = 64;

impl Inner {
    /// Stores a session of a user for the first time.
    pub(crate) async fn enter(
        &self,
        key: &SessionKey,
        first: First,
        login: &UserEntry,
    ) -> Result<Committed, CommitError> {
        self.enter_since(key, first, login, None).await
    }

    /// `since`: when a session began to get this ID that had another one.
    async fn enter_since(
        &self,
        key: &SessionKey,
        first: First,
        login: &UserEntry,
        since: Option<StoreTime>,
    ) -> Result<Committed, CommitError> {
        let action = "store a session of a user";
        let (attempt, commit_id) = (self.next_attempt(), first.header.commit_id);
        let (keys, user) = (self.prefix.keys(key), self.prefix.user(&login.user));
        let absolute = millis(first.timeouts.absolute()).to_string();
        let at_least = first.at_least.0.to_string();
        let tombstone = millis(TOMBSTONE_TTL).to_string();
        let mut login_args = LoginArgs::of(login);
        if let (None, Some(since)) = (login.ticket, since) {
            login_args.issued = since.as_millis().to_string();
        }
        let mut args = vec![
            absolute.as_bytes(),
            at_least.as_bytes(),
            tombstone.as_bytes(),
        ];
        args.extend(login_args.all());
        let mut header = first.header;
        header.idle_timeout = first.timeouts.idle();
        let record = Encoded::first(header, first.body, attempt);
        let note = self.prefix.note(&login.user, attempt);
        let keys = [
            keys.record(),
            &*user.list,
            &*user.labels,
            &*user.epoch,
            &*user.floor,
            &*note,
        ]
        .map(str::as_bytes);
        let stage = write::stage(&self.prefix, key, attempt);
        let flight = Flight::new(&self.server.scripts.enter, &keys, &args, record, stage);
        let delivered = self.server.deliver(action, || flight.call()).await;
        outcome(key, delivered, login, || self.server.protocol(action))
            .map(write::as_version(commit_id))
    }

    /// Lets a session go on under another ID. The lock is given back with every answer of the server.
    pub(crate) async fn rotate(
        self: &Arc<Self>,
        held: &Held<SessionKey>,
        rotation: Rotation,
    ) -> Result<Committed, CommitError> {
        match &rotation.login {
            None => self.regenerate(held, rotation).await,
            Some((timeouts, login)) => {
                let (timeouts, login) = (*timeouts, login.clone());
                let is_near = held.resource.bucket() == rotation.to.bucket();
                if is_near || self.server.way.joins_scripts() {
                    self.log_in(held, rotation, timeouts, &login).await
                } else {
                    // Whoever is cancelled between the steps would lose the session: they are taken by a task.
                    let (inner, held) = (Arc::clone(self), *held);
                    let steps = async move {
                        let steps = inner.log_in_elsewhere(&held, rotation, timeouts, &login);
                        steps.await
                    };
                    let done = tokio::spawn(steps).await;
                    done.unwrap_or_else(|_ended| {
                        let unknown = self.server.protocol("log a user in");
                        Err(CommitError::Unknown(unknown))
                    })
                }
            }
        }
    }

    async fn regenerate(
        &self,
        held: &Held<SessionKey>,
        rotation: Rotation,
    ) -> Result<Committed, CommitError> {
        let action = "change the ID of a session";
        let (from, to, attempt) = (&held.resource, &rotation.to, self.next_attempt());
        let (old, new) = (self.prefix.keys(from), self.prefix.keys(to));
        let commit_id = rotation.header.commit_id;
        let alias = match rotation.leaves {
            Leaves::Alias(pointer) => encoded(&pointer),
            Leaves::Tombstone => Vec::new(),
            // Only a login leaves that.
            Leaves::Frozen => return Err(self.server.protocol(action).into()),
        };
        let pointed = rotation.earlier.iter();
        let pointed = pointed.map(|pointer| (&pointer.key, encoded(pointer)));
        let ended = rotation.forgotten.iter().map(|key| (key, Vec::new()));
        let (earlier_keys, earlier): (Vec<_>, Vec<_>) = pointed
            .chain(ended)
            .map(|(key, alias)| (self.prefix.keys(key), alias))
            .unzip();
        let mut keys = old.all().to_vec();
        keys.push(new.record().as_bytes());
        keys.extend(earlier_keys.iter().map(|keys| keys.record().as_bytes()));
        let base = identity(RecordKind::Live, rotation.base);
        let grace = millis(rotation.grace).to_string();
        let mut args: Vec<&[u8]> = vec![held.owner.as_bytes(), &base, grace.as_bytes(), &alias];
        args.extend(earlier.iter().map(Vec::as_slice));
        let write = Write {
            base: rotation.base,
            header: rotation.header,
            body: rotation.body,
        };
        let record = Encoded::version(write, attempt, self.server.time.now());
        let stage = write::stage(&self.prefix, to, attempt);
        let flight = Flight::new(&self.server.scripts.rotate, &keys, &args, record, stage);
        let delivered = self.server.deliver(action, || flight.call()).await;
        write::outcome(from, delivered, || self.server.protocol(action))
            .map(write::as_version(commit_id))
    }

    /// Where one script may use the keys of both IDs.
    async fn log_in(
        &self,
        held: &Held<SessionKey>,
        rotation: Rotation,
        timeouts: Timeouts,
        login: &UserEntry,
    ) -> Result<Committed, CommitError> {
        let action = "log a user in";
        let (from, to, attempt) = (&held.resource, &rotation.to, self.next_attempt());
        let (old, new) = (self.prefix.keys(from), self.prefix.keys(to));
        let commit_id = rotation.header.commit_id;
        let user = self.prefix.user(&login.user);
        let [record, lock, queue] = old.all();
        let keys: [&[u8]; 8] = [
            record,
            lock,
            queue,
            new.record().as_bytes(),
            user.list.as_bytes(),
            user.labels.as_bytes(),
            user.epoch.as_bytes(),
            user.floor.as_bytes(),
        ];
        let base = identity(RecordKind::Live, rotation.base);
        let leaves: &[u8] = match rotation.leaves {
            Leaves::Frozen => b"F",
            Leaves::Tombstone | Leaves::Alias(_) => b"T",
        };
        let grace = millis(rotation.grace).to_string();
        let absolute = millis(timeouts.absolute()).to_string();
        let tombstone = millis(TOMBSTONE_TTL).to_string();
        let login_args = LoginArgs::of(login);
        let mut args: Vec<&[u8]> = vec![
            held.owner.as_bytes(),
            &base,
            leaves,
            grace.as_bytes(),
            absolute.as_bytes(),
            tombstone.as_bytes(),
        ];
        args.extend(login_args.all());
        let mut header = rotation.header;
        header.idle_timeout = timeouts.idle();
        let record = Encoded::first(header, rotation.body, attempt);
        let stage = write::stage(&self.prefix, to, attempt);
        let flight = Flight::new(&self.server.scripts.login, &keys, &args, record, stage);
        let delivered = self.server.deliver(action, || flight.call()).await;
        outcome(from, delivered, login, || self.server.protocol(action))
            .map(write::as_version(commit_id))
    }

    /// Where the old and the new ID are on servers that share nothing. A crash between the steps loses a session that
    /// nobody was logged in to, and nothing more.
    async fn log_in_elsewhere(
        &self,
        held: &Held<SessionKey>,
        rotation: Rotation,
        timeouts: Timeouts,
        login: &UserEntry,
    ) -> Result<Committed, CommitError> {
        let action = "log a user in";
        let (from, scripts) = (&held.resource, &self.server.scripts);
        let keys = self.prefix.keys(from);
        let base = identity(RecordKind::Live, rotation.base);
        let tag: [u8; 8] = session_lock::random_bytes();
        let grace = millis(rotation.grace).to_string();
        let args: [&[u8]; 4] = [held.owner.as_bytes(), &base, &tag, grace.as_bytes()];
        let freeze = Entry::new(&scripts.freeze, &keys.all(), &args);
        let frozen = self.server.deliver(action, || freeze.clone().into()).await;
        let since = frozen.as_ref().ok().map(|frozen| frozen.answer.now);
        let frozen = write::outcome(from, frozen, || self.server.protocol(action))?;
        let first = First {
            header: rotation.header,
            body: rotation.body,
            timeouts,
            at_least: Revision(frozen.0 + 1),
        };
        let session = first.header.handle;
        let entered = self.enter_since(&rotation.to, first, login, since).await;
        if let (Ok(_), Some(outbox)) = (&entered, self.outbox.get()) {
            outbox.forget(from, &session).await;
        }
        match &entered {
            Ok(_) if matches!(rotation.leaves, Leaves::Tombstone) => {
                // Whoever was logged in before is out; the grace would end it too.
                self.destroy(from, None, Aliases::End).await.ok();
            }
            Ok(_) | Err(CommitError::Unknown(_)) => {}
            Err(_refused) => {
                let revision = frozen.0.to_string();
                let args: [&[u8]; 2] = [&tag, revision.as_bytes()];
                let keys = [keys.record().as_bytes()];
                let thaw = Entry::new(&scripts.thaw, &keys, &args);
                self.server
                    .deliver(action, || thaw.clone().into())
                    .await
                    .ok();
            }
        }
        entered
    }

    /// What a login that begins now is held against; `enable`: from now on, logins are accepted.
    pub(crate) async fn standing(
        &self,
        user: &UserKey,
        enable: bool,
    ) -> Result<Standing, StoreError> {
        let keys = self.prefix.user(user);
        let ttl = millis(EPOCH_TTL).to_string();
        let args = [ttl.as_bytes(), if enable { b"1" } else { b"0" }];
        let note = enable.then(|| self.prefix.note(user, self.next_attempt()));
        let keys: Vec<&[u8]> = [Some(&keys.epoch), note.as_ref()]
            .into_iter()
            .flatten()
            .map(|key| key.as_bytes())
            .collect();
        let standing = Entry::new(&self.server.scripts.standing, &keys, &args);
        let asked = self
            .server
            .deliver("begin a login", || standing.clone().into());
        let answer = asked.await.map_err(|undelivered| undelivered.error)?.answer;
        Ok(Standing {
            ticket: LoginTicket {
                user: *user,
                epoch: answer.extra.unsigned_abs(),
                issued: answer.now,
            },
            disabled: answer.extra < 0,
        })
    }

    pub(crate) async fn list(&self, user: &UserKey) -> Result<Vec<Listed>, StoreError> {
        let action = "list a user's sessions";
        let keys = self.prefix.user(user);
        let keys = [keys.list.as_bytes(), keys.labels.as_bytes()];
        let list = Entry::new(&self.server.scripts.list, &keys, &[]);
        let asked = self.server.call(&|| list.clone().into()).await;
        let answers = asked.map_err(|error| self.server.failed(action, error))?;
        match answers.into_iter().next() {
            Some(Value::Array(parts)) => listed(parts).ok_or_else(|| self.server.protocol(action)),
            Some(Value::ServerError(error)) => Err(self.server.fault(action, &error)),
            _ => Err(self.server.protocol(action)),
        }
    }

    /// Ends sessions of a user; how many.
    pub(crate) async fn revoke(
        &self,
        user: &UserKey,
        which: Revocation,
    ) -> Result<u64, StoreError> {
        let meant: (&[u8], &[u8]) = match &which {
            Revocation::One(handle) => (b"one", handle.as_bytes()),
            Revocation::Others(handle) => (b"others", handle.as_bytes()),
            Revocation::All => (b"all", b""),
            Revocation::Disable => (b"disable", b""),
        };
        let (mut ended, mut since) = (0, None);
        loop {
            let answer = self.revoke_step(user, meant, since).await?;
            ended += answer.extra.unsigned_abs();
            match answer.code {
                Code::Done => return Ok(ended),
                // A rest; it counts from the first step.
                Code::Nothing => since = since.or(Some(answer.now)),
                _ => return Err(self.server.protocol(REVOKE)),
            }
        }
    }

    async fn revoke_step(
        &self,
        user: &UserKey,
        (which, handle): (&[u8], &[u8]),
        since: Option<StoreTime>,
    ) -> Result<Answer, StoreError> {
        let keys = self.prefix.user(user);
        let note = self.prefix.note(user, self.next_attempt());
        let keys = [&keys.list, &keys.labels, &keys.epoch, &note].map(|key| key.as_bytes());
        let tombstone = millis(TOMBSTONE_TTL).to_string();
        let epoch = millis(EPOCH_TTL).to_string();
        let since = since.map_or_else(String::new, |since| since.as_millis().to_string());
        let args: [&[u8]; 6] = [
            which,
            handle,
            tombstone.as_bytes(),
            epoch.as_bytes(),
            ENDED_AT_ONCE,
            since.as_bytes(),
        ];
        let revoke = Entry::new(&self.server.scripts.revoke, &keys, &args);
        let delivered = self.server.deliver(REVOKE, || revoke.clone().into()).await;
        let delivered = delivered.map_err(|undelivered| undelivered.error)?;
        Ok(delivered.answer)
    }

    /// Ends every session: none that was stored before can get another ID meanwhile and be missed.
    pub(crate) async fn revoke_everything(&self) -> Result<(), StoreError> {
        let action = "revoke all sessions";
        let ttl = millis(EPOCH_TTL).to_string();
        let floors: Vec<String> = (0..BUCKETS)
            .map(|bucket| self.prefix.floor(bucket))
            .collect();
        let revoker = keys::name(self.next_attempt());
        let args = [ttl.as_bytes(), revoker.as_bytes()];
        let at_once = if self.server.way.joins_scripts() {
            FLOORS_AT_ONCE
        } else {
            1
        };
        let raise = floors.chunks(at_once).map(|floors| {
            let keys: Vec<&[u8]> = floors.iter().map(|key| key.as_bytes()).collect();
            Entry::new(&self.server.scripts.floor, &keys, &args)
        });
        let raise: Vec<Entry> = raise.collect();
        all(raise
            .into_iter()
            .map(|floors| self.raise_floors(action, floors)))
        .await?;
        let mut walk = Walk::default();
        while let Some(records) = walk.next(&self.server, &self.prefix, action).await? {
            let keys = records.iter().filter_map(|key| session_of_record(key));
            let keys: Vec<SessionKey> = keys.collect();
            all(keys.into_iter().map(|key| self.end_whatever_it_is(key))).await?;
        }
        Ok(())
    }

    async fn raise_floors(&self, action: &'static str, floors: Entry) -> Result<(), StoreError> {
        let raised = self.server.deliver(action, || floors.clone().into()).await;
        raised.map(drop).map_err(|undelivered| undelivered.error)
    }

    async fn end_whatever_it_is(&self, key: SessionKey) -> Result<(), StoreError> {
        let ended = self.destroy(&key, None, Aliases::End).await;
        ended.map(drop).map_err(|undelivered| undelivered.error)
    }
}

/// Runs calls, many of them side by side.
async fn all(
    calls: impl Iterator<Item = impl Future<Output = Result<(), StoreError>>>,
) -> Result<(), StoreError> {
    stream::iter(calls)
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect()
        .await
}

/// A login as scripts want it.
struct LoginArgs {
    epoch: String,
    issued: String,
    max: String,
    when_full: &'static str,
    labels: Bytes,
    credential: Vec<u8>,
}

impl LoginArgs {
    fn of(login: &UserEntry) -> Self {
        let ticket = login.ticket;
        Self {
            epoch: ticket.map_or_else(String::new, |ticket| ticket.epoch.to_string()),
            issued: ticket.map_or_else(String::new, |ticket| ticket.issued.as_millis().to_string()),
            max: login.limit.max.to_string(),
            when_full: match login.limit.when_full {
                WhenFull::EndOldest => "E",
                WhenFull::Refuse => "R",
            },
            labels: login.labels.clone(),
            credential: login
                .credential
                .map_or_else(Vec::new, |tag| tag.as_bytes().to_vec()),
        }
    }

    fn all(&self) -> [&[u8]; 6] {
        [
            self.epoch.as_bytes(),
            self.issued.as_bytes(),
            self.max.as_bytes(),
            self.when_full.as_bytes(),
            &self.labels,
            &self.credential,
        ]
    }
}

fn encoded(Pointer { header, body, .. }: &Pointer) -> Vec<u8> {
    let mut record = Vec::with_capacity(128 + body.len());
    header.encode(&mut record);
    record.extend_from_slice(body);
    record
}

fn outcome(
    key: &SessionKey,
    delivered: Result<Delivered, Undelivered>,
    login: &UserEntry,
    protocol: impl Fn() -> StoreError,
) -> Result<Revision, CommitError> {
    write::outcome(key, delivered, protocol).map_err(|error| match error {
        CommitError::TooManySessions { .. } => CommitError::TooManySessions {
            limit: login.limit.max,
        },
        error => error,
    })
}

/// What `list` answered: the time, then head, time left and labels of each session.
fn listed(parts: Vec<Value>) -> Option<Vec<Listed>> {
    let mut parts = parts.into_iter();
    let Value::Int(now) = parts.next()? else {
        return None;
    };
    let now = StoreTime::from_millis(u64::try_from(now).ok()?);
    let mut sessions = Vec::with_capacity(parts.len() / 3);
    while let Some(head) = parts.next() {
        let (Value::BulkString(head), Value::Int(left), Value::BulkString(labels)) =
            (head, parts.next()?, parts.next()?)
        else {
            return None;
        };
        let (header, _) = Header::decode(&head).ok()?;
        let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
        sessions.push(Listed {
            handle: header.handle,
            created: header.created,
            last_seen: header.last_use(left, now),
            labels: labels.into(),
        });
    }
    Some(sessions)
}

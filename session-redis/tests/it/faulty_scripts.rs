//! Redis does not roll a failed script back. So every single call of every script is made to fail once, and after each
//! the session is the old one or the new one, whole, as the answer said, and nothing stays locked.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use redis::Value;
use session_core::{
    AcquireError, Allowance, Codec, CommitError, CountedName, Error, Header, Limit,
    MemorySecondary, PrimaryStore as _, RecordKind, SecondaryPolicy, SessionData, SessionId,
    Sessions, UseCounter,
};
use session_redis::{RedisStore, SanicStore};
use session_testkit::servers::RedisServer;

use crate::support::{TestResult, assert_all_keys_end, count, counter, fresh_prefix, get, shared};

/// Counts the calls of a script and fails, once, the one whose number stands in a key of the test's.
fn prelude(prefix: &str) -> String {
    format!(
        "local real, calls = redis, 0
         local target = tonumber(real.call('GET', '{prefix}-fail') or '0')
         local keys = tonumber(real.call('GET', '{prefix}-keys') or #KEYS)
         if real.call('EXISTS', '{prefix}-hit') == 1 or keys ~= #KEYS then target = 0 end
         local function fails()
           calls = calls + 1
           if calls == target then real.call('SET', '{prefix}-hit', '1', 'PX', '60000') return true end
         end
         local redis = setmetatable({{
           call = function(...) if fails() then error('injected') end return real.call(...) end,
           pcall = function(...) if fails() then return {{err = 'ERR injected'}} end return real.pcall(...) end,
         }}, {{__index = real}})
        "
    )
}

pub(crate) struct Faulty {
    pub(crate) server: &'static RedisServer,
    pub(crate) prefix: String,
    pub(crate) sessions: Sessions,
    /// The same sessions through healthy scripts.
    pub(crate) healthy: Sessions,
    /// What the sessions are written through to, unless the test takes records away.
    pub(crate) mirror: Option<MemorySecondary>,
    /// The number of the call that is to fail.
    armed: AtomicU32,
}

impl Faulty {
    pub(crate) async fn scripts() -> TestResult<Self> {
        Self::on(shared().await?).await
    }

    pub(crate) async fn on(server: &'static RedisServer) -> TestResult<Self> {
        let prefix = fresh_prefix();
        let builder = RedisStore::builder().prefix(&prefix);
        let store = builder
            .clone()
            .script_prelude(prelude(&prefix))
            .connect(&server.url())
            .await?;
        let sessions = Sessions::builder(store.clone()).lease(LEASE).build()?;
        // It notes its writes, and leaves their delivery to others: the scripts for that are not to fail.
        store.open_outbox(&[MIRROR]).await?;
        let mirror = MemorySecondary::new();
        let healthy = Sessions::builder(builder.connect(&server.url()).await?);
        let policy = SecondaryPolicy::eventual();
        let healthy = healthy.secondary(MIRROR, mirror.clone(), policy);
        Ok(Self {
            server,
            prefix,
            sessions,
            healthy: healthy.open().await?,
            mirror: Some(mirror),
            armed: AtomicU32::new(0),
        })
    }

    /// The secondary shows every session that lives, as it is stored, and no other.
    async fn assert_mirrored(&self) -> TestResult {
        let (Some(mirror), Some(through)) = (&self.mirror, self.healthy.write_through()) else {
            return Ok(());
        };
        through.drain(Duration::from_secs(30)).await?;
        let mut shown: Vec<_> = mirror
            .rows()
            .into_iter()
            .map(|(handle, row)| Ok((handle, n(row.codec, &row.body)?)))
            .collect::<TestResult<_>>()?;
        let mut stored = Vec::new();
        for key in self
            .server
            .keys(&format!("{}:*:session:*", self.prefix))
            .await?
        {
            // The copy of a grace may be over meanwhile.
            let Some(record) = get(self.server, &key).await? else {
                continue;
            };
            let (header, body) = Header::decode(&record)?;
            if header.kind == RecordKind::Live {
                let body = Bytes::from(record).slice(body..);
                stored.push((header.handle, n(header.codec(), &body)?));
            }
        }
        shown.sort_unstable();
        stored.sort_unstable();
        assert!(
            shown == stored,
            "the secondary shows {shown:?}, stored are {stored:?}"
        );
        Ok(())
    }

    /// The scripts for sessions that are shared with sanic-cookies.
    pub(crate) async fn sanic() -> TestResult<Self> {
        let (server, prefix) = (shared().await?, fresh_prefix());
        let redis = RedisStore::builder().prefix(&prefix);
        let store = async |redis| {
            let builder = SanicStore::builder().key_prefix(format!("{prefix}theirs:"));
            builder.redis(redis).connect(&server.url()).await
        };
        let healthy = Sessions::new(store(redis.clone()).await?);
        let store = store(redis.script_prelude(prelude(&prefix))).await?;
        let sessions = Sessions::builder(store).lease(LEASE).build()?;
        Ok(Self {
            server,
            prefix,
            sessions,
            healthy,
            mirror: None,
            armed: AtomicU32::new(0),
        })
    }

    pub(crate) async fn fail_call(&self, number: u32) -> TestResult {
        self.armed.store(number, Ordering::Relaxed);
        self.arm(number).await
    }

    /// Does what a test needs before the call that is to fail.
    pub(crate) async fn unharmed<T>(&self, needed: impl Future<Output = T>) -> TestResult<T> {
        self.arm(0).await?;
        let done = needed.await;
        self.arm(self.armed.load(Ordering::Relaxed)).await?;
        Ok(done)
    }

    async fn arm(&self, number: u32) -> TestResult {
        let fail = format!("{}-fail", self.prefix);
        self.server
            .command(&["SET", &fail, &number.to_string(), "PX", "60000"])
            .await?;
        Ok(())
    }

    /// From now on only scripts fail that are given that many keys.
    pub(crate) async fn only_with_keys(&self, count: u32) -> TestResult {
        let keys = format!("{}-keys", self.prefix);
        self.server
            .command(&["SET", &keys, &count.to_string(), "PX", "1800000"])
            .await?;
        Ok(())
    }

    /// Whether the failure happened; from now on nothing fails.
    pub(crate) async fn was_hit(&self) -> TestResult<bool> {
        let (fail, hit) = (
            format!("{}-fail", self.prefix),
            format!("{}-hit", self.prefix),
        );
        self.server.command(&["DEL", &fail]).await?;
        Ok(self.server.command(&["DEL", &hit]).await? == Value::Int(1))
    }

    /// Lets each call of the script behind `act` fail in turn, on a fresh session, until none is left to fail.
    pub(crate) async fn each_call<T>(
        &self,
        act: impl AsyncFn(&SessionId) -> TestResult<T>,
        check: impl AsyncFn(&SessionId, T) -> TestResult,
    ) -> TestResult<u32> {
        for number in 1.. {
            let id = counter(&self.healthy).await?;
            // What the test itself needs is done before the failure is armed, by `act`.
            let outcome = act_armed(self, number, &id, &act).await?;
            let hit = self.was_hit().await?;
            check(&id, outcome).await?;
            // Nothing stays locked for longer than the lease, and what is left ends by itself.
            match self.healthy.lock(&id).await {
                Ok(session) => drop(session),
                Err(AcquireError::NoSession | AcquireError::Rotated) => {}
                Err(error) => return Err(format!("call {number}: {error:?}").into()),
            }
            assert_all_keys_end(self.server, &self.prefix).await?;
            self.assert_mirrored().await?;
            if !hit {
                return Ok(number - 1);
            }
        }
        unreachable!("scripts are finite")
    }
}

async fn act_armed<T>(
    faulty: &Faulty,
    number: u32,
    id: &SessionId,
    act: &impl AsyncFn(&SessionId) -> TestResult<T>,
) -> TestResult<T> {
    faulty.fail_call(number).await?;
    act(id).await
}

/// The value of `n`.
fn n(codec: Codec, body: &Bytes) -> TestResult<Option<u32>> {
    let data = SessionData::from_encoded(codec, body);
    Ok(data.map_err(|fault| fault.to_string())?.get("n")?)
}

const MIRROR: &str = "mirror";
const LEASE: Duration = Duration::from_millis(600);
pub(crate) const LARGE: usize = 4096;

/// A stored value, or the error that says that it is not.
pub(crate) fn definite(
    result: Result<session_core::CommitReport, CommitError>,
) -> TestResult<bool> {
    match result {
        Ok(report) => Ok(report.is_stored()),
        Err(CommitError::Store(_)) => Ok(false),
        Err(error) => Err(format!("{error:?}").into()),
    }
}

pub(crate) async fn commits(faulty: &Faulty, size: usize) -> TestResult<u32> {
    let act = async |id: &SessionId| {
        let mut session = faulty
            .unharmed(faulty.sessions.lock(id).into_future())
            .await??;
        session.insert("n", 1)?;
        session.insert("pad", "x".repeat(size))?;
        definite(session.commit().await)
    };
    let check = async |id: &SessionId, stored: bool| {
        let snapshot = faulty
            .healthy
            .snapshot(id)
            .await?
            .ok_or("the session is gone")?;
        assert_eq!(snapshot.get::<u32>("n")?, Some(u32::from(stored)));
        assert_eq!(
            snapshot.get::<String>("pad")?.map(|pad| pad.len()),
            stored.then_some(size)
        );
        assert!(
            snapshot.remaining().idle > Duration::from_secs(1_700),
            "no stage's TTL is left"
        );
        Ok(())
    };
    faulty.each_call(act, check).await
}

#[tokio::test]
async fn a_commit_with_a_failing_call_is_whole() -> TestResult {
    assert!(commits(&Faulty::scripts().await?, 0).await? >= 5);
    Ok(())
}

#[tokio::test]
async fn a_staged_commit_with_a_failing_call_is_whole() -> TestResult {
    assert!(commits(&Faulty::scripts().await?, LARGE).await? >= 7);
    Ok(())
}

pub(crate) async fn updates(faulty: &Faulty, size: usize) -> TestResult<u32> {
    let act = async |id: &SessionId| {
        let mut session = faulty
            .unharmed(faulty.sessions.unlocked().load(id))
            .await??
            .ok_or("gone")?;
        session.insert("n", 1)?;
        session.insert("pad", "x".repeat(size))?;
        definite(session.save().await)
    };
    let check = async |id: &SessionId, stored: bool| {
        assert_eq!(count(&faulty.healthy, id).await?, Some(u32::from(stored)));
        Ok(())
    };
    faulty.each_call(act, check).await
}

#[tokio::test]
async fn an_update_with_a_failing_call_is_whole() -> TestResult {
    assert!(updates(&Faulty::scripts().await?, 0).await? >= 4);
    assert!(updates(&Faulty::scripts().await?, LARGE).await? >= 5);
    Ok(())
}

pub(crate) async fn creations(faulty: &Faulty, size: usize) -> TestResult<u32> {
    let act = async |_: &SessionId| {
        let mut session = faulty.sessions.create();
        session.insert("n", 1)?;
        session.insert("pad", "x".repeat(size))?;
        let id = session.id().clone();
        Ok((id, definite(session.commit().await)?))
    };
    let check = async |_: &SessionId, (id, stored): (SessionId, bool)| {
        assert_eq!(count(&faulty.healthy, &id).await?, stored.then_some(1));
        Ok(())
    };
    faulty.each_call(act, check).await
}

#[tokio::test]
async fn a_creation_with_a_failing_call_is_whole() -> TestResult {
    assert!(creations(&Faulty::scripts().await?, 0).await? >= 3);
    assert!(creations(&Faulty::scripts().await?, LARGE).await? >= 6);
    Ok(())
}

pub(crate) async fn ends(faulty: &Faulty) -> TestResult<u32> {
    let act = async |id: &SessionId| Ok(faulty.sessions.destroy(id).await.is_ok());
    let check = async |id: &SessionId, ended: bool| {
        assert_eq!(count(&faulty.healthy, id).await?.is_none(), ended);
        Ok(())
    };
    faulty.each_call(act, check).await
}

#[tokio::test]
async fn an_end_with_a_failing_call_is_final_if_it_says_so() -> TestResult {
    assert!(ends(&Faulty::scripts().await?).await? >= 4);
    Ok(())
}

pub(crate) async fn ends_under_the_lock(faulty: &Faulty) -> TestResult<u32> {
    let act = async |id: &SessionId| {
        let mut session = faulty
            .unharmed(faulty.sessions.lock(id).into_future())
            .await??;
        session.destroy();
        Ok(session.commit().await.is_ok())
    };
    let check = async |id: &SessionId, ended: bool| {
        assert_eq!(count(&faulty.healthy, id).await?.is_none(), ended);
        Ok(())
    };
    faulty.each_call(act, check).await
}

#[tokio::test]
async fn an_end_under_the_lock_with_a_failing_call_is_final_if_it_says_so() -> TestResult {
    assert!(ends_under_the_lock(&Faulty::scripts().await?).await? >= 5);
    Ok(())
}

pub(crate) async fn releases(faulty: &Faulty) -> TestResult<u32> {
    let act = async |id: &SessionId| {
        let session = faulty
            .unharmed(faulty.sessions.lock(id).into_future())
            .await??;
        session.discard().await.ok();
        Ok(())
    };
    let check = async |id: &SessionId, ()| {
        assert_eq!(count(&faulty.healthy, id).await?, Some(0));
        Ok(())
    };
    faulty.each_call(act, check).await
}

#[tokio::test]
async fn a_release_with_a_failing_call_changes_nothing() -> TestResult {
    assert!(releases(&Faulty::scripts().await?).await? >= 4);
    Ok(())
}

pub(crate) async fn renewals(faulty: &Faulty) -> TestResult<u32> {
    let act = async |id: &SessionId| {
        let mut session = faulty
            .unharmed(faulty.sessions.lock(id).into_future())
            .await??;
        session.insert("n", 1)?;
        // Longer than the lease: without renewal it would be over.
        let lost = tokio::time::timeout(LEASE * 2, session.lost()).await;
        assert!(lost.is_err(), "lost: {lost:?}");
        // Only the renewal is to fail.
        let hit = faulty.was_hit().await?;
        let stored = definite(session.commit().await)?;
        if hit {
            faulty
                .server
                .command(&["SET", &format!("{}-hit", faulty.prefix), "1", "PX", "60000"])
                .await?;
        }
        Ok(stored)
    };
    let check = async |id: &SessionId, stored: bool| {
        assert!(stored);
        assert_eq!(count(&faulty.healthy, id).await?, Some(1));
        Ok(())
    };
    faulty.each_call(act, check).await
}

#[tokio::test]
async fn a_renewal_with_a_failing_call_is_made_up_for_by_the_next() -> TestResult {
    assert!(renewals(&Faulty::scripts().await?).await? >= 3);
    Ok(())
}

pub(crate) async fn waits(faulty: &Faulty) -> TestResult<u32> {
    let act = async |id: &SessionId| {
        let session = faulty.healthy.lock(id).await?;
        let waiting = faulty
            .sessions
            .lock(id)
            .wait_at_most(Duration::from_secs(5))
            .into_future();
        let release = async {
            while faulty
                .server
                .keys(&format!("{}:*:queue*", faulty.prefix))
                .await?
                .is_empty()
                && faulty
                    .server
                    .command(&["EXISTS", &format!("{}-hit", faulty.prefix)])
                    .await?
                    == Value::Int(0)
            {
                tokio::task::yield_now().await;
            }
            session.discard().await?;
            TestResult::Ok(())
        };
        let (granted, released) = tokio::join!(waiting, release);
        released?;
        match granted {
            Ok(guard) => drop(guard),
            Err(AcquireError::Store(_)) => {}
            Err(error) => return Err(Error::from(error).into()),
        }
        Ok(())
    };
    let check = async |id: &SessionId, ()| {
        let add = |data: &mut SessionData| data.insert("n", 7);
        faulty
            .healthy
            .update(id, add)
            .await
            .map_err(|error| format!("{error:?}"))?;
        assert_eq!(count(&faulty.healthy, id).await?, Some(7));
        Ok(())
    };
    faulty.each_call(act, check).await
}

#[tokio::test]
async fn waiting_with_a_failing_call_ends_in_the_lock_or_an_error() -> TestResult {
    assert!(waits(&Faulty::scripts().await?).await? >= 4);
    Ok(())
}

#[tokio::test]
async fn a_use_of_a_limit_with_a_failing_call_is_counted_or_not_as_it_says() -> TestResult {
    let faulty = Faulty::scripts().await?;
    let builder = RedisStore::builder().prefix(&faulty.prefix);
    let builder = builder.script_prelude(prelude(&faulty.prefix));
    let store = builder.connect(&faulty.server.url()).await?;
    let limit = Limit::new(5, Duration::from_secs(60))?;
    for number in 1_u32.. {
        let name = CountedName::new("call", &number.to_string());
        faulty.fail_call(number).await?;
        let taken = store.take(&name, &limit).await;
        let hit = faulty.was_hit().await?;
        assert_eq!(taken.is_err(), hit, "call {number}: {taken:?}");
        let left = if hit { 5 } else { 4 };
        assert_eq!(
            store.look(&name, &limit).await?,
            Allowance::Granted { left }
        );
        assert_all_keys_end(faulty.server, &faulty.prefix).await?;
        if !hit {
            assert!(number > 3, "its time, its reading and its writing failed");
            return Ok(());
        }
    }
    unreachable!("scripts are finite")
}

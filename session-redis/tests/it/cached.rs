//! Reads that are answered from this process: they cost nothing, and are never older than the bound.

use std::{sync::Arc, time::Duration};

use session_core::{Error, Fault, Login, ReadError, SessionData, SessionId, Sessions, Timeouts};
use session_lock::{Clock as _, Moment, SystemClock};
use session_redis::{CacheStatistics, RedisStore};
use session_testkit::{
    FakeClock,
    servers::{Proxy, RedisServer},
};

use tokio::sync::watch;

use crate::support::{TestResult, add_one, chain, count, counter, fresh_prefix, patient, shared};

const BOUND: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(400);

fn since(moment: Moment) -> Duration {
    SystemClock.now().saturating_since(moment)
}

/// A service that caches reads, behind a proxy, and another one that shares its sessions.
struct Fixture {
    store: RedisStore,
    cached: Sessions,
    elsewhere: Sessions,
    proxy: Proxy,
}

impl Fixture {
    async fn new(server: &RedisServer, bound: Duration) -> TestResult<Self> {
        let (proxy, prefix) = (Proxy::start(server).await?, fresh_prefix());
        let store = RedisStore::builder().prefix(&prefix).cached_reads(bound);
        let store = store.connect(&proxy.url()).await?;
        Ok(Self {
            cached: Sessions::new(store.clone()),
            store,
            elsewhere: Sessions::new(patient(&prefix).connect(&server.url()).await?),
            proxy,
        })
    }

    fn statistics(&self) -> CacheStatistics {
        self.store.cache_statistics().expect("reads are cached")
    }

    /// A session that this process knows.
    async fn known(&self) -> TestResult<SessionId> {
        let id = counter(&self.elsewhere).await?;
        // What the first call reads over a new connection is not kept.
        for _ in 0..3 {
            assert_eq!(count(&self.cached, &id).await?, Some(0));
        }
        let hits = self.statistics().hits;
        assert_eq!(count(&self.cached, &id).await?, Some(0));
        assert_eq!(self.statistics().hits, hits + 1);
        Ok(id)
    }

    /// The connection on which the server tells of changes.
    fn tracking(&self) -> TestResult<u64> {
        let requests = self.proxy.requests();
        let tracking = requests.iter().rev().find(|request| {
            let first = request.args().first();
            request.name() == "CLIENT" && first.is_some_and(|arg| arg == b"TRACKING")
        });
        Ok(tracking.ok_or("nothing is tracked")?.connection())
    }

    /// Reads until the count is another one than `before`, which must not be shown later than `limit` after `changed`.
    async fn sees(
        &self,
        id: &SessionId,
        before: u32,
        changed: Moment,
        limit: Duration,
    ) -> TestResult<Option<u32>> {
        loop {
            let seen = count(&self.cached, id).await?;
            if seen != Some(before) {
                return Ok(seen);
            }
            let age = since(changed);
            assert!(age <= limit, "shown {age:?} after it was changed");
        }
    }
}

#[tokio::test]
async fn what_is_known_costs_no_flight() -> TestResult {
    let fixture = Fixture::new(shared().await?, BOUND).await?;
    let id = fixture.known().await?;
    fixture.proxy.clear_log();
    for _ in 0..100 {
        assert_eq!(count(&fixture.cached, &id).await?, Some(0));
    }
    let requests = fixture.proxy.requests();
    assert!(requests.is_empty(), "{requests:?}");
    assert_eq!(count_latest(&fixture.cached, &id).await?, Some(0));
    assert_eq!(fixture.proxy.flights().len(), 1);
    let statistics = fixture.statistics();
    assert_eq!((statistics.hits, statistics.misses), (102, 2));
    assert_eq!((statistics.unsure, statistics.sessions), (0, 1));
    assert!(statistics.bytes > 0);
    Ok(())
}

async fn count_latest(sessions: &Sessions, id: &SessionId) -> Result<Option<u32>, Error> {
    match sessions.latest(id).await? {
        Some(snapshot) => Ok(snapshot.get("n")?),
        None => Ok(None),
    }
}

#[tokio::test]
async fn the_server_tells_of_changes_elsewhere() -> TestResult {
    let fixture = Fixture::new(shared().await?, BOUND).await?;
    let id = fixture.known().await?;
    for n in 0..20 {
        add_one(&fixture.elsewhere, &id).await?;
        let seen = fixture.sees(&id, n, SystemClock.now(), BOUND / 2).await?;
        assert_eq!(seen, Some(n + 1));
    }
    fixture.elsewhere.destroy(&id).await?;
    let seen = fixture.sees(&id, 20, SystemClock.now(), BOUND / 2).await?;
    assert_eq!(seen, None);
    assert!(fixture.statistics().invalidations > 20);
    Ok(())
}

/// The connection is silent, and what it would have told is lost.
async fn silently_cut(end: bool) -> TestResult {
    let fixture = Fixture::new(shared().await?, SHORT).await?;
    let id = fixture.known().await?;
    fixture.proxy.drop_replies_on(fixture.tracking()?);
    if end {
        fixture.elsewhere.destroy(&id).await?;
    } else {
        add_one(&fixture.elsewhere, &id).await?;
    }
    // The bound counts from before the change was answered. What is shown is looked at a moment later.
    let slack = Duration::from_secs(2);
    let seen = fixture
        .sees(&id, 0, SystemClock.now(), SHORT + slack)
        .await?;
    assert_eq!(seen, (!end).then_some(1));
    Ok(())
}

#[tokio::test]
async fn a_change_is_seen_although_the_connection_is_silent() -> TestResult {
    silently_cut(false).await
}

#[tokio::test]
async fn an_end_is_seen_although_the_connection_is_silent() -> TestResult {
    silently_cut(true).await
}

#[tokio::test]
async fn a_message_that_is_held_back_holds_back_the_answers_too() -> TestResult {
    let fixture = Fixture::new(shared().await?, SHORT).await?;
    let id = fixture.known().await?;
    fixture.proxy.hold_replies_on(fixture.tracking()?);
    add_one(&fixture.elsewhere, &id).await?;
    let slack = Duration::from_secs(2);
    let seen = fixture
        .sees(&id, 0, SystemClock.now(), SHORT + slack)
        .await?;
    assert_eq!(seen, Some(1));
    Ok(())
}

#[tokio::test]
async fn an_answer_that_comes_late_is_as_old_as_its_question() -> TestResult {
    let server = shared().await?;
    let (proxy, prefix) = (Proxy::start(server).await?, fresh_prefix());
    let clock = FakeClock::new();
    let store = patient(&prefix).cached_reads(BOUND);
    let store = store.clock(Arc::new(clock.clone()));
    let store = store.connect(&proxy.url()).await?;
    let sessions = Sessions::new(store.clone());
    let (known, asked) = (counter(&sessions).await?, counter(&sessions).await?);
    for _ in 0..3 {
        assert_eq!(count(&sessions, &known).await?, Some(0));
    }
    proxy.hold_replies();
    proxy.clear_log();
    let reading = count(&sessions, &asked);
    let answering = async {
        while proxy.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        clock.advance(BOUND + Duration::from_nanos(1));
        proxy.release_replies();
    };
    let (read, ()) = tokio::join!(reading, answering);
    assert_eq!(read?, Some(0));
    assert_eq!(count(&sessions, &known).await?, Some(0));
    let statistics = store.cache_statistics().ok_or("reads are cached")?;
    assert_eq!(statistics.unsure, 1, "{statistics:?}");
    Ok(())
}

#[tokio::test]
async fn an_old_id_leads_to_the_session_although_it_is_not_told_of_the_newest() -> TestResult {
    let fixture = Fixture::new(shared().await?, BOUND).await?;
    let regenerated = async |sessions: &Sessions, id: &SessionId| -> Result<SessionId, Error> {
        let mut guard = sessions.lock(id).await?;
        let new = guard.regenerate();
        guard.commit().await?;
        Ok(new)
    };
    let first = fixture.known().await?;
    let second = regenerated(&fixture.elsewhere, &first).await?;
    while count(&fixture.cached, &second).await?.is_none() {}
    while !is_rotated(&fixture.cached, &first).await? {}
    let add = |data: &mut SessionData| -> Result<(), Error> { Ok(data.insert("n", 5)?) };
    // The session is forgotten, the way to it is not.
    fixture.cached.update(&second, add).await?;
    fixture.proxy.hold_replies_on(fixture.tracking()?);
    regenerated(&fixture.elsewhere, &second).await?;
    assert_eq!(count(&fixture.cached, &first).await?, Some(5));
    Ok(())
}

async fn is_rotated(sessions: &Sessions, id: &SessionId) -> TestResult<bool> {
    let snapshot = sessions.snapshot(id).await?;
    Ok(snapshot.ok_or("it is gone")?.is_rotated())
}

#[tokio::test]
async fn a_connection_that_is_cut_takes_everything_with_it() -> TestResult {
    let server = RedisServer::start().await?;
    let fixture = Fixture::new(&server, BOUND).await?;
    let id = fixture.known().await?;
    for n in 0..5 {
        server.kill_clients().await?;
        add_one(&fixture.elsewhere, &id).await?;
        let seen = fixture.sees(&id, n, SystemClock.now(), BOUND / 2).await?;
        assert_eq!(seen, Some(n + 1));
        assert_eq!(count(&fixture.cached, &id).await?, Some(n + 1));
    }
    assert!(fixture.statistics().resets >= 5);
    Ok(())
}

#[tokio::test]
async fn all_keys_that_are_deleted_are_forgotten() -> TestResult {
    let server = RedisServer::start().await?;
    let fixture = Fixture::new(&server, BOUND).await?;
    let id = fixture.known().await?;
    server.command(&["FLUSHALL"]).await?;
    let seen = fixture.sees(&id, 0, SystemClock.now(), BOUND / 2).await?;
    assert_eq!(seen, None);
    Ok(())
}

#[tokio::test]
async fn a_server_that_becomes_a_replica_is_not_believed() -> TestResult {
    let server = RedisServer::start().await?;
    let fixture = Fixture::new(&server, SHORT).await?;
    let id = fixture.known().await?;
    // Nobody answers there, so it keeps what it has.
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).await?;
    let changed = SystemClock.now();
    let resets = fixture.statistics().resets;
    while fixture.statistics().resets == resets {
        assert_eq!(count(&fixture.cached, &id).await?, Some(0));
        assert!(since(changed) < BOUND, "its role is never asked for");
        tokio::task::yield_now().await;
    }
    let hits = fixture.statistics().hits;
    for _ in 0..10 {
        assert_eq!(count(&fixture.cached, &id).await?, Some(0));
    }
    assert_eq!(fixture.statistics().hits, hits);
    server.command(&["REPLICAOF", "NO", "ONE"]).await?;
    while fixture.statistics().hits == hits {
        assert_eq!(count(&fixture.cached, &id).await?, Some(0));
        assert!(since(changed) < BOUND, "nothing is cached any more");
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Reads of others fill the cache again and again, while this one changes what is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_writes_are_seen_at_once() -> TestResult {
    let fixture = Fixture::new(shared().await?, BOUND).await?;
    let sessions = &fixture.cached;
    let id = fixture.known().await?;
    let stop = watch::Sender::new(false);
    let readers = [0, 1].map(|_| {
        let (sessions, id, stop) = (sessions.clone(), id.clone(), stop.subscribe());
        tokio::spawn(async move {
            while !*stop.borrow() {
                count(&sessions, &id).await.map_err(|error| chain(&error))?;
                tokio::task::yield_now().await;
            }
            Ok::<_, String>(())
        })
    });
    let mut n = 0;
    for _ in 0..300 {
        add_one(sessions, &id).await?;
        n += 1;
        assert_eq!(count(sessions, &id).await?, Some(n), "after a commit");
        let add = |session: &mut SessionData| -> Result<(), Error> {
            Ok(session.modify("n", |n: &mut u32| *n += 1)?)
        };
        sessions.update(&id, add).await?;
        n += 1;
        assert_eq!(count(sessions, &id).await?, Some(n), "after an update");
    }
    stop.send_replace(true);
    for reader in readers {
        reader.await??;
    }
    Ok(())
}

#[tokio::test]
async fn own_ends_and_new_ids_are_seen_at_once() -> TestResult {
    let fixture = Fixture::new(shared().await?, BOUND).await?;
    let sessions = &fixture.cached;
    for round in 0..30 {
        let id = fixture.known().await?;
        sessions.destroy(&id).await?;
        assert_eq!(count(sessions, &id).await?, None, "after destroy");

        let id = fixture.known().await?;
        let mut guard = sessions.lock(&id).await?;
        guard.destroy();
        guard.commit().await?;
        assert_eq!(
            count(sessions, &id).await?,
            None,
            "after the guard's destroy"
        );

        let first = fixture.known().await?;
        let mut guard = sessions.lock(&first).await?;
        let second = guard.regenerate();
        guard.commit().await?;
        let through_first = sessions.snapshot(&first).await?.ok_or("it is gone")?;
        assert!(through_first.is_rotated());
        let mut guard = sessions.lock(&second).await?;
        let third = guard.regenerate();
        guard.insert("n", 7)?;
        guard.commit().await?;
        for id in [&first, &second, &third] {
            assert_eq!(count(sessions, id).await?, Some(7), "through every ID");
        }

        let user = format!("user {round}");
        let ticket = sessions.begin_login(&*user).await?;
        let mut guard = sessions.lock(&third).await?;
        let theirs = guard.login_with(Login::new(&*user)?.ticket(ticket), &"user")?;
        guard.commit().await?;
        assert!(sessions.snapshot(&theirs).await?.is_some());
        assert!(sessions.snapshot(&theirs).await?.is_some());
        sessions.user(&*user)?.revoke_all().await?;
        assert!(sessions.snapshot(&theirs).await?.is_none(), "after revoke");
    }
    let id = fixture.known().await?;
    sessions.revoke_everything().await?;
    assert_eq!(count(sessions, &id).await?, None, "after all were revoked");
    Ok(())
}

#[tokio::test]
async fn a_session_that_is_only_read_here_lives_on() -> TestResult {
    let server = shared().await?;
    let prefix = fresh_prefix();
    let store = patient(&prefix).cached_reads(BOUND);
    let store = store.connect(&server.url()).await?;
    let sessions = Sessions::builder(store.clone());
    let idle = Duration::from_secs(2);
    let timeouts = Timeouts::new(idle, Duration::from_secs(60))?;
    let sessions = sessions.timeouts(timeouts).build()?;
    let (read, unread) = (counter(&sessions).await?, counter(&sessions).await?);
    assert_eq!(count(&sessions, &unread).await?, Some(0));
    let start = SystemClock.now();
    while since(start) < idle * 2 {
        assert_eq!(count(&sessions, &read).await?, Some(0));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(count(&sessions, &unread).await?, None);
    let statistics = store.cache_statistics().ok_or("reads are cached")?;
    assert!(statistics.hits > statistics.misses, "{statistics:?}");
    Ok(())
}

#[tokio::test]
async fn without_permission_the_server_is_asked_each_time() -> TestResult {
    let server = RedisServer::start().await?;
    let rules = ["ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all"];
    server
        .command(&[&rules[..], &["-client|tracking"]].concat())
        .await?;
    let url = format!("redis://app:pw@{}", server.addr());
    let store = RedisStore::builder()
        .cached_reads(BOUND)
        .connect(&url)
        .await?;
    let sessions = Sessions::new(store.clone());
    let id = counter(&sessions).await?;
    for n in 0..20 {
        assert_eq!(count(&sessions, &id).await?, Some(n));
        add_one(&sessions, &id).await?;
    }
    let statistics = store.cache_statistics().ok_or("reads are cached")?;
    assert_eq!((statistics.hits, statistics.misses), (0, 20));
    Ok(())
}

#[tokio::test]
async fn a_user_that_may_not_ask_for_the_role_caches_all_the_same() -> TestResult {
    let server = RedisServer::start().await?;
    let rules = [
        "ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-role",
    ];
    server.command(&rules).await?;
    let url = format!("redis://app:pw@{}", server.addr());
    let store = RedisStore::builder()
        .cached_reads(SHORT)
        .connect(&url)
        .await?;
    let sessions = Sessions::new(store.clone());
    let id = counter(&sessions).await?;
    let start = SystemClock.now();
    while since(start) < SHORT * 4 {
        assert_eq!(count(&sessions, &id).await?, Some(0));
        tokio::task::yield_now().await;
    }
    let statistics = store.cache_statistics().ok_or("reads are cached")?;
    assert!(
        statistics.hits > 0 && statistics.sessions == 1,
        "{statistics:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_bound_of_zero_or_below_a_round_trip_is_refused() -> TestResult {
    let server = shared().await?;
    for bound in [
        Duration::ZERO,
        Duration::from_micros(999),
        Duration::from_secs(61),
    ] {
        let refused = RedisStore::builder().cached_reads(bound);
        let refused = refused.connect(&server.url()).await;
        assert!(
            matches!(refused, Err(Error::Config(_))),
            "{bound:?}: {refused:?}"
        );
    }
    let refused = RedisStore::builder().cache_memory(1000);
    assert!(matches!(
        refused.connect(&server.url()).await,
        Err(Error::Config(_))
    ));

    let proxy = Proxy::start(server).await?;
    proxy.delay(Duration::from_millis(50));
    let near = |bound| RedisStore::builder().cached_reads(bound);
    let error = near(Duration::from_millis(20)).connect(&proxy.url()).await;
    let error = error.err().ok_or("a bound below a round trip")?;
    assert!(chain(&error).contains("round trip"), "{}", chain(&error));
    near(Duration::from_secs(10)).connect(&proxy.url()).await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_error_and_no_session() -> TestResult {
    let server = RedisServer::start().await?;
    let fixture = Fixture::new(&server, SHORT).await?;
    let id = fixture.known().await?;
    fixture.proxy.cut().await;
    let cut = SystemClock.now();
    let error = loop {
        match count(&fixture.cached, &id).await {
            Ok(seen) => assert_eq!(seen, Some(0)),
            Err(error) => break error,
        }
        assert!(since(cut) < SHORT + Duration::from_secs(5));
    };
    let Error::Read(ReadError::Store(error)) = &error else {
        return Err(chain(&error).into());
    };
    assert_eq!(error.fault(), &Fault::Unreachable);
    fixture.proxy.heal().await?;
    let healed = SystemClock.now();
    while count(&fixture.cached, &id).await.ok().flatten() != Some(0) {
        assert!(since(healed) < BOUND, "it does not recover");
    }
    Ok(())
}

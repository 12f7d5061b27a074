//! How often a request goes to the server and back, counted at the wire.

use session_core::{Error, SessionData, SessionId, Sessions};
use session_testkit::servers::Proxy;

use crate::support::{TestResult, add_one, builder, count, counter, shared};

struct Wire {
    proxy: Proxy,
    sessions: Sessions,
    id: SessionId,
}

impl Wire {
    async fn tap() -> TestResult<Self> {
        let proxy = Proxy::start(shared().await?).await?;
        let sessions = Sessions::new(builder().connect(&proxy.url()).await?);
        let id = counter(&sessions).await?;
        proxy.clear_log();
        Ok(Self {
            proxy,
            sessions,
            id,
        })
    }

    async fn updates(&self) -> TestResult {
        let change = |data: &mut SessionData| data.modify("n", |n: &mut u32| *n += 1);
        let updated = self.sessions.update(&self.id, change).await;
        Ok(updated.map_err(|error| format!("{error:?}"))?)
    }

    fn flights(&self) -> Vec<Vec<String>> {
        let names = |flight: &session_testkit::servers::Flight| {
            flight.names().into_iter().map(str::to_owned).collect()
        };
        self.proxy.flights().iter().map(names).collect()
    }
}

#[tokio::test]
async fn an_uncontended_change_takes_two_flights() -> TestResult {
    let wire = Wire::tap().await?;
    add_one(&wire.sessions, &wire.id).await?;
    assert_eq!(wire.flights(), [vec!["SET", "GET"], vec!["EVALSHA"]]);
    Ok(())
}

#[tokio::test]
async fn a_large_record_takes_two_flights_too() -> TestResult {
    let wire = Wire::tap().await?;
    let large = async |session: &mut session_core::SessionGuard| -> Result<(), Error> {
        Ok(session.insert("pad", "x".repeat(16 * 1024))?)
    };
    wire.sessions.with(&wire.id, large).await?;
    assert_eq!(wire.flights(), [vec!["SET", "GET"], vec!["SET", "EVALSHA"]]);
    Ok(())
}

#[tokio::test]
async fn a_lock_without_a_change_takes_two_flights() -> TestResult {
    let wire = Wire::tap().await?;
    wire.sessions
        .with(&wire.id, async |_| Ok::<_, Error>(()))
        .await?;
    assert_eq!(wire.flights(), [vec!["SET", "GET"], vec!["EVALSHA"]]);
    Ok(())
}

#[tokio::test]
async fn the_first_update_takes_two_flights_and_the_next_one_each() -> TestResult {
    let wire = Wire::tap().await?;
    let (reads, writes) = (vec!["PTTL", "GET"], vec!["EVALSHA"]);
    wire.updates().await?;
    assert_eq!(wire.flights(), [reads, writes.clone()]);
    wire.proxy.clear_log();
    wire.updates().await?;
    wire.updates().await?;
    assert_eq!(wire.flights(), [writes.clone(), writes]);
    Ok(())
}

#[tokio::test]
async fn an_update_reads_again_while_others_write_the_session() -> TestResult {
    let wire = Wire::tap().await?;
    let (reads, writes) = (vec!["PTTL", "GET"], vec!["EVALSHA"]);
    wire.updates().await?;
    // As another process: without what this one remembers.
    wire.sessions
        .with(&wire.id, async |session| session.insert("n", 7))
        .await?;
    let expected = [
        vec![writes.clone(), reads.clone(), writes.clone()],
        vec![reads, writes.clone()],
        vec![writes],
    ];
    for flights in expected {
        wire.proxy.clear_log();
        wire.updates().await?;
        assert_eq!(wire.flights(), flights);
    }
    assert_eq!(count(&wire.sessions, &wire.id).await?, Some(10));
    Ok(())
}

#[tokio::test]
async fn a_snapshot_takes_one_flight() -> TestResult {
    let wire = Wire::tap().await?;
    assert!(wire.sessions.snapshot(&wire.id).await?.is_some());
    assert_eq!(wire.flights(), [["PTTL", "GET"]]);
    Ok(())
}

#[tokio::test]
async fn reading_an_unknown_session_takes_one_flight_and_stores_nothing() -> TestResult {
    let wire = Wire::tap().await?;
    assert!(
        wire.sessions
            .snapshot(&SessionId::random())
            .await?
            .is_none()
    );
    assert_eq!(wire.flights(), [["PTTL", "GET"]]);
    Ok(())
}

#[tokio::test]
async fn locking_an_unknown_session_waits_for_one_flight() -> TestResult {
    let wire = Wire::tap().await?;
    let error = wire.sessions.lock(&SessionId::random()).await.unwrap_err();
    assert!(
        matches!(error, session_core::AcquireError::NoSession),
        "{error:?}"
    );
    // The release goes behind it, on the same connection, and nobody waits for it.
    wire.sessions
        .shutdown(std::time::Duration::from_secs(5))
        .await?;
    assert_eq!(wire.flights().concat(), ["SET", "GET", "EVALSHA"]);
    let connections: std::collections::HashSet<u64> = wire
        .proxy
        .requests()
        .iter()
        .map(|r| r.connection())
        .collect();
    assert_eq!(connections.len(), 1);
    Ok(())
}

#[tokio::test]
async fn creating_takes_one_flight() -> TestResult {
    let wire = Wire::tap().await?;
    counter(&wire.sessions).await?;
    assert_eq!(wire.flights(), [["EVALSHA"]]);
    Ok(())
}

#[tokio::test]
async fn ending_takes_one_flight() -> TestResult {
    let wire = Wire::tap().await?;
    wire.sessions.destroy(&wire.id).await?;
    assert_eq!(wire.flights(), [["EVALSHA"]]);
    Ok(())
}

#[tokio::test]
async fn a_touch_is_sent_behind_a_read_when_a_tenth_of_the_idle_time_is_over() -> TestResult {
    let server = shared().await?;
    let proxy = Proxy::start(server).await?;
    let prefix = crate::support::fresh_prefix();
    let store = session_redis::RedisStore::builder()
        .prefix(&prefix)
        .connect(&proxy.url())
        .await?;
    let sessions = Sessions::new(store);
    let id = counter(&sessions).await?;
    let record = crate::support::only_key(server, &prefix, "session").await?;
    server.command(&["PEXPIRE", &record, "1000000"]).await?;
    proxy.clear_log();
    sessions.snapshot(&id).await?;
    // The second read finds the session touched, so the touch was sent behind the first one.
    loop {
        let remaining = sessions
            .snapshot(&id)
            .await?
            .ok_or("gone")?
            .remaining()
            .idle;
        if remaining > std::time::Duration::from_secs(1_700) {
            break;
        }
    }
    let first: Vec<String> = proxy.flights()[0]
        .names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(first, ["PTTL", "GET"]);
    let touches = || {
        proxy
            .requests()
            .iter()
            .filter(|request| request.name() == "EVALSHA")
            .count()
    };
    let sent = touches();
    assert!(sent >= 1);
    sessions.snapshot(&id).await?;
    assert_eq!(touches(), sent, "a touched session is not touched again");
    Ok(())
}

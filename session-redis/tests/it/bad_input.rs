//! Records, keys and servers that are not as they should be.

use std::time::Duration;

use session_core::{
    AcquireError, BadRecord, CommitError, DestroyError, Error, Fault, ReadError, SessionId,
    Sessions,
};
use session_redis::RedisStore;
use session_testkit::servers::RedisServer;

use crate::support::{
    TestResult, builder, chain, count, counter, fresh_prefix, get, only_key, set, shared,
};

struct Damaged {
    server: &'static RedisServer,
    sessions: Sessions,
    id: SessionId,
    prefix: String,
    record: String,
}

impl Damaged {
    async fn session() -> TestResult<Self> {
        let (server, prefix) = (shared().await?, fresh_prefix());
        let sessions = Sessions::new(
            RedisStore::builder()
                .prefix(&prefix)
                .connect(&server.url())
                .await?,
        );
        let id = counter(&sessions).await?;
        let record = only_key(server, &prefix, "session").await?;
        Ok(Self {
            server,
            sessions,
            id,
            prefix,
            record,
        })
    }

    /// Every way to use the session is the same typed error, and names the key only by its hash.
    async fn assert_refused(
        &self,
        expected: impl Fn(BadRecord) -> bool,
        can_be_ended: bool,
    ) -> TestResult {
        let fingerprint = self.id.key().fingerprint().to_string();
        let check = |fault: BadRecord, text: &str| {
            assert!(expected(fault), "{fault:?}");
            assert!(
                text.contains(&fingerprint) && !text.contains(self.id.expose()),
                "{text}"
            );
        };
        match self.sessions.snapshot(&self.id).await {
            Err(ReadError::Record(error)) => check(error.fault, &error.to_string()),
            other => return Err(format!("{other:?}").into()),
        }
        match self.sessions.lock(&self.id).await {
            Err(AcquireError::Record(error)) => check(error.fault, &error.to_string()),
            other => return Err(format!("{other:?}").into()),
        }
        match self.sessions.destroy(&self.id).await {
            Err(DestroyError::Record(error)) if !can_be_ended => {
                assert_eq!(error.key, self.id.key().fingerprint());
            }
            Ok(()) if can_be_ended => {}
            other => return Err(format!("{other:?}").into()),
        }
        Ok(())
    }
}

#[tokio::test]
async fn corrupt_foreign_and_newer_records_are_refused_and_left_alone() -> TestResult {
    let damaged = Damaged::session().await?;
    let good = get(damaged.server, &damaged.record)
        .await?
        .ok_or("no record")?;
    let mut newer = good.clone();
    newer[26] = 9;
    let mut kind = good.clone();
    kind[27] = b'?';
    let mut attempts = good.clone();
    attempts[69] = 255;
    for (bytes, expected) in [
        (b"{\"user\": 1}".to_vec(), BadRecord::Foreign),
        (good[..26].to_vec(), BadRecord::CutOff),
        (good[..60].to_vec(), BadRecord::CutOff),
        (newer, BadRecord::Newer { version: 9 }),
        (attempts, BadRecord::CutOff),
    ] {
        set(damaged.server, &damaged.record, &bytes).await?;
        damaged
            .assert_refused(|fault| fault == expected, false)
            .await?;
        assert_eq!(
            get(damaged.server, &damaged.record).await?,
            Some(bytes),
            "left as it was"
        );
    }
    set(damaged.server, &damaged.record, &kind).await?;
    damaged
        .assert_refused(|fault| fault == BadRecord::UnknownKind, true)
        .await?;
    Ok(())
}

#[tokio::test]
async fn bodies_that_are_too_deep_too_large_or_broken_are_refused_until_the_session_is_ended()
-> TestResult {
    let damaged = Damaged::session().await?;
    let good = get(damaged.server, &damaged.record)
        .await?
        .ok_or("no record")?;
    let head = 70 + 12 * usize::from(good[69]);
    let with_body = |body: &[u8]| [&good[..head], body].concat();
    let deep = [&[0x81, 0xa1, b'a'][..], &[0x91; 500]].concat();
    for body in [
        deep,
        vec![0xc1],
        good[head..good.len() - 1].to_vec(),
        vec![b'x'; (1 << 20) + 1],
    ] {
        let bytes = with_body(&body);
        set(damaged.server, &damaged.record, &bytes).await?;
        let id = &damaged.id;
        assert!(matches!(
            damaged.sessions.snapshot(id).await,
            Err(ReadError::Record(_))
        ));
        assert!(matches!(
            damaged.sessions.lock(id).await,
            Err(AcquireError::Record(_))
        ));
        assert_eq!(
            get(damaged.server, &damaged.record).await?,
            Some(bytes),
            "left as it was"
        );
    }
    damaged.sessions.destroy(&damaged.id).await?;
    assert!(damaged.sessions.snapshot(&damaged.id).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn keys_of_another_type_are_refused_and_left_alone() -> TestResult {
    let damaged = Damaged::session().await?;
    damaged.server.command(&["DEL", &damaged.record]).await?;
    damaged
        .server
        .command(&["RPUSH", &damaged.record, "a"])
        .await?;
    damaged
        .server
        .command(&["PEXPIRE", &damaged.record, "600000"])
        .await?;
    damaged
        .assert_refused(|fault| fault == BadRecord::WrongType, false)
        .await?;
    let len = damaged.server.command(&["LLEN", &damaged.record]).await?;
    assert_eq!(len, redis::Value::Int(1));
    Ok(())
}

#[tokio::test]
async fn a_record_that_is_replaced_under_a_guard_is_never_overwritten() -> TestResult {
    let damaged = Damaged::session().await?;
    let mut session = damaged.sessions.lock(&damaged.id).await?;
    session.insert("n", 1)?;
    set(damaged.server, &damaged.record, b"somebody else's").await?;
    let error = session.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::Record(_)), "{error:?}");
    assert_eq!(
        get(damaged.server, &damaged.record).await?.as_deref(),
        Some(&b"somebody else's"[..])
    );
    Ok(())
}

#[tokio::test]
async fn a_lock_of_another_type_is_a_typed_error() -> TestResult {
    let damaged = Damaged::session().await?;
    let lock = damaged.record.replace(":session:", ":lock:");
    // As Redisson makes its locks.
    damaged
        .server
        .command(&["HSET", &lock, "owner", "1"])
        .await?;
    damaged
        .server
        .command(&["PEXPIRE", &lock, "600000"])
        .await?;
    match damaged.sessions.lock(&damaged.id).await {
        Err(AcquireError::Record(error)) => assert_eq!(error.fault, BadRecord::ForeignLock),
        other => return Err(format!("{other:?}").into()),
    }
    let kind = damaged.server.command(&["TYPE", &lock]).await?;
    assert_eq!(kind, redis::Value::SimpleString("hash".to_owned()));
    assert_eq!(
        damaged
            .server
            .keys(&format!("{}:*:queue:*", damaged.prefix))
            .await?
            .len(),
        0
    );
    Ok(())
}

async fn connect_error(url: &str) -> TestResult<String> {
    let connecting = RedisStore::builder()
        .call_timeout(Duration::from_millis(500))
        .connect(url);
    // A safety bound far above the call timeout.
    match tokio::time::timeout(Duration::from_secs(10), connecting).await? {
        Err(error) => Ok(chain(&error)),
        Ok(_) => Err("connected".into()),
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown() -> TestResult {
    let server = RedisServer::builder()
        .password("correct horse")
        .start()
        .await?;
    let addr = server.addr();
    let text = connect_error(&format!("redis://:battery@{addr}")).await?;
    assert!(
        text.contains(&addr.to_string()) && text.contains("check user name, password"),
        "{text}"
    );
    assert!(!text.contains("battery"), "{text}");
    let text = connect_error(&format!("redis://{addr}")).await?;
    assert!(text.contains("check user name, password"), "{text}");
    RedisStore::connect(&server.url()).await?;
    Ok(())
}

#[tokio::test]
async fn wrong_urls_and_unreachable_hosts_say_what_to_do() -> TestResult {
    let text = connect_error("http://example.org").await?;
    assert!(text.contains("expected redis://"), "{text}");
    let text = connect_error("redis://:secret@host:notaport").await?;
    assert!(
        text.contains("expected redis://") && !text.contains("secret"),
        "{text}"
    );
    let server = RedisServer::start().await?;
    let addr = server.addr();
    server.stop().await?;
    let text = connect_error(&format!("redis://{addr}")).await?;
    assert!(
        text.contains(&addr.to_string()) && text.contains("check that the server runs"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn a_replica_is_refused_at_connect_and_later() -> TestResult {
    let (primary, other) = (RedisServer::start().await?, RedisServer::start().await?);
    let sessions = Sessions::new(builder().connect(&other.url()).await?);
    let id = counter(&sessions).await?;
    let (host, port) = (
        primary.addr().ip().to_string(),
        primary.addr().port().to_string(),
    );
    other.command(&["REPLICAOF", &host, &port]).await?;
    let text = connect_error(&other.url()).await?;
    assert!(text.contains("connect to the primary"), "{text}");
    match sessions.lock(&id).await {
        Err(AcquireError::Store(error)) => {
            assert_eq!(*error.fault(), Fault::ReadOnly);
            assert!(!error.is_retryable());
        }
        // The replica has taken over the primary's data, which knows nothing of the session.
        Err(AcquireError::NoSession) => return Err("locked on a replica".into()),
        other => return Err(format!("{other:?}").into()),
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_unless_its_policy_is_accepted_by_name() -> TestResult {
    let server = RedisServer::builder()
        .config("maxmemory", "50mb")
        .config("maxmemory-policy", "allkeys-lru")
        .start()
        .await?;
    let text = connect_error(&server.url()).await?;
    assert!(text.contains("maxmemory-policy allkeys-lru"), "{text}");
    builder()
        .accept_eviction_policy("allkeys-lru")
        .connect(&server.url())
        .await?;
    assert!(
        builder()
            .accept_eviction_policy("volatile-ttl")
            .connect(&server.url())
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn a_user_without_permission_for_scripts_is_told_so() -> TestResult {
    let server = RedisServer::start().await?;
    server
        .command(&[
            "ACL",
            "SETUSER",
            "narrow",
            "on",
            ">pw",
            "~latchkey:*",
            "+get",
            "+set",
            "+info",
            "+time",
        ])
        .await?;
    let text = connect_error(&format!("redis://narrow:pw@{}", server.addr())).await?;
    assert!(text.contains("permissions"), "{text}");
    Ok(())
}

#[tokio::test]
async fn settings_out_of_range_are_refused_before_anything_is_connected() -> TestResult {
    let nowhere = "redis://127.0.0.1:1";
    let bad = [
        RedisStore::builder().prefix("a{b}"),
        RedisStore::builder().prefix(""),
        RedisStore::builder().call_timeout(Duration::ZERO),
        RedisStore::builder().resolve_timeout(Duration::ZERO),
    ];
    for builder in bad {
        assert!(matches!(
            builder.connect(nowhere).await,
            Err(Error::Config(_))
        ));
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_loading_is_told_from_one_that_is_down() -> TestResult {
    let server = RedisServer::builder()
        .durable()
        // In microseconds; the server looks at its clients every 1,024 commands meanwhile.
        .config("key-load-delay", "400")
        .start()
        .await?;
    let sessions = Sessions::new(RedisStore::connect(&server.url()).await?);
    let id = counter(&sessions).await?;
    let fill = "for i = 1, 5000 do redis.call('SET', 'filler:' .. i, i, 'PX', 60000) end";
    server.command(&["EVAL", fill, "0"]).await?;
    let (mut heard, url) = (None, server.url());
    let mut restart = std::pin::pin!(server.restart());
    // The fixture waits until the server has its data; meanwhile it answers that it is loading.
    loop {
        tokio::select! {
            restarted = &mut restart => break restarted?,
            error = builder().connect(&url) => match error {
                Err(Error::Store(error)) if *error.fault() == Fault::Loading => heard = Some(error),
                Err(Error::Store(error)) => assert!(error.is_retryable(), "{error}"),
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            },
        }
    }
    let heard = heard.ok_or("the server was never seen loading")?;
    assert!(
        heard.is_retryable() && heard.to_string().contains("loading"),
        "{heard}"
    );
    assert_eq!(count(&sessions, &id).await?, Some(0));
    Ok(())
}

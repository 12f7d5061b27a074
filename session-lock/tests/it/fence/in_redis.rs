use std::time::Duration;

use futures_util::future::join_all;
use redis::Value;
use session_lock::{
    Fault, FencingToken,
    fence::{Accept, FenceError, RedisFence, StaleToken, lua},
};
use session_testkit::servers::RedisServer;

use super::{assert_grows, paused_and_next, shuffled};
use crate::{
    bench::Quorum,
    support::{TestResult, fresh_prefix},
};

/// The largest token so far, where the outcome is that a token is refused.
fn highest(outcome: Result<(), FenceError>) -> u64 {
    match outcome {
        Err(FenceError::Stale(StaleToken { highest, .. })) => highest.0,
        other => panic!("not refused as stale: {other:?}"),
    }
}

async fn get(server: &RedisServer, key: &str) -> TestResult<Option<String>> {
    let mut connection = server.connection().await?;
    Ok(redis::cmd("GET")
        .arg(key)
        .query_async(&mut connection)
        .await?)
}

#[tokio::test]
async fn a_holder_that_was_paused_is_refused() -> TestResult {
    let server = RedisServer::shared().await?;
    let (fence, key) = (RedisFence::connect(&server.url())?, fresh_prefix());
    let quorum = Quorum::of(3);
    let (paused, next) = paused_and_next(&quorum).await;
    fence.set(&key, "of the next", next.fencing_token()).await?;
    let late = fence.set(&key, "late", paused.fencing_token()).await;
    assert_eq!(highest(late), next.fencing_token().0);
    assert_eq!(get(server, &key).await?.as_deref(), Some("of the next"));
    let late = fence.accept(&key, paused.fencing_token()).await;
    assert_eq!(highest(late), next.fencing_token().0);
    Ok(())
}

#[tokio::test]
async fn only_a_larger_token_is_accepted_unless_the_same_is_asked_for() -> TestResult {
    let server = RedisServer::shared().await?;
    let (once, key) = (RedisFence::connect(&server.url())?, fresh_prefix());
    let again = RedisFence::builder().accepting(Accept::LargerOrSame);
    let again = again.connect(&server.url())?;
    let token = FencingToken(7);
    once.set(&key, "first", token).await?;
    assert_eq!(highest(once.set(&key, "second", token).await), 7);
    assert_eq!(highest(once.accept(&key, token).await), 7);
    assert_eq!(get(server, &key).await?.as_deref(), Some("first"));
    again.accept(&key, token).await?;
    again.set(&key, "third", token).await?;
    assert_eq!(get(server, &key).await?.as_deref(), Some("third"));
    assert_eq!(highest(again.set(&key, "late", FencingToken(6)).await), 7);
    Ok(())
}

/// Beyond 2^53 Lua cannot tell neighbours apart, and as text 9 would come after 10.
#[tokio::test]
async fn tokens_of_any_size_are_compared_exactly() -> TestResult {
    let server = RedisServer::shared().await?;
    let (fence, key) = (RedisFence::connect(&server.url())?, fresh_prefix());
    let two_to_53 = 1 << 53;
    let growing = [
        1,
        9,
        10,
        99,
        100,
        two_to_53 - 1,
        two_to_53,
        two_to_53 + 1,
        u64::MAX - 1,
        u64::MAX,
    ];
    for (index, token) in growing.into_iter().enumerate() {
        fence.set(&key, "value", FencingToken(token)).await?;
        for late in &growing[..=index] {
            assert_eq!(
                highest(fence.accept(&key, FencingToken(*late)).await),
                token
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn writers_at_the_same_time_never_go_back() -> TestResult {
    let server = RedisServer::shared().await?;
    let key = fresh_prefix();
    let fences = [(); 4].map(|()| RedisFence::connect(&server.url()).unwrap());
    let write = |(index, token): (usize, u64)| {
        let (fence, key) = (&fences[index % fences.len()], &key);
        async move {
            let written = fence.set(key, token.to_string(), FencingToken(token)).await;
            let stands = get(server, key).await.unwrap().unwrap();
            // Whoever was accepted finds its own value or a larger one; whoever was not, a larger one.
            let stands: u64 = stands.parse().unwrap();
            match written {
                Ok(()) => assert!(stands >= token, "{stands} stands after {token}"),
                outcome => assert!(highest(outcome) > token && stands > token),
            }
        }
    };
    join_all(shuffled(500).into_iter().enumerate().map(write)).await;
    assert_eq!(get(server, &key).await?.as_deref(), Some("500"));
    Ok(())
}

#[tokio::test]
async fn a_script_of_ones_own_can_begin_with_the_check() -> TestResult {
    let server = RedisServer::shared().await?;
    let (list, fence) = (fresh_prefix(), fresh_prefix());
    let push = "local refused = accept_token(KEYS[2], ARGV[1], '0', 60000)
        if refused then return refused end
        redis.call('RPUSH', KEYS[1], ARGV[1])
        return 1";
    let push = [lua::ACCEPT_TOKEN, push].concat();
    let call = |token: u64| {
        let (push, list, fence) = (&push, &list, &fence);
        async move {
            let mut connection = server.connection().await.unwrap();
            let mut call = redis::cmd("EVAL");
            call.arg(push).arg(2).arg(list).arg(fence).arg(token);
            call.query_async::<Value>(&mut connection).await.unwrap()
        }
    };
    let answers = join_all(shuffled(200).into_iter().map(call)).await;
    let accepted = answers.iter().filter(|answer| **answer == Value::Int(1));
    let mut connection = server.connection().await?;
    let mut all = redis::cmd("LRANGE");
    all.arg(&list).arg(0).arg(-1);
    let pushed: Vec<u64> = all.query_async(&mut connection).await?;
    assert_eq!(accepted.count(), pushed.len());
    assert_grows(&pushed, 200);
    Ok(())
}

#[tokio::test]
async fn the_scripts_serve_other_clients_as_text() -> TestResult {
    let server = RedisServer::shared().await?;
    let (key, fence) = (fresh_prefix(), fresh_prefix());
    let set = async |value, token| {
        let words = ["EVAL", lua::FENCED_SET, "2", &key, &fence, value, token];
        server
            .command(&[&words[..], &["0", "60000"]].concat())
            .await
    };
    assert_eq!(set("first", "10").await?, Value::Int(1));
    let refused = Value::Array(vec![Value::Int(0), Value::BulkString(b"10".to_vec())]);
    // Zeros in front, as some languages print numbers, do not make a token larger.
    for late in ["9", "10", "0010"] {
        assert_eq!(set("late", late).await?, refused, "{late}");
    }
    assert_eq!(get(server, &key).await?.as_deref(), Some("first"));
    let accept = [
        "EVAL",
        lua::FENCED_ACCEPT,
        "1",
        &fence,
        "0011",
        "0",
        "60000",
    ];
    assert_eq!(server.command(&accept).await?, Value::Int(1));
    assert_eq!(get(server, &fence).await?.as_deref(), Some("11"));
    for no_number in ["", "1.5", "-1", "0x10", "1e9"] {
        set("no number", no_number).await.unwrap_err();
    }
    Ok(())
}

#[tokio::test]
async fn a_fence_is_kept_for_a_day_and_the_value_for_ever() -> TestResult {
    let server = RedisServer::shared().await?;
    let (fence, key) = (RedisFence::connect(&server.url())?, fresh_prefix());
    fence.set(&key, "value", FencingToken(7)).await?;
    let fence_key = String::from_utf8(RedisFence::fence_key(&key)?)?;
    let ttl_ms = |answer| match answer {
        Value::Int(ms) => ms,
        other => panic!("no time: {other:?}"),
    };
    let fence_ms = ttl_ms(server.command(&["PTTL", &fence_key]).await?);
    assert!((86_340_000..=86_400_000).contains(&fence_ms), "{fence_ms}");
    assert_eq!(ttl_ms(server.command(&["PTTL", &key]).await?), -1);
    let hour = Duration::from_secs(3_600);
    let shorter = RedisFence::builder()
        .fence_ttl(hour)
        .connect(&server.url())?;
    shorter.accept(&key, FencingToken(8)).await?;
    assert!(ttl_ms(server.command(&["PTTL", &fence_key]).await?) <= 3_600_000);
    Ok(())
}

#[tokio::test]
async fn a_key_of_another_type_is_named_and_left_alone() -> TestResult {
    let server = RedisServer::shared().await?;
    let fence = RedisFence::connect(&server.url())?;
    let list = fresh_prefix();
    server.command(&["RPUSH", &list, "entry"]).await?;
    let (hash, text) = (fresh_prefix(), fresh_prefix());
    let fence_key = |key: &str| String::from_utf8(RedisFence::fence_key(key).unwrap()).unwrap();
    server
        .command(&["HSET", &fence_key(&hash), "field", "1"])
        .await?;
    server
        .command(&["SET", &fence_key(&text), "no number"])
        .await?;
    for (key, named) in [
        (&list, list.clone()),
        (&hash, fence_key(&hash)),
        (&text, fence_key(&text)),
    ] {
        let error = fence.set(key, "value", FencingToken(7)).await.unwrap_err();
        assert!(!error.is_retryable());
        match error {
            FenceError::WrongType { key, .. } => assert_eq!(key, named),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(get(server, &hash).await?, None);
    assert_eq!(get(server, &fence_key(&list)).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_key_without_a_fence_is_refused_before_the_server_is_asked() -> TestResult {
    let fence = RedisFence::connect("redis://127.0.0.1:1")?;
    for key in ["", "a}b"] {
        let error = fence.set(key, "value", FencingToken(7)).await.unwrap_err();
        assert!(matches!(error, FenceError::Key { .. }), "{error:?}");
    }
    let error = fence
        .set("key", "value", FencingToken(7))
        .await
        .unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    Ok(())
}

#[tokio::test]
async fn settings_out_of_their_range_are_refused() {
    let builder = RedisFence::builder;
    for builder in [
        builder().fence_ttl(Duration::ZERO),
        builder().fence_ttl(Duration::MAX),
        builder().call_timeout(Duration::ZERO),
    ] {
        let error = builder.connect("redis://127.0.0.1").unwrap_err();
        assert!(matches!(error.fault(), Fault::Unsuitable(_)), "{error}");
    }
    let error = RedisFence::connect("http://user:secret@host").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[tokio::test]
async fn a_user_without_permission_is_told_so() -> TestResult {
    let server = RedisServer::start().await?;
    let rules = [
        "on",
        ">secret",
        "~mine:*",
        "~{mine:*",
        "+@all",
        "-@admin",
        "-@dangerous",
    ];
    let mut words = vec!["ACL", "SETUSER", "worker"];
    words.extend(rules);
    server.command(&words).await?;
    let fence = RedisFence::connect(&format!("redis://worker:secret@{}", server.addr()))?;
    // INFO is not permitted to this user, and not needed.
    fence.set("mine:1", "value", FencingToken(7)).await?;
    for denied in ["theirs:1", "mine:2"] {
        if denied == "mine:2" {
            server
                .command(&["ACL", "SETUSER", "worker", "-set"])
                .await?;
        }
        match fence.set(denied, "value", FencingToken(7)).await {
            Err(FenceError::Fault(fault)) => assert_eq!(*fault.fault(), Fault::Denied, "{fault}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(get(&server, denied).await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_unless_accepted_by_name() -> TestResult {
    let server = RedisServer::builder().config("maxmemory-policy", "volatile-lru");
    let server = server.start().await?;
    let fence = RedisFence::connect(&server.url())?;
    let error = fence.accept("key", FencingToken(7)).await.unwrap_err();
    assert!(error.to_string().contains("volatile-lru"), "{error}");
    let builder = RedisFence::builder().accept_eviction_policy("volatile-lru");
    builder
        .connect(&server.url())?
        .accept("key", FencingToken(7))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_has_lost_the_scripts_gets_them_again() -> TestResult {
    let server = RedisServer::start().await?;
    let fence = RedisFence::connect(&server.url())?;
    fence.set("key", "first", FencingToken(7)).await?;
    server.flush_scripts().await?;
    fence.set("key", "second", FencingToken(8)).await?;
    server.flush_scripts().await?;
    assert_eq!(highest(fence.accept("key", FencingToken(8)).await), 8);
    Ok(())
}

/// The token must not count as seen by a write that did not happen: its holder would be refused when it tries again.
#[tokio::test]
async fn a_write_that_fails_leaves_the_fence_as_it_was() -> TestResult {
    let server = RedisServer::shared().await?;
    let second_set_fails = "local sets, real = 0, redis
        local redis = setmetatable({pcall = function(name, ...)
          if name == 'SET' then sets = sets + 1 end
          if name == 'SET' and sets == 2 then return {err = 'OOM command not allowed'} end
          return real.pcall(name, ...)
        end}, {__index = real})\n";
    let broken = RedisFence::builder().script_prelude(second_set_fails);
    let (broken, fence) = (
        broken.connect(&server.url())?,
        RedisFence::connect(&server.url())?,
    );
    let key = fresh_prefix();
    let fence_key = String::from_utf8(RedisFence::fence_key(&key)?)?;
    for (token, before) in [(7, None), (8, Some("7"))] {
        match broken.set(&key, "lost", FencingToken(token)).await {
            Err(FenceError::Fault(fault)) => assert_eq!(*fault.fault(), Fault::Full),
            other => panic!("{other:?}"),
        }
        assert_eq!(get(server, &fence_key).await?.as_deref(), before);
        fence.set(&key, "stored", FencingToken(token)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn value_and_fence_are_in_one_slot_of_a_cluster() -> TestResult {
    let server = RedisServer::builder().cluster().start().await?;
    let fence = RedisFence::connect(&server.url())?;
    for key in ["plain", "tag:{17}", "{17}:tag", "open{brace", "}{17}"] {
        let fence_key = String::from_utf8(RedisFence::fence_key(key)?)?;
        let slot = server.command(&["CLUSTER", "KEYSLOT", key]).await?;
        assert_eq!(
            server.command(&["CLUSTER", "KEYSLOT", &fence_key]).await?,
            slot
        );
        fence.set(key, "value", FencingToken(7)).await?;
        assert_eq!(get(&server, key).await?.as_deref(), Some("value"));
    }
    Ok(())
}

#[cfg(feature = "deadpool")]
#[tokio::test]
async fn a_pool_serves_as_well() -> TestResult {
    let server = RedisServer::shared().await?;
    let pool = deadpool_redis::Config::from_url(server.url()).create_pool(None)?;
    let (fence, key) = (
        RedisFence::builder().name("pool").from_pool(pool)?,
        fresh_prefix(),
    );
    fence.set(&key, "value", FencingToken(7)).await?;
    assert_eq!(highest(fence.set(&key, "late", FencingToken(6)).await), 7);
    Ok(())
}

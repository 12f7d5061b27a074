use redis::{ErrorKind, Value};
use session_testkit::servers::{RedisServer, ServerError, ServerKind};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{SILENCE, TestResult, connect, on_both_kinds};

on_both_kinds! {
    a_killed_server_refuses_connections_and_restarts_with_its_data_on_the_same_port,
    a_stopped_server_restarts_empty_unless_durable,
    a_stopped_server_shuts_down_in_order_and_a_killed_one_does_not,
    a_running_server_is_restarted,
    a_paused_server_keeps_silent_until_resumed,
    a_paused_server_can_be_killed,
    a_paused_server_can_be_stopped,
    a_full_server_refuses_a_set_until_drained,
    a_server_that_evicts_cannot_be_filled,
    killed_clients_lose_their_connections_and_may_come_back,
    flushed_scripts_are_unknown,
    keys_without_ttl_are_found_among_the_others,
}

async fn a_killed_server_refuses_connections_and_restarts_with_its_data_on_the_same_port(
    kind: ServerKind,
) -> TestResult {
    let server = RedisServer::builder().kind(kind).durable().start().await?;
    assert_eq!(setting(&server, "appendfsync").await?, "always");
    let (url, addr) = (server.url(), server.addr());
    server.command(&["SET", "key", "value"]).await?;
    let mut connection = connect(&url).await?;

    server.kill().await?;
    let lost: redis::RedisResult<()> = redis::cmd("PING").query_async(&mut connection).await;
    assert!(lost.unwrap_err().is_connection_dropped());
    let refused = TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(matches!(
        server.wait_ready().await,
        Err(ServerError::Ended { .. })
    ));

    server.restart().await?;
    assert_eq!((server.url(), server.addr()), (url, addr));
    assert_eq!(
        server.command(&["GET", "key"]).await?,
        Value::BulkString(b"value".to_vec())
    );
    Ok(())
}

async fn a_stopped_server_restarts_empty_unless_durable(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder().kind(kind).start().await?;
    server.command(&["SET", "key", "value"]).await?;
    server.stop().await?;
    let refused = TcpStream::connect(server.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    server.restart().await?;
    assert_eq!(server.command(&["GET", "key"]).await?, Value::Nil);
    Ok(())
}

async fn a_stopped_server_shuts_down_in_order_and_a_killed_one_does_not(
    kind: ServerKind,
) -> TestResult {
    // With a save point, Redis writes a snapshot when it shuts down.
    let server = RedisServer::builder()
        .kind(kind)
        .config("save", "3600 1000")
        .start()
        .await?;
    server.command(&["SET", "saved", "value"]).await?;
    server.stop().await?;
    server.restart().await?;
    server.command(&["SET", "unsaved", "value"]).await?;
    server.kill().await?;
    server.restart().await?;
    assert_eq!(server.keys("*").await?, ["saved"]);
    Ok(())
}

async fn a_running_server_is_restarted(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder().kind(kind).start().await?;
    let mut connection = server.connection().await?;
    server.restart().await?;
    let lost: redis::RedisResult<()> = redis::cmd("PING").query_async(&mut connection).await;
    assert!(lost.unwrap_err().is_connection_dropped());
    server.command(&["PING"]).await?;
    Ok(())
}

async fn a_paused_server_keeps_silent_until_resumed(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder().kind(kind).start().await?;
    let mut connection = server.connection().await?;
    server.pause().await?;
    server.pause().await?; // again, without effect

    let incr = redis::cmd("INCR").arg("n").to_owned();
    let answer = incr.query_async::<u64>(&mut connection);
    tokio::pin!(answer);
    assert!(timeout(SILENCE, &mut answer).await.is_err());

    server.resume().await?;
    assert_eq!(answer.await?, 1);
    Ok(())
}

async fn a_paused_server_can_be_killed(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder().kind(kind).durable().start().await?;
    server.command(&["SET", "key", "value"]).await?;
    server.pause().await?;
    server.kill().await?;
    assert!(TcpStream::connect(server.addr()).await.is_err());
    server.restart().await?;
    assert_eq!(server.keys("*").await?, ["key"]);
    Ok(())
}

async fn a_paused_server_can_be_stopped(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder().kind(kind).start().await?;
    server.pause().await?;
    server.stop().await?;
    assert!(TcpStream::connect(server.addr()).await.is_err());
    Ok(())
}

async fn a_full_server_refuses_a_set_until_drained(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder()
        .kind(kind)
        .config("maxmemory", "8mb")
        .start()
        .await?;
    let set = ["SET", "small", "value"];
    server.command(&set).await?;

    let filled = server.fill().await?;
    let ServerError::Redis { source, .. } = server.command(&set).await.unwrap_err() else {
        panic!("a full server answers");
    };
    assert_eq!(source.code(), Some("OOM"));
    // Freeing works on a full server.
    assert_eq!(server.command(&["DEL", "small"]).await?, Value::Int(1));
    assert_eq!(server.keys("*").await?.len(), filled.keys().len());

    server.drain(filled).await?;
    assert_eq!(setting(&server, "maxmemory").await?, "8388608");
    server.command(&set).await?;
    assert_eq!(server.keys("*").await?, ["small"]);
    Ok(())
}

async fn setting(server: &RedisServer, name: &str) -> Result<String, ServerError> {
    let setting = server.command(&["CONFIG", "GET", name]).await?;
    let (_, value): (String, String) = redis::from_redis_value(setting).unwrap();
    Ok(value)
}

async fn a_server_that_evicts_cannot_be_filled(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder()
        .kind(kind)
        .config("maxmemory", "8mb")
        .config("maxmemory-policy", "allkeys-lru")
        .start()
        .await?;
    let error = server.fill().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "filling needs maxmemory above 0 and noeviction; found 8388608 and allkeys-lru"
    );
    Ok(())
}

async fn killed_clients_lose_their_connections_and_may_come_back(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder().kind(kind).start().await?;
    let mut normal = server.connection().await?;
    // RESP3 lets a connection subscribe and go on.
    let mut subscriber = connect(&format!("{}?protocol=resp3", server.url())).await?;
    redis::cmd("SUBSCRIBE")
        .arg("channel")
        .exec_async(&mut subscriber)
        .await?;

    // Earlier connections may not be closed yet.
    assert!(server.kill_clients().await? >= 2);
    for connection in [&mut normal, &mut subscriber] {
        let lost: redis::RedisResult<()> = redis::cmd("PING").query_async(connection).await;
        assert!(lost.unwrap_err().is_connection_dropped());
    }
    server.connection().await?;
    Ok(())
}

async fn flushed_scripts_are_unknown(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder().kind(kind).start().await?;
    let mut connection = server.connection().await?;
    let sha: String = redis::cmd("SCRIPT")
        .arg(&["LOAD", "return 7"])
        .query_async(&mut connection)
        .await?;
    let run = redis::cmd("EVALSHA").arg(&sha).arg(0).to_owned();
    assert_eq!(run.query_async::<u64>(&mut connection).await?, 7);

    server.flush_scripts().await?;
    let unknown = run.query_async::<u64>(&mut connection).await.unwrap_err();
    assert_eq!(
        unknown.kind(),
        ErrorKind::Server(redis::ServerErrorKind::NoScript)
    );
    Ok(())
}

async fn keys_without_ttl_are_found_among_the_others(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder().kind(kind).start().await?;
    // More than SCAN returns in one page.
    let mut connection = server.connection().await?;
    let mut pipe = redis::pipe();
    for number in 0..2_500 {
        pipe.cmd("SET")
            .arg(format!("mortal:{number}"))
            .arg(&["value", "PX", "60000"]);
    }
    pipe.exec_async(&mut connection).await?;
    server.command(&["SET", "immortal", "value"]).await?;
    server
        .command(&["HSET", "eternal", "field", "value"])
        .await?;

    assert_eq!(server.keys_without_ttl().await?, ["eternal", "immortal"]);
    assert_eq!(server.keys("mortal:*").await?.len(), 2_500);
    Ok(())
}

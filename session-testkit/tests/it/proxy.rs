use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{PushKind, RedisResult};
use session_testkit::servers::{LinkFault, Proxy, RedisServer, resp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{SILENCE, TestResult, connect};

async fn proxied() -> Result<(RedisServer, Proxy, MultiplexedConnection), Box<dyn std::error::Error>>
{
    let server = RedisServer::start().await?;
    let proxy = Proxy::start(&server).await?;
    let connection = connect(&proxy.url()).await?;
    proxy.clear_log();
    Ok((server, proxy, connection))
}

async fn incr(connection: &mut MultiplexedConnection, key: &str) -> RedisResult<u64> {
    redis::cmd("INCR").arg(key).query_async(connection).await
}

/// Waits until the proxy has read a request of this name.
async fn received(proxy: &Proxy, name: &str) -> TestResult {
    let arrives = async {
        while !proxy
            .requests()
            .iter()
            .any(|request| request.name() == name)
        {
            tokio::task::yield_now().await;
        }
    };
    Ok(timeout(Duration::from_secs(10), arrives).await?)
}

#[tokio::test]
async fn a_pipeline_is_one_flight_and_single_commands_are_one_each() -> TestResult {
    let (_server, proxy, mut connection) = proxied().await?;
    let large = vec![7_u8; 1 << 20];
    let (read,): (Vec<u8>,) = redis::pipe()
        .cmd("SET")
        .arg("large")
        .arg(&large)
        .ignore()
        .cmd("GET")
        .arg("large")
        .query_async(&mut connection)
        .await?;
    assert_eq!(read, large);
    incr(&mut connection, "n").await?;
    incr(&mut connection, "n").await?;

    let flights = proxy.flights();
    let names: Vec<_> = flights.iter().map(|flight| flight.names()).collect();
    assert_eq!(names, [vec!["SET", "GET"], vec!["INCR"], vec!["INCR"]]);
    assert_eq!(proxy.requests()[0].args()[1], large);

    proxy.clear_log();
    assert!(proxy.flights().is_empty());
    Ok(())
}

#[tokio::test]
async fn requests_name_their_connection_and_hide_their_arguments() -> TestResult {
    let (_server, proxy, mut one) = proxied().await?;
    let mut two = connect(&proxy.url()).await?;
    proxy.clear_log();
    incr(&mut one, "secret").await?;
    incr(&mut two, "secret").await?;
    let requests = proxy.requests();
    assert_ne!(requests[0].connection(), requests[1].connection());
    assert_eq!(proxy.flights().len(), 2);
    assert_eq!(format!("{requests:?}"), "[INCR(1 args), INCR(1 args)]");
    Ok(())
}

#[tokio::test]
async fn pushes_are_passed_on_and_are_no_replies() -> TestResult {
    let server = RedisServer::start().await?;
    let proxy = Proxy::start(&server).await?;
    let (sender, mut pushes) = tokio::sync::mpsc::unbounded_channel();
    let config = redis::AsyncConnectionConfig::new().set_push_sender(sender);
    let client = redis::Client::open(format!("{}?protocol=resp3", proxy.url()))?;
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    proxy.clear_log();
    redis::cmd("SUBSCRIBE")
        .arg(&["a", "b"])
        .exec_async(&mut connection)
        .await?;
    // A script's push to its own connection comes before the script's reply.
    let script = "redis.call('PUBLISH', 'a', 'x') return 5";
    let eval = redis::cmd("EVAL").arg(script).arg(0).to_owned();
    assert_eq!(eval.query_async::<u64>(&mut connection).await?, 5);
    assert_eq!(eval.query_async::<u64>(&mut connection).await?, 5);
    assert_eq!(proxy.flights().len(), 3);

    let mut messages = 0;
    while let Ok(push) = pushes.try_recv() {
        messages += usize::from(push.kind == PushKind::Message);
    }
    assert_eq!(messages, 2);
    Ok(())
}

#[tokio::test]
async fn held_requests_arrive_after_their_client_has_gone() -> TestResult {
    let (server, proxy, mut old) = proxied().await?;
    proxy.hold_requests();
    let sent = tokio::spawn(async move { incr(&mut old, "held").await });
    received(&proxy, "INCR").await?;

    // Connections opened later are not held.
    let mut new = connect(&proxy.url()).await?;
    assert_eq!(incr(&mut new, "other").await?, 1);
    assert_eq!(server.keys("*").await?, ["other"]);

    sent.abort(); // drops the connection
    assert!(sent.await.unwrap_err().is_cancelled());
    proxy.release_held().await;
    assert_eq!(server.keys("*").await?, ["held", "other"]);
    Ok(())
}

#[tokio::test]
async fn a_fault_waits_for_the_script_that_it_was_set_for() -> TestResult {
    let (server, proxy, mut connection) = proxied().await?;
    let mut load = redis::cmd("SCRIPT");
    load.arg("LOAD").arg("return redis.call('INCR', KEYS[1])");
    let hash: String = load.query_async(&mut connection).await?;
    let mut script = redis::cmd("EVALSHA");
    script.arg(hash).arg(1).arg("n");
    proxy.fault_at_script(2, LinkFault::HoldRequests);
    assert_eq!(incr(&mut connection, "n").await?, 1);
    let n: u64 = script.query_async(&mut connection).await?;
    assert_eq!((n, incr(&mut connection, "n").await?), (2, 3));
    tokio::select! {
        n = script.query_async::<u64>(&mut connection) => return Err(format!("{n:?}").into()),
        () = proxy.fault_happened() => {}
    }
    let mut later = connect(&proxy.url()).await?;
    let n: u64 = script.query_async(&mut later).await?;
    assert_eq!(n, 4, "one fault, on one connection");
    proxy.release_held().await;
    let mut past = server.connection().await?;
    assert_eq!(incr(&mut past, "n").await?, 6);
    Ok(())
}

#[tokio::test]
async fn releasing_waits_for_the_answers_of_the_server() -> TestResult {
    let (server, proxy, mut connection) = proxied().await?;
    proxy.hold_requests();
    let sent = tokio::spawn(async move { incr(&mut connection, "held").await });
    received(&proxy, "INCR").await?;
    server.pause().await?;
    let released = proxy.release_held();
    tokio::pin!(released);
    assert!(timeout(SILENCE, &mut released).await.is_err());
    server.resume().await?;
    released.await;
    assert_eq!(sent.await??, 1);
    Ok(())
}

#[tokio::test]
async fn held_requests_survive_a_cut() -> TestResult {
    let (server, proxy, mut old) = proxied().await?;
    proxy.hold_requests();
    let sent = tokio::spawn(async move { incr(&mut old, "held").await });
    received(&proxy, "INCR").await?;
    proxy.cut().await;
    assert!(sent.await?.is_err());
    proxy.heal().await?;
    assert!(server.keys("*").await?.is_empty());
    proxy.release_held().await;
    assert_eq!(server.keys("*").await?, ["held"]);
    Ok(())
}

#[tokio::test]
async fn released_requests_are_answered_in_order() -> TestResult {
    let (_server, proxy, connection) = proxied().await?;
    proxy.hold_requests();
    let answers = (0..3).map(|_| {
        let mut connection = connection.clone();
        tokio::spawn(async move { incr(&mut connection, "n").await })
    });
    let answers: Vec<_> = answers.collect();
    received(&proxy, "INCR").await?;
    proxy.release_held().await;
    let mut numbers = Vec::new();
    for answer in answers {
        numbers.push(answer.await??);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3]);
    Ok(())
}

#[tokio::test]
async fn a_cut_link_closes_connections_and_refuses_new_ones_until_healed() -> TestResult {
    let (_server, proxy, mut connection) = proxied().await?;
    let (url, addr) = (proxy.url(), proxy.addr());
    proxy.cut().await;
    let lost = incr(&mut connection, "n").await.unwrap_err();
    assert!(lost.is_connection_dropped());
    let refused = TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    proxy.heal().await?;
    assert_eq!(proxy.url(), url);
    let mut connection = connect(&url).await?;
    assert_eq!(incr(&mut connection, "n").await?, 1);
    Ok(())
}

#[tokio::test]
async fn held_replies_come_when_released() -> TestResult {
    let (server, proxy, mut connection) = proxied().await?;
    proxy.hold_replies();
    let answer = incr(&mut connection, "n");
    tokio::pin!(answer);
    assert!(timeout(SILENCE, &mut answer).await.is_err());
    // The request has arrived.
    assert_eq!(server.keys("*").await?, ["n"]);
    proxy.release_replies();
    assert_eq!(answer.await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_half_open_connection_is_silent_also_when_the_server_ends() -> TestResult {
    let (server, proxy, mut connection) = proxied().await?;
    proxy.drop_replies();
    proxy.release_replies(); // what is dropped cannot be released
    let answer = incr(&mut connection, "n");
    tokio::pin!(answer);
    assert!(timeout(SILENCE, &mut answer).await.is_err());
    assert_eq!(server.keys("*").await?, ["n"]);
    let mut new = connect(&proxy.url()).await?;
    assert_eq!(incr(&mut new, "n").await?, 2);

    server.kill().await?;
    assert!(timeout(SILENCE, &mut answer).await.is_err());
    proxy.heal().await?;
    assert!(answer.await.unwrap_err().is_connection_dropped());
    Ok(())
}

#[tokio::test]
async fn an_idle_half_open_connection_does_not_see_the_server_end() -> TestResult {
    let (server, proxy, _connection) = proxied().await?;
    let mut idle = TcpStream::connect(proxy.addr()).await?;
    idle.write_all(&resp::encode(&[b"PING"])).await?;
    let mut pong = [0; 7];
    idle.read_exact(&mut pong).await?;
    proxy.drop_replies();
    server.kill().await?;
    let mut rest = Vec::new();
    assert!(timeout(SILENCE, idle.read_to_end(&mut rest)).await.is_err());
    proxy.heal().await?;
    assert_eq!(idle.read_to_end(&mut rest).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_delay_holds_up_every_request_by_as_much() -> TestResult {
    let (_server, proxy, mut connection) = proxied().await?;
    proxy.delay(SILENCE * 2);
    let mut slow = connection.clone();
    let answer = incr(&mut slow, "n");
    tokio::pin!(answer);
    assert!(timeout(SILENCE, &mut answer).await.is_err());
    assert_eq!(answer.await?, 1);

    proxy.delay(Duration::from_secs(3600));
    let delayed = incr(&mut connection, "n");
    assert!(timeout(SILENCE, delayed).await.is_err());
    proxy.delay(Duration::ZERO);
    let mut connection = connect(&proxy.url()).await?;
    assert_eq!(incr(&mut connection, "n").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_server_that_ends_ends_the_connections_through_the_proxy() -> TestResult {
    let (server, proxy, mut connection) = proxied().await?;
    server.kill().await?;
    let lost = incr(&mut connection, "n").await.unwrap_err();
    assert!(lost.is_connection_dropped());
    assert!(connect(&proxy.url()).await.is_err());
    server.restart().await?;
    let mut connection = connect(&proxy.url()).await?;
    assert_eq!(incr(&mut connection, "n").await?, 1);
    Ok(())
}

#[tokio::test]
async fn what_is_no_request_reaches_the_server_all_the_same() -> TestResult {
    let (_server, proxy, _connection) = proxied().await?;
    let mut raw = TcpStream::connect(proxy.addr()).await?;
    raw.write_all(&resp::encode(&[b"PING"])).await?;
    raw.write_all(b"*1\r\n:1\r\n").await?;
    let mut answer = String::new();
    raw.read_to_string(&mut answer).await?;
    assert_eq!(
        answer,
        "+PONG\r\n-ERR Protocol error: expected '$', got ':'\r\n"
    );
    Ok(())
}

#[tokio::test]
async fn a_dropped_proxy_closes_everything() -> TestResult {
    let (_server, proxy, mut connection) = proxied().await?;
    let addr = proxy.addr();
    drop(proxy);
    assert!(incr(&mut connection, "n").await.is_err());
    // Its tasks end when the runtime next looks at them.
    let refused = async { while TcpStream::connect(addr).await.is_ok() {} };
    timeout(Duration::from_secs(10), refused).await?;
    Ok(())
}

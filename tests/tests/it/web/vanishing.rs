use futures_util::future::try_join;
use http::StatusCode;
use latchkey_tests::{Replica, Shop, TestResult, Visitor};
use redis::Value;
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::add;

/// How long a replica's lock outlives it.
const LEASE_MS: u64 = 5_000;

/// Sends an order that holds the cart, over a connection of its own.
async fn hold(visitor: &Visitor, replica: &Replica) -> TestResult<TcpStream> {
    let body = r#"{"item":"never","hold_ms":5000}"#;
    let request = format!(
        "POST /api/cart HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        replica.addr(),
        visitor.cookie(),
        body.len()
    );
    let mut connection = TcpStream::connect(replica.addr()).await?;
    connection.write_all(request.as_bytes()).await?;
    Ok(connection)
}

/// Its handler is dropped while it holds the cart, and gives it back; otherwise "never" would be stored, or the next one
/// wait for the lease.
#[tokio::test]
async fn a_client_that_disconnects_under_the_lock_lets_the_next_request_in() -> TestResult {
    let shop = Shop::open(2).await?;
    let visitor = Visitor::new();
    add(&visitor, &shop.replicas[0], "tea").await?;
    let connection = hold(&visitor, &shop.replicas[0]).await?;
    shop.locked().await?;
    let leave = async {
        drop(connection);
        TestResult::Ok(())
    };
    let next = add(&visitor, &shop.replicas[1], "tea");
    let (next, ()) = try_join(next, leave).await?;
    assert_eq!(next["items"], json!({ "tea": 2 }));
    let waited_ms = next["waited_ms"].as_u64().ok_or("no wait")?;
    // A lease is renewed at a third: what is left of it is longer than this.
    assert!(waited_ms < LEASE_MS * 3 / 5, "waited for {waited_ms} ms");
    Ok(())
}

#[tokio::test]
async fn a_replica_that_is_killed_under_the_lock_delays_the_next_request_by_a_lease() -> TestResult
{
    let mut shop = Shop::open(2).await?;
    let visitor = Visitor::new();
    add(&visitor, &shop.replicas[0], "tea").await?;
    let _connection = hold(&visitor, &shop.replicas[0]).await?;
    let lock = shop.locked().await?;
    shop.replicas[0].kill().await?;
    let Value::Int(left_ms) = shop.server.command(&["PTTL", &lock]).await? else {
        panic!("no time to live")
    };
    assert!(u64::try_from(left_ms)? <= LEASE_MS, "for {left_ms} ms");
    let next = add(&visitor, &shop.replicas[1], "tea").await?;
    assert_eq!(next["items"], json!({ "tea": 2 }));
    Ok(())
}

#[tokio::test]
async fn a_replica_says_that_its_redis_is_gone() -> TestResult {
    let shop = Shop::open(1).await?;
    let visitor = Visitor::new();
    let replica = &shop.replicas[0];
    let answer = visitor.get(replica, "/healthz").await?;
    assert_eq!(answer.status, StatusCode::OK);
    add(&visitor, replica, "tea").await?;
    let cookie = visitor.cookie();
    shop.server.kill().await?;
    for path in ["/healthz", "/api/cart", "/api/me"] {
        let answer = visitor.get(replica, path).await?;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json()["error"], "unavailable", "{}", answer.text);
        assert!(!answer.sets_cookie());
    }
    assert_eq!(visitor.cookie(), cookie);
    Ok(())
}

use session_testkit::servers::{RedisServer, ServerError, ServerKind};

use crate::support::{TestResult, connect, on_both_kinds};

on_both_kinds! {
    a_server_with_a_password_refuses_clients_without_it,
    a_one_node_cluster_owns_all_slots_also_after_a_restart,
    a_wrong_directive_is_an_error_that_quotes_the_log,
    shared_servers_are_one_per_set_of_options,
}

async fn a_server_with_a_password_refuses_clients_without_it(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder()
        .kind(kind)
        .password("o\"pen: sésame\\@/?")
        .start()
        .await?;
    server.command(&["PING"]).await?;

    let mut stranger = connect(&format!("redis://{}", server.addr())).await?;
    let refused: redis::RedisResult<()> = redis::cmd("PING").query_async(&mut stranger).await;
    assert_eq!(refused.unwrap_err().code(), Some("NOAUTH"));
    assert!(!format!("{server:?}").contains("sésame"));
    Ok(())
}

async fn a_one_node_cluster_owns_all_slots_also_after_a_restart(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder()
        .kind(kind)
        .cluster()
        .durable()
        .start()
        .await?;
    // Slots of both ends.
    server.command(&["SET", "{06S}", "first slot"]).await?;
    server.command(&["SET", "foo", "slot 12182"]).await?;
    let two_slots = server.command(&["MGET", "foo", "bar"]).await.unwrap_err();
    let ServerError::Redis { source, .. } = two_slots else {
        panic!("a cluster answers");
    };
    assert_eq!(source.code(), Some("CROSSSLOT"));

    server.kill().await?;
    server.restart().await?;
    server.command(&["SET", "foo", "again"]).await?;
    Ok(())
}

async fn a_wrong_directive_is_an_error_that_quotes_the_log(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder().kind(kind).config("nonsense", "yes");
    let error = server.start().await.unwrap_err();
    assert!(matches!(error, ServerError::Ended { .. }), "{error:?}");
    assert!(error.to_string().contains("nonsense yes"), "{error}");
    Ok(())
}

async fn shared_servers_are_one_per_set_of_options(kind: ServerKind) -> TestResult {
    let builder = || RedisServer::builder().kind(kind);
    let (one, two) = tokio::try_join!(builder().shared(), builder().shared())?;
    assert_eq!(one.addr(), two.addr());
    let other = builder().config("hz", "20").shared().await?;
    assert_ne!(one.addr(), other.addr());
    Ok(())
}

#[tokio::test]
async fn a_process_listens_on_a_unix_socket() -> TestResult {
    let server = RedisServer::builder()
        .kind(ServerKind::Process)
        .password("secret")
        .unix_socket()
        .start()
        .await?;
    assert!(server.url().starts_with("redis+unix:///"));
    server.command(&["SET", "key", "value"]).await?;
    // The port is there as well.
    let mut tcp = connect(&format!("redis://:secret@{}", server.addr())).await?;
    let value: String = redis::cmd("GET").arg("key").query_async(&mut tcp).await?;
    assert_eq!(value, "value");
    Ok(())
}

#[tokio::test]
async fn a_container_has_no_unix_socket() {
    let builder = RedisServer::builder().kind(ServerKind::Container);
    let error = builder.unix_socket().start().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "a unix socket is not possible with containers"
    );
}

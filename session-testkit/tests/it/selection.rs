use session_testkit::servers::{RedisServer, ServerError, ServerKind};

use crate::support::{TestResult, is_child, passes_in_child};

#[tokio::test]
async fn the_environment_forces_a_kind() -> TestResult {
    if is_child() {
        let server = RedisServer::start().await?;
        assert_eq!(server.kind(), ServerKind::Process);
        return Ok(());
    }
    passes_in_child(
        "selection::the_environment_forces_a_kind",
        &[("LATCHKEY_TEST_SERVERS", "processes")],
    )
}

#[tokio::test]
async fn an_unknown_kind_is_refused() -> TestResult {
    if is_child() {
        let error = RedisServer::start().await.unwrap_err();
        assert!(matches!(error, ServerError::Environment { .. }));
        return Ok(());
    }
    passes_in_child(
        "selection::an_unknown_kind_is_refused",
        &[("LATCHKEY_TEST_SERVERS", "dockers")],
    )
}

#[tokio::test]
async fn without_any_server_one_line_says_how_to_get_one() -> TestResult {
    if is_child() {
        let line = RedisServer::start().await.unwrap_err().to_string();
        for word in [
            "Docker",
            "apt-get install redis-server",
            "LATCHKEY_TEST_REDIS_URL",
        ] {
            assert!(line.contains(word), "{line}");
        }
        assert!(!line.contains('\n'));
        return Ok(());
    }
    passes_in_child(
        "selection::without_any_server_one_line_says_how_to_get_one",
        &[
            ("PATH", "/nonexistent"),
            ("LATCHKEY_TEST_SERVERS", ""),
            ("LATCHKEY_TEST_REDIS_URL", ""),
        ],
    )
}

#[tokio::test]
async fn a_url_server_suffers_only_what_it_can() -> TestResult {
    if is_child() {
        let server = RedisServer::start().await?;
        assert_eq!(server.kind(), ServerKind::Url);
        server.command(&["SET", "key", "value"]).await?;
        server.kill_clients().await?;
        server.flush_scripts().await?;
        let refused = [
            server.kill().await,
            server.stop().await,
            server.restart().await,
            server.pause().await,
            server.resume().await,
            server.fill().await.map(|_| ()),
            RedisServer::builder().durable().start().await.map(|_| ()),
        ];
        for outcome in refused {
            assert!(matches!(outcome, Err(ServerError::Unsupported { .. })));
        }
        return Ok(());
    }
    let server = RedisServer::builder()
        .kind(ServerKind::Process)
        .password("p@ss")
        .start()
        .await?;
    let third_database = server.url().replace("/0", "/3");
    passes_in_child(
        "selection::a_url_server_suffers_only_what_it_can",
        &[
            ("LATCHKEY_TEST_SERVERS", "url"),
            ("LATCHKEY_TEST_REDIS_URL", &third_database),
        ],
    )?;
    // The database of the URL was used.
    assert!(server.keys("*").await?.is_empty());
    let mut third = crate::support::connect(&third_database).await?;
    let size: u64 = redis::cmd("DBSIZE").query_async(&mut third).await?;
    assert_eq!(size, 1);
    Ok(())
}

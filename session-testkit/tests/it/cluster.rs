use redis::Value;
use session_testkit::servers::{Proxy, RedisCluster, RedisServer, ServerError, ServerKind};

use crate::support::{TestResult, connect, on_both_kinds};

on_both_kinds! {
    a_migrated_slot_takes_its_keys_along,
    during_a_migration_a_pipeline_is_answered_by_two_nodes,
    nodes_with_a_password_migrate_keys,
}

async fn a_migrated_slot_takes_its_keys_along(kind: ServerKind) -> TestResult {
    let cluster = RedisServer::builder().kind(kind).start_cluster(3).await?;
    let slot = cluster.slot_of("{tag}").await?;
    let from = cluster.owner_of(slot).await?;
    let to = (from + 1) % 3;
    for number in 0..250 {
        let key = format!("{{tag}}:{number}");
        cluster.node(from).command(&["SET", &key, "value"]).await?;
    }

    cluster.migrate_slot(slot, from, to).await?;
    assert_eq!(cluster.owner_of(slot).await?, to);
    assert_eq!(cluster.node(to).keys("{tag}*").await?.len(), 250);
    assert_eq!(cluster.keys_without_ttl().await?.len(), 250);
    let moved = cluster.node(from).command(&["GET", "{tag}:1"]).await;
    assert_eq!(code(moved), "MOVED");
    Ok(())
}

/// The scenario that lost an update in an early draft of the protocol: the lock is taken on the
/// new node while the record is read from the old one.
async fn during_a_migration_a_pipeline_is_answered_by_two_nodes(kind: ServerKind) -> TestResult {
    let cluster = RedisServer::builder().kind(kind).start_cluster(2).await?;
    let slot = cluster.slot_of("{s}").await?;
    let from = cluster.owner_of(slot).await?;
    let to = 1 - from;
    let (old, new) = (cluster.node(from), cluster.node(to));
    old.command(&["SET", "{s}:record", "old"]).await?;
    let proxy = Proxy::following_redirects(old).await?;
    let mut connection = connect(&format!("{}?protocol=resp3", proxy.url())).await?;

    cluster.begin_migration(slot, from, to).await?;
    proxy.clear_log();
    let (lock, record): (String, String) = redis::pipe()
        .cmd("SET")
        .arg(&["{s}:lock", "owner", "NX"])
        .cmd("GET")
        .arg("{s}:record")
        .query_async(&mut connection)
        .await?;
    assert_eq!((lock.as_str(), record.as_str()), ("OK", "old"));
    assert_eq!(old.keys("*").await?, ["{s}:record"]);
    assert_eq!(new.keys("*").await?, ["{s}:lock"]);
    assert_eq!(proxy.flights().len(), 1);
    let redirects = proxy.redirects();
    assert_eq!(redirects.len(), 1);
    assert_eq!(redirects[0].name, "SET");
    assert_eq!(redirects[0].to, new.addr());
    assert!(redirects[0].ask);

    assert!(cluster.move_key("{s}:record", from, to).await?);
    assert!(!cluster.move_key("{s}:record", from, to).await?);
    cluster.finish_migration(slot, to).await?;
    let record: String = redis::cmd("GET")
        .arg("{s}:record")
        .query_async(&mut connection)
        .await?;
    assert_eq!(record, "old");
    let last = proxy.redirects().pop().unwrap();
    assert!(!last.ask);

    let raw = Proxy::start(old).await?;
    let mut connection = connect(&raw.url()).await?;
    let moved = redis::cmd("GET")
        .arg("{s}:record")
        .query_async::<Value>(&mut connection)
        .await;
    assert_eq!(moved.unwrap_err().code(), Some("MOVED"));
    Ok(())
}

async fn nodes_with_a_password_migrate_keys(kind: ServerKind) -> TestResult {
    let cluster: RedisCluster = RedisServer::builder()
        .kind(kind)
        .password("secret")
        .start_cluster(2)
        .await?;
    let slot = cluster.slot_of("key").await?;
    let from = cluster.owner_of(slot).await?;
    cluster.node(from).command(&["SET", "key", "value"]).await?;
    cluster.begin_migration(slot, from, 1 - from).await?;
    assert!(cluster.move_key("key", from, 1 - from).await?);
    // The proxy repeats the client's password to the other node.
    let proxy = Proxy::following_redirects(cluster.node(from)).await?;
    let mut connection = connect(&proxy.url()).await?;
    let value: String = redis::cmd("GET")
        .arg("key")
        .query_async(&mut connection)
        .await?;
    assert_eq!(value, "value");
    Ok(())
}

fn code(answer: Result<Value, ServerError>) -> String {
    match answer {
        Err(ServerError::Redis { source, .. }) => source.code().unwrap_or_default().to_owned(),
        other => panic!("expected an error of the server, found {other:?}"),
    }
}

//! The ways to a server: URLs, clients, pools, sockets, users, databases.

use session_core::Sessions;
use session_redis::RedisStore;
use session_testkit::servers::{RedisServer, ServerKind};

use crate::support::{TestResult, add_one, builder, count, counter, shared};

async fn assert_works(store: RedisStore) -> TestResult {
    let sessions = Sessions::new(store);
    let id = counter(&sessions).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (sessions, id) = (sessions.clone(), id.clone());
        tasks.spawn(async move { add_one(&sessions, &id).await });
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    assert_eq!(count(&sessions, &id).await?, Some(8));
    sessions.destroy(&id).await?;
    assert_eq!(count(&sessions, &id).await?, None);
    sessions.ping().await?;
    Ok(())
}

#[tokio::test]
async fn a_client_works() -> TestResult {
    let client = redis::Client::open(shared().await?.url())?;
    assert_works(builder().from_client(client).await?).await
}

#[tokio::test]
async fn a_pool_works_and_waits_by_looking() -> TestResult {
    let pool = deadpool_redis::Config::from_url(shared().await?.url()).create_pool(None)?;
    assert_works(builder().from_pool(pool).await?).await
}

#[tokio::test]
async fn more_waiters_than_connections_in_the_pool_are_no_deadlock() -> TestResult {
    let mut config = deadpool_redis::Config::from_url(shared().await?.url());
    config.pool = Some(deadpool_redis::PoolConfig::new(2));
    assert_works(builder().from_pool(config.create_pool(None)?).await?).await
}

#[tokio::test]
async fn a_unix_socket_works() -> TestResult {
    // A socket is a file of this machine: only a process of ours shares it.
    let server = RedisServer::builder()
        .kind(ServerKind::Process)
        .unix_socket()
        .start()
        .await?;
    assert!(server.url().contains("unix"), "{}", server.url());
    assert_works(RedisStore::connect(&server.url()).await?).await
}

#[tokio::test]
async fn a_user_with_just_enough_permissions_works() -> TestResult {
    let server = RedisServer::start().await?;
    let rules = [
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">pw",
        "~latchkey:*",
        "&latchkey:*",
        "-@all",
        "+@read",
        "+@write",
        "+@scripting",
        "+@connection",
        "+@pubsub",
        "+info",
        "+time",
    ];
    server.command(&rules).await?;
    assert_works(RedisStore::connect(&format!("redis://app:pw@{}", server.addr())).await?).await
}

#[tokio::test]
async fn a_user_that_may_not_subscribe_waits_by_looking() -> TestResult {
    let server = RedisServer::start().await?;
    server
        .command(&[
            "ACL",
            "SETUSER",
            "app",
            "on",
            ">pw",
            "~*",
            "+@all",
            "-@pubsub",
            "resetchannels",
        ])
        .await?;
    assert_works(RedisStore::connect(&format!("redis://app:pw@{}", server.addr())).await?).await
}

#[tokio::test]
async fn the_database_of_the_url_is_used() -> TestResult {
    let server = RedisServer::start().await?;
    let sessions =
        Sessions::new(RedisStore::connect(&format!("redis://{}/3", server.addr())).await?);
    counter(&sessions).await?;
    assert!(server.keys("latchkey:*").await?.is_empty());
    let keyspace = server.command(&["INFO", "keyspace"]).await?;
    assert!(
        format!("{keyspace:?}").contains("db3:keys=1"),
        "{keyspace:?}"
    );
    Ok(())
}

#[tokio::test]
async fn all_scripts_run_on_a_node_of_a_cluster() -> TestResult {
    let server = RedisServer::builder().cluster().start().await?;
    assert_works(RedisStore::connect(&server.url()).await?).await
}

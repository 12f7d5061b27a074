//! What a store says of the set-up of its servers.

use session_redis::{Problem, RedisStore};
use session_testkit::servers::{RedisCluster, RedisServer, RedisService};

use crate::support::TestResult;

async fn problems(store: &RedisStore) -> TestResult<Vec<Problem>> {
    let findings = store.diagnose().await?;
    Ok(findings
        .into_iter()
        .map(|finding| finding.problem)
        .collect())
}

#[tokio::test]
async fn a_server_as_it_should_be_has_no_findings() -> TestResult {
    let server = RedisServer::builder().durable().start().await?;
    let store = RedisStore::connect(&server.url()).await?;
    assert_eq!(problems(&store).await?, []);
    Ok(())
}

#[tokio::test]
async fn what_would_lose_sessions_is_found() -> TestResult {
    let server = RedisServer::start().await?;
    let store = RedisStore::connect(&server.url()).await?;
    assert_eq!(problems(&store).await?, [Problem::ForgetsOnRestart]);
    server
        .command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])
        .await?;
    server
        .command(&["CONFIG", "SET", "appendonly", "yes"])
        .await?;
    let found = problems(&store).await?;
    let evicts = Problem::Evicts("allkeys-lru".to_owned());
    assert_eq!(
        found,
        [evicts.clone(), Problem::SyncsSeldom("everysec".to_owned())]
    );
    assert!(evicts.breaks_promises() && !found[1].breaks_promises());
    server.kill().await?;
    assert!(matches!(
        problems(&store).await?[..],
        [Problem::Unreachable(_)]
    ));
    Ok(())
}

#[tokio::test]
async fn what_is_not_permitted_is_found() -> TestResult {
    let server = RedisServer::builder().durable().start().await?;
    let rule = [
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">secret",
        "~*",
        "+@all",
        "-scan",
        "-subscribe",
    ];
    server.command(&rule).await?;
    let store = RedisStore::connect(&format!("redis://app:secret@{}", server.addr())).await?;
    let findings = store.diagnose().await?;
    let commands = findings.iter().map(|finding| match finding.problem {
        Problem::NotPermitted { command, .. } => command,
        _ => "something else",
    });
    // No channel is permitted to new users, either.
    assert_eq!(commands.collect::<Vec<_>>(), ["SCAN", "SUBSCRIBE"]);
    assert!(
        findings
            .iter()
            .all(|finding| !finding.to_string().contains("secret"))
    );
    Ok(())
}

#[tokio::test]
async fn every_node_of_a_cluster_is_looked_at() -> TestResult {
    let cluster = RedisCluster::start(2).await?;
    let store = RedisStore::connect(&cluster.url()).await?;
    let findings = store.diagnose().await?;
    let mut nodes: Vec<_> = findings
        .iter()
        .map(|finding| finding.node.clone())
        .collect();
    nodes.sort_unstable();
    let mut expected: Vec<_> = cluster
        .nodes()
        .iter()
        .map(|node| node.addr().to_string())
        .collect();
    expected.sort_unstable();
    assert_eq!(nodes, expected);
    assert!(
        findings
            .iter()
            .all(|finding| finding.problem == Problem::ForgetsOnRestart)
    );
    Ok(())
}

#[tokio::test]
async fn a_master_that_needs_no_replicas_is_found() -> TestResult {
    let service = RedisService::start(1).await?;
    let store = RedisStore::connect(&service.url()).await?;
    assert_eq!(problems(&store).await?, [Problem::WritesWithoutReplicas]);
    Ok(())
}

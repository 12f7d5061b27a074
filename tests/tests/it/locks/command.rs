use std::time::Duration;

use latchkey_tests::{LockCommand, Nodes, TestResult};
use redis::Value;
use session_testkit::servers::RedisServer;

const NAME: &str = "printer";
const TTL: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(20);

fn lock(nodes: &Nodes) -> LockCommand {
    LockCommand::new(&nodes.urls(), NAME, TTL)
}

async fn is_free(nodes: &Nodes) -> TestResult {
    let values = nodes.values(NAME).await?;
    assert!(
        values.iter().all(|value| *value == Value::Nil),
        "{values:?}"
    );
    Ok(())
}

fn fence(line: &str) -> TestResult<u64> {
    let fence = line.strip_prefix("ACQUIRED fence=").ok_or(line)?;
    let (fence, validity) = fence.split_once(" validity_ms=").ok_or(line)?;
    let validity = Duration::from_millis(validity.parse()?);
    assert!(validity < TTL, "{line}");
    Ok(fence.parse()?)
}

#[tokio::test]
async fn try_tells_that_the_lock_is_free_and_leaves_it_so() -> TestResult {
    let nodes = Nodes::start(3).await?;
    let (first, status) = lock(&nodes).attempt().await?;
    let first = fence(&first)?;
    assert_eq!(status, 0);
    is_free(&nodes).await?;
    let (second, _) = lock(&nodes).attempt().await?;
    assert!(fence(&second)? > first);
    Ok(())
}

#[tokio::test]
async fn while_one_holds_it_the_others_are_told_busy() -> TestResult {
    let nodes = Nodes::start(3).await?;
    let mut holder = lock(&nodes).hold().await?;
    let token = holder.acquired().await?;
    let busy = || ("BUSY".to_owned(), 1);
    assert_eq!(lock(&nodes).attempt().await?, busy());
    assert_eq!(
        lock(&nodes)
            .wait(Duration::from_millis(50))
            .attempt()
            .await?,
        busy()
    );
    let (lines, status) = lock(&nodes).hold().await?.ended().await?;
    assert_eq!((&lines[..], status), (&["BUSY".to_owned()][..], 1));

    let mut next = lock(&nodes).wait(LONG).hold().await?;
    holder.say_line().await?;
    assert_eq!(holder.ended().await?, (vec!["RELEASED".to_owned()], 0));
    assert!(next.acquired().await? > token);
    next.end_input();
    assert_eq!(next.ended().await?, (vec!["RELEASED".to_owned()], 0));
    is_free(&nodes).await
}

#[tokio::test]
async fn sigterm_gives_the_lock_back() -> TestResult {
    let nodes = Nodes::start(1).await?;
    let mut holder = lock(&nodes).hold().await?;
    holder.acquired().await?;
    holder.terminate()?;
    assert_eq!(holder.ended().await?, (vec!["RELEASED".to_owned()], 0));
    is_free(&nodes).await
}

#[tokio::test]
async fn the_key_is_the_name_unless_a_prefix_is_given() -> TestResult {
    let nodes = Nodes::start(1).await?;
    for (prefix, key) in [("", NAME), ("redlock:", "redlock:printer")] {
        let mut holder = lock(&nodes).key_prefix(prefix).hold().await?;
        holder.acquired().await?;
        assert_ne!(nodes.values(key).await?, [Value::Nil]);
        holder.end_input();
        holder.ended().await?;
    }
    Ok(())
}

/// One line, which begins so and names all of that.
async fn refused(command: LockCommand, kind: &str, named: &[&str]) -> TestResult {
    let (line, status) = command.attempt().await?;
    assert!(line.starts_with(&format!("ERROR {kind}: ")), "{line}");
    for word in named {
        assert!(line.contains(word), "{word} is missing: {line}");
    }
    assert_eq!(status, 2, "{line}");
    Ok(())
}

#[tokio::test]
async fn arguments_that_make_no_sense_are_told_in_a_line() -> TestResult {
    const NODE: &str = "redis://127.0.0.1:1";
    let with = |nodes: &str, name: &str, ttl_ms: &str| {
        LockCommand::raw(&["--nodes", nodes, "--resource", name, "--ttl-ms", ttl_ms])
    };
    let twice = format!("{NODE},redis://127.0.0.1:2,{NODE}");
    let huge = "x".repeat(1025);
    refused(with("", NAME, "1000"), "no_nodes", &["at least one"]).await?;
    refused(
        with(&twice, NAME, "1000"),
        "duplicate_node",
        &["127.0.0.1:1"],
    )
    .await?;
    refused(with(NODE, NAME, "0"), "ttl", &["10 ms to 1 h"]).await?;
    refused(with(NODE, NAME, "3600001"), "ttl", &["10 ms to 1 h"]).await?;
    refused(
        with(NODE, NAME, "18446744073709551615"),
        "ttl",
        &["10 ms to 1 h"],
    )
    .await?;
    refused(with(NODE, "", "1000"), "resource", &["0 bytes"]).await?;
    refused(with(NODE, &huge, "1000"), "resource", &["1025 bytes"]).await?;
    refused(
        with("http://h", NAME, "1000"),
        "node_unsuitable",
        &["redis://"],
    )
    .await?;
    refused(with(NODE, NAME, "-1"), "usage", &["-1"]).await?;
    refused(
        LockCommand::raw(&["--ttl-ms", "1000"]),
        "usage",
        &["--resource"],
    )
    .await
}

#[tokio::test]
async fn a_password_in_a_url_that_cannot_be_used_is_not_shown() -> TestResult {
    let command = LockCommand::raw(&[
        "--nodes",
        "redis://:hunter2@:x,redis://:hunter2@h:1",
        "--resource",
        NAME,
        "--ttl-ms",
        "1000",
    ]);
    let (line, status) = command.attempt().await?;
    assert_eq!(status, 2);
    assert!(!line.contains("hunter2"), "{line}");
    Ok(())
}

#[tokio::test]
async fn servers_that_cannot_be_used_are_named_with_what_is_wrong() -> TestResult {
    let nodes = Nodes::start(1).await?;
    let server = &nodes.servers()[0];
    let named = server.addr().to_string();

    server.command(&["REPLICAOF", "127.0.0.1", "1"]).await?;
    refused(lock(&nodes), "no_quorum", &[&named, "replica"]).await?;
    server.command(&["REPLICAOF", "NO", "ONE"]).await?;

    server.command(&["RPUSH", NAME, "a list"]).await?;
    refused(lock(&nodes), "wrong_type", &[&named, NAME]).await?;
    server.command(&["DEL", NAME]).await?;

    server.stop().await?;
    refused(lock(&nodes), "no_quorum", &[&named, "no connection"]).await
}

#[tokio::test]
async fn a_server_that_denies_access_is_named() -> TestResult {
    let server = RedisServer::builder().password("right").start().await?;
    let named = server.addr().to_string();
    let wrong = server.url().replace("right", "wrong");
    let denied = LockCommand::new(&[wrong], NAME, TTL);
    refused(denied, "no_quorum", &[&named, "denied"]).await?;

    // May read, and nothing else.
    let user = [
        "ACL",
        "SETUSER",
        "reader",
        "on",
        ">read",
        "~*",
        "+@read",
        "+@connection",
    ];
    server.command(&user).await?;
    let reader = server.url().replace(":right@", "reader:read@");
    let denied = LockCommand::new(&[reader], NAME, TTL);
    refused(denied, "no_quorum", &[&named, "denied"]).await
}

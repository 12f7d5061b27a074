use latchkey_tests::{TestResult, replicas};
use session_testkit::servers::RedisServer;

/// The example itself: three servers behind its proxy, one of which it kills.
#[tokio::test]
async fn behind_a_proxy_nothing_is_lost_under_the_lock_and_something_without() -> TestResult {
    let server = RedisServer::start().await?;
    let report = replicas(&["--redis", &server.url(), "--requests", "120"]).await?;
    let rows: Vec<Vec<&str>> = report
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let locked = rows.iter().filter(|row| row.first() == Some(&"locked"));
    let locked: Vec<_> = locked.map(|row| &row[1..5]).collect();
    assert_eq!(locked, [["120", "0", "120", "0"]; 2], "{report}");
    let unlocked = rows.iter().find(|row| row.first() == Some(&"unlocked"));
    let lost: u32 = unlocked.ok_or("no unlocked round")?[4].parse()?;
    assert!(lost > 0, "{report}");
    assert!(report.contains("logged out, on every server"), "{report}");
    assert!(report.contains("1: 40, 2: 40, 3: 40"), "{report}");
    assert!(report.contains("1: 60, 2: 60"), "{report}");
    Ok(())
}

use std::time::Duration;

use latchkey_tests::{Counter, Mode, TestResult};
use session_testkit::servers::RedisServer;

/// Everything is acknowledged, and stored once.
async fn counts_exactly(counter: Counter, rounds: u64) -> TestResult {
    let server = RedisServer::start().await?;
    let report = counter.rounds(rounds).run(&server).await?;
    report.assert_exact();
    report.assert_errors_only(&[]);
    report.assert_nobody_waited_too_long();
    assert_eq!(report.summary.unknown, 0, "{report:#?}");
    assert_eq!(report.summary.acknowledged, 4 * 16 * rounds, "{report:#?}");
    assert_eq!(report.summary.stored, 4 * 16 * rounds, "{report:#?}");
    assert_eq!(server.keys_without_ttl().await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn locked_rounds_of_all_processes_on_one_session_are_all_stored() -> TestResult {
    counts_exactly(Counter::new(Mode::Locked), 50).await
}

#[tokio::test]
async fn locked_rounds_of_all_processes_on_a_thousand_sessions_are_all_stored() -> TestResult {
    counts_exactly(Counter::new(Mode::Locked).sessions(1_000), 150).await
}

/// No process gets much more than another, whatever its luck.
#[tokio::test]
async fn processes_share_one_session_evenly() -> TestResult {
    let server = RedisServer::start().await?;
    let counter = Counter::new(Mode::Locked).hold(Duration::from_millis(1));
    let run = counter.start(&server).await?;
    for _ in 0..50 {
        run.all_commit().await?;
    }
    let report = run.finish().await?;
    report.assert_exact();
    let most = report.summary.max_over_min.ok_or("a process got nothing")?;
    assert!(most < 2.0, "{report:#?}");
    Ok(())
}

#[tokio::test]
async fn updates_of_all_processes_on_one_session_are_all_stored() -> TestResult {
    counts_exactly(Counter::new(Mode::Update), 50).await
}

#[tokio::test]
async fn updates_of_all_processes_on_a_thousand_sessions_are_all_stored() -> TestResult {
    counts_exactly(Counter::new(Mode::Update).sessions(1_000), 150).await
}

/// That the counter can find losses at all.
#[tokio::test]
async fn rounds_without_the_lock_are_lost() -> TestResult {
    let server = RedisServer::start().await?;
    let report = Counter::new(Mode::Unlocked).rounds(20).run(&server).await?;
    let summary = &report.summary;
    assert!(report.status.success(), "{report:#?}");
    assert!(summary.lost > 0, "{report:#?}");
    assert_eq!(
        summary.acknowledged,
        summary.stored + summary.lost,
        "{report:#?}"
    );
    assert_eq!(server.keys_without_ttl().await?, [""; 0]);
    Ok(())
}

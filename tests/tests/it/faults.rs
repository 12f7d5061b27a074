use std::time::Duration;

use latchkey_tests::{Counter, HeldLocks, Mode, Report, Run, TestResult};
use session_testkit::servers::RedisServer;
use tokio::time::sleep;

const LEASE: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_secs(5);

/// How often those faults happen that are over in a moment: each hits other commits on their way.
const SEVERAL: usize = 20;

/// A run on few sessions, so that everybody waits for everybody.
fn crowded(mode: Mode) -> Counter {
    Counter::new(mode).sessions(4).lease(LEASE).wait(WAIT)
}

/// A run in which each process holds several locks at any moment.
fn holding() -> Counter {
    Counter::new(Mode::Locked)
        .sessions(64)
        .hold(Duration::from_millis(20))
        .lease(LEASE)
        .wait(WAIT)
}

/// A server that keeps what it has acknowledged, whatever befalls it. Slower than others: it waits for its disk.
async fn durable_server() -> TestResult<RedisServer> {
    Ok(RedisServer::builder().durable().start().await?)
}

/// Everybody goes on, without a restart of anything, and nothing is left that would stay for ever.
async fn goes_on(run: &Run<'_>, server: &RedisServer) -> TestResult {
    run.all_commit().await?;
    assert_eq!(server.keys_without_ttl().await?, [""; 0]);
    Ok(())
}

/// What holds after every fault.
async fn ends_well(run: Run<'_>, server: &RedisServer) -> TestResult<Report> {
    goes_on(&run, server).await?;
    let report = run.finish().await?;
    report.assert_exact();
    report.assert_nobody_waited_too_long();
    assert_eq!(server.keys_without_ttl().await?, [""; 0]);
    Ok(report)
}

/// Stops a worker until its leases have run out and others have committed in its stead, and lets it go on.
async fn stop_beyond_the_lease(run: &Run<'_>, worker: usize, server: &RedisServer) -> TestResult {
    let stopped = run.worker(worker).stop()?;
    let locks = HeldLocks::on(server).await?;
    run.none_still_held(&locks).await?;
    run.commits_of(2).await?;
    stopped.resume();
    Ok(())
}

async fn pause(server: &RedisServer) -> TestResult {
    server.pause().await?;
    sleep(Duration::from_secs(2)).await;
    server.resume().await?;
    Ok(())
}

async fn kill_and_restart(server: &RedisServer) -> TestResult {
    server.kill().await?;
    server.restart().await?;
    Ok(())
}

#[tokio::test]
async fn a_worker_that_is_killed_loses_nothing_and_the_others_go_on() -> TestResult {
    let server = RedisServer::start().await?;
    let run = holding().start(&server).await?;
    run.all_commit().await?;
    run.worker(1).kill()?;
    goes_on(&run, &server).await?;
    let report = ends_well(run, &server).await?;
    let [remark] = &report.remarks[..] else {
        panic!("one worker was killed: {report:#?}");
    };
    assert!(remark.starts_with("worker 1: ended early"), "{remark}");
    assert!(remark.contains("SIGKILL"), "{remark}");
    report.assert_errors_only(&[]);
    assert_eq!(report.summary.unknown, Counter::TASKS as u64, "{report:#?}");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_is_stopped_beyond_its_leases_overwrites_nothing() -> TestResult {
    let server = RedisServer::start().await?;
    let run = holding().start(&server).await?;
    for worker in 0..3 {
        run.all_commit().await?;
        stop_beyond_the_lease(&run, worker, &server).await?;
    }
    let report = ends_well(run, &server).await?;
    assert!(report.errors("lease_lost") > 0, "{report:#?}");
    // What was under way when it stopped is overdue when it goes on.
    report.assert_errors_only(&["lease_lost", "timed_out", "wait_timeout"]);
    assert_eq!(report.summary.unknown, 0, "{report:#?}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_paused_loses_nothing() -> TestResult {
    let server = RedisServer::start().await?;
    let run = crowded(Mode::Locked).start(&server).await?;
    run.all_commit().await?;
    pause(&server).await?;
    let report = ends_well(run, &server).await?;
    // The calls of the pause, and the leases that ran out in it.
    report.assert_errors_only(&["timed_out", "lease_lost"]);
    Ok(())
}

async fn kill_connections(counter: Counter) -> TestResult {
    let server = RedisServer::start().await?;
    let run = counter.start(&server).await?;
    for _ in 0..SEVERAL {
        run.all_commit().await?;
        server.kill_clients().await?;
    }
    let report = ends_well(run, &server).await?;
    report.assert_errors_only(&["unreachable"]);
    Ok(())
}

#[tokio::test]
async fn connections_that_are_killed_lose_no_locked_round() -> TestResult {
    kill_connections(crowded(Mode::Locked)).await
}

#[tokio::test]
async fn connections_that_are_killed_lose_no_update() -> TestResult {
    kill_connections(crowded(Mode::Update).sessions(64)).await
}

#[tokio::test]
async fn scripts_that_are_flushed_are_loaded_again() -> TestResult {
    let server = RedisServer::start().await?;
    let run = crowded(Mode::Locked).start(&server).await?;
    for _ in 0..SEVERAL {
        run.all_commit().await?;
        server.flush_scripts().await?;
    }
    let report = ends_well(run, &server).await?;
    report.assert_errors_only(&[]);
    assert_eq!(report.summary.unknown, 0, "{report:#?}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_killed_and_restarted_with_its_data_loses_nothing() -> TestResult {
    let server = durable_server().await?;
    let run = crowded(Mode::Locked).start(&server).await?;
    for _ in 0..2 {
        run.all_commit().await?;
        kill_and_restart(&server).await?;
    }
    let report = ends_well(run, &server).await?;
    report.assert_errors_only(&["unreachable", "timed_out", "loading", "lease_lost"]);
    Ok(())
}

async fn all_faults_in_a_row(counter: Counter) -> TestResult {
    let server = durable_server().await?;
    let run = counter.start(&server).await?;
    goes_on(&run, &server).await?;
    run.worker(0).kill()?;
    goes_on(&run, &server).await?;
    stop_beyond_the_lease(&run, 1, &server).await?;
    goes_on(&run, &server).await?;
    pause(&server).await?;
    goes_on(&run, &server).await?;
    for _ in 0..SEVERAL / 4 {
        server.kill_clients().await?;
        goes_on(&run, &server).await?;
        server.flush_scripts().await?;
        goes_on(&run, &server).await?;
    }
    kill_and_restart(&server).await?;
    let report = ends_well(run, &server).await?;
    report.assert_errors_only(&[
        "unreachable",
        "timed_out",
        "loading",
        "lease_lost",
        "wait_timeout",
    ]);
    Ok(())
}

#[tokio::test]
async fn all_faults_in_a_row_lose_no_locked_round() -> TestResult {
    all_faults_in_a_row(holding()).await
}

#[tokio::test]
async fn all_faults_in_a_row_lose_no_update() -> TestResult {
    all_faults_in_a_row(crowded(Mode::Update)).await
}

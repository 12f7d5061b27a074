//! Sessions in PostgreSQL, under each locker: faults of workers and of the database.

use std::time::Duration;

use latchkey::postgres::{Postgres, migrations};
use latchkey_tests::{Backing, Counter, HeldLocks, Mode, Report, Run, TestResult};
use session_testkit::servers::{PostgresServer, RedisServer};

const LEASE: Duration = Duration::from_secs(2);
const WAIT: Duration = Duration::from_secs(10);

/// A database with the tables of Latchkey; `None`: tests with PostgreSQL are left out.
async fn database() -> TestResult<Option<PostgresServer>> {
    if PostgresServer::is_skipped()? {
        return Ok(None);
    }
    let server = PostgresServer::start().await?;
    let postgres = Postgres::connect(&server.url()).await?;
    migrations::up(&postgres).await?;
    Ok(Some(server))
}

fn counter() -> Counter {
    Counter::new(Mode::Locked)
        .sessions(8)
        .lease(LEASE)
        .wait(WAIT)
}

async fn ends_exactly(run: Run<'_>) -> TestResult<Report> {
    run.all_commit().await?;
    let report = run.finish().await?;
    report.assert_exact();
    Ok(report)
}

/// A worker is stopped until its leases have run out and others have gone on; one is killed; the database crashes, and
/// is shut down, and comes back.
async fn everything_befalls(run: &Run<'_>, server: &PostgresServer) -> TestResult {
    run.all_commit().await?;
    let stopped = run.worker(0).stop()?;
    run.commits_of(2).await?;
    if let Backing::Postgres { redlock: None, .. } = run.backing() {
        let locks = HeldLocks::in_backing(run.backing()).await?;
        run.none_still_held(&locks).await?;
    }
    run.commits_of(2).await?;
    stopped.resume();
    run.all_commit().await?;
    run.worker(1).kill()?;
    run.all_commit().await?;
    server.kill().await?;
    server.restart().await?;
    run.all_commit().await?;
    server.restart().await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_where_postgresql_locks_too() -> TestResult {
    let Some(server) = database().await? else {
        return Ok(());
    };
    let url = server.url();
    let backing = Backing::Postgres {
        url: &url,
        redlock: None,
    };
    let run = counter().start(backing).await?;
    everything_befalls(&run, &server).await?;
    ends_exactly(run).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_under_a_redlock() -> TestResult {
    let Some(server) = database().await? else {
        return Ok(());
    };
    let redis = RedisServer::start().await?;
    let url = server.url();
    let backing = Backing::Postgres {
        url: &url,
        redlock: Some(&redis),
    };
    let run = counter().start(backing).await?;
    everything_befalls(&run, &server).await?;
    ends_exactly(run).await?;
    Ok(())
}

#[tokio::test]
async fn without_faults_every_round_counts() -> TestResult {
    let Some(server) = database().await? else {
        return Ok(());
    };
    let url = server.url();
    let backing = Backing::Postgres {
        url: &url,
        redlock: None,
    };
    let counter = counter().wait(Duration::from_secs(60)).sessions(4);
    let report = counter.rounds(10).run(backing).await?;
    report.assert_exact();
    assert_eq!(report.summary.unknown, 0, "{report:#?}");
    Ok(())
}

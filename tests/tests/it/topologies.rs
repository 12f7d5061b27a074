use std::time::Duration;

use latchkey_tests::{Backing, Counter, Mode, Report, TestResult};
use session_testkit::servers::{RedisCluster, RedisService};

const LEASE: Duration = Duration::from_secs(1);

fn exact(report: &Report) {
    report.assert_exact();
    report.assert_nobody_waited_too_long();
}

/// The slots of sessions and their locks go from node to node while everybody changes them.
#[tokio::test]
async fn on_a_cluster_whose_slots_move_nothing_is_lost() -> TestResult {
    let cluster = RedisCluster::start(3).await?;
    let url = cluster.url();
    let backing = Backing::Several {
        url: &url,
        servers: cluster.nodes(),
    };
    let run = Counter::new(Mode::Locked).sessions(4).lease(LEASE);
    let run = run.start(backing).await?;
    run.all_commit().await?;
    for step in [1, 2] {
        for record in cluster.keys("*:session:*").await? {
            let slot = cluster.slot_of(&record).await?;
            let from = cluster.owner_of(slot).await?;
            cluster.migrate_slot(slot, from, (from + step) % 3).await?;
        }
        run.all_commit().await?;
    }
    exact(&run.finish().await?);
    assert_eq!(cluster.keys_without_ttl().await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn updates_on_a_cluster_whose_slots_move_are_all_stored() -> TestResult {
    let cluster = RedisCluster::start(2).await?;
    let url = cluster.url();
    let backing = Backing::Several {
        url: &url,
        servers: cluster.nodes(),
    };
    let run = Counter::new(Mode::Update)
        .sessions(4)
        .start(backing)
        .await?;
    run.all_commit().await?;
    for record in cluster.keys("*:session:*").await? {
        let slot = cluster.slot_of(&record).await?;
        let from = cluster.owner_of(slot).await?;
        cluster.migrate_slot(slot, from, 1 - from).await?;
    }
    run.all_commit().await?;
    exact(&run.finish().await?);
    Ok(())
}

#[tokio::test]
async fn under_sentinels_the_counter_runs_as_it_is() -> TestResult {
    let service = RedisService::start(1).await?;
    let url = service.url();
    let backing = Backing::Several {
        url: &url,
        servers: service.servers(),
    };
    let report = Counter::new(Mode::Locked).rounds(20).run(backing).await?;
    exact(&report);
    assert_eq!(report.summary.stored, 4 * 16 * 20, "{report:#?}");
    Ok(())
}

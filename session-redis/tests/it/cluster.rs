//! Sessions on the nodes of a cluster, while slots move and nodes fail.

use std::time::Duration;

use session_core::{Error, SessionId, Sessions};
use session_redis::RedisStore;
use session_testkit::servers::{RedisCluster, RedisServer};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::support::{TestResult, add_one, chain, count, counter, fresh_prefix, patient};

const PATIENCE: Duration = Duration::from_secs(60);

/// Sessions of which some are on each node.
struct Spread {
    cluster: RedisCluster,
    prefix: String,
    sessions: Sessions,
    ids: Vec<SessionId>,
}

impl Spread {
    async fn on(cluster: RedisCluster) -> TestResult<Self> {
        let prefix = fresh_prefix();
        let sessions = Sessions::new(patient(&prefix).connect(&cluster.url()).await?);
        let mut ids = Vec::new();
        for _ in 0..24 {
            ids.push(counter(&sessions).await?);
        }
        Ok(Self {
            cluster,
            prefix,
            sessions,
            ids,
        })
    }

    async fn elsewhere(&self) -> TestResult<Sessions> {
        let store = patient(&self.prefix).connect(&self.cluster.url()).await?;
        Ok(Sessions::new(store))
    }

    /// The slots of these sessions, and the node that has each.
    async fn slots(&self) -> TestResult<Vec<(u16, usize)>> {
        let mut slots = Vec::new();
        for key in self
            .cluster
            .keys(&format!("{}:*:session:*", self.prefix))
            .await?
        {
            let slot = self.cluster.slot_of(&key).await?;
            slots.push((slot, self.cluster.owner_of(slot).await?));
        }
        slots.sort_unstable();
        slots.dedup();
        Ok(slots)
    }
}

/// Adds to all sessions, again and again, until it is told to stop; how often to each.
async fn keep_adding(
    sessions: Sessions,
    ids: Vec<SessionId>,
    stop: watch::Receiver<bool>,
) -> Result<Vec<u32>, Error> {
    let mut added = vec![0; ids.len()];
    while !*stop.borrow() {
        for (id, added) in ids.iter().zip(&mut added) {
            add_one(&sessions, id).await?;
            *added += 1;
        }
    }
    Ok(added)
}

#[tokio::test]
async fn sessions_are_on_all_nodes() -> TestResult {
    let it = Spread::on(RedisCluster::start(3).await?).await?;
    for node in it.cluster.nodes() {
        assert!(!node.keys(&format!("{}:*", it.prefix)).await?.is_empty());
    }
    it.sessions.revoke_everything().await?;
    for id in &it.ids {
        assert_eq!(count(&it.sessions, id).await?, None);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_lose_nothing() -> TestResult {
    let it = Spread::on(RedisCluster::start(3).await?).await?;
    let (stop, stopped) = watch::channel(false);
    let mut adding = Vec::new();
    for _ in 0..3 {
        let sessions = it.elsewhere().await?;
        let adding_to_all = keep_adding(sessions, it.ids.clone(), stopped.clone());
        adding.push(tokio::spawn(adding_to_all));
    }
    for round in 1..=2 {
        for (slot, owner) in it.slots().await? {
            it.cluster
                .migrate_slot(slot, owner, (owner + round) % 3)
                .await?;
        }
    }
    stop.send_replace(true);
    let mut expected = vec![0; it.ids.len()];
    for adding in adding {
        for (sum, added) in expected.iter_mut().zip(adding.await??) {
            *sum += added;
        }
    }
    assert!(expected.iter().all(|added| *added > 3), "{expected:?}");
    for (id, expected) in it.ids.iter().zip(expected) {
        assert_eq!(count(&it.sessions, id).await?, Some(expected));
    }
    let left = it
        .cluster
        .keys_without_ttl_like(&format!("{}:*", it.prefix))
        .await?;
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

/// The keys of a session are on two nodes for a while, and no script can use them.
#[tokio::test]
async fn a_commit_waits_until_its_keys_are_together() -> TestResult {
    let it = Spread::on(RedisCluster::start(2).await?).await?;
    let id = &it.ids[0];
    let mut guard = it.sessions.lock(id).await?;
    guard.insert("n", 7)?;
    let lock = it.cluster.keys(&format!("{}:*:lock:*", it.prefix)).await?;
    let [lock] = <[String; 1]>::try_from(lock).map_err(|_other| "one session is locked")?;
    let slot = it.cluster.slot_of(&lock).await?;
    let from = it.cluster.owner_of(slot).await?;
    it.cluster.begin_migration(slot, from, 1 - from).await?;
    assert!(it.cluster.move_key(&lock, from, 1 - from).await?);
    let mut committing = tokio::spawn(guard.commit());
    let early = timeout(Duration::from_millis(300), &mut committing).await;
    assert!(early.is_err(), "its keys are on two nodes: {early:?}");
    it.cluster.migrate_slot(slot, from, 1 - from).await?;
    assert!(timeout(PATIENCE, committing).await???.is_stored());
    assert_eq!(count(&it.sessions, id).await?, Some(7));
    Ok(())
}

/// Hand-over between processes, where nobody looks for a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_hears_that_it_is_its_turn() -> TestResult {
    let it = Spread::on(RedisCluster::start(3).await?).await?;
    let others = [it.elsewhere().await?, it.elsewhere().await?];
    for id in &it.ids {
        let guard = it.sessions.lock(id).await?;
        let mut waiting = Vec::new();
        for other in &others {
            let (other, id) = (other.clone(), id.clone());
            waiting.push(tokio::spawn(async move { add_one(&other, &id).await }));
        }
        let mut queued = Vec::new();
        while queued.is_empty() {
            queued = it.cluster.keys(&format!("{}:*:queue:*", it.prefix)).await?;
        }
        // Whoever has no channel would look every 20 ms, and stand there under a shorter name.
        let node = it.cluster.node_of(&queued[0]).await?;
        let mut names = redis::cmd("ZRANGE");
        names.arg(&queued[0]).arg(0).arg(-1);
        let names: Vec<Vec<u8>> = names.query_async(&mut node.connection().await?).await?;
        assert!(names.iter().all(|name| name.len() > 18), "{names:?}");
        guard.discard().await?;
        for waiting in waiting {
            timeout(PATIENCE, waiting).await???;
        }
        assert_eq!(count(&it.sessions, id).await?, Some(2));
    }
    Ok(())
}

/// The master of before lives on as its replica, with all who listened there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_heard_of_by_the_master_that_took_over() -> TestResult {
    let cluster = RedisServer::builder()
        .start_cluster_with_replicas(1, 1)
        .await?;
    let it = Spread::on(cluster).await?;
    let (id, other) = (&it.ids[0], it.elsewhere().await?);
    let begins_to_wait = async || {
        let guard = it.sessions.lock(id).await?;
        let (other, id) = (other.clone(), id.clone());
        let waiting = tokio::spawn(async move { add_one(&other, &id).await });
        TestResult::Ok((guard, waiting))
    };
    let (guard, waiting) = begins_to_wait().await?;
    let queue = async |node: usize| -> TestResult<String> {
        loop {
            let queues = it
                .cluster
                .node(node)
                .keys(&format!("{}:*:queue:*", it.prefix))
                .await?;
            if let Some(queue) = queues.into_iter().next() {
                return Ok(queue);
            }
        }
    };
    let slot = it
        .cluster
        .slot_of(&timeout(PATIENCE, queue(0)).await??)
        .await?;
    guard.discard().await?;
    timeout(PATIENCE, waiting).await???;

    it.cluster.node(1).command(&["CLUSTER", "FAILOVER"]).await?;
    assert_eq!(it.cluster.successor_of(0, slot, 0).await?, 1);
    // Once this process knows of it.
    while add_one(&other, id).await.is_err() {
        sleep(Duration::from_millis(10)).await;
    }
    let (guard, waiting) = begins_to_wait().await?;
    let queue = timeout(PATIENCE, queue(1)).await??;
    let mut names = redis::cmd("ZRANGE");
    names.arg(&queue).arg(0).arg(-1);
    let mut connection = it.cluster.node(1).connection().await?;
    let names: Vec<Vec<u8>> = names.query_async(&mut connection).await?;
    let [name] = &names[..] else {
        return Err(format!("{} wait", names.len()).into());
    };
    let mut heard = redis::cmd("PUBSUB");
    heard.arg("SHARDNUMSUB").arg(&name[18..]);
    let (_, heard): (String, u32) = heard.query_async(&mut connection).await?;
    assert_eq!(heard, 1, "nobody listens there");
    guard.discard().await?;
    timeout(PATIENCE, waiting).await???;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_is_followed_by_its_replica() -> TestResult {
    let builder = RedisServer::builder().config("cluster-node-timeout", "1000");
    let cluster = builder.start_cluster_with_replicas(3, 1).await?;
    let it = Spread::on(cluster).await?;
    let slots = it.slots().await?;
    let (slot, _) = slots
        .iter()
        .find(|(_, owner)| *owner == 1)
        .ok_or("node 1 has none")?;
    // What is not replicated dies with its master: that is for those to test who wait for replicas.
    let mut wait = redis::cmd("WAIT");
    wait.arg(1).arg(10_000);
    for node in &it.cluster.nodes()[..3] {
        let replicas: u64 = wait.query_async(&mut node.connection().await?).await?;
        assert_eq!(replicas, 1);
    }
    it.cluster.node(1).kill().await?;
    it.cluster.successor_of(1, *slot, 0).await?;
    let add_to_all = async {
        for id in &it.ids {
            // Until all nodes agree on who has taken over.
            while add_one(&it.sessions, id).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        }
        TestResult::Ok(())
    };
    timeout(PATIENCE, add_to_all).await??;
    for id in &it.ids {
        let shown = count(&it.sessions, id).await?;
        assert!(shown >= Some(1), "{shown:?}");
    }
    Ok(())
}

#[tokio::test]
async fn slots_that_nobody_serves_are_named() -> TestResult {
    let builder = RedisServer::builder().config("cluster-require-full-coverage", "no");
    let cluster = builder.start_cluster(2).await?;
    cluster
        .node(0)
        .command(&["CLUSTER", "DELSLOTSRANGE", "100", "299"])
        .await?;
    let only_node = format!("redis+cluster://{}", cluster.node(0).addr());
    let refused = RedisStore::connect(&only_node).await;
    let refused = chain(&refused.expect_err("some sessions have no place"));
    assert!(refused.contains("100-299"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn servers_and_clusters_are_not_taken_for_each_other() -> TestResult {
    let cluster = RedisCluster::start(2).await?;
    let refused = RedisStore::connect(&cluster.node(0).url()).await;
    let refused = match refused {
        Ok(store) => {
            let sessions = Sessions::new(store);
            let mut created = Ok(());
            for _ in 0..40 {
                created = created.and(counter(&sessions).await.map(drop));
            }
            chain(&created.expect_err("half of the slots are elsewhere"))
        }
        Err(error) => chain(&error),
    };
    assert!(refused.contains("redis+cluster://"), "{refused}");

    let server = RedisServer::shared().await?;
    let refused = RedisStore::connect(&format!("redis+cluster://{}", server.addr())).await;
    let refused = chain(&refused.expect_err("it is no cluster"));
    assert!(refused.contains("no node of a cluster"), "{refused}");
    Ok(())
}

//! A slot moves from one node of a cluster to another.

use session_core::{CommitError, Sessions};
use session_redis::RedisStore;
use session_testkit::servers::{Proxy, RedisCluster};

use crate::support::{TestResult, add_one, counter, fresh_prefix};

/// A client follows redirections command by command. In the first draft, `SET lock NX` was redirected to the new node
/// while `GET record` had been answered by the old one: the lock was held, by somebody who had loaded a version that
/// the holder before had replaced meanwhile. Holding the lock was all that a commit had to show, and an update was
/// lost.
#[tokio::test]
async fn a_lock_on_the_new_node_with_a_record_of_the_old_one_overwrites_nothing() -> TestResult {
    let cluster = RedisCluster::start(2).await?;
    let prefix = fresh_prefix();
    // All keys of the session are in one slot; a session of the first node's, so that the proxies begin there.
    let (slow, other) = (
        Proxy::following_redirects(cluster.node(0)).await?,
        Proxy::following_redirects(cluster.node(0)).await?,
    );
    let builder = RedisStore::builder().prefix(&prefix);
    let late = Sessions::new(builder.clone().connect(&slow.url()).await?);
    let holder = Sessions::new(builder.connect(&other.url()).await?);
    let (id, record) = loop {
        let id = counter(&late).await?;
        let keys = cluster
            .node(0)
            .keys(&format!("{prefix}:*:session:*"))
            .await?;
        if let [record] = &keys[..] {
            break (id, record.clone());
        }
    };
    let lock = record.replace(":session:", ":lock:");
    let slot = cluster.slot_of(&record).await?;

    // Somebody holds the session. The slot begins to move: first its lock.
    let mut held = holder.lock(&id).await?;
    held.modify("n", |n: &mut u32| *n += 1)?;
    cluster.begin_migration(slot, 0, 1).await?;
    assert!(cluster.move_key(&lock, 0, 1).await?);

    // The late one asks: the old node answers with the record, and sends it on for the lock.
    slow.hold_redirects();
    slow.clear_log();
    let acquiring = tokio::spawn({
        let (late, id) = (late.clone(), id.clone());
        async move { late.lock(&id).await }
    });
    while slow.redirects().is_empty() {
        tokio::task::yield_now().await;
    }

    // Meanwhile the rest of the slot moves, and the holder commits there.
    assert!(cluster.move_key(&record, 0, 1).await?);
    cluster.finish_migration(slot, 1).await?;
    assert!(held.commit().await?.is_stored());

    // Now the late one gets the lock, on the new node, with the version before.
    slow.release_redirects();
    let mut session = acquiring.await??;
    assert_eq!(
        session.get::<u32>("n")?,
        Some(0),
        "this is the race: locked, and stale"
    );
    session.modify("n", |n: &mut u32| *n += 1)?;
    let error = session.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::Conflict), "{error:?}");

    assert_eq!(crate::support::count(&holder, &id).await?, Some(1));
    add_one(&late, &id).await?;
    assert_eq!(crate::support::count(&holder, &id).await?, Some(2));
    Ok(())
}

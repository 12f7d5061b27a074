//! A quorum grants a lock, waits for it, gives it back.

use std::{sync::Arc, time::Duration};

use session_lock::{AcquireError, LockNode, MemoryNode, Redlock, SystemClock};

fn nodes(count: usize) -> Vec<Arc<dyn LockNode>> {
    let node = |index| {
        Arc::new(MemoryNode::new(
            format!("node-{index}"),
            Arc::new(SystemClock),
        ))
    };
    (0..count)
        .map(|index| node(index) as Arc<dyn LockNode>)
        .collect()
}

#[tokio::test]
async fn a_lock_excludes_others_until_it_is_given_back() {
    for count in 1..=5 {
        let nodes = nodes(count);
        let [ours, theirs] = [(); 2].map(|()| Redlock::builder(nodes.clone()).build().unwrap());
        let lease = ours.acquire("r").await.unwrap();
        assert!(lease.is_valid());
        let error = theirs.try_acquire("r").await.unwrap_err();
        assert!(matches!(error, AcquireError::Held { .. }), "{error:?}");
        let first = lease.fencing_token();
        lease.release().await.unwrap();
        let lease = theirs.try_acquire("r").await.unwrap();
        assert!(lease.fencing_token() > first);
        drop(lease);
        ours.acquire("r").await.unwrap().release().await.unwrap();
        for lock in [ours, theirs] {
            lock.shutdown(Duration::from_secs(5)).await.unwrap();
            assert_eq!(lock.outstanding(), 0);
        }
    }
}

#[tokio::test]
async fn many_tasks_take_turns() {
    let nodes = nodes(5);
    let locks = [(); 4].map(|()| Redlock::builder(nodes.clone()).build().unwrap());
    let counter = Arc::new(std::sync::Mutex::new((0, 0)));
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let (lock, counter) = (locks[task % 4].clone(), Arc::clone(&counter));
            tokio::spawn(async move {
                for _ in 0..5 {
                    lock.with("r", async |_| {
                        counter.lock().unwrap().0 += 1;
                        assert_eq!(counter.lock().unwrap().0, 1);
                        tokio::task::yield_now().await;
                        let mut counter = counter.lock().unwrap();
                        counter.0 -= 1;
                        counter.1 += 1;
                        Ok::<_, AcquireError>(())
                    })
                    .await
                    .unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(counter.lock().unwrap().1, 320);
}

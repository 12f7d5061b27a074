use std::sync::Arc;

use session_lock::{Redlock, RedlockLease};

use super::{chance::Chance, check::Record, time::DriftingClock};

/// Somebody who takes locks, holds them and gives them back, or is cut off at any of it.
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) lock: Redlock,
    pub(super) clock: DriftingClock,
    pub(super) chance: Chance,
    pub(super) record: Arc<Record>,
    pub(super) resources: u64,
}

impl Client {
    pub(super) async fn run(&self) {
        for _ in 0..ROUNDS {
            self.clock.sleep(self.chance.millis(0..200)).await;
            let resource = format!("resource-{}", self.chance.within(0..self.resources));
            if let Some(lease) = self.acquire(&resource).await {
                self.hold(&resource, &lease).await;
                self.end(&resource, lease).await;
            }
        }
    }

    async fn acquire(&self, resource: &str) -> Option<Arc<RedlockLease>> {
        let floor = self.record.highest_token(resource);
        let wait = self.chance.millis(0..2_000);
        let asked = self.unless_cancelled(self.lock.acquire_timeout(resource, wait));
        let lease = Arc::new(asked.await?.ok()?);
        let (number, token) = (self.number, lease.fencing_token());
        self.record
            .note(|| format!("client {number} holds {resource} under {token:?}"));
        self.record.granted(resource, &lease, floor);
        Some(lease)
    }

    async fn hold(&self, resource: &str, lease: &RedlockLease) {
        for _ in 0..self.chance.within(0..6) {
            self.clock.sleep(self.chance.millis(0..400)).await;
            self.record.check_holders(resource);
            if !lease.is_valid() {
                return;
            }
            if self.chance.percent(30) {
                self.unless_cancelled(lease.extend()).await;
                self.record.check_holders(resource);
            }
        }
    }

    async fn end(&self, resource: &str, lease: Arc<RedlockLease>) {
        let (number, token) = (self.number, lease.fencing_token());
        self.record
            .note(|| format!("client {number} ends {resource} under {token:?}"));
        self.record.ended(resource, &lease);
        let lease = Arc::into_inner(lease).unwrap();
        if self.chance.percent(70) {
            self.unless_cancelled(lease.release()).await;
        }
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        if self.chance.percent(80) {
            return Some(work.await);
        }
        tokio::time::timeout(self.chance.millis(0..60), work)
            .await
            .ok()
    }
}

const ROUNDS: usize = 5;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use crate::{
    ExtendError, FencingToken, Held, Lease, LossCause, Moment, ReleaseError, Renewal, Resource,
    nodes::Nodes, round::EndOfAttempt,
};

/// The right to act on a resource, granted by a quorum of nodes.
///
/// Renewed in the background while it lives, at most for the longest hold. Dropping it gives the lock back on all nodes in
/// the background; dropping neither blocks nor needs a runtime. If the process dies first, the lock frees itself with its
/// TTL.
#[must_use = "dropping the lease gives the lock back"]
pub struct RedlockLease {
    // Dropped first: what a straggler grants from then on is given back by the reaper.
    end: EndOfAttempt,
    lease: Lease<Resource>,
    token: FencingToken,
    nodes: Arc<Nodes>,
}

impl RedlockLease {
    pub(crate) const fn new(
        end: EndOfAttempt,
        lease: Lease<Resource>,
        token: FencingToken,
        nodes: Arc<Nodes>,
    ) -> Self {
        Self {
            end,
            lease,
            token,
            nodes,
        }
    }

    /// Gives the lock back, and returns when a quorum of nodes has freed it. The other nodes are told in the background.
    ///
    /// # Errors
    /// [`ReleaseError::Lost`] if the lease was lost before: others may have held the lock meanwhile.
    /// [`ReleaseError::NoQuorum`] if too few nodes answered within the release timeout (1 s).
    ///
    /// # Cancel safety
    /// Cancelled, the lock is given back all the same, in the background.
    pub async fn release(self) -> Result<(), ReleaseError> {
        let Self {
            end, lease, nodes, ..
        } = self;
        let attempt = end.now();
        let held = lease.held().clone();
        if let Some(cause) = lease.loss() {
            // What is left of it goes back in the background.
            return Err(ReleaseError::Lost { cause });
        }
        lease.finish();
        nodes.release(held, attempt.take_late()).await
    }

    /// Gives the lease its full TTL again on a quorum of nodes, and lets the longest hold count from now.
    ///
    /// Renewal does the same by itself; this is for holders who have switched it off, or who go on for longer than the
    /// longest hold.
    ///
    /// # Errors
    /// [`ExtendError::Lost`] if the lease is lost: nothing brings it back. [`ExtendError::NoQuorum`] if too few nodes
    /// answered in time: it lives on until its validity ends.
    ///
    /// # Cancel safety
    /// Cancelled, the lock may live on longer on the nodes than the lease here; nothing else.
    pub async fn extend(&self) -> Result<(), ExtendError> {
        if let Some(cause) = self.loss() {
            return Err(ExtendError::Lost { cause });
        }
        let entry = self.lease.entry();
        let sent_at = self.nodes.clock.now();
        let batch = Arc::new([(entry.held.clone(), entry.terms.ttl)]);
        let extended = self
            .nodes
            .extend(batch, self.nodes.settings.node_timeout)
            .await;
        let (count, faults) = (extended.counts[0], extended.faults);
        match count.renewal(self.nodes.len(), self.nodes.quorum()) {
            Renewal::Extended => entry
                .extended_by_hand(sent_at, &*self.nodes.clock)
                .map_err(|cause| ExtendError::Lost { cause }),
            Renewal::Lost(cause) => {
                entry.end(cause);
                Err(ExtendError::Lost { cause })
            }
            Renewal::Unknown => Err(ExtendError::NoQuorum {
                extended: count.extended,
                required: self.nodes.quorum(),
                faults,
            }),
        }
    }

    /// What is held, and under which owner value.
    pub fn held(&self) -> &Held<Resource> {
        self.lease.held()
    }

    /// A number larger than that of every earlier grant of this lock, whichever nodes granted it.
    ///
    /// Made by a quorum of nodes: each stood at exactly this number before the lease was handed out. Checked by whoever
    /// the lock protects: it has to refuse smaller ones.
    pub const fn fencing_token(&self) -> FencingToken {
        self.token
    }

    /// The moment until which the holder may act, as known now, on the clock of the lock.
    pub fn valid_until(&self) -> Moment {
        self.lease.valid_until()
    }

    /// Time left in which the holder may act; zero when the lease is lost.
    pub fn remaining(&self) -> Duration {
        self.lease.remaining()
    }

    /// Whether the holder may still act.
    pub fn is_valid(&self) -> bool {
        self.lease.is_valid()
    }

    /// The cause of the loss, if the lease is lost.
    pub fn loss(&self) -> Option<LossCause> {
        self.lease.loss()
    }

    /// Resolves when the lease is lost or given back, with the cause.
    ///
    /// The future does not borrow the lease. It rests on a timer of this process, so it resolves on time also when the
    /// network hangs. Cancel safe.
    pub fn lost(&self) -> impl Future<Output = LossCause> + Send + 'static {
        self.lease.lost()
    }
}

impl fmt::Debug for RedlockLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedlockLease")
            .field("resource", &self.held().resource)
            .field("remaining", &self.remaining())
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

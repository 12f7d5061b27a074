use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join_all;
use session_lock::{
    AcquireOptions, Clock, ExtendError, Fault, FencingToken, Held, Keeper, Lease, LeaseBackend,
    LeaseTerms, Moment, OwnerValue, Redlock, RedlockLease, Renewal,
};
use sha2::{Digest as _, Sha256};

use crate::{AcquireError, ConfigError, Lines, LockRequest, Locker, SessionKey, StoreError};

/// Locks of sessions over independent nodes: a [`Redlock`] as the locker of a [`Composed`](crate::Composed) primary.
///
/// Its fencing tokens grow across quorums, and the store of records refuses smaller ones, so a lock that was granted twice
/// loses no update. Cheap to clone; clones share everything.
///
/// A lease of a session lasts as its sessions say ([`SessionsBuilder::lease`](crate::SessionsBuilder::lease)), not as the
/// settings of the lock. Nodes have to be prepared for the longest one: [`RedlockBuilder::longest_ttl`](session_lock::RedlockBuilder::longest_ttl).
#[derive(Clone)]
pub struct RedlockLocker {
    inner: Arc<Inner>,
}

struct Inner {
    lock: Redlock,
    granted: Arc<Granted>,
    keeper: Keeper<SessionKey>,
    lines: Lines,
}

// The longest lease that sessions can ask for.
const LONGEST_LEASE: Duration = Duration::from_secs(60);

impl RedlockLocker {
    /// On that lock.
    ///
    /// # Errors
    /// [`ConfigError`] when the longest TTL of its nodes is shorter than 60 s, the longest lease of a session.
    pub fn new(lock: Redlock) -> Result<Self, ConfigError> {
        let longest = lock.longest_ttl();
        if longest < LONGEST_LEASE {
            return Err(ConfigError::new(
                "longest TTL of the lock",
                format!("{longest:?}"),
                "at least 60 s, the longest lease of a session",
            ));
        }
        let granted = Arc::new(Granted::default());
        let backend = Arc::clone(&granted) as Arc<dyn LeaseBackend<SessionKey>>;
        let inner = Inner {
            keeper: Keeper::new(backend, lock.clock()),
            lock,
            granted,
            lines: Lines::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

impl Inner {
    async fn acquire(
        &self,
        key: &SessionKey,
        terms: LeaseTerms,
        wait: Duration,
        floor: FencingToken,
    ) -> Result<Lease<SessionKey>, session_lock::AcquireError> {
        // Renewed by the keeper here, which knows how long it is held.
        let by_hand = LeaseTerms {
            longest_hold: terms.ttl.get(),
            ..terms
        };
        let options = AcquireOptions::default()
            .wait_at_most(wait)
            .floor(floor)
            .terms(by_hand);
        let grant = self.lock.acquire_with(resource(key), options).await?;
        let (token, owner) = (grant.fencing_token(), grant.held().owner);
        let mut pending = self.keeper.ask(*key, owner, terms);
        pending.count_from(grant.valid_until() - validity(by_hand));
        self.granted.note(owner, grant);
        Ok(pending.granted_with_token(None, Some(token)))
    }
}

/// How long a lease is valid, from when it was asked for.
fn validity(terms: LeaseTerms) -> Duration {
    let origin = Moment::from_origin(Duration::ZERO);
    terms.valid_until(origin).saturating_since(origin)
}

/// A name for the lock of a session, which finds no record: names of locks stand in errors and logs.
fn resource(key: &SessionKey) -> String {
    let hash = Sha256::new()
        .chain_update(b"latchkey lock")
        .chain_update(key.digest())
        .chain_update(key.bucket().number().to_be_bytes())
        .finalize();
    let mut name = String::from("session-");
    for byte in &hash[..16] {
        // A string takes all that is written.
        write!(name, "{byte:02x}").ok();
    }
    name
}

#[async_trait]
impl Locker for RedlockLocker {
    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.lock.clock()
    }

    async fn lock(
        &self,
        key: &SessionKey,
        request: &LockRequest,
        floor: FencingToken,
    ) -> Result<Lease<SessionKey>, AcquireError> {
        let inner = &*self.inner;
        let clock = inner.lock.clock();
        let (start, terms) = (clock.now(), request.terms);
        if request.wait.is_zero() {
            let ahead = inner.lines.waiting(key);
            let lease = inner.acquire(key, terms, Duration::ZERO, floor).await;
            return lease.map_err(|error| refused(error, ahead));
        }
        let until = start + request.wait;
        let place = inner.lines.join(key, request.max_waiters);
        let place = place.map_err(|full| AcquireError::Busy {
            waiting: full.waiting,
        })?;
        let ahead = place.ahead();
        let _turn = tokio::select! {
            biased;
            turn = place.turn() => turn,
            () = clock.sleep_until(until) => {
                let waited = clock.now().saturating_since(start);
                return Err(AcquireError::Held { waited, ahead });
            }
        };
        let left = until.saturating_since(clock.now());
        match inner.acquire(key, terms, left, floor).await {
            // It has waited in line before.
            Err(session_lock::AcquireError::Held { .. }) => {
                let waited = clock.now().saturating_since(start);
                Err(AcquireError::Held { waited, ahead })
            }
            lease => lease.map_err(|error| refused(error, ahead)),
        }
    }

    async fn release(&self, lease: Lease<SessionKey>) {
        let owner = lease.held().owner;
        let Some(grant) = self.inner.granted.take(&owner) else {
            return;
        };
        // Dropped before it is answered, it is given back in the background.
        lease.finish();
        give_back(grant).await;
    }

    async fn drained(&self) {
        self.inner.keeper.drained().await;
    }
}

fn refused(error: session_lock::AcquireError, ahead: usize) -> AcquireError {
    use session_lock::AcquireError as Refused;
    match error {
        Refused::Held { waited, .. } => AcquireError::Held { waited, ahead },
        Refused::Busy { waiting } => AcquireError::Busy { waiting },
        Refused::ShutDown => AcquireError::ShutDown,
        error => {
            let (node, fault) = match &error {
                Refused::NoQuorum { faults, .. } => faults.first().map_or_else(
                    || ("the nodes of the lock".to_owned(), Fault::Unreachable),
                    |fault| (fault.node().to_owned(), fault.fault().clone()),
                ),
                error => (
                    "the nodes of the lock".to_owned(),
                    Fault::Unsuitable(error.to_string()),
                ),
            };
            StoreError::new("lock a session", node, fault)
                .with_source(error)
                .into()
        }
    }
}

impl fmt::Debug for RedlockLocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedlockLocker")
            .field("lock", &self.inner.lock)
            .finish_non_exhaustive()
    }
}

/// What the nodes have granted, by owner value.
#[derive(Default)]
struct Granted {
    // A std mutex: held for a few instructions.
    grants: Mutex<HashMap<OwnerValue, Arc<RedlockLease>>>,
}

impl Granted {
    fn note(&self, owner: OwnerValue, grant: RedlockLease) {
        self.grants().insert(owner, Arc::new(grant));
    }

    fn find(&self, owner: &OwnerValue) -> Option<Arc<RedlockLease>> {
        self.grants().get(owner).cloned()
    }

    fn take(&self, owner: &OwnerValue) -> Option<Arc<RedlockLease>> {
        self.grants().remove(owner)
    }

    fn grants(&self) -> MutexGuard<'_, HashMap<OwnerValue, Arc<RedlockLease>>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn extend(&self, owner: &OwnerValue) -> Renewal {
        let Some(grant) = self.find(owner) else {
            return Renewal::Unknown;
        };
        match grant.extend().await {
            Ok(()) => Renewal::Extended,
            Err(ExtendError::Lost { cause }) => Renewal::Lost(cause),
            Err(_) => Renewal::Unknown,
        }
    }
}

/// A renewal may be under way: then the grant goes back when that is over, in the background.
async fn give_back(grant: Arc<RedlockLease>) {
    if let Some(grant) = Arc::into_inner(grant)
        && let Err(error) = grant.release().await
    {
        tracing::debug!(%error, "a lock was not given back as it should have been");
    }
}

#[async_trait]
impl LeaseBackend<SessionKey> for Granted {
    async fn renew(&self, leases: &[(Held<SessionKey>, LeaseTerms)]) -> Vec<Renewal> {
        join_all(leases.iter().map(|(held, _)| self.extend(&held.owner))).await
    }

    async fn release(&self, leases: &[Held<SessionKey>]) {
        let grants = leases.iter().filter_map(|held| self.take(&held.owner));
        join_all(grants.map(give_back)).await;
    }
}

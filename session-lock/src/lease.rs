use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{Clock, LeaseTerms, Moment, OwnerValue, keeper::Shared};

/// What is held: a resource under an owner value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held<R> {
    /// The locked resource.
    pub resource: R,
    /// The value that proves the lock to be ours.
    pub owner: OwnerValue,
}

/// A number that grows with each grant of a lock, so that a store can refuse whoever comes late.
///
/// Made by the locker, monotonic for one resource; checked by the store that the lock protects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(pub u64);

impl FencingToken {
    /// The largest token that is ever made: 2^53 − 1, up to which every language counts exactly, Lua and JavaScript
    /// included. Tokens that begin at the clock stay below it for 220 years.
    pub const MAX: Self = Self((1 << 53) - 1);
}

/// How long a resource lives that each renewal of its lease also keeps alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "lockers build it")]
pub struct KeepAlive {
    /// From now on.
    pub left: Duration,
    /// From each renewal on.
    pub full: Duration,
}

/// Why a lease is no longer valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossCause {
    /// Its time ran out before a renewal was confirmed.
    Expired,
    /// The lock is held under another owner value.
    Stolen,
    /// The lock is gone from its server: deleted, expired there, or the server lost its data.
    Gone,
    /// The lock is gone from its server, which has started anew a short while ago.
    NodeRestarted,
    /// Too few nodes hold the lock still; on others it is gone or held by another owner.
    QuorumLost,
    /// It was held for the longest time allowed.
    HeldTooLong,
    /// Its own holder gave it back.
    Released,
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "its time ran out before a renewal was confirmed",
            Self::Stolen => "the lock is held by another owner",
            Self::Gone => "the lock is gone from its server",
            Self::NodeRestarted => "the lock is gone from its server, which has started anew",
            Self::QuorumLost => "too few nodes hold the lock still",
            Self::HeldTooLong => "it was held for the longest time allowed",
            Self::Released => "its holder gave it back",
        })
    }
}

/// The right to act on a resource, for a limited time.
///
/// Renewed by its [`Keeper`](crate::Keeper) while it lives, at most for the longest hold. Dropping it gives the
/// lock back in the background; dropping neither blocks nor needs a runtime.
#[must_use = "dropping the lease gives the lock back"]
pub struct Lease<R: Clone + Send + Sync + 'static> {
    entry: Arc<Entry<R>>,
    shared: Arc<Shared<R>>,
    slot: usize,
    finished: bool,
    heir: Option<Arc<dyn Heir<R>>>,
}

/// Who takes over a lease that its holder drops.
pub trait Heir<R: Clone + Send + Sync + 'static>: Send + Sync {
    /// The lease was dropped, perhaps in a panic or without a runtime. It has no heir any more.
    fn inherit(&self, lease: Lease<R>);
}

/// Says that a lease is lost, from [`Lease::ender`].
pub struct Ender<R>(Arc<Entry<R>>);

impl<R: Clone + Send + Sync + 'static> Ender<R> {
    /// The lease is lost, if it was not before. Its lock is given back as with any other.
    pub fn end(&self, cause: LossCause) {
        self.0.end(cause);
    }
}

impl<R> fmt::Debug for Ender<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ender").finish_non_exhaustive()
    }
}

impl<R: Clone + Send + Sync + 'static> Lease<R> {
    pub(crate) const fn new(entry: Arc<Entry<R>>, shared: Arc<Shared<R>>, slot: usize) -> Self {
        Self {
            entry,
            shared,
            slot,
            finished: false,
            heir: None,
        }
    }

    /// Ends the lease without a message to the server: the caller knows that the lock is no longer ours there.
    pub fn finish(mut self) {
        self.finished = true;
    }
}

impl<R: Clone + Send + Sync + 'static> Lease<R> {
    /// What is held, and under which owner value.
    pub fn held(&self) -> &Held<R> {
        &self.entry.held
    }

    /// The fencing token of this grant, where the locker makes one.
    pub fn fencing_token(&self) -> Option<FencingToken> {
        self.entry.token
    }

    /// The moment until which the holder may act, as known now.
    pub fn valid_until(&self) -> Moment {
        self.entry.status().valid_until
    }

    /// Time left in which the holder may act; zero when the lease is lost.
    pub fn remaining(&self) -> Duration {
        let now = self.shared.clock.now();
        match self.entry.loss(now) {
            Some(_) => Duration::ZERO,
            None => self.entry.status().valid_until.saturating_since(now),
        }
    }

    /// Whether the holder may still act.
    pub fn is_valid(&self) -> bool {
        !self.remaining().is_zero()
    }

    pub(crate) fn entry(&self) -> &Arc<Entry<R>> {
        &self.entry
    }

    /// Whoever takes it over if it is dropped, instead of its being given back; `None`: nobody.
    pub fn set_heir(&mut self, heir: Option<Arc<dyn Heir<R>>>) {
        self.heir = heir;
    }

    /// Whoever has it can say that the lease is lost, wherever that is by then.
    pub fn ender(&self) -> Ender<R> {
        Ender(Arc::clone(&self.entry))
    }

    /// Whether its renewals come often enough to keep a resource alive that lives so.
    pub fn keeps_alive(&self, life: KeepAlive) -> bool {
        let enough = |span| self.entry.terms.renew_every(Some(span)) >= self.entry.renew_every;
        enough(life.left) && enough(life.full)
    }

    /// The cause of the loss, if the lease is lost.
    pub fn loss(&self) -> Option<LossCause> {
        self.entry.loss(self.shared.clock.now())
    }

    /// Resolves when the lease is lost or given back, with the cause.
    ///
    /// The future does not borrow the lease. It rests on a timer of this process, so it resolves on time also when
    /// the network hangs. Cancel safe.
    pub fn lost(&self) -> impl Future<Output = LossCause> + Send + 'static {
        let entry = Arc::clone(&self.entry);
        let clock = Arc::clone(&self.shared.clock);
        async move { entry.lost(&*clock).await }
    }
}

impl<R: Clone + Send + Sync + 'static> Drop for Lease<R> {
    fn drop(&mut self) {
        if let (Some(heir), false) = (self.heir.take(), self.finished) {
            let (entry, shared) = (Arc::clone(&self.entry), Arc::clone(&self.shared));
            return heir.inherit(Self::new(entry, shared, self.slot));
        }
        self.entry.end(LossCause::Released);
        self.shared.remove(self.slot, !self.finished);
    }
}

impl<R: Clone + Send + Sync + 'static> fmt::Debug for Lease<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

/// The state of one lease, shared by its holder, its loss signals and the keeper.
pub(crate) struct Entry<R> {
    pub(crate) held: Held<R>,
    pub(crate) terms: LeaseTerms,
    token: Option<FencingToken>,
    renew_every: Duration,
    /// Whether renewal can lengthen the lease at all.
    is_renewed: bool,
    status: Mutex<Status>,
    changed: Notify,
}

#[derive(Clone, Copy)]
pub(crate) struct Status {
    pub(crate) valid_until: Moment,
    hold_until: Moment,
    pub(crate) next_renewal: Moment,
    pub(crate) ended: Option<LossCause>,
}

impl<R: Send + Sync> Entry<R> {
    pub(crate) fn new(
        held: Held<R>,
        terms: LeaseTerms,
        sent_at: Moment,
        keep_alive: Option<KeepAlive>,
        token: Option<FencingToken>,
    ) -> Self {
        let renew_every = terms.renew_every(keep_alive.map(|alive| alive.full));
        let renew_first = terms.renew_every(keep_alive.map(|alive| alive.left));
        let hold_until = sent_at + terms.longest_hold;
        Self {
            held,
            terms,
            token,
            renew_every,
            is_renewed: keep_alive.is_some() || terms.longest_hold > terms.ttl.get(),
            status: Mutex::new(Status {
                valid_until: terms.valid_until(sent_at).min(hold_until),
                hold_until,
                next_renewal: sent_at + renew_first,
                ended: None,
            }),
            changed: Notify::new(),
        }
    }

    pub(crate) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A renewal sent at `sent_at` was confirmed. A lease that is lost stays lost, also if nobody has asked yet.
    pub(crate) fn extended(&self, sent_at: Moment, clock: &dyn Clock) {
        self.confirm(sent_at, clock, |_| ()).ok();
    }

    /// As [`extended`](Self::extended), at the wish of the holder: the longest hold counts from there.
    pub(crate) fn extended_by_hand(
        &self,
        sent_at: Moment,
        clock: &dyn Clock,
    ) -> Result<(), LossCause> {
        let hold_until = sent_at + self.terms.longest_hold;
        self.confirm(sent_at, clock, |status| {
            status.hold_until = status.hold_until.max(hold_until);
        })
    }

    fn confirm(
        &self,
        sent_at: Moment,
        clock: &dyn Clock,
        change: impl FnOnce(&mut Status),
    ) -> Result<(), LossCause> {
        let mut status = self.status();
        // Read under the mutex: whoever saw the lease as lost saw it before this moment.
        if let Some(cause) = status.note_loss(clock.now()) {
            return Err(cause);
        }
        change(&mut status);
        let until = self.terms.valid_until(sent_at).min(status.hold_until);
        status.valid_until = status.valid_until.max(until);
        drop(status);
        self.changed.notify_waiters();
        Ok(())
    }

    /// The moment of the next renewal has been used; the one after it.
    pub(crate) fn schedule_renewal(&self, now: Moment) {
        self.status().next_renewal = now + self.renew_every;
    }

    /// Whether the next renewal is due within a quarter of the time between two.
    pub(crate) fn is_due_soon(&self, now: Moment) -> bool {
        self.status().next_renewal <= now + self.renew_every / 4
    }

    /// Whether renewal still makes sense: the lease is not lost.
    pub(crate) fn wants_renewal(&self, now: Moment) -> bool {
        self.is_renewed && self.loss(now).is_none()
    }

    /// Ends the lease, unless it has ended already; whether it had not.
    pub(crate) fn end(&self, cause: LossCause) -> bool {
        let mut status = self.status();
        let first = status.ended.is_none();
        status.ended.get_or_insert(cause);
        drop(status);
        self.changed.notify_waiters();
        first
    }

    fn loss(&self, now: Moment) -> Option<LossCause> {
        self.status().note_loss(now)
    }

    async fn lost(&self, clock: &dyn Clock) -> LossCause {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the state is read: a change in between is not missed.
            changed.as_mut().enable();
            if let Some(cause) = self.loss(clock.now()) {
                return cause;
            }
            let valid_until = self.status().valid_until;
            tokio::select! {
                () = changed => {}
                () = clock.sleep_until(valid_until) => {}
            }
        }
    }
}

impl Status {
    /// A loss that was seen once is final: a confirmation that arrives later must not take it back.
    fn note_loss(&mut self, now: Moment) -> Option<LossCause> {
        if self.ended.is_none() {
            self.ended = if now >= self.hold_until {
                Some(LossCause::HeldTooLong)
            } else if now >= self.valid_until {
                Some(LossCause::Expired)
            } else {
                None
            };
        }
        self.ended
    }
}

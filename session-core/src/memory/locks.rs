//! Locks in memory: one owner a key, waiters first come, first served, direct hand-over.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use session_lock::{Held, LossCause, Moment, OwnerValue, Renewal};
use tokio::sync::oneshot;

use crate::SessionKey;

/// The locks of a store. Pure state: the caller brings the time and the mutual exclusion.
#[derive(Default)]
pub(super) struct LockTable {
    locks: HashMap<SessionKey, Lock>,
    last_token: u64,
}

struct Lock {
    owner: OwnerValue,
    until: Moment,
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    owner: OwnerValue,
    ttl: Duration,
    granted: oneshot::Sender<Moment>,
}

pub(super) enum Asked {
    Granted,
    /// Resolves when the lock is handed over, with the moment of that; look again at `until` in case the holder never gives it back.
    Wait {
        granted: oneshot::Receiver<Moment>,
        until: Moment,
    },
    Busy {
        waiting: usize,
    },
}

impl LockTable {
    /// How many wait and come before this one.
    pub(super) fn ahead(&self, held: &Held<SessionKey>) -> usize {
        let lock = self.locks.get(&held.resource);
        let waiting = lock.into_iter().flat_map(|lock| &lock.waiting);
        let ahead = waiting.take_while(|waiter| waiter.owner != held.owner);
        ahead.filter(|waiter| !waiter.granted.is_closed()).count()
    }

    /// Locks `key` if it is free, else queues up.
    pub(super) fn ask(
        &mut self,
        held: &Held<SessionKey>,
        ttl: Duration,
        max_waiters: usize,
        now: Moment,
    ) -> Asked {
        let Some(lock) = self.locks.get_mut(&held.resource) else {
            let lock = Lock {
                owner: held.owner,
                until: now + ttl,
                waiting: VecDeque::new(),
            };
            self.locks.insert(held.resource, lock);
            return Asked::Granted;
        };
        lock.pass_on_if_expired(now);
        lock.waiting.retain(|waiter| !waiter.granted.is_closed());
        if lock.until <= now && lock.waiting.is_empty() {
            lock.owner = held.owner;
            lock.until = now + ttl;
            return Asked::Granted;
        }
        if lock.waiting.len() >= max_waiters {
            return Asked::Busy {
                waiting: lock.waiting.len(),
            };
        }
        let (sender, granted) = oneshot::channel();
        lock.waiting.push_back(Waiter {
            owner: held.owner,
            ttl,
            granted: sender,
        });
        Asked::Wait {
            granted,
            until: lock.until,
        }
    }

    /// A waiter looks whether the holder's time is up. Returns when to look next.
    pub(super) fn look(&mut self, key: &SessionKey, now: Moment) -> Option<Moment> {
        let lock = self.locks.get_mut(key)?;
        lock.pass_on_if_expired(now);
        Some(lock.until)
    }

    /// Frees the lock if `held` still holds it, and hands it to the next waiter.
    pub(super) fn release(&mut self, held: &Held<SessionKey>, now: Moment) {
        if self.holds(held, now) {
            self.pass_on(&held.resource, now);
        }
    }

    /// Frees the lock whoever holds it.
    pub(super) fn free(&mut self, key: &SessionKey) {
        self.locks.remove(key);
    }

    pub(super) fn renew(&mut self, held: &Held<SessionKey>, ttl: Duration, now: Moment) -> Renewal {
        match self.locks.get_mut(&held.resource) {
            Some(lock) if lock.owner != held.owner => Renewal::Lost(LossCause::Stolen),
            Some(lock) if lock.until > now => {
                lock.until = now + ttl;
                Renewal::Extended
            }
            _ => Renewal::Lost(LossCause::Gone),
        }
    }

    pub(super) fn holds(&self, held: &Held<SessionKey>, now: Moment) -> bool {
        self.locks
            .get(&held.resource)
            .is_some_and(|lock| lock.owner == held.owner && lock.until > now)
    }

    pub(super) fn is_locked(&self, key: &SessionKey, now: Moment) -> bool {
        self.locks.get(key).is_some_and(|lock| lock.until > now)
    }

    /// A token larger than every one before and than `floor`.
    pub(super) fn next_token(&mut self, floor: u64) -> u64 {
        self.last_token = self.last_token.max(floor) + 1;
        self.last_token
    }

    /// Forgets locks whose time is up and that nobody waits for.
    pub(super) fn sweep(&mut self, now: Moment) {
        self.locks.retain(|_, lock| {
            lock.until > now
                || lock
                    .waiting
                    .iter()
                    .any(|waiter| !waiter.granted.is_closed())
        });
    }

    fn pass_on(&mut self, key: &SessionKey, now: Moment) {
        if let Some(lock) = self.locks.get_mut(key)
            && !lock.hand_over(now)
        {
            self.locks.remove(key);
        }
    }
}

impl Lock {
    fn pass_on_if_expired(&mut self, now: Moment) {
        if self.until <= now {
            self.hand_over(now);
        }
    }

    /// Gives the lock to the first waiter that is still there; whether there was one.
    fn hand_over(&mut self, now: Moment) -> bool {
        while let Some(next) = self.waiting.pop_front() {
            self.owner = next.owner;
            self.until = now + next.ttl;
            if next.granted.send(now).is_ok() {
                return true;
            }
        }
        self.until = now;
        false
    }
}

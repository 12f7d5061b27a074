use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use session_core::{
    CommitError, CommitId, Committed, Digest, Fault, Header, RecordKind, Revision, SessionHandle,
    SessionId, SessionKey, StoreError, StoreTime, Stored, Write,
};
use session_lock::{Held, LossCause, OwnerValue};
use shuttle::future::{spawn, yield_now};

use crate::{
    cohort::Outcome,
    lines::{Lines, Queued},
};

/// The lock of one session, its queue, and its record: the numbers of all members that have committed. What it is asked
/// takes time: others go on before it acts and before it answers.
pub(super) struct Server {
    pub(super) key: SessionKey,
    /// Of each lease.
    pub(super) ttl: Duration,
    // A std mutex: nobody goes on while it is held.
    state: Mutex<State>,
}

struct State {
    lock: Option<OwnerValue>,
    queue: VecDeque<(OwnerValue, Arc<Lines>)>,
    header: Header,
    body: Bytes,
    /// Saves that are under way.
    saving: HashSet<OwnerValue>,
    /// What goes wrong with the next saves.
    faults: VecDeque<Option<SaveFault>>,
    /// Under which leases a save has failed.
    failed: HashSet<OwnerValue>,
    /// How many guards each lease has had.
    guards: HashMap<OwnerValue, u32>,
    /// Leases under which a guard works now.
    running: HashSet<OwnerValue>,
    /// Those of them whose lease is lost.
    lost: HashSet<OwnerValue>,
    /// Who had the lock last, by process.
    latest: HashMap<usize, u8>,
    /// Whether somebody has deleted a lock.
    was_lost: bool,
    /// Messages on their way.
    messages: u32,
    /// Who was told that nothing of its commit is or will be stored.
    refused: Vec<u8>,
}

/// What goes wrong with a save.
#[derive(Clone, Copy)]
pub(super) enum SaveFault {
    Refused,
    /// Stored, and nobody is told.
    AnswerLost,
    /// Not stored, and nobody is told.
    RequestLost,
}

/// What becomes of somebody who wants to wait.
pub(super) enum Looked {
    Taken(Stored),
    Waits(usize),
}

impl Server {
    pub(super) fn new(ttl: Duration) -> Self {
        let header = Header {
            kind: RecordKind::Live,
            commit_id: CommitId::random(),
            revision: Revision::default(),
            created: StoreTime::default(),
            absolute_end: StoreTime::default().after(LONG),
            idle_timeout: LONG,
            handle: SessionHandle::random(),
            user_tag: 0,
            flags: 0,
            digest: Digest::default(),
        };
        let state = State {
            lock: None,
            queue: VecDeque::new(),
            header,
            body: Bytes::new(),
            saving: HashSet::new(),
            faults: VecDeque::new(),
            failed: HashSet::new(),
            guards: HashMap::new(),
            running: HashSet::new(),
            lost: HashSet::new(),
            latest: HashMap::new(),
            was_lost: false,
            refused: Vec::new(),
            messages: 0,
        };
        Self {
            key: *SessionId::random().key(),
            ttl,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn save_fails(&self, fault: SaveFault, after: u32) {
        let mut state = self.state();
        state.faults = (0..after).map(|_| None).chain([Some(fault)]).collect();
    }

    /// Who has committed, in that order.
    pub(super) fn committed(&self) -> Bytes {
        self.state().body.clone()
    }

    pub(super) fn is_quiet(&self) -> bool {
        let state = self.state();
        state.lock.is_none() && state.queue.is_empty() && state.messages == 0
    }

    /// Whether nothing has happened that could make a save fail.
    pub(super) fn is_sound(&self) -> bool {
        let state = self.state();
        state.failed.is_empty() && !state.was_lost
    }

    pub(super) fn has_refused(&self, member: u8) {
        self.state().refused.push(member);
    }

    /// Nothing is held, and what was refused is not stored.
    pub(super) fn check_end(&self) {
        let state = self.state();
        let refused = |member| state.refused.contains(member);
        assert!(!state.body.iter().any(refused), "refused, and stored");
        assert!(state.running.is_empty());
    }

    /// A guard of a process begins its work.
    pub(super) fn begins(&self, owner: OwnerValue, process: usize, member: u8) {
        let mut state = self.state();
        let guards = state.guards.entry(owner).or_default();
        *guards += 1;
        assert!(*guards <= 17, "other processes wait for too long");
        assert!(state.running.insert(owner), "one at a time under a lease");
        assert!(state.was_lost || state.running.len() == 1, "one at a time");
        let before = state.latest.insert(process, member);
        assert!(before < Some(member), "first come, first served");
    }

    pub(super) fn ends(self: &Arc<Self>, owner: OwnerValue) {
        let mut state = self.state();
        state.running.remove(&owner);
        let is_lost = state.lost.remove(&owner);
        drop(state);
        if is_lost {
            self.free(owner);
        }
    }

    /// A lease is lost: its guard, if there is one, gives the lock back at its end.
    pub(super) fn free_after(self: &Arc<Self>, owner: OwnerValue) -> bool {
        let mut state = self.state();
        if state.running.contains(&owner) {
            state.lost.insert(owner);
            return false;
        }
        drop(state);
        self.free(owner)
    }

    pub(super) async fn try_lock(&self, owner: OwnerValue) -> Option<Stored> {
        yield_now().await;
        let taken = self.state().take(owner);
        yield_now().await;
        taken
    }

    pub(super) async fn look(&self, queued: &Queued, lines: &Arc<Lines>) -> Looked {
        yield_now().await;
        let looked = self.state().look(queued.owner, lines);
        yield_now().await;
        looked
    }

    pub(super) async fn leave(self: &Arc<Self>, queued: &Queued) {
        yield_now().await;
        self.state()
            .queue
            .retain(|(owner, _)| *owner != queued.owner);
        self.free(queued.owner);
        yield_now().await;
    }

    /// Writes a new version over the one that it names.
    pub(super) async fn save(&self, held: &Held<SessionKey>, write: Write) -> Outcome {
        let alone = self.state().saving.insert(held.owner);
        assert!(alone, "one save at a time");
        yield_now().await;
        let outcome = self.state().save(held.owner, write);
        yield_now().await;
        self.state().saving.remove(&held.owner);
        outcome
    }

    pub(super) async fn release(self: &Arc<Self>, owner: OwnerValue) -> bool {
        yield_now().await;
        let freed = self.free(owner);
        yield_now().await;
        freed
    }

    /// Gives the lock to whoever waits longest, and tells so. Whether it was held under this owner value.
    pub(super) fn free(self: &Arc<Self>, owner: OwnerValue) -> bool {
        let Some(next) = self.state().free(owner) else {
            return false;
        };
        if let Some(lines) = next {
            let server = Arc::clone(self);
            spawn(async move {
                yield_now().await;
                lines.wake(&server.key);
                server.state().messages -= 1;
            });
        }
        true
    }

    /// The lock is deleted, whoever holds it.
    pub(super) fn lose_lock(self: &Arc<Self>) {
        let lock = self.state().lock;
        if let Some(owner) = lock {
            self.runs_out(owner);
        }
    }

    /// The lock is gone, and its holder was not asked.
    pub(super) fn runs_out(self: &Arc<Self>, owner: OwnerValue) -> bool {
        self.state().was_lost = true;
        self.free(owner)
    }
}

impl State {
    fn take(&mut self, owner: OwnerValue) -> Option<Stored> {
        if self.lock.is_some() {
            return None;
        }
        assert!(self.queue.is_empty(), "a lock is free while somebody waits");
        self.lock = Some(owner);
        Some(self.stored())
    }

    fn look(&mut self, owner: OwnerValue, lines: &Arc<Lines>) -> Looked {
        if self.lock == Some(owner) {
            return Looked::Taken(self.stored());
        }
        if let Some(stored) = self.take(owner) {
            return Looked::Taken(stored);
        }
        let mut queue = self.queue.iter();
        Looked::Waits(
            queue
                .position(|(other, _)| *other == owner)
                .unwrap_or_else(|| {
                    self.queue.push_back((owner, Arc::clone(lines)));
                    self.queue.len() - 1
                }),
        )
    }

    /// `None`: it was not held under this owner value. Else who is to be told.
    fn free(&mut self, owner: OwnerValue) -> Option<Option<Arc<Lines>>> {
        if self.lock != Some(owner) {
            return None;
        }
        let (next, lines) = self.queue.pop_front().unzip();
        self.lock = next;
        self.messages += u32::from(next.is_some());
        Some(lines)
    }

    fn save(&mut self, owner: OwnerValue, write: Write) -> Outcome {
        assert!(
            !self.failed.contains(&owner),
            "nobody goes on from what is not stored"
        );
        let saved = match self.faults.pop_front().flatten() {
            Some(SaveFault::Refused) => Err(CommitError::Store(unreachable())),
            Some(SaveFault::RequestLost) => Err(CommitError::Unknown(unreachable())),
            Some(SaveFault::AnswerLost) => {
                let stored = self.store(owner, write);
                stored.and(Err(CommitError::Unknown(unreachable())))
            }
            None => self.store(owner, write),
        };
        if saved.is_err() {
            self.failed.insert(owner);
        }
        saved
    }

    fn store(&mut self, owner: OwnerValue, write: Write) -> Outcome {
        if self.lock != Some(owner) {
            let cause = LossCause::Gone;
            return Err(CommitError::LeaseLost { cause });
        }
        assert!(
            write.base == self.header.commit_id,
            "a version replaces the one that stands"
        );
        let revision = Revision(self.header.revision.0 + 1);
        self.header = write.header;
        self.header.revision = revision;
        self.body = write.body;
        Ok(Committed {
            revision,
            commit_id: self.header.commit_id,
        })
    }

    fn stored(&self) -> Stored {
        Stored {
            header: self.header.clone(),
            body: self.body.clone(),
            time_to_live: LONG,
            read_at: StoreTime::default(),
        }
    }
}

/// Longer than any scenario.
pub(super) const LONG: Duration = Duration::from_secs(3600);

pub(super) fn unreachable() -> StoreError {
    StoreError::new("commit a session", "simulated", Fault::Unreachable)
}

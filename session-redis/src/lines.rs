//! Who waits in this process for which lock: one line for each, first come, first served.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use session_core::{Granted, SessionKey, StoreTime, Stored};
use session_lock::{Lease, Moment, OwnerValue};
use tokio::sync::Notify;

use crate::sync::{Mutex, MutexGuard, PoisonError};

/// All lines of a process.
#[derive(Default)]
pub(crate) struct Lines {
    // A std mutex: held for a few instructions, never across an await.
    state: Mutex<State>,
    /// Somebody has left a queue.
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct State {
    lines: HashMap<SessionKey, Line>,
    /// Queues of the server in which nobody of this process waits any more.
    left: Vec<(SessionKey, Queued)>,
}

/// Those who wait for one lock. Only the first of them talks to the server, for all.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Arc<Turn>>,
    /// How they stand in the server's queue. Whoever comes first next takes it over.
    queued: Option<Queued>,
    /// When the first in line is to look by itself; `None`: now.
    look_at: Option<Moment>,
    /// Whether a message has come since the last look began. It may come before the answer to that look.
    told: bool,
    /// How many processes were ahead in the server's queue at the last look.
    ahead: usize,
}

/// How a process stands in the server's queue for a lock.
#[derive(Clone)]
pub(crate) struct Queued {
    /// The owner value under which it is to have the lock.
    pub(crate) owner: OwnerValue,
    /// What stands in the queue: owner value, time of an offer, channel.
    pub(crate) name: Arc<[u8]>,
    /// Since when, as the server has said.
    pub(crate) since: Option<StoreTime>,
}

impl Queued {
    /// A process that wants a lock. Without a channel it does not hear, and looks by itself. `offer`: for how long the
    /// lock is kept for it once it is its turn.
    pub(crate) fn new(channel: &str, offer: Duration) -> Self {
        let owner = OwnerValue::random();
        let offer_ms = u16::try_from(offer.as_millis()).unwrap_or(u16::MAX);
        let name = [
            &owner.as_bytes()[..],
            &offer_ms.to_be_bytes(),
            channel.as_bytes(),
        ];
        Self {
            owner,
            name: name.concat().into(),
            since: None,
        }
    }

    /// Whether it is told when it is its turn.
    pub(crate) fn is_told(&self) -> bool {
        self.name.len() > self.owner.as_bytes().len() + 2
    }
}

/// How one who waits is reached.
#[derive(Default)]
struct Turn {
    changed: Notify,
    /// What whoever held the lock in this process has passed on.
    passed_on: Mutex<Option<Granted>>,
}

impl Turn {
    fn take(&self) -> Option<Granted> {
        let mut passed_on = self
            .passed_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let granted = passed_on.take();
        drop(passed_on);
        // A save behind it may have failed since.
        granted.filter(|granted| granted.lease.is_valid())
    }
}

/// A place in the line for one lock. Dropping it leaves the line.
pub(crate) struct Place {
    lines: Arc<Lines>,
    key: SessionKey,
    turn: Arc<Turn>,
}

/// Too many wait in this process already.
pub(crate) struct LineFull {
    pub(crate) waiting: usize,
}

impl Lines {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes to the end of the line.
    pub(crate) fn join(
        self: &Arc<Self>,
        key: &SessionKey,
        max_waiters: usize,
    ) -> Result<Place, LineFull> {
        let turn = Arc::<Turn>::default();
        let mut state = self.state();
        let line = state.lines.entry(*key).or_default();
        let waiting = line.waiting.len();
        if waiting >= max_waiters {
            return Err(LineFull { waiting });
        }
        line.waiting.push_back(Arc::clone(&turn));
        drop(state);
        Ok(Place {
            lines: Arc::clone(self),
            key: *key,
            turn,
        })
    }

    /// Whether anybody waits.
    pub(crate) fn is_awaited(&self, key: &SessionKey) -> bool {
        self.state().lines.contains_key(key)
    }

    /// Gives the lock to the first in line; back, if nobody waits.
    pub(crate) fn pass_on(
        &self,
        key: &SessionKey,
        lease: Lease<SessionKey>,
        stored: &Stored,
    ) -> Result<(), Lease<SessionKey>> {
        let mut state = self.state();
        let Some(first) = state
            .lines
            .get_mut(key)
            .and_then(|line| line.waiting.front())
        else {
            return Err(lease);
        };
        let mut passed_on = first
            .passed_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if passed_on.is_some() {
            return Err(lease);
        }
        let stored = stored.clone();
        *passed_on = Some(Granted { lease, stored });
        drop(passed_on);
        first.changed.notify_one();
        Ok(())
    }

    /// Tells the first in line to look.
    pub(crate) fn wake(&self, key: &SessionKey) {
        if let Some(line) = self.state().lines.get_mut(key) {
            line.wake();
        }
    }

    pub(crate) fn wake_all(&self) {
        self.state().lines.values_mut().for_each(Line::wake);
    }

    pub(crate) fn take_left(&self) -> Vec<(SessionKey, Queued)> {
        std::mem::take(&mut self.state().left)
    }
}

impl Line {
    fn wake(&mut self) {
        self.look_at = None;
        self.told = true;
        if let Some(first) = self.waiting.front() {
            first.changed.notify_one();
        }
    }

    fn index_of(&self, turn: &Arc<Turn>) -> Option<usize> {
        let mut waiting = self.waiting.iter();
        waiting.position(|other| Arc::ptr_eq(other, turn))
    }
}

/// What somebody in line has to do next.
pub(crate) enum Step {
    /// Ask the server, as the process that stands so in its queue.
    Look(Queued),
    /// Wait to be told, at most until then.
    Wait(Option<Moment>),
}

impl Place {
    fn with<T>(&self, act: impl FnOnce(&mut Line, usize) -> T) -> Option<T> {
        let mut state = self.lines.state();
        let line = state.lines.get_mut(&self.key)?;
        let index = line.index_of(&self.turn)?;
        Some(act(line, index))
    }

    /// Whether nobody in this process came before, and none of it waits on the server.
    pub(crate) fn is_alone(&self) -> bool {
        let alone = self.with(|line, index| index == 0 && line.queued.is_none());
        alone.unwrap_or(false)
    }

    /// The lock, if whoever held it in this process has passed it on to this place.
    pub(crate) fn take_passed_on(&self) -> Option<Granted> {
        self.turn.take()
    }

    /// Resolves when the lock is passed on to this place. Cancel safe.
    pub(crate) async fn passed_on(&self) -> Granted {
        loop {
            if let Some(granted) = self.turn.take() {
                return granted;
            }
            self.turn().await;
        }
    }

    /// What to do now. `queued`: how to stand in the server's queue, if this process does not yet.
    pub(crate) fn next_step(&self, now: Moment, queued: impl FnOnce() -> Queued) -> Step {
        let step = |line: &mut Line, index| match (index, line.look_at) {
            (0, Some(look_at)) if look_at > now && line.queued.is_some() => {
                Step::Wait(Some(look_at))
            }
            (0, _) => {
                line.told = false;
                Step::Look(line.queued.get_or_insert_with(queued).clone())
            }
            _ => Step::Wait(None),
        };
        self.with(step).unwrap_or(Step::Wait(None))
    }

    /// The server has let this process wait, behind so many others.
    pub(crate) fn waits(&self, since: StoreTime, ahead: usize, look_at: Moment) {
        self.with(|line, _| {
            line.ahead = ahead;
            line.look_at = (!line.told).then_some(look_at);
            if let Some(queued) = &mut line.queued {
                queued.since.get_or_insert(since);
            }
        });
    }

    /// This process does not stand in the server's queue any more.
    pub(crate) fn is_served(&self) {
        self.with(|line, _| line.queued = None);
    }

    /// How many come first: of this process, and other processes.
    pub(crate) fn ahead(&self) -> usize {
        let ahead = self.with(|line, index| index + line.ahead);
        ahead.unwrap_or_default()
    }

    /// Resolves when there may be another step to take: this place has become the first in line, or a message came for
    /// it. Cancel safe.
    pub(crate) async fn turn(&self) {
        self.turn.changed.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.lines.state();
        let Some(line) = state.lines.get_mut(&self.key) else {
            return;
        };
        if let Some(index) = line.index_of(&self.turn) {
            line.waiting.remove(index);
        }
        if let Some(first) = line.waiting.front() {
            // A message that came for whoever has left is for the next one.
            first.changed.notify_one();
        } else {
            let line = state.lines.remove(&self.key);
            if let Some(queued) = line.and_then(|line| line.queued) {
                state.left.push((self.key, queued));
                self.lines.changed.notify_one();
            }
        }
        drop(state);
        // A lock that comes too late goes on to the next one, or back.
        drop(self.turn.take());
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("lines", &self.state().lines.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use session_core::SessionId;
    use session_lock::{Clock as _, SystemClock};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// One thing after the other.
    fn in_order(steps: impl Fn() + Send + Sync + 'static) {
        shuttle::check_random(steps, 1);
    }

    fn process() -> Queued {
        Queued::new("a channel", SECOND)
    }

    /// The owner value under which a place asks the server now.
    fn looks(place: &Place) -> Option<OwnerValue> {
        match place.next_step(SystemClock.now(), process) {
            Step::Look(queued) => Some(queued.owner),
            Step::Wait(_) => None,
        }
    }

    fn has_to_wait(place: &Place) {
        place.waits(StoreTime::default(), 0, SystemClock.now() + SECOND * 60);
    }

    #[test]
    fn a_message_that_comes_before_the_answer_to_a_look_is_not_missed() {
        in_order(|| {
            let (lines, id) = (Arc::<Lines>::default(), SessionId::random());
            let place = lines.join(id.key(), 1).ok().unwrap();
            let owner = looks(&place);
            assert!(owner.is_some());
            lines.wake(id.key());
            has_to_wait(&place);
            assert_eq!(looks(&place), owner, "it looks again, in its old place");
            has_to_wait(&place);
            assert_eq!(looks(&place), None);
            lines.wake(id.key());
            assert_eq!(looks(&place), owner);
        });
    }

    #[test]
    fn whoever_is_next_takes_over_the_place_in_the_queue_and_the_last_one_leaves_it() {
        in_order(|| {
            let (lines, id) = (Arc::<Lines>::default(), SessionId::random());
            let first = lines.join(id.key(), 2).ok().unwrap();
            let second = lines.join(id.key(), 2).ok().unwrap();
            let full = lines.join(id.key(), 2).err().unwrap();
            assert_eq!(full.waiting, 2);
            let owner = looks(&first);
            assert_eq!(looks(&second), None);
            has_to_wait(&first);
            drop(first);
            assert!(lines.take_left().is_empty());
            lines.wake(id.key());
            assert_eq!(looks(&second), owner);
            drop(second);
            let left = lines.take_left();
            assert_eq!(left.len(), 1);
            assert_eq!(Some(left[0].1.owner), owner);
        });
    }

    #[test]
    fn an_owner_value_serves_one_turn() {
        in_order(|| {
            let (lines, id) = (Arc::<Lines>::default(), SessionId::random());
            let first = lines.join(id.key(), 2).ok().unwrap();
            let second = lines.join(id.key(), 2).ok().unwrap();
            let owner = looks(&first);
            first.is_served();
            drop(first);
            assert!(looks(&second).is_some_and(|other| Some(other) != owner));
        });
    }
}

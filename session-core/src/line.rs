use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

use crate::SessionKey;

/// Who wants which lock in this process: one after the other, first come, first served. For lockers that let only the
/// first in line ask their server.
#[derive(Debug, Default)]
pub struct Lines {
    // A std mutex: held for a few instructions.
    lines: Mutex<HashMap<SessionKey, Line>>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: usize,
    // Tokio's mutex is fair, and whoever is dropped while waiting is out of its queue.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A place in the line for one lock. Dropping it leaves the line.
#[derive(Debug)]
pub struct Place<'a> {
    lines: &'a Lines,
    key: SessionKey,
    turn: Arc<tokio::sync::Mutex<()>>,
    ahead: usize,
}

/// Too many stand in line already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} callers wait for this session already")]
#[non_exhaustive]
pub struct LineFull {
    /// How many there are.
    pub waiting: usize,
}

impl Lines {
    /// Goes to the end of the line, in which at most `max` stand.
    ///
    /// # Errors
    /// [`LineFull`] when there are as many.
    pub fn join(&self, key: &SessionKey, max: usize) -> Result<Place<'_>, LineFull> {
        let mut lines = self.lines();
        let waiting = lines.get(key).map_or(0, |line| line.waiting);
        if waiting >= max {
            return Err(LineFull { waiting });
        }
        let line = lines.entry(*key).or_default();
        line.waiting += 1;
        Ok(Place {
            lines: self,
            key: *key,
            turn: Arc::clone(&line.turn),
            ahead: waiting,
        })
    }

    /// How many stand in line.
    pub fn waiting(&self, key: &SessionKey) -> usize {
        self.lines().get(key).map_or(0, |line| line.waiting)
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<SessionKey, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// How many stood in line before.
    pub const fn ahead(&self) -> usize {
        self.ahead
    }

    /// Resolves when all who were there before have left; dropping what it gives lets the next one go.
    ///
    /// # Cancel safety
    /// Dropped, the place in the line is lost; the next ones move up.
    pub async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.lines.lines();
        if let Some(line) = lines.get_mut(&self.key) {
            line.waiting -= 1;
            if line.waiting == 0 {
                lines.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::SessionId;
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn the_turn_goes_down_the_line_past_whoever_has_left() {
        let (lines, key) = (Lines::default(), *SessionId::random().key());
        let [first, second, third] = [(); 3].map(|()| lines.join(&key, 3).ok());
        let (Some(first), Some(second), Some(third)) = (first, second, third) else {
            panic!("there is room for three");
        };
        assert_eq!([first.ahead(), second.ahead(), third.ahead()], [0, 1, 2]);
        assert_eq!(lines.join(&key, 3).err(), Some(LineFull { waiting: 3 }));
        let turn = first.turn().now_or_never().unwrap();
        let mut leaves = Box::pin(second.turn());
        let mut stays = Box::pin(third.turn());
        assert!((&mut leaves).now_or_never().is_none());
        assert!((&mut stays).now_or_never().is_none());
        drop(leaves);
        drop(second);
        drop(turn);
        let turn = stays.now_or_never().unwrap();
        drop((turn, first, third));
        assert!(lines.lines().is_empty());
    }
}

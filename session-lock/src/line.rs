use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::Resource;

/// Who wants which lock in this process. Only the first in line asks the nodes: callers of one process do not split the
/// votes among themselves.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    // Each line is the first and those who wait behind it. A std mutex: held for a few instructions.
    waiting: Mutex<HashMap<Resource, VecDeque<Arc<Notify>>>>,
}

/// A place in the line for one lock. Dropping it leaves the line.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    lines: &'a Lines,
    resource: Resource,
    /// `None`: it was the first from the beginning.
    turn: Option<Arc<Notify>>,
}

/// Too many wait already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineFull {
    pub(crate) waiting: usize,
}

impl Lines {
    /// Goes to the end of the line.
    pub(crate) fn join(&self, resource: &Resource, max: usize) -> Result<Place<'_>, LineFull> {
        let mut lines = self.lines();
        let turn = match lines.get_mut(resource) {
            None => {
                lines.insert(resource.clone(), VecDeque::new());
                None
            }
            Some(line) if line.len() >= max => {
                return Err(LineFull {
                    waiting: line.len(),
                });
            }
            Some(line) => {
                let turn = Arc::new(Notify::new());
                line.push_back(Arc::clone(&turn));
                Some(turn)
            }
        };
        drop(lines);
        let resource = resource.clone();
        Ok(Place {
            lines: self,
            resource,
            turn,
        })
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Resource, VecDeque<Arc<Notify>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Whether nobody was there before.
    pub(crate) const fn is_first(&self) -> bool {
        self.turn.is_none()
    }

    /// Resolves when all who were there before have left. To be awaited once.
    pub(crate) async fn turn(&self) {
        if let Some(turn) = &self.turn {
            turn.notified().await;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.lines.lines();
        let Some(line) = lines.get_mut(&self.resource) else {
            return;
        };
        let waits = |turn: &Arc<Notify>| line.iter().position(|other| Arc::ptr_eq(other, turn));
        if let Some(place) = self.turn.as_ref().and_then(waits) {
            line.remove(place);
            return;
        }
        match line.pop_front() {
            Some(next) => next.notify_one(),
            None => {
                lines.remove(&self.resource);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn resource() -> Resource {
        Resource::new("r").unwrap()
    }

    fn has_turn(place: &Place<'_>) -> bool {
        place.turn().now_or_never().is_some()
    }

    #[test]
    fn the_turn_goes_down_the_line() {
        let lines = Lines::default();
        let [first, second, third] = [(); 3].map(|()| lines.join(&resource(), 9).unwrap());
        assert!(first.is_first() && has_turn(&first));
        assert!(!second.is_first() && !has_turn(&second));
        drop(first);
        assert!(!has_turn(&third));
        assert!(has_turn(&second));
        drop(second);
        assert!(has_turn(&third));
        drop(third);
        assert!(lines.lines().is_empty());
    }

    #[test]
    fn whoever_leaves_the_middle_is_skipped() {
        let lines = Lines::default();
        let [first, second, third] = [(); 3].map(|()| lines.join(&resource(), 9).unwrap());
        drop(second);
        drop(first);
        assert!(has_turn(&third));
    }

    #[test]
    fn a_turn_that_was_given_to_somebody_who_leaves_is_passed_on() {
        let lines = Lines::default();
        let [first, second, third] = [(); 3].map(|()| lines.join(&resource(), 9).unwrap());
        drop(first);
        drop(second);
        assert!(has_turn(&third));
    }

    #[test]
    fn a_line_is_bounded() {
        let lines = Lines::default();
        let _first = lines.join(&resource(), 1).unwrap();
        let second = lines.join(&resource(), 1).unwrap();
        assert_eq!(
            lines.join(&resource(), 1).unwrap_err(),
            LineFull { waiting: 1 }
        );
        drop(second);
        lines.join(&resource(), 1).unwrap();
    }
}

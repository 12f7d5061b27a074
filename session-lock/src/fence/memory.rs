use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Accept, StaleToken};
use crate::{FencingToken, Resource};

/// The largest fencing token of each resource, in the memory of this process. Clones share what they have seen.
///
/// For what only this process can touch: a device, a file, a service behind it. It forgets everything when the process
/// ends; where a late request can outlive that, keep the tokens beside the data instead.
///
/// Memory is bounded: of more resources than the limit (100,000 by default), those with the smallest tokens are forgotten.
/// From then on a resource that is not known needs a token that is larger than all that were forgotten. So nobody who is
/// late is let in; a holder who is not may be refused, and can
/// [ask for a larger token](crate::AcquireOptions::floor). With the clock floor of a lock, a resource that nobody has
/// locked for a day begins above the forgotten ones by itself.
#[derive(Clone)]
pub struct HighestTokens {
    accept: Accept,
    limit: usize,
    // A std mutex: a check and what must not be parted from it, never across an await.
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    highest: HashMap<Resource, FencingToken>,
    /// The largest token that was forgotten.
    floor: FencingToken,
}

impl HighestTokens {
    /// How many resources are remembered by default.
    pub const LIMIT: usize = 100_000;

    /// Accepts only larger tokens.
    pub fn new() -> Self {
        Self {
            accept: Accept::Larger,
            limit: Self::LIMIT,
            seen: Arc::default(),
        }
    }

    /// Accepts these tokens, from now on and through this clone.
    #[must_use]
    pub const fn accepting(mut self, accept: Accept) -> Self {
        self.accept = accept;
        self
    }

    /// Remembers at most so many resources, at least one.
    #[must_use]
    pub const fn remembering(mut self, resources: usize) -> Self {
        self.limit = if resources == 0 { 1 } else { resources };
        self
    }

    /// Accepts a token, and remembers it.
    ///
    /// Only for callers who let nobody else in between this and what they do next. Else [`accept_then`](Self::accept_then).
    ///
    /// # Errors
    /// [`StaleToken`]; nothing has changed.
    pub fn accept(&self, resource: &Resource, token: FencingToken) -> Result<(), StaleToken> {
        self.accept_then(resource, token, || ())
    }

    /// Accepts a token, remembers it, and runs `act` before anybody else's token is looked at.
    ///
    /// The token counts as seen whatever becomes of `act`, also if it panics. Everybody else waits for `act`, whatever
    /// their resource: keep it short, and do not call this object from inside.
    ///
    /// # Errors
    /// [`StaleToken`]; `act` was not run, and nothing has changed.
    pub fn accept_then<T>(
        &self,
        resource: &Resource,
        token: FencingToken,
        act: impl FnOnce() -> T,
    ) -> Result<T, StaleToken> {
        let mut seen = self.seen();
        let floor = seen.floor;
        let known = seen.highest.get_mut(resource);
        let highest = known.as_deref().copied().unwrap_or(floor);
        if !self.accept.accepts(token, highest) {
            return Err(StaleToken { token, highest });
        }
        match known {
            Some(known) => *known = token,
            None => seen.remember(resource, token, self.limit),
        }
        Ok(act())
    }

    /// The largest token that was accepted for a resource, if it is remembered.
    pub fn highest(&self, resource: &Resource) -> Option<FencingToken> {
        self.seen().highest.get(resource).copied()
    }

    /// How many resources are remembered.
    pub fn len(&self) -> usize {
        self.seen().highest.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn remember(&mut self, resource: &Resource, token: FencingToken, limit: usize) {
        if self.highest.len() >= limit {
            self.forget_smallest(limit / 2);
        }
        self.highest.insert(resource.clone(), token);
    }

    /// Forgets the resources with the smallest tokens, so that at most `left` remain: many at once, so that it is rarely
    /// done.
    fn forget_smallest(&mut self, left: usize) {
        let mut tokens: Vec<_> = self.highest.values().copied().collect();
        let forgotten = tokens.len().saturating_sub(left);
        let Some(last) = forgotten.checked_sub(1) else {
            return;
        };
        let (_, floor, _) = tokens.select_nth_unstable(last);
        let floor = *floor;
        // Equal tokens go together, or the floor would stand at one that is remembered elsewhere.
        self.highest.retain(|_, token| *token > floor);
        self.floor = self.floor.max(floor);
    }
}

impl Default for HighestTokens {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HighestTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HighestTokens")
            .field("accept", &self.accept)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn resource(name: &str) -> Resource {
        Resource::new(name).unwrap()
    }

    #[test]
    fn only_a_larger_token_is_accepted() {
        let (tokens, file) = (HighestTokens::new(), resource("file"));
        for (token, accepted) in [
            (5, true),
            (5, false),
            (4, false),
            (6, true),
            (u64::MAX, true),
        ] {
            let highest = tokens.highest(&file).unwrap_or_default();
            let outcome = tokens.accept(&file, FencingToken(token));
            let token = FencingToken(token);
            let refused = (!accepted).then_some(StaleToken { token, highest });
            assert_eq!(outcome.err(), refused);
        }
        tokens.accept(&resource("other"), FencingToken(1)).unwrap();
    }

    #[test]
    fn the_same_token_is_accepted_again_where_asked_for() {
        let again = HighestTokens::new().accepting(Accept::LargerOrSame);
        let (once, file) = (again.clone().accepting(Accept::Larger), resource("file"));
        again.accept(&file, FencingToken(5)).unwrap();
        again.accept(&file, FencingToken(5)).unwrap();
        again.accept(&file, FencingToken(4)).unwrap_err();
        once.accept(&file, FencingToken(5)).unwrap_err();
    }

    #[test]
    fn what_is_refused_is_not_done_and_what_panics_was_seen() {
        let (tokens, file) = (HighestTokens::new(), resource("file"));
        let act = AssertUnwindSafe(|| tokens.accept_then(&file, FencingToken(5), || panic!()));
        assert!(catch_unwind(act).is_err());
        let late = tokens.accept_then(&file, FencingToken(5), || unreachable!());
        late.unwrap_err();
    }

    #[test]
    fn more_resources_than_the_limit_are_forgotten_but_never_let_a_late_token_in() {
        let tokens = HighestTokens::new().remembering(100);
        for number in 1..=10_000_u64 {
            tokens
                .accept(&resource(&number.to_string()), FencingToken(number))
                .unwrap();
            assert!(tokens.len() <= 100);
        }
        for number in 1..=10_000_u64 {
            let late = tokens.accept(&resource(&number.to_string()), FencingToken(number));
            assert!(late.unwrap_err().highest >= FencingToken(number));
        }
        // Whoever is refused without being late gets in with the floor that the error names.
        let (fresh, small) = (resource("fresh"), FencingToken(1));
        let floor = tokens.accept(&fresh, small).unwrap_err().highest;
        tokens.accept(&fresh, FencingToken(floor.0 + 1)).unwrap();
    }

    #[test]
    fn equal_tokens_are_forgotten_together() {
        let tokens = HighestTokens::new().remembering(4);
        for name in ["a", "b", "c", "d", "e"] {
            tokens.accept(&resource(name), FencingToken(7)).unwrap();
        }
        for name in ["a", "b", "c", "d", "e"] {
            tokens.accept(&resource(name), FencingToken(7)).unwrap_err();
        }
    }
}

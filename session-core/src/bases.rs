use std::fmt;

use quick_cache::{Weighter, sync::Cache};

use crate::{CommitId, HEADER_MAX, SessionKey, Stored};

/// The versions that updates of this process have written last: where the next update begins, as long as nobody else
/// writes that session.
pub(crate) struct Bases(Option<Cache<SessionKey, Base, Size>>);

/// What is known of a session.
#[derive(Clone)]
pub(crate) enum Base {
    /// The whole version, encoded as it is stored.
    Whole(Stored),
    /// Others have written the session. If this version stands at the next update, they do no more.
    Seen(CommitId),
}

impl Bases {
    /// At most so many bytes; zero: nothing is kept.
    pub(crate) fn new(bytes: u64) -> Self {
        let sessions = usize::try_from(bytes / TYPICAL).unwrap_or(usize::MAX);
        Self((bytes > 0).then(|| Cache::with_weighter(sessions, bytes, Size)))
    }

    pub(crate) fn get(&self, key: &SessionKey) -> Option<Base> {
        self.0.as_ref()?.get(key)
    }

    pub(crate) fn put(&self, key: &SessionKey, base: Base) {
        if let Some(cache) = &self.0 {
            cache.insert(*key, base);
        }
    }

    pub(crate) fn forget(&self, key: &SessionKey) {
        if let Some(cache) = &self.0 {
            cache.remove(key);
        }
    }
}

#[derive(Clone)]
struct Size;

impl Weighter<SessionKey, Base> for Size {
    fn weight(&self, _key: &SessionKey, base: &Base) -> u64 {
        let body = match base {
            Base::Whole(stored) => stored.body.len(),
            Base::Seen(_) => 0,
        };
        OVERHEAD + body as u64
    }
}

// What an entry takes beside the body.
const OVERHEAD: u64 = HEADER_MAX as u64 + 128;
const TYPICAL: u64 = 1024;

impl fmt::Debug for Bases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sessions = self.0.as_ref().map_or(0, Cache::len);
        f.debug_struct("Bases")
            .field("sessions", &sessions)
            .finish_non_exhaustive()
    }
}

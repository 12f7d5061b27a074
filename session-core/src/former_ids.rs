use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{SessionData, SessionKey, StoreTime, data::own};

/// The IDs that a session has had and that may be aliases of it yet, the newest first.
///
/// The session remembers them all, so that each is pointed to its newest ID: an alias never leads to an alias.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct FormerIds(Vec<FormerId>);

/// The digest of its key, and until when it is an alias, in milliseconds of store time.
type FormerId = ([u8; 32], u64);

impl FormerIds {
    const MOST: usize = 8;

    // Its store may have got to know of an alias that much later than was counted here: more than any call takes.
    const LATE: Duration = Duration::from_secs(60);

    /// Those that `data` remembers and that may stand at `now`.
    pub(crate) fn of(data: &SessionData, now: StoreTime) -> Self {
        let mut former: Self = data.own(own::EARLIER).ok().flatten().unwrap_or_default();
        let may_stand = |until_ms| StoreTime::from_millis(until_ms).after(Self::LATE) > now;
        former.0.retain(|(_, until_ms)| may_stand(*until_ms));
        former
    }

    /// One more, that is an alias until then.
    pub(crate) fn push(&mut self, key: &SessionKey, until: StoreTime) {
        self.0.insert(0, (*key.digest(), until.as_millis()));
    }

    /// Lets `data` remember as many as it has room for. The others, which are forgotten.
    pub(crate) fn note_in(&mut self, data: &mut SessionData) -> Self {
        let mut forgotten = self.0.split_off(self.0.len().min(Self::MOST));
        while data.set_own(own::EARLIER, self).is_err() {
            let Some(oldest) = self.0.pop() else {
                data.remove_own(own::EARLIER);
                break;
            };
            forgotten.push(oldest);
        }
        Self(forgotten)
    }

    /// Their keys, in the bucket of `session`.
    pub(crate) fn keys(&self, session: &SessionKey) -> impl Iterator<Item = SessionKey> {
        let digests = self.0.iter().map(|(digest, _)| *digest);
        digests.map(|digest| session.with_digest(digest))
    }
}

use bytes::Bytes;

use crate::{CommitId, Header, SessionKey, Timeouts, UserEntry};
use std::{fmt, time::Duration};

/// A session that goes on under another ID.
#[derive(Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the core builds it, stores take it apart"
)]
pub struct Rotation {
    /// The version that the writer has seen and that stands under the old ID.
    pub base: CommitId,
    /// Where the session goes on.
    pub to: SessionKey,
    /// The header of its new version. The store sets its revision and may note the attempt in its digest; a seal is
    /// bound to the rest.
    pub header: Header,
    /// The encoded body.
    pub body: Bytes,
    /// What the old ID shows from then on.
    pub leaves: Leaves,
    /// How long it shows that.
    pub grace: Duration,
    /// The aliases of still earlier IDs: they are to point to the new ID too, each until its own end, and only if it
    /// stands yet. In the same bucket.
    pub earlier: Vec<Pointer>,
    /// The aliases that the session has no room to remember: they are to be ended. In the same bucket.
    pub forgotten: Vec<SessionKey>,
    /// A login: the session's life begins anew, and it is entered into the user's list. Without it, a session of a user
    /// takes its own place in the list again.
    pub login: Option<(Timeouts, UserEntry)>,
}

/// What stands under the old ID of a session that has a new one.
#[derive(Clone)]
#[expect(clippy::exhaustive_enums, reason = "stores have to know all of them")]
pub enum Leaves {
    /// The way to the new ID, for readers.
    Alias(Pointer),
    /// What the session was before, for readers.
    Frozen,
    /// Nothing.
    Tombstone,
}

/// The record of an alias.
#[derive(Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the core builds it, stores take it apart"
)]
pub struct Pointer {
    /// The session that it stands in the place of.
    pub key: SessionKey,
    /// Its header.
    pub header: Header,
    /// Its encoded body, which names the session that it points to.
    pub body: Bytes,
}

// Bodies are secrets.
impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation")
            .field("leaves", &self.leaves)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alias(_) => "Alias",
            Self::Frozen => "Frozen",
            Self::Tombstone => "Tombstone",
        })
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pointer").finish_non_exhaustive()
    }
}

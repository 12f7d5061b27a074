use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Codec, Revision, SessionHandle, StoreError, StoreTime, UserId};

/// A secondary interface: gets every committed version of every session, and is never asked on the way of a request.
///
/// Sessions are known to it by their handle, which stays the same when a session gets another ID.
///
/// # Contract
/// 1. `apply` is one atomic step: it changes what is known of a session only if the change has a larger [`Version`], also
///    when several deliverers apply changes of one session at once. [`Applied::Known`] otherwise, and nothing changes.
/// 2. The end of a session is a change like others: nothing of its contents stays, but its version is kept for at least
///    24 h, so that a change that comes late brings nothing back.
/// 3. An error leaves open whether the change was applied; applying it again is safe.
/// 4. `seen` moves the idle end of a session forward, never back and never past its absolute end. Of a session that is
///    not known, or has ended, it changes nothing.
/// 5. `load` shows what was applied last, with the idle end that was seen; nothing of sessions that have ended or run out.
/// 6. Every future may be dropped at any await: the change is applied whole, or not at all.
#[doc(alias = "slave")]
#[async_trait]
pub trait SecondaryStore: fmt::Debug + Send + Sync + 'static {
    /// Takes a change over, if it is newer than what is known.
    async fn apply(&self, change: &Change) -> Result<Applied, StoreError>;

    /// The session was used, and ends at that time if it is not used again.
    async fn seen(&self, session: SessionHandle, idle_end: StoreTime) -> Result<(), StoreError>;

    /// What is known of a session.
    async fn load(&self, session: SessionHandle) -> Result<Option<Row>, StoreError>;

    /// Where it stands: a name that is equal for two stores in one place, also for a primary. `None`: nowhere else.
    fn place(&self) -> Option<String> {
        None
    }
}

/// One version of a session, or its end, on its way to a secondary.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the core builds it, stores take it apart"
)]
pub struct Change {
    /// Which session.
    pub session: SessionHandle,
    /// How far its line of changes has come.
    pub version: Version,
    /// What the secondary may see of it; `None`: it has ended.
    pub row: Option<Row>,
}

/// What a secondary may see of a session.
#[derive(Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the core builds it, stores take it apart"
)]
pub struct Row {
    /// When the session was first stored, or its user logged in, by the primary's clock.
    pub created: StoreTime,
    /// When it ends, whatever happens.
    pub absolute_end: StoreTime,
    /// When it ends if it is not used again.
    pub idle_end: StoreTime,
    /// Who is logged in; `None`: nobody, or not for this secondary to know.
    pub user: Option<UserId>,
    /// How the body is encoded, below its seal.
    pub codec: Codec,
    /// Whether the body is sealed.
    pub is_sealed: bool,
    /// The values, as one map: in JSON an object, in MessagePack a map of names to values.
    pub body: Bytes,
}

// The body is a secret.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("created", &self.created)
            .field("absolute_end", &self.absolute_end)
            .field("idle_end", &self.idle_end)
            .finish_non_exhaustive()
    }
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a change is new or it is not")]
pub enum Applied {
    /// It was newer, and is taken over.
    Changed,
    /// It, or a newer one, was known.
    Known,
}

/// The place of a change in the line of its session's: twice the revision, and one more for an end, so that the end of a
/// session comes after its last version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// Of the session as it was stored under that revision.
    pub const fn stored(revision: Revision) -> Self {
        Self(revision.0.saturating_mul(2))
    }

    /// Of the end that came after that revision.
    pub const fn ended(revision: Revision) -> Self {
        Self(revision.0.saturating_mul(2).saturating_add(1))
    }

    /// The version with that number.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// As a number: what secondaries compare.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The revision; of an end, the one that it came after, or one that was made for it.
    pub const fn revision(self) -> Revision {
        Revision(self.0 / 2)
    }

    /// Whether it is an end.
    pub const fn is_end(self) -> bool {
        self.0 % 2 == 1
    }
}

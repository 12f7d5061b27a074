//! The stored form of a session: a fixed binary header that a store's scripts can read, then the body.
//!
//! ```text
//!  0  revision        8  grows with every write
//!  8  created         8  milliseconds since 1970, by the store's clock
//! 16  absolute end    8  likewise
//! 24  "LK"            2  what this is
//! 26  version         1  1
//! 27  kind            1  live, frozen, alias or tombstone
//! 28  commit ID       8  random, new with every commit
//! 36  idle timeout    8  milliseconds
//! 44  handle         16
//! 60  user tag        8  zero: no user
//! 68  flags           1  1: the body is sealed; 2: it is JSON, else MessagePack; 4: it outlives the browser's session
//! 69  attempts        1  how many follow, at most 8
//! 70  attempt        12  each: process 8, number 4; the newest first
//! ```
//! All numbers are big-endian. What the store fills in at creation stands first, so that a script need not cut a record
//! apart.

use std::time::Duration;

use crate::{
    Codec, KeyFingerprint, SealingKeyId, SessionHandle, SessionKey, Timeouts, lifetime::Lifetime,
};

/// A moment by the store's clock: whole milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreTime(u64);

impl StoreTime {
    /// The moment that many milliseconds after the beginning of 1970.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the beginning of 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Later than every other moment.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment `span` earlier.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// The moment `span` later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A span in whole milliseconds, as it goes over the wire.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordKind {
    /// A session.
    Live,
    /// A read-only copy of what a session was before a login gave it another ID.
    Frozen,
    /// A pointer to the session under its new ID.
    Alias,
    /// What is left of a session that was ended, for a while.
    Tombstone,
}

impl RecordKind {
    /// The byte that stands for the kind in the header.
    pub const fn as_byte(self) -> u8 {
        match self {
            Self::Live => b'L',
            Self::Frozen => b'F',
            Self::Alias => b'A',
            Self::Tombstone => b'T',
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'L' => Some(Self::Live),
            b'F' => Some(Self::Frozen),
            b'A' => Some(Self::Alias),
            b'T' => Some(Self::Tombstone),
            _ => None,
        }
    }
}

/// Names one committed version of a session: 64 random bits. Versions are told apart by it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommitId(u64);

impl CommitId {
    /// A fresh one.
    ///
    /// # Panics
    /// When the operating system gives no random bytes.
    pub fn random() -> Self {
        Self(u64::from_be_bytes(session_lock::random_bytes()))
    }
}

/// Grows with every write of a session, also across fail-overs: at least the store's milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of the next write.
    #[must_use]
    pub fn next(self, now: StoreTime) -> Self {
        Self((self.0 + 1).max(now.as_millis()))
    }
}

/// One process' attempt to write a session, so that a lost reply can be asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// The process: random, drawn when its store was made.
    pub process: u64,
    /// Which of its attempts.
    pub number: u32,
}

impl Attempt {
    /// The bytes of one entry of the digest.
    pub fn to_bytes(self) -> [u8; ATTEMPT_LEN] {
        let mut bytes = [0; ATTEMPT_LEN];
        bytes[..8].copy_from_slice(&self.process.to_be_bytes());
        bytes[8..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }
}

/// The newest attempts that were written, one of each process, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest(Vec<Attempt>);

impl Digest {
    /// How many attempts are kept.
    pub const CAPACITY: usize = 8;

    /// Notes an attempt, in place of an older one of the same process.
    pub fn note(&mut self, attempt: Attempt) {
        self.0.retain(|noted| noted.process != attempt.process);
        self.0.insert(0, attempt);
        self.0.truncate(Self::CAPACITY);
    }

    /// Whether the attempt was written.
    pub fn contains(&self, attempt: Attempt) -> bool {
        self.0.contains(&attempt)
    }

    /// Whether an attempt that was written can be missing here because others pushed it out.
    pub const fn may_have_forgotten(&self) -> bool {
        self.0.len() >= Self::CAPACITY
    }

    /// Whether that attempt can be missing here though it was written: pushed out by those of other processes, or
    /// replaced by a later one of its own.
    pub fn may_have_lost(&self, attempt: Attempt) -> bool {
        let replaced = |noted: &Attempt| noted.process == attempt.process && *noted != attempt;
        self.may_have_forgotten() || self.0.iter().any(replaced)
    }
}

/// The head of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores build it; a new field is a new format version"
)]
pub struct Header {
    /// What the record is.
    pub kind: RecordKind,
    /// Which committed version it is.
    pub commit_id: CommitId,
    /// How far its line of writes has come.
    pub revision: Revision,
    /// When the session was first stored.
    pub created: StoreTime,
    /// When it ends, whatever happens.
    pub absolute_end: StoreTime,
    /// How long it lives unused.
    pub idle_timeout: Duration,
    /// Its public name.
    pub handle: SessionHandle,
    /// A hash of its user; zero for none.
    pub user_tag: u64,
    /// What else there is to know: [`SEALED`](Self::SEALED), [`JSON`](Self::JSON), both, or nothing.
    pub flags: u8,
    /// Who wrote it last.
    pub digest: Digest,
}

/// How many bytes at the beginning of a first version the store fills in: revision, creation, absolute end.
pub const FILLED_AT_CREATION: usize = 24;
/// What identifies a version: magic, format version, kind and commit ID.
pub const IDENTITY: std::ops::Range<usize> = 24..36;
/// The length of one attempt in the encoded header.
pub const ATTEMPT_LEN: usize = 12;
/// The length of an encoded header with a full digest.
pub const HEADER_MAX: usize = FIXED + ATTEMPT_LEN * Digest::CAPACITY;

/// What a writer knows of a header before the store has set anything: identity, idle timeout, handle, user tag, flags.
/// A seal is bound to it.
const BOUND_FIELDS: std::ops::Range<usize> = IDENTITY.start..69;
pub(crate) const BOUND: usize = BOUND_FIELDS.end - BOUND_FIELDS.start;

const MAGIC: &[u8; 2] = b"LK";
const VERSION: u8 = 1;
const FIXED: usize = 70;

impl Header {
    /// The flag of a record whose body is sealed.
    pub const SEALED: u8 = 1;
    /// The flag of a record whose body is JSON.
    pub const JSON: u8 = 2;
    /// The flag of a session that is to outlive the browser's.
    pub const PERSISTENT: u8 = 4;

    /// The header of a session that is not stored yet. Its store sets the times.
    pub(crate) fn new(commit_id: CommitId) -> Self {
        Self {
            kind: RecordKind::Live,
            commit_id,
            revision: Revision::default(),
            created: StoreTime::default(),
            absolute_end: StoreTime::default(),
            idle_timeout: Duration::ZERO,
            handle: SessionHandle::random(),
            user_tag: 0,
            flags: 0,
            digest: Digest::default(),
        }
    }

    /// The same header with other timeouts; the absolute one counts from the creation.
    pub(crate) fn with_timeouts(self, timeouts: Timeouts) -> Self {
        let absolute_end = self.created.after(timeouts.absolute());
        Self {
            absolute_end,
            idle_timeout: timeouts.idle(),
            ..self
        }
    }

    /// The same header with another lifetime, if there is one.
    pub(crate) fn with_lifetime(self, lifetime: Option<Lifetime>) -> Self {
        match lifetime {
            None => self,
            Some(Lifetime::Timeouts(timeouts)) => self.with_timeouts(timeouts),
            Some(Lifetime::Until(absolute_end)) => Self {
                absolute_end,
                ..self
            },
        }
    }

    /// Whether the session is to outlive the browser's.
    pub const fn is_persistent(&self) -> bool {
        self.flags & Self::PERSISTENT != 0
    }

    pub(crate) const fn set_persistent(&mut self, persistent: bool) {
        self.set_flag(Self::PERSISTENT, persistent);
    }

    /// Whether the body is sealed.
    pub const fn is_sealed(&self) -> bool {
        self.flags & Self::SEALED != 0
    }

    /// The codec of the body.
    pub const fn codec(&self) -> Codec {
        if self.flags & Self::JSON == 0 {
            Codec::MessagePack
        } else {
            Codec::Json
        }
    }

    pub(crate) const fn set_codec(&mut self, codec: Codec) {
        self.set_flag(Self::JSON, matches!(codec, Codec::Json));
    }

    pub(crate) const fn set_sealed(&mut self, sealed: bool) {
        self.set_flag(Self::SEALED, sealed);
    }

    const fn set_flag(&mut self, flag: u8, on: bool) {
        if on {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }

    /// How long the record may stand from `now` on if it is not used: the idle timeout, clamped to the absolute end.
    pub fn time_to_live(&self, now: StoreTime) -> Duration {
        self.idle_timeout
            .min(self.absolute_end.saturating_since(now))
    }

    /// How long the record stands from `now` on at the least: uses that were not writes may have made it longer.
    pub fn surely_left(&self, now: StoreTime) -> Duration {
        let unwritten = now.saturating_since(StoreTime(self.revision.0));
        self.time_to_live(now)
            .min(self.idle_timeout.saturating_sub(unwritten))
    }

    /// When the session was last used, if at `now` it has `time_to_live` left.
    #[must_use]
    pub fn last_use(&self, time_to_live: Duration, now: StoreTime) -> StoreTime {
        let unused = self.idle_timeout.saturating_sub(time_to_live);
        let last = StoreTime(now.0.saturating_sub(millis(unused)));
        last.max(self.created).min(now)
    }

    /// Appends the encoded header.
    #[expect(
        clippy::missing_panics_doc,
        reason = "a digest never holds more than eight"
    )]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.revision.0.to_be_bytes());
        out.extend(self.created.0.to_be_bytes());
        out.extend(self.absolute_end.0.to_be_bytes());
        out.extend(self.bound(self.kind));
        out.push(u8::try_from(self.digest.0.len()).expect("a digest holds at most 8 attempts"));
        for attempt in &self.digest.0 {
            out.extend(attempt.to_bytes());
        }
    }

    /// The encoded fields that the store leaves as the writer has set them, in a record of that kind.
    pub(crate) fn bound(&self, kind: RecordKind) -> [u8; BOUND] {
        let mut bound = [0; BOUND];
        let mut put = |at: usize, bytes: &[u8]| {
            let at = at - BOUND_FIELDS.start;
            bound[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(IDENTITY.start, &identity(kind, self.commit_id));
        put(36, &millis(self.idle_timeout).to_be_bytes());
        put(44, self.handle.as_bytes());
        put(60, &self.user_tag.to_be_bytes());
        put(68, &[self.flags]);
        bound
    }

    /// Reads the header of a record, and where its body begins.
    ///
    /// # Errors
    /// [`BadRecord`] when the bytes are not a record of this format version.
    pub fn decode(record: &[u8]) -> Result<(Self, usize), BadRecord> {
        let identity = record.get(IDENTITY.start..).unwrap_or_default();
        if !identity.starts_with(MAGIC) {
            return Err(BadRecord::Foreign);
        }
        let version = *identity.get(2).ok_or(BadRecord::CutOff)?;
        match version {
            VERSION => {}
            0 => return Err(BadRecord::Foreign),
            version => return Err(BadRecord::Newer { version }),
        }
        let fixed: &[u8; FIXED] = record.first_chunk().ok_or(BadRecord::CutOff)?;
        let number = |at: usize| u64::from_be_bytes(field(fixed, at));
        let digest = digest(&record[FIXED..], usize::from(fixed[69]))?;
        let body = FIXED + ATTEMPT_LEN * digest.0.len();
        let header = Self {
            kind: RecordKind::from_byte(fixed[27]).ok_or(BadRecord::UnknownKind)?,
            commit_id: CommitId(number(28)),
            revision: Revision(number(0)),
            created: StoreTime(number(8)),
            absolute_end: StoreTime(number(16)),
            idle_timeout: Duration::from_millis(number(36)),
            handle: SessionHandle::from_bytes(field(fixed, 44)),
            user_tag: number(60),
            flags: fixed[68],
            digest,
        };
        Ok((header, body))
    }
}

/// What stands in the place of [`IDENTITY`] of this version.
pub fn identity(kind: RecordKind, commit_id: CommitId) -> [u8; IDENTITY.end - IDENTITY.start] {
    let [magic, more_magic] = *MAGIC;
    let [a, b, c, d, e, f, g, h] = commit_id.0.to_be_bytes();
    [
        magic,
        more_magic,
        VERSION,
        kind.as_byte(),
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
    ]
}

fn field<const N: usize>(fixed: &[u8; FIXED], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&fixed[at..at + N]);
    bytes
}

fn digest(bytes: &[u8], len: usize) -> Result<Digest, BadRecord> {
    let bytes = bytes
        .get(..len * ATTEMPT_LEN)
        .filter(|_| len <= Digest::CAPACITY)
        .ok_or(BadRecord::CutOff)?;
    let (attempts, _) = bytes.as_chunks::<ATTEMPT_LEN>();
    let attempts = attempts.iter().map(|bytes| {
        let [a, b, c, d, e, f, g, h, number @ ..] = *bytes;
        Attempt {
            process: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            number: u32::from_be_bytes(number),
        }
    });
    Ok(Digest(attempts.collect()))
}

/// Why bytes are not a record that this version can read. They are left as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRecord {
    /// Something else stands under the session's key.
    #[error("the stored value is not a Latchkey record")]
    Foreign,
    /// A key of another type stands under the session's key.
    #[error("the key holds a value of another type")]
    WrongType,
    /// A key of another type stands where the session's lock is to be, as some other lock libraries make it.
    #[error("the lock is held by something that is no lock of ours: its key has another type")]
    ForeignLock,
    /// What stands there is no record that this release can change.
    #[error("the stored value is no record of this format version")]
    Unreadable,
    /// A newer release wrote it.
    #[error("the record has format version {version}, this release reads up to {VERSION}")]
    Newer {
        /// The version found.
        version: u8,
    },
    /// It ends too early.
    #[error("the record is cut off")]
    CutOff,
    /// Its kind is not known.
    #[error("the record is of an unknown kind")]
    UnknownKind,
    /// It is sealed, and there are no keys: [`SessionsBuilder`](crate::SessionsBuilder) was given none.
    #[error("the record is sealed, and no sealing keys were given")]
    Sealed,
    /// It is not sealed, and only sealed ones are accepted.
    #[error("the record is not sealed, and only sealed ones are accepted")]
    Unsealed,
    /// It is sealed under a key that was not given.
    #[error("the record is sealed under key {id}, which was not given")]
    UnknownSealingKey {
        /// The key that it names.
        id: SealingKeyId,
    },
    /// It is sealed by a cipher that this release does not know.
    #[error("the record is sealed by cipher {cipher}, which this release does not know")]
    UnknownCipher {
        /// The byte that stands for it.
        cipher: u8,
    },
    /// It was changed by somebody who does not have the key, or moved here from another session or version.
    #[error("the seal of the record is broken: changed, or made for another session or version")]
    BrokenSeal,
    /// Its body is damaged, too large or too deep.
    #[error("the record cannot be read: {reason}")]
    Body {
        /// What is wrong.
        reason: BodyFault,
    },
}

/// What is wrong with a record's body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BodyFault(pub(crate) crate::data::BadBody);

impl std::fmt::Display for BodyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl std::fmt::Debug for BodyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.0, f)
    }
}

/// The record of a session cannot be read. Nothing was overwritten; trying again does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {key} cannot be used: {fault}")]
pub struct RecordError {
    /// A hash of the session's key.
    pub key: KeyFingerprint,
    /// What is wrong with it.
    pub fault: BadRecord,
}

impl RecordError {
    /// The error for `key`.
    pub fn new(key: &SessionKey, fault: BadRecord) -> Self {
        Self {
            key: key.fingerprint(),
            fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            kind: RecordKind::Live,
            commit_id: CommitId::random(),
            revision: Revision(7),
            created: StoreTime(1),
            absolute_end: StoreTime(3),
            idle_timeout: Duration::from_secs(2),
            handle: SessionHandle::random(),
            user_tag: 4,
            flags: 0,
            digest: Digest::default(),
        }
    }

    fn encoded(header: &Header) -> Vec<u8> {
        let mut out = Vec::new();
        header.encode(&mut out);
        out
    }

    #[test]
    fn a_header_reads_back_as_itself_with_any_number_of_attempts() {
        let mut header = header();
        for process in 0..12 {
            header.digest.note(Attempt { process, number: 9 });
            let mut bytes = encoded(&header);
            let len = bytes.len();
            bytes.extend_from_slice(b"body");
            assert_eq!(Header::decode(&bytes), Ok((header.clone(), len)));
            assert!(len <= HEADER_MAX);
        }
    }

    #[test]
    fn the_digest_keeps_one_attempt_of_each_process_and_the_newest_eight() {
        let mut digest = Digest::default();
        let attempt = |process, number| Attempt { process, number };
        digest.note(attempt(1, 1));
        digest.note(attempt(1, 2));
        assert!(!digest.contains(attempt(1, 1)) && digest.contains(attempt(1, 2)));
        for process in 2..=8 {
            assert!(!digest.may_have_forgotten());
            digest.note(attempt(process, 1));
        }
        assert!(digest.may_have_forgotten() && digest.contains(attempt(1, 2)));
        digest.note(attempt(9, 1));
        assert!(!digest.contains(attempt(1, 2)));
    }

    #[test]
    fn foreign_newer_and_truncated_records_are_told_apart() {
        let bytes = encoded(&header());
        assert_eq!(Header::decode(b"{\"user\":1}"), Err(BadRecord::Foreign));
        assert_eq!(Header::decode(b""), Err(BadRecord::Foreign));
        assert_eq!(Header::decode(&bytes[..69]), Err(BadRecord::CutOff));
        let mut none = bytes.clone();
        none[26] = 0;
        assert_eq!(Header::decode(&none), Err(BadRecord::Foreign));
        let mut newer = bytes.clone();
        newer[26] = 2;
        assert_eq!(Header::decode(&newer), Err(BadRecord::Newer { version: 2 }));
        let mut kind = bytes.clone();
        kind[27] = b'?';
        assert_eq!(Header::decode(&kind), Err(BadRecord::UnknownKind));
        let mut attempts = bytes;
        attempts[69] = 200;
        assert_eq!(Header::decode(&attempts), Err(BadRecord::CutOff));
    }

    #[test]
    fn a_record_never_outlives_its_absolute_end() {
        let header = Header {
            idle_timeout: Duration::from_secs(60),
            ..header()
        };
        let header = Header {
            absolute_end: StoreTime(10_000),
            ..header
        };
        assert_eq!(
            header.time_to_live(StoreTime(9_000)),
            Duration::from_secs(1)
        );
        assert_eq!(header.time_to_live(StoreTime(11_000)), Duration::ZERO);
    }

    #[test]
    fn what_is_surely_left_counts_from_the_last_write() {
        let mut header = Header::new(CommitId::random());
        header.idle_timeout = Duration::from_millis(1_000);
        header.absolute_end = StoreTime(10_000);
        header.revision = Revision(5_000);
        let left = |now| header.surely_left(StoreTime(now)).as_millis();
        // Before, at and after the write; unwritten for longer than it lives unused; close to its absolute end.
        assert_eq!(
            [4_999, 5_000, 5_400, 6_000, 7_000].map(left),
            [1_000, 1_000, 600, 0, 0]
        );
        header.revision = Revision(9_500);
        assert_eq!(header.surely_left(StoreTime(9_600)).as_millis(), 400);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), magic: bool) {
            if magic && bytes.len() > 27 {
                bytes[24..26].copy_from_slice(b"LK");
                bytes[26] %= 3;
            }
            if let Ok((header, body)) = Header::decode(&bytes) {
                prop_assert!(body <= bytes.len());
                prop_assert_eq!(&encoded(&header)[..], &bytes[..body]);
            }
        }

        #[test]
        fn revisions_always_grow(revision in 0_u64..1 << 52, now in 0_u64..1 << 52) {
            let next = Revision(revision).next(StoreTime(now));
            prop_assert!(next > Revision(revision) && next.0 >= now);
        }
    }
}

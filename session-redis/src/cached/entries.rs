use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::{
    DefaultHashBuilder, Weighter,
    sync::{Cache, DefaultLifecycle, GuardResult, PlaceholderGuard},
};
use session_core::{Decoded, HEADER_MAX, SessionKey, Stored};
use session_lock::{Clock, Moment};

/// Records that were read over one connection, on which the server tells of every change to them; and up to when that was
/// heard.
///
/// What is shown is not older than the bound: the server answers in order, so with the answer to a question everything has
/// been heard of that was changed before the question was sent. Whoever hears of a change calls [`forget`](Self::forget)
/// before the next answer is looked at.
pub(crate) struct Entries {
    records: Records,
    max_staleness: Duration,
    clock: Arc<dyn Clock>,
    origin: Moment,
    /// When the newest answered question was sent, in nanoseconds since the origin.
    current_as_of: AtomicU64,
}

type Records = Cache<SessionKey, Arc<Entry>, Size>;

/// A record and when it was asked for.
pub(crate) struct Entry {
    stored: Stored,
    pub(crate) decoded: Arc<Decoded>,
    asked: Moment,
    /// Whether the session was counted as used since it was read.
    touched: AtomicBool,
}

/// What is known of a session.
pub(crate) enum Found {
    /// Its record, as current as is asked for.
    Current(Arc<Entry>, Stored),
    /// Its record, but for too long nothing was heard of the server.
    Unsure,
    Nothing,
}

/// The place of a record that is being read. It is lost when the record changes meanwhile.
pub(crate) struct Place<'a>(
    PlaceholderGuard<
        'a,
        SessionKey,
        Arc<Entry>,
        Size,
        DefaultHashBuilder,
        DefaultLifecycle<SessionKey, Arc<Entry>>,
    >,
);

impl Entries {
    /// At most so many bytes.
    pub(crate) fn new(max_staleness: Duration, bytes: u64, clock: Arc<dyn Clock>) -> Self {
        let sessions = usize::try_from(bytes / TYPICAL).unwrap_or(usize::MAX);
        Self {
            records: Cache::with_weighter(sessions, bytes, Size),
            max_staleness,
            origin: clock.now(),
            clock,
            current_as_of: AtomicU64::new(0),
        }
    }

    pub(crate) fn get(&self, key: &SessionKey) -> Found {
        // Read before the entry: of an entry that still stands after that, nothing was changed until then.
        let current_as_of = self.current_as_of();
        let Some(entry) = self.records.get(key) else {
            return Found::Nothing;
        };
        let now = self.clock.now();
        if now.saturating_since(current_as_of) > self.max_staleness {
            return Found::Unsure;
        }
        // The server tells late of what has run out.
        let age = now.saturating_since(entry.asked);
        let left = entry.stored.time_to_live.saturating_sub(age);
        if left.is_zero() {
            return Found::Nothing;
        }
        let stored = Stored {
            time_to_live: left,
            read_at: entry.stored.read_at.after(age),
            ..entry.stored.clone()
        };
        Found::Current(entry, stored)
    }

    /// Takes the place of a record before that is asked for; `None`: somebody else has, or it is known.
    pub(crate) fn begin(&self, key: &SessionKey) -> Option<Place<'_>> {
        match self.records.get_value_or_guard(key, Some(Duration::ZERO)) {
            GuardResult::Guard(place) => Some(Place(place)),
            GuardResult::Value(_) | GuardResult::Timeout => None,
        }
    }

    /// A question was answered that was sent at `asked`.
    pub(crate) fn answered(&self, asked: Moment) {
        let since = asked.saturating_since(self.origin).as_nanos();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.current_as_of.fetch_max(since, Ordering::AcqRel);
    }

    /// Whether the server is to be asked, so that what is known stays current.
    pub(crate) fn is_ageing(&self) -> bool {
        let age = self.clock.now().saturating_since(self.current_as_of());
        age > self.max_staleness / 4
    }

    fn current_as_of(&self) -> Moment {
        self.origin + Duration::from_nanos(self.current_as_of.load(Ordering::Acquire))
    }

    pub(crate) fn forget(&self, key: &SessionKey) {
        self.records.remove(key);
    }

    pub(crate) fn forget_all(&self) {
        self.records.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.records.weight()
    }
}

impl Entry {
    /// Whether the caller is the first who wants to count the session as used.
    pub(crate) fn touch(&self) -> bool {
        !self.touched.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn was_not_touched(&self) {
        self.touched.store(false, Ordering::Release);
    }
}

impl Place<'_> {
    /// Keeps a record, unless it was changed since it was asked for.
    pub(crate) fn fill(self, stored: Stored, asked: Moment) {
        let entry = Entry {
            stored,
            decoded: Arc::default(),
            asked,
            touched: AtomicBool::new(false),
        };
        // Changed meanwhile: it is read again by whoever comes next.
        self.0.insert(Arc::new(entry)).ok();
    }
}

#[derive(Clone)]
struct Size;

impl Weighter<SessionKey, Arc<Entry>> for Size {
    fn weight(&self, _key: &SessionKey, entry: &Arc<Entry>) -> u64 {
        OVERHEAD + entry.stored.body.len() as u64
    }
}

// What an entry takes beside the body, of which decoded values are parts: itself, and about ten names.
const OVERHEAD: u64 = HEADER_MAX as u64 + 192 + 1024;
const TYPICAL: u64 = 2048;

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries")
            .field("sessions", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use session_core::{
        CommitId, Digest, Header, RecordKind, Revision, SessionHandle, SessionId, StoreTime,
    };
    use session_testkit::FakeClock;

    use super::*;

    const BOUND: Duration = Duration::from_millis(100);
    const LIFE: Duration = Duration::from_secs(10);
    const MOMENT: Duration = Duration::from_nanos(1);

    struct Fixture {
        clock: FakeClock,
        entries: Entries,
        key: SessionKey,
    }

    impl Fixture {
        fn new() -> Self {
            let clock = FakeClock::new();
            Self {
                entries: Entries::new(BOUND, 1 << 20, Arc::new(clock.clone())),
                clock,
                key: *SessionId::random().key(),
            }
        }

        /// The record is asked for and answered at once.
        fn read(&self) {
            let asked = self.clock.now();
            let place = self.entries.begin(&self.key).expect("nobody else reads");
            self.entries.answered(asked);
            place.fill(record(), asked);
        }

        fn left(&self) -> Option<Duration> {
            match self.entries.get(&self.key) {
                Found::Current(_, stored) => Some(stored.time_to_live),
                Found::Unsure | Found::Nothing => None,
            }
        }
    }

    fn record() -> Stored {
        let header = Header {
            kind: RecordKind::Live,
            commit_id: CommitId::random(),
            revision: Revision::default(),
            created: StoreTime::default(),
            absolute_end: StoreTime::default().after(LIFE),
            idle_timeout: LIFE,
            handle: SessionHandle::random(),
            user_tag: 0,
            flags: 0,
            digest: Digest::default(),
        };
        Stored {
            header,
            body: Bytes::from_static(b"body"),
            time_to_live: LIFE,
            read_at: StoreTime::default(),
        }
    }

    #[test]
    fn nothing_is_shown_that_is_older_than_the_bound() {
        let fixture = Fixture::new();
        fixture.read();
        fixture.clock.advance(BOUND);
        assert_eq!(fixture.left(), Some(LIFE - BOUND));
        fixture.clock.advance(MOMENT);
        assert!(matches!(fixture.entries.get(&fixture.key), Found::Unsure));
    }

    #[test]
    fn an_answer_says_how_things_were_when_it_was_asked_for() {
        let fixture = Fixture::new();
        fixture.read();
        let asked = fixture.clock.now();
        fixture.clock.advance(BOUND);
        fixture.entries.answered(asked);
        fixture.clock.advance(MOMENT);
        assert_eq!(fixture.left(), None, "the answer is as old as its question");
        fixture.entries.answered(asked + MOMENT);
        assert!(fixture.left().is_some());
        // Answers to several questions may be looked at in any order.
        fixture.entries.answered(asked);
        assert!(fixture.left().is_some());
    }

    #[test]
    fn a_record_that_changed_while_it_was_read_is_not_kept() {
        let fixture = Fixture::new();
        for change in [
            (|fixture| fixture.entries.forget(&fixture.key)) as fn(&Fixture),
            |fixture| fixture.entries.forget_all(),
        ] {
            let asked = fixture.clock.now();
            let place = fixture.entries.begin(&fixture.key).unwrap();
            fixture.entries.answered(asked);
            change(&fixture);
            place.fill(record(), asked);
            assert_eq!(fixture.left(), None);
        }
        fixture.read();
        assert_eq!(fixture.left(), Some(LIFE));
    }

    #[test]
    fn one_reads_and_others_do_not_wait() {
        let fixture = Fixture::new();
        let place = fixture.entries.begin(&fixture.key);
        assert!(place.is_some() && fixture.entries.begin(&fixture.key).is_none());
        drop(place);
        assert!(fixture.entries.begin(&fixture.key).is_some());
    }

    #[test]
    fn what_has_run_out_is_not_shown_although_nobody_has_said_so() {
        let fixture = Fixture::new();
        fixture.read();
        fixture.clock.advance(LIFE - MOMENT);
        fixture.entries.answered(fixture.clock.now());
        assert_eq!(fixture.left(), Some(MOMENT));
        fixture.clock.advance(MOMENT);
        assert_eq!(fixture.left(), None);
    }

    #[test]
    fn memory_is_bounded() {
        let entries = Entries::new(BOUND, 64 << 10, Arc::new(FakeClock::new()));
        for _ in 0..1000 {
            let key = *SessionId::random().key();
            let place = entries.begin(&key).unwrap();
            place.fill(record(), entries.clock.now());
        }
        assert!(
            (1..=64 << 10).contains(&entries.bytes()),
            "{}",
            entries.bytes()
        );
    }

    #[test]
    fn the_server_is_asked_well_before_the_bound() {
        let fixture = Fixture::new();
        fixture.read();
        assert!(!fixture.entries.is_ageing());
        fixture.clock.advance(BOUND / 2);
        assert!(fixture.entries.is_ageing());
    }
}

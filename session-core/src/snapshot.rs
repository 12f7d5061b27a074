use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use bytes::Bytes;
use session_lock::{Clock, Moment};

use crate::{
    BadRecord, Header, Recent, RecordError, RecordKind, Remaining, SessionData, SessionHandle,
    SessionKey, StoreTime,
    seal::{Opened, Seal},
};

/// A session as it was when it was read. Costs no lock and takes none.
///
/// Dereferences to [`SessionData`].
#[derive(Clone)]
pub struct Snapshot {
    loaded: Arc<Loaded>,
}

/// What can be asked of a session in whichever way one has it.
pub trait ReadSession {
    /// The values.
    fn data(&self) -> &SessionData;

    /// The public name of the session.
    fn handle(&self) -> SessionHandle;

    /// How long the session has left, by the store's time.
    fn remaining(&self) -> Remaining;

    /// When the session was first stored, or its user logged in, by the store's clock.
    fn created(&self) -> StoreTime;
}

impl Snapshot {
    pub(crate) fn new(loaded: Loaded) -> Self {
        Self {
            loaded: Arc::new(loaded),
        }
    }

    /// The public name of the session.
    pub fn handle(&self) -> SessionHandle {
        self.loaded.header.handle
    }

    /// How long the session has left, by the store's time.
    pub fn remaining(&self) -> Remaining {
        self.loaded.life.remaining()
    }

    /// When the session was first stored, or its user logged in, by the store's clock.
    pub fn created(&self) -> StoreTime {
        self.loaded.header.created
    }

    /// How long ago that was, by the store's clock.
    pub fn age(&self) -> Duration {
        let now = self.loaded.life.now();
        now.saturating_since(self.created())
    }

    /// Whether the session is to outlive the browser's.
    pub fn is_persistent(&self) -> bool {
        self.loaded.header.is_persistent()
    }

    /// Whether it was read through an ID that the session had before. The new one is in the answer to the request that
    /// changed it; an answer to this one must not change the cookie.
    pub fn is_rotated(&self) -> bool {
        self.loaded.rotated
    }
}

impl Deref for Snapshot {
    type Target = SessionData;

    fn deref(&self) -> &SessionData {
        &self.loaded.data
    }
}

impl ReadSession for Snapshot {
    fn data(&self) -> &SessionData {
        self
    }

    fn handle(&self) -> SessionHandle {
        self.handle()
    }

    fn remaining(&self) -> Remaining {
        self.remaining()
    }

    fn created(&self) -> StoreTime {
        self.created()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("handle", &self.handle())
            .field("data", &self.loaded.data)
            .finish()
    }
}

/// A record that was read and decoded.
pub(crate) struct Loaded {
    pub(crate) header: Header,
    pub(crate) data: Arc<SessionData>,
    pub(crate) life: Life,
    /// Whether its seal or its codec is another than a commit would choose now.
    pub(crate) outdated: bool,
    /// Whether it has another ID by now than the one that it was read through.
    pub(crate) rotated: bool,
}

impl Loaded {
    pub(crate) fn decode(
        key: &SessionKey,
        recent: Recent,
        seal: &Seal,
        max_record: usize,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, RecordError> {
        let opened = seal.open_recent(key, &recent, max_record);
        let Opened { data, outdated } = opened.map_err(|fault| RecordError::new(key, fault))?;
        let stored = recent.stored;
        let life = Life {
            idle: stored.time_to_live,
            absolute: stored.header.absolute_end.saturating_since(stored.read_at),
            read_at: stored.read_at,
            since: clock.now(),
            clock: Arc::clone(clock),
        };
        Ok(Self {
            rotated: stored.header.kind != RecordKind::Live,
            header: stored.header,
            data,
            life,
            outdated,
        })
    }
}

/// Reads a record without keys and looks at all of its values: for fuzzing. How many there are.
#[doc(hidden)]
pub fn read_record(key: &SessionKey, record: &Bytes, limit: usize) -> Result<usize, BadRecord> {
    let (header, body) = Header::decode(record)?;
    let opened = Seal::default().open(key, &header, &record.slice(body..), limit)?;
    let data = opened.data;
    for name in data.keys() {
        // Of another type, most of the time.
        data.get::<Vec<String>>(name).ok();
        data.get::<u64>(name).ok();
    }
    Ok(data.len())
}

/// How long a session had left at a moment of this process.
#[derive(Clone)]
pub(crate) struct Life {
    idle: Duration,
    absolute: Duration,
    read_at: StoreTime,
    since: Moment,
    clock: Arc<dyn Clock>,
}

impl Life {
    /// The life of a session that is not stored yet.
    pub(crate) fn unborn(
        timeouts: crate::Timeouts,
        clock: &Arc<dyn Clock>,
        now: StoreTime,
    ) -> Self {
        let clock = Arc::clone(clock);
        Self {
            idle: timeouts.idle(),
            absolute: timeouts.absolute(),
            read_at: now,
            since: clock.now(),
            clock,
        }
    }

    /// The store's time.
    pub(crate) fn now(&self) -> StoreTime {
        self.read_at
            .after(self.clock.now().saturating_since(self.since))
    }

    pub(crate) fn remaining(&self) -> Remaining {
        let elapsed = self.clock.now().saturating_since(self.since);
        let absolute = self.absolute.saturating_sub(elapsed);
        Remaining {
            idle: self.idle.saturating_sub(elapsed).min(absolute),
            absolute,
        }
    }
}

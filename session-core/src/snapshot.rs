use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use session_lock::{Clock, Moment};

use crate::{
    Header, RecordError, Remaining, SessionData, SessionHandle, SessionKey, Stored,
    record::BadRecord, record::BodyFault,
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
    pub(crate) data: SessionData,
    pub(crate) life: Life,
}

impl Loaded {
    pub(crate) fn decode(
        key: &SessionKey,
        stored: Stored,
        max_record: usize,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, RecordError> {
        let data = SessionData::decode(&stored.body, max_record).map_err(|bad| {
            RecordError::new(
                key,
                BadRecord::Body {
                    reason: BodyFault(bad),
                },
            )
        })?;
        let life = Life {
            idle: stored.time_to_live,
            absolute: stored.header.absolute_end.saturating_since(stored.read_at),
            since: clock.now(),
            clock: Arc::clone(clock),
        };
        Ok(Self {
            header: stored.header,
            data,
            life,
        })
    }
}

/// How long a session had left at a moment of this process.
#[derive(Clone)]
pub(crate) struct Life {
    idle: Duration,
    absolute: Duration,
    since: Moment,
    clock: Arc<dyn Clock>,
}

impl Life {
    /// The life of a session that is not stored yet.
    pub(crate) fn unborn(timeouts: crate::Timeouts, clock: &Arc<dyn Clock>) -> Self {
        let clock = Arc::clone(clock);
        Self {
            idle: timeouts.idle(),
            absolute: timeouts.absolute(),
            since: clock.now(),
            clock,
        }
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

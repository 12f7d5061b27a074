use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use session_lock::LossCause;

use crate::{
    AcquireError, CommitError, KeyFingerprint, PrimaryStore, ReadError, RecordError, Revocation,
    SessionHandle, UserId, measure,
};

/// Is told what happens to sessions: for audit logs and metrics.
///
/// Called in the task that has done it, after it is done and before that task goes on: keep it short, hand long work to
/// a task of your own. A panic in it is logged and goes no further. Source: ASVS 5.0, 16.3.1.
///
/// ```
/// # use session_core::{Event, MemoryStore, Observer, Sessions};
/// #[derive(Debug)]
/// struct AuditLog;
///
/// impl Observer for AuditLog {
///     fn notice(&self, event: &Event) {
///         println!("{event:?}");
///     }
/// }
///
/// let sessions = Sessions::builder(MemoryStore::new()).observer(AuditLog).build()?;
/// # Ok::<(), session_core::ConfigError>(())
/// ```
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// This has happened.
    fn notice(&self, event: &Event);
}

/// What has happened. Names sessions by what gives no access, and holds no value of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A session without a user was stored for the first time.
    Created {
        /// Its public name.
        session: SessionHandle,
    },
    /// A session has another ID, at unchanged privilege.
    Rotated {
        /// Its public name.
        session: SessionHandle,
    },
    /// A session was bound to a user.
    LoggedIn {
        /// Its public name.
        session: SessionHandle,
        /// Who logged in.
        user: UserId,
    },
    /// A user ended the session, by [`SessionGuard::logout`](crate::SessionGuard::logout).
    LoggedOut {
        /// Its public name.
        session: SessionHandle,
        /// Who logged out; `None` if nobody was logged in.
        user: Option<UserId>,
    },
    /// The application ended the session under its lock, by [`SessionGuard::destroy`](crate::SessionGuard::destroy).
    Ended {
        /// Its public name.
        session: SessionHandle,
    },
    /// The application ended whatever session had that ID, by [`Sessions::destroy`](crate::Sessions::destroy).
    Destroyed {
        /// A hash of its key.
        key: KeyFingerprint,
    },
    /// Sessions of a user were revoked.
    Revoked {
        /// Whose.
        user: UserId,
        /// Which of them.
        which: Revocation,
        /// How many were ended by it.
        ended: u64,
    },
    /// All sessions of all users were revoked.
    RevokedEverything,
    /// Somebody was too late: the session had run out, or its store tells that it has.
    ///
    /// Memory tells it when it cleans up. Redis tells it where its setting `notify-keyspace-events` has `E` and `x` in it;
    /// it cannot tell a session from what is left of one that was ended minutes ago, and what it says during a restart or
    /// while a connection is broken is lost. Take it as a hint, not as a record.
    Expired {
        /// A hash of its key.
        key: KeyFingerprint,
    },
    /// A holder lost its lease before its commit, which wrote nothing.
    LeaseLost {
        /// The public name of the session.
        session: SessionHandle,
        /// How.
        cause: LossCause,
    },
    /// A record cannot be used. It was left as it is.
    RecordCorrupt {
        /// What is wrong with it, and a hash of its key.
        error: RecordError,
    },
    /// A secondary does not take what was committed of a session, or cannot be shown it. It is not tried again before the
    /// session changes, or [`WriteThrough::retry_set_aside`](crate::WriteThrough::retry_set_aside) is called.
    SetAside {
        /// The name of the secondary.
        secondary: Arc<str>,
        /// The public name of the session.
        session: SessionHandle,
    },
}

/// Who is told, if anybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observers(Option<Arc<dyn Observer>>);

impl Observers {
    pub(crate) fn one(observer: impl Observer) -> Self {
        Self(Some(Arc::new(observer)))
    }

    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        let Some(observer) = &self.0 else {
            if cfg!(feature = "metrics") {
                measure::event(&event());
            }
            return;
        };
        let event = event();
        measure::event(&event);
        if catch_unwind(AssertUnwindSafe(|| observer.notice(&event))).is_err() {
            tracing::error!("an observer of sessions has panicked");
        }
    }

    /// Tells of sessions that run out, where the store does.
    pub(crate) fn watch_expiry(&self, store: &dyn PrimaryStore) {
        if self.0.is_some() {
            let observers = self.clone();
            store.on_expiry(Arc::new(move |key| {
                observers.tell(|| Event::Expired {
                    key: key.fingerprint(),
                });
            }));
        }
    }

    /// Tells of records that cannot be used.
    pub(crate) fn check<T, E: Told>(&self, answer: Result<T, E>) -> Result<T, E> {
        if let Err(error) = &answer
            && let Some(error) = error.corrupt()
        {
            self.tell(|| Event::RecordCorrupt { error: *error });
        }
        answer
    }
}

/// An error that can say that a record is corrupt.
pub(crate) trait Told {
    fn corrupt(&self) -> Option<&RecordError>;
}

macro_rules! told {
    ($($error:ident)+) => {$(
        impl Told for $error {
            fn corrupt(&self) -> Option<&RecordError> {
                match self {
                    Self::Record(error) => Some(error),
                    _ => None,
                }
            }
        }
    )+};
}

told! { AcquireError CommitError ReadError }

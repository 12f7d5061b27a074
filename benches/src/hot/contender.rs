use std::{future::Future, time::Duration};

use latchkey::{SessionGuard, SessionId, Sessions};

use crate::{Result, Stopwatch, session::add_one, tasks};

/// A record, and a way to change it that excludes others.
pub trait Contender: Clone + Send + Sync + 'static {
    /// Takes the lock, works for this long, adds 1, stores that, and gives the lock back. Returns how long it has waited.
    fn turn(&self, work: Duration) -> impl Future<Output = Result<Duration>> + Send;
}

/// A session under its own lock.
#[derive(Clone, Debug)]
pub struct Session {
    sessions: Sessions,
    id: SessionId,
}

impl Session {
    /// The session of this ID.
    ///
    /// # Errors
    /// It is no ID.
    pub fn new(sessions: Sessions, id: &str) -> Result<Self> {
        let id = id.parse()?;
        Ok(Self { sessions, id })
    }
}

impl Contender for Session {
    async fn turn(&self, work: Duration) -> Result<Duration> {
        let asked = Stopwatch::start();
        let turn = async |session: &mut SessionGuard| -> Result<Duration> {
            let waited = asked.elapsed();
            tasks::pause(work).await;
            add_one(session)?;
            Ok(waited)
        };
        Ok(self.sessions.with(&self.id, turn).await?)
    }
}

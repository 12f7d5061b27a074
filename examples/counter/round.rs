use std::time::Duration;

use latchkey::{Key, SessionData, SessionId, Sessions, ValueError};
use tokio::time::sleep;

use crate::{
    args::Mode,
    outcome::{Failure, NotStored, Outcome},
    stopwatch::Stopwatch,
};

pub(crate) const COUNT: Key<u64> = Key::new("count");

/// Adds 1 to the session.
pub(crate) async fn add_one(
    sessions: &Sessions,
    id: &SessionId,
    mode: Mode,
    hold: Duration,
) -> Outcome {
    let result = match mode {
        Mode::Locked => locked(sessions, id, hold).await,
        Mode::Unlocked => unlocked(sessions, id, hold).await,
        Mode::Update => update(sessions, id).await,
    };
    match result {
        Ok(wait) => Outcome::Acknowledged { wait },
        Err(NotStored::Perhaps) => Outcome::Unknown,
        Err(NotStored::For(failure)) => Outcome::Failed(failure),
    }
}

async fn locked(
    sessions: &Sessions,
    id: &SessionId,
    hold: Duration,
) -> Result<Duration, NotStored> {
    let asked = Stopwatch::start();
    let mut session = sessions.lock(id).await?;
    let wait = asked.elapsed();
    increment(&mut session)?;
    pause(hold).await;
    session.commit().await?;
    Ok(wait)
}

async fn unlocked(
    sessions: &Sessions,
    id: &SessionId,
    hold: Duration,
) -> Result<Duration, NotStored> {
    let asked = Stopwatch::start();
    let session = sessions.unlocked().load(id).await?;
    let mut session = session.ok_or(Failure::NoSession)?;
    let wait = asked.elapsed();
    increment(&mut session)?;
    pause(hold).await;
    session.save().await?;
    Ok(wait)
}

async fn update(sessions: &Sessions, id: &SessionId) -> Result<Duration, NotStored> {
    let asked = Stopwatch::start();
    sessions.update(id, increment).await?;
    Ok(asked.elapsed())
}

fn increment(session: &mut SessionData) -> Result<(), ValueError> {
    session.modify(COUNT, |count: &mut u64| *count += 1)
}

async fn pause(hold: Duration) {
    if !hold.is_zero() {
        sleep(hold).await;
    }
}

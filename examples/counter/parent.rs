use std::{process::ExitCode, time::Duration};

use clap::{CommandFactory as _, error::ErrorKind};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use latchkey::{SessionId, Sessions};
use tokio::{runtime::Runtime, signal, time::sleep};

use crate::{
    BoxError,
    args::{Args, Limit},
    assignment::Assignment,
    crew,
    report::{self, Summary},
    round::COUNT,
    stopwatch::Stopwatch,
};

pub(crate) fn main(args: &Args) -> Result<ExitCode, BoxError> {
    if let Err(contradiction) = args.check() {
        Args::command()
            .error(ErrorKind::ArgumentConflict, contradiction)
            .exit();
    }
    let summary = Runtime::new()?.block_on(run(args))?;
    report::print(args, &summary)?;
    summary.exit_code(args.mode)
}

async fn run(args: &Args) -> Result<Summary, BoxError> {
    let sessions = args.store().open().await?;
    let ids = create(&sessions, args.sessions).await?;
    let counted = count(args, &sessions, &ids).await;
    end(&sessions, &ids).await;
    counted
}

async fn count(args: &Args, sessions: &Sessions, ids: &[SessionId]) -> Result<Summary, BoxError> {
    let assignments = (0..args.processes).map(|worker| Assignment::new(worker, args, ids));
    let tallies = crew::run(assignments.collect(), time_limit(args)).await?;
    let stored = tokio::select! {
        stored = read(sessions, ids) => stored?,
        _ = signal::ctrl_c() => return Err("interrupted while reading what is stored".into()),
    };
    Ok(Summary::new(&tallies, &stored))
}

/// When every worker that still moves has ended by itself: the time in which it begins rounds, and then as long as
/// its last rounds can take at most. A number of rounds may take as long as it takes.
fn time_limit(args: &Args) -> Option<Duration> {
    let store = args.store();
    match args.limit() {
        Limit::Rounds(_) => None,
        Limit::Time(time) => {
            let lease = store.lease.unwrap_or(Duration::from_secs(10));
            let wait = store.wait.unwrap_or(Duration::from_secs(5));
            Some(time + lease + wait + args.hold() + CALLS)
        }
    }
}

// For the calls of a round themselves, with a server that answers late.
const CALLS: Duration = Duration::from_secs(5);

async fn create(sessions: &Sessions, number: u32) -> Result<Vec<SessionId>, BoxError> {
    stream::iter(0..number)
        .map(|_| async {
            let new = sessions.with_new(async |session| session.insert(COUNT, 0));
            Ok(new.await.map(|(id, ())| id)?)
        })
        .buffered(IN_FLIGHT)
        .try_collect()
        .await
}

async fn read(sessions: &Sessions, ids: &[SessionId]) -> Result<Vec<u64>, BoxError> {
    let begun = Stopwatch::start();
    stream::iter(ids)
        .map(async |id| {
            loop {
                match sessions.snapshot(id).await {
                    Ok(Some(session)) => return Ok(session.get(COUNT)?.unwrap_or(0)),
                    // It was created: whatever was counted in it is lost.
                    Ok(None) => return Ok(0),
                    Err(error) if error.is_retryable() && begun.elapsed() < LONGEST_RETURN => {
                        sleep(RETRY).await;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        })
        .buffered(IN_FLIGHT)
        .try_collect()
        .await
}

const IN_FLIGHT: usize = 64;

// A server that was restarted during the run may still be reading its data.
const LONGEST_RETURN: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(200);

/// Leaves nothing behind. What cannot be ended now ends by its idle timeout.
async fn end(sessions: &Sessions, ids: &[SessionId]) {
    stream::iter(ids)
        .for_each_concurrent(IN_FLIGHT, async |id| drop(sessions.destroy(id).await))
        .await;
}

//! Changes sessions at random, on Redis or in PostgreSQL, which are written through to another Redis: one of several
//! processes.
//!
//! `writer PRIMARY_URL SECONDARY_URL SEED CHANGES` prints a `.` for each hundred changes that are stored, and `done` when
//! all are. It does not wait for the secondary.

use std::{env, error::Error, io::Write as _, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use latchkey::{SecondaryPolicy, SessionId, Sessions};
use latchkey_tests::{Chance, primary, redis};
use tokio::sync::Mutex;

type BoxError = Box<dyn Error + Send + Sync>;

const SIDE_BY_SIDE: u64 = 16;
/// On a busy machine a lock is slow to come.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, secondary, seed, changes] = &arguments[..] else {
        return Err("usage: writer PRIMARY_URL SECONDARY_URL SEED CHANGES".into());
    };
    let (seed, changes): (u64, u64) = (seed.parse()?, changes.parse()?);
    let mirror = redis()
        .call_timeout(Duration::from_secs(1))
        .unchecked_secondary(secondary)?;
    let sessions = primary(url)
        .await?
        .wait_timeout(PATIENCE)
        .secondary(
            "mirror",
            mirror,
            SecondaryPolicy::eventual().timeout(Duration::from_secs(2)),
        )
        .open()
        .await?;
    let stored = Arc::new(Mutex::new(0));
    let tasks = (0..SIDE_BY_SIDE).map(|task| {
        let (sessions, stored) = (sessions.clone(), Arc::clone(&stored));
        async move {
            let mut chance = Chance::new(seed * SIDE_BY_SIDE + task);
            let mut mine = Vec::new();
            for value in 0..changes / SIDE_BY_SIDE {
                change(&sessions, &mut chance, &mut mine, value).await?;
                let mut stored = stored.lock().await;
                *stored += 1;
                if *stored % 100 == 0 {
                    say(".")?;
                }
            }
            Ok::<_, BoxError>(())
        }
    });
    stream::iter(tasks)
        .map(Ok)
        .try_for_each_concurrent(None, |task| task)
        .await?;
    say("done")?;
    Ok(())
}

fn say(word: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}")?;
    out.flush()
}

/// One change: of eight sessions of its own, now and then a new one, a new ID, a login, an end.
async fn change(
    sessions: &Sessions,
    chance: &mut Chance,
    mine: &mut Vec<SessionId>,
    value: u64,
) -> Result<(), BoxError> {
    if mine.len() < 8 {
        let mut new = sessions.create();
        new.insert("n", value)?;
        mine.push(new.id().clone());
        new.commit().await?;
        return Ok(());
    }
    let at = usize::try_from(chance.below(8))?;
    let mut guard = sessions.lock(&mine[at]).await?;
    guard.insert("n", value)?;
    let id = match chance.below(32) {
        0 => {
            guard.destroy();
            None
        }
        1 => Some(guard.regenerate()),
        2 => Some(guard.login(chance.below(50), &())?),
        _ => Some(mine[at].clone()),
    };
    guard.commit().await?;
    match id {
        Some(id) => mine[at] = id,
        None => drop(mine.swap_remove(at)),
    }
    Ok(())
}

//! Waits for the lock of a session, as so many processes would: each of its stores stands in the queue by itself.
//!
//! `waiter URL LEASE_MS STORES SESSION` prints `ready` when all its stores hear of free locks or are about to. For a line
//! of input they begin to wait; whoever gets the lock prints `held` and keeps it.

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use latchkey::{AcquireError, RedisStore, SessionGuard, SessionId, Sessions};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, lease_ms, stores, id] = &arguments[..] else {
        return Err("usage: waiter URL LEASE_MS STORES SESSION".into());
    };
    let lease = Duration::from_millis(lease_ms.parse()?);
    let id: SessionId = id.parse()?;
    let stores = (0..stores.parse()?).map(|_| store(url, lease));
    let stores = stream::iter(stores).buffer_unordered(16);
    let stores: Vec<_> = stores.try_collect().await?;
    say("ready")?;
    let mut input = BufReader::new(stdin()).lines();
    input.next_line().await?;
    let held = stores.iter().map(|sessions| hold(sessions, &id));
    let held: Result<Vec<_>, _> = join_all(held).await.into_iter().collect();
    input.next_line().await?;
    drop(held?);
    Ok(())
}

/// Sessions of a store that has waited once: it subscribes to its channel with that.
async fn store(url: &str, lease: Duration) -> Result<Sessions, BoxError> {
    let store = RedisStore::connect(url).await?;
    let sessions = Sessions::builder(store).lease(lease).build()?;
    let mut own = sessions.create();
    own.insert("n", 0)?;
    let id = own.id().clone();
    own.commit().await?;
    loop {
        let guard = sessions.lock(&id).await?;
        // Long enough to be refused, and to stand in the queue then.
        let soon = Duration::from_millis(250);
        let waited = sessions.lock(&id).wait_at_most(soon).await;
        drop(guard);
        match waited {
            Err(AcquireError::Held { .. }) => return Ok(sessions),
            // On a machine that is very busy the lease has run out.
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn hold(sessions: &Sessions, id: &SessionId) -> Result<SessionGuard, BoxError> {
    let guard = sessions.lock(id).wait_at_most(PATIENCE).await?;
    say("held")?;
    Ok(guard)
}

const PATIENCE: Duration = Duration::from_secs(300);

fn say(word: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{word}")
}

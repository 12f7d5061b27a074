//! What the lock of a session is for, in a second, without a server: `cargo run --example quickstart`.

#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::time::Duration;

use latchkey::{AcquireError, CommitError, Key, MemoryStore, SessionId, Sessions};
use tokio::{task::JoinSet, time::sleep};

const CART: Key<Vec<String>> = Key::new("cart");
const REQUESTS: usize = 50;

#[tokio::main]
async fn main() -> latchkey::Result<()> {
    println!("Latchkey keeps sessions; this run keeps them in memory, without a server.");
    let sessions = Sessions::builder(MemoryStore::new())
        .warn_unlocked(false)
        .build()?;

    println!("\n1. A visitor comes, a session is made.");
    let id = new_session(&sessions).await?;
    show_what_is_left(&sessions, &id).await?;

    println!(
        "\n2. {REQUESTS} requests each put an item into the cart of one session, all at once."
    );
    let kept = fill_cart(&sessions, &id, add_locked).await?;
    println!("   with the lock:     {kept:>2} of {REQUESTS} items are in the cart");
    let other = new_session(&sessions).await?;
    let kept = fill_cart(&sessions, &other, add_unlocked).await?;
    println!(
        "   without any lock:  {kept:>2} of {REQUESTS} items are in the cart, the others are lost"
    );

    println!("\n3. A request fails half-way.");
    fail_half_way(&sessions, &id).await?;

    println!("\n4. A request has to wait for another one.");
    wait_in_vain(&sessions, &id).await?;

    println!("\n5. The user logs out while a slow request is still at work.");
    log_out_meanwhile(&sessions, &id).await?;

    println!("\nNext: see what several processes lose on a Redis of yours:");
    println!("  cargo run --release --example counter -- --help");
    Ok(())
}

async fn new_session(sessions: &Sessions) -> latchkey::Result<SessionId> {
    let (id, ()) = sessions
        .with_new(async |session| Ok::<_, latchkey::Error>(session.insert(CART, Vec::new())?))
        .await?;
    Ok(id)
}

async fn show_what_is_left(sessions: &Sessions, id: &SessionId) -> latchkey::Result<()> {
    let session = sessions.snapshot(id).await?;
    let session = session.ok_or(AcquireError::NoSession)?;
    let left = session.remaining();
    println!("   name for logs, gives no access:  {}", session.handle());
    println!(
        "   ends when unused for             {} min",
        minutes(left.idle)
    );
    println!(
        "   ends in any case after           {} min",
        minutes(left.absolute)
    );
    println!("   the secret ID prints as          {id:?}");
    Ok(())
}

/// Runs all requests at once; the number of items that are in the cart afterwards.
async fn fill_cart<F>(
    sessions: &Sessions,
    id: &SessionId,
    request: impl Fn(Sessions, SessionId, String) -> F,
) -> latchkey::Result<usize>
where
    F: Future<Output = latchkey::Result<()>> + Send + 'static,
{
    let mut requests = JoinSet::new();
    for number in 0..REQUESTS {
        requests.spawn(request(
            sessions.clone(),
            id.clone(),
            format!("item {number}"),
        ));
    }
    for done in requests.join_all().await {
        done?;
    }
    items(sessions, id).await
}

async fn add_locked(sessions: Sessions, id: SessionId, item: String) -> latchkey::Result<()> {
    sessions
        .with(&id, async |session| -> latchkey::Result<()> {
            let mut cart = session.get(CART)?.unwrap_or_default();
            ask_for_the_price().await;
            cart.push(item);
            Ok(session.insert(CART, cart)?)
        })
        .await?;
    Ok(())
}

async fn add_unlocked(sessions: Sessions, id: SessionId, item: String) -> latchkey::Result<()> {
    let session = sessions.unlocked().load(&id).await?;
    let mut session = session.ok_or(AcquireError::NoSession)?;
    let mut cart = session.get(CART)?.unwrap_or_default();
    ask_for_the_price().await;
    cart.push(item);
    session.insert(CART, cart)?;
    session.save().await?;
    Ok(())
}

/// What a request does between reading and writing.
async fn ask_for_the_price() {
    sleep(Duration::from_millis(5)).await;
}

async fn fail_half_way(sessions: &Sessions, id: &SessionId) -> latchkey::Result<()> {
    let before = items(sessions, id).await?;
    let paid = sessions
        .with(id, async |session| {
            session.clear();
            Err::<(), _>("the card was declined")
        })
        .await;
    if paid.is_err() {
        let after = items(sessions, id).await?;
        println!("   it had emptied the cart, then the card was declined");
        println!("   items before: {before}, after: {after}; nothing of it was stored");
    }
    Ok(())
}

async fn wait_in_vain(sessions: &Sessions, id: &SessionId) -> latchkey::Result<()> {
    let first = sessions.lock(id).await?;
    let patience = Duration::from_millis(100);
    match sessions.lock(id).wait_at_most(patience).await {
        Err(error @ AcquireError::Held { .. }) => {
            println!("   after {patience:?} it gets: {error}");
        }
        Err(error) => return Err(error.into()),
        Ok(_) => println!("   it got the session, though another request holds it"),
    }
    first.discard().await?;
    Ok(())
}

async fn log_out_meanwhile(sessions: &Sessions, id: &SessionId) -> latchkey::Result<()> {
    let mut slow = sessions.lock(id).await?;
    sessions.destroy(id).await?;
    slow.insert(CART, vec!["one more".to_owned()])?;
    match slow.commit().await {
        Err(error @ CommitError::Destroyed) => println!("   its commit is refused: {error}"),
        Err(error) => return Err(error.into()),
        Ok(_) => println!("   its commit was stored, though the session was ended"),
    }
    let gone = sessions.snapshot(id).await?.is_none();
    println!(
        "   the session is {}",
        if gone { "gone, and stays gone" } else { "back" }
    );
    Ok(())
}

async fn items(sessions: &Sessions, id: &SessionId) -> latchkey::Result<usize> {
    let session = sessions.snapshot(id).await?;
    let session = session.ok_or(AcquireError::NoSession)?;
    Ok(session.get(CART)?.map_or(0, |cart| cart.len()))
}

/// Whole minutes, rounded: the session was made a moment ago.
fn minutes(duration: Duration) -> u64 {
    (duration.as_secs() + 30) / 60
}

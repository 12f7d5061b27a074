//! Takes a lock, holds it for a while and gives it back, over and over, until its input ends; prints when it was sure to
//! hold the lock.
//!
//! `holder RESOURCE TTL_MS (heeds-loss|goes-on) URL...` prints `held TOKEN FROM_NS UNTIL_NS END` for each hold, and
//! `failed KIND` where it did not get the lock.

use std::{
    env,
    error::Error,
    io::{self, Read as _, Write as _},
    pin::pin,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::FutureExt as _;
use latchkey::lock::{
    AcquireError, Clock as _, LockNode, LossCause, Moment, RedisNode, Redlock, RedlockLease,
    ReleaseError, SystemClock,
};
use latchkey_tests::Chance;
use tokio::time::sleep;

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [resource, ttl_ms, manners, urls @ ..] = &arguments[..] else {
        return Err("usage: holder RESOURCE TTL_MS (heeds-loss|goes-on) URL...".into());
    };
    let ttl = Duration::from_millis(ttl_ms.parse()?);
    let redlock = redlock(ttl, urls)?;
    let ended = input_ended();
    let mut chance = Chance::new(process::id().into());
    while !ended.load(Ordering::Relaxed) {
        let line = match redlock.acquire(resource).await {
            Ok(lease) => {
                let span = ttl.mul_f64(chance.below(2_000) as f64 / 1_000.0);
                hold(lease, span, manners == "heeds-loss").await
            }
            Err(error) => format!("failed {}", kind(&error)),
        };
        writeln!(io::stdout().lock(), "{line}")?;
    }
    Ok(())
}

fn redlock(ttl: Duration, urls: &[String]) -> Result<Redlock, BoxError> {
    let node = |url: &String| Ok(Arc::new(RedisNode::connect(url)?) as Arc<dyn LockNode>);
    let nodes: Result<_, BoxError> = urls.iter().map(node).collect();
    let redlock = Redlock::builder(nodes?)
        .ttl(ttl)
        .wait_timeout(ttl)
        // A busy machine, and servers that wait for their disk.
        .node_timeout(ttl / 10);
    Ok(redlock.build()?)
}

/// Notes the first and the last moment at which the lease was valid: what is valid after a moment was valid at it.
async fn hold(lease: RedlockLease, span: Duration, heeds_loss: bool) -> String {
    let token = lease.fencing_token().0;
    let mut lost = pin!(lease.lost());
    let from = SystemClock.now();
    if heeds_loss && !lease.is_valid() {
        return "failed lost_at_once".to_owned();
    }
    let mut until = from;
    let mut end = None;
    while until.saturating_since(from) < span {
        let now = SystemClock.now();
        if heeds_loss && !lease.is_valid() {
            // Whoever finds the lease invalid finds that the signal has come.
            end = Some(lost.as_mut().now_or_never().map_or("unsignalled", word));
            break;
        }
        until = now;
        sleep(TICK).await;
    }
    let end = match end {
        Some(end) => end,
        None => match lease.release().await {
            Ok(()) => "released",
            Err(ReleaseError::Lost { cause }) => word(cause),
            Err(_) => "unconfirmed",
        },
    };
    format!("held {token} {} {} {end}", nanos(from), nanos(until))
}

const TICK: Duration = Duration::from_millis(1);

fn nanos(moment: Moment) -> u128 {
    moment
        .saturating_since(Moment::from_origin(Duration::ZERO))
        .as_nanos()
}

const fn word(cause: LossCause) -> &'static str {
    match cause {
        LossCause::Expired => "expired",
        LossCause::Stolen => "stolen",
        LossCause::Gone => "gone",
        LossCause::QuorumLost => "quorum_lost",
        LossCause::NodeRestarted => "node_restarted",
        LossCause::HeldTooLong => "held_too_long",
        _ => "other",
    }
}

const fn kind(error: &AcquireError) -> &'static str {
    match error {
        AcquireError::Held { .. } => "held",
        AcquireError::NoQuorum { .. } => "no_quorum",
        _ => "other",
    }
}

fn input_ended() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    thread::spawn(move || {
        // An input that cannot be read has ended.
        drop(io::stdin().read_to_end(&mut Vec::new()));
        flag.store(true, Ordering::Relaxed);
    });
    ended
}

use std::{process::ExitCode, sync::Arc, time::Duration};

use latchkey::lock::{
    AcquireError, LockNode, RedisNode, Redlock, RedlockLease, ReleaseError, Resource,
};

use crate::{
    args::{Action, Args},
    event::Event,
    failure::Failure,
    input::{self, Interrupt},
};

/// Does what the user asks for, and tells the exit status.
pub(crate) async fn run(args: &Args) -> ExitCode {
    let redlock = match redlock(args) {
        Ok(redlock) => redlock,
        Err(failure) => return Event::Error(failure).print_last(),
    };
    let event = act(args, &redlock).await;
    let status = event.unwrap_or_else(Event::Error).print_last();
    // Nodes that are slow are still told that the lock is free.
    redlock.shutdown(LAST_WORDS).await.ok();
    status
}

const LAST_WORDS: Duration = Duration::from_secs(1);

fn redlock(args: &Args) -> Result<Redlock, Failure> {
    let node = |url: &String| {
        let node = RedisNode::builder().lock_prefix(&args.key_prefix);
        Ok(Arc::new(node.connect(url)?) as Arc<dyn LockNode>)
    };
    let nodes = args.nodes.iter().filter(|url| !url.is_empty());
    let nodes: Result<_, Failure> = nodes.map(node).collect();
    let redlock = Redlock::builder(nodes?)
        .ttl(args.ttl())
        .longest_hold(LONGEST_HOLD);
    // Each run makes its connections first. Servers that are down cost nothing while the others answer.
    let redlock = match args.ttl() / 4 {
        Duration::ZERO => redlock,
        quarter => redlock.node_timeout(quarter.min(LONGEST_ANSWER)),
    };
    Ok(redlock.build()?)
}

const LONGEST_ANSWER: Duration = Duration::from_secs(1);
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3_600);

/// The last event of the run.
async fn act(args: &Args, redlock: &Redlock) -> Result<Event, Failure> {
    let resource = Resource::new(&args.resource)?;
    let mut interrupt = Interrupt::listen()?;
    let acquired = tokio::select! {
        acquired = redlock.acquire_timeout(resource, args.wait()) => acquired,
        () = interrupt.heard() => return Err(Failure::interrupted()),
    };
    let lease = match acquired {
        Ok(lease) => lease,
        Err(AcquireError::Held { .. }) => return Ok(Event::Busy),
        Err(error) => return Err(error.into()),
    };
    let acquired = Event::acquired(&lease);
    match args.action {
        Action::Try => {
            // What the nodes do not confirm goes on in the background.
            lease.release().await.ok();
            Ok(acquired)
        }
        Action::Hold => {
            acquired.print()?;
            hold(lease, interrupt).await
        }
    }
}

async fn hold(lease: RedlockLease, mut interrupt: Interrupt) -> Result<Event, Failure> {
    tokio::select! {
        // Whatever else has happened: a lease that is lost is not given back.
        biased;
        cause = lease.lost() => return Ok(Event::Lost(cause)),
        () = input::line() => {}
        () = interrupt.heard() => {}
    }
    match lease.release().await {
        Ok(()) => Ok(Event::Released),
        Err(ReleaseError::Lost { cause }) => Ok(Event::Lost(cause)),
        Err(error) => Err(error.into()),
    }
}

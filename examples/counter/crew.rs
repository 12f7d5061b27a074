use std::{
    pin::pin,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::{
    signal,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    BoxError,
    assignment::Assignment,
    member::{Member, Phase},
    progress::Progress,
    stopwatch::Stopwatch,
    tally::Tally,
};

/// Starts a process for each assignment and sees all of them through. Those that still run after `time_limit`, or
/// when the user interrupts, are killed.
pub(crate) async fn run(
    assignments: Vec<Assignment>,
    time_limit: Option<Duration>,
) -> Result<Vec<Tally>, BoxError> {
    let (phase, phases) = watch::channel(Phase::Starting);
    let (ready, mut all_ready) = mpsc::channel(1);
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut crew = JoinSet::new();
    for assignment in assignments {
        let member = Member::start(&assignment, phases.clone(), Arc::clone(&acknowledged))?;
        crew.spawn(member.see_through(assignment, ready.clone()));
    }
    drop(ready);
    // Each member drops its sender when it is ready; one that is stopped or slow does not hold up the others.
    let _all = timeout(LONGEST_START, all_ready.recv()).await;
    let begun = Stopwatch::start();
    phase.send_replace(Phase::Working(begun));

    let mut out_of_time = pin!(after(time_limit));
    let mut interrupted = pin!(signal::ctrl_c());
    let mut progress = Progress::new(begun, acknowledged);
    let mut tallies = Vec::new();
    loop {
        let working = matches!(*phase.borrow(), Phase::Working(_));
        tokio::select! {
            ended = crew.join_next() => match ended {
                None => break,
                Some(ended) => {
                    let (tally, misfortune) = ended?;
                    if let Some(misfortune) = misfortune {
                        progress.clear();
                        eprintln!("worker {}: {misfortune}", tally.worker);
                    }
                    tallies.push(tally);
                }
            },
            () = &mut out_of_time, if working => { phase.send_replace(Phase::Over); }
            _ = &mut interrupted, if working => { phase.send_replace(Phase::Over); }
            () = progress.tick() => progress.show(crew.len()),
        }
    }
    progress.clear();
    tallies.sort_unstable_by_key(|tally| tally.worker);
    Ok(tallies)
}

const LONGEST_START: Duration = Duration::from_secs(10);

async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
}

//! Several processes want one lock over five servers, while servers are killed, paused and restarted, and the processes
//! themselves are stopped, at random.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use latchkey_tests::{Chaos, Fault, Held, Hold, HolderOptions, Holders, Nodes, TestResult};

const MINUTE: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_millis(500);
const PROCESSES: usize = 4;

const HEEDFUL: HolderOptions<'_> = HolderOptions {
    resource: "printer",
    ttl: TTL,
    heeds_loss: true,
};

/// Two of five servers keep their data when they are killed.
async fn five_servers() -> TestResult<Nodes> {
    Nodes::start_with(5, 2).await
}

fn start(options: HolderOptions<'_>, nodes: &Nodes) -> TestResult<Holders> {
    let holder = env!("CARGO_BIN_EXE_holder");
    Holders::start(holder, PROCESSES, options, &nodes.urls())
}

/// Beside the seed: when what happens is decided by the machine too.
fn some_seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

fn shown(held: &Held) -> String {
    let holds = held.holds.iter().map(Vec::len).collect::<Vec<_>>();
    let ends = Hold::ends(held.holds.iter().flatten());
    format!(
        "holds {holds:?}, ended {ends:?}, failures {:?}",
        held.failures
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn for_a_minute_of_faults_nobody_holds_the_lock_with_another() -> TestResult {
    let nodes = five_servers().await?;
    let mut holders = start(HEEDFUL, &nodes)?;
    holders.all_go_on().await?;

    let seed = some_seed();
    let faults = Chaos::new(nodes.servers(), &holders, seed)
        .reign(MINUTE)
        .await?;
    // All is mended; everybody gets on by itself.
    holders.all_go_on().await?;
    holders.all_go_on().await?;
    let held = holders.finish().await?;
    let story = format!("seed {seed}, faults {faults:?}, {}", shown(&held));
    eprintln!("{story}");

    let holds = held.holds.iter().flatten();
    assert_eq!(Hold::violations(holds.clone()), [], "{story}");
    for process in &held.holds {
        assert!(!process.is_empty(), "a process never had the lock: {story}");
    }
    // What there was to withstand.
    for fault in [
        Fault::Killed,
        Fault::Paused,
        Fault::NoQuorum,
        Fault::Stopped,
    ] {
        assert!(faults.contains_key(&fault), "{story}");
    }
    let ends = Hold::ends(holds);
    assert!(ends.contains_key("released"), "{story}");
    assert!(ends.contains_key("expired"), "{story}");
    assert!(!ends.contains_key("unsignalled"), "{story}");
    Ok(())
}

/// That the comparison of the holds can find anything at all.
#[tokio::test(flavor = "multi_thread")]
async fn holders_that_do_not_heed_their_loss_hold_it_with_others() -> TestResult {
    let nodes = five_servers().await?;
    let heedless = HolderOptions {
        heeds_loss: false,
        ..HEEDFUL
    };
    let mut holders = start(heedless, &nodes)?;
    holders.all_go_on().await?;
    // Most likely it is one of all but one who has the lock at that moment.
    for turn in 0..10 * PROCESSES {
        let others = (0..PROCESSES).filter(|process| *process != turn % PROCESSES);
        let stopped: TestResult<Vec<_>> = others.map(|process| holders.stop(process)).collect();
        // Twice as long as it holds the lock at most.
        tokio::time::sleep(4 * TTL).await;
        drop(stopped?);
        holders.all_go_on().await?;
        let held = holders.held()?;
        if !Hold::violations(held.holds.iter().flatten()).is_empty() {
            holders.finish().await?;
            return Ok(());
        }
    }
    Err(format!(
        "nobody held it with another: {}",
        shown(&holders.finish().await?)
    )
    .into())
}

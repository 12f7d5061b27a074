use std::{env, fmt::Write as _, process, process::Stdio, time::Duration};

use latchkey_benches::{
    Result, Spread,
    locks::{Latchkey, Locker, Nodes},
};
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::sleep,
};

use crate::{
    TTL,
    args::{Args, Library},
    redlock::Redlock,
    rslock::Rslock,
};

/// What one of two processes works with.
#[derive(Debug, clap::Args)]
pub(crate) struct Turns {
    library: Library,
    name: String,
    urls: Vec<String>,
}

/// From the moment that a process begins to give the lock back to the moment that the other process, which waits for it,
/// has it.
pub(crate) async fn measure(args: &Args) -> Result<String> {
    let mut text = HEAD.to_owned();
    for &count in &args.nodes {
        let nodes = Nodes::start(count as usize).await?;
        // Plain commands know no waiting.
        let libraries = args
            .libraries
            .iter()
            .filter(|library| **library != Library::Plain);
        let libraries: Vec<_> = libraries.collect();
        let mut times = vec![Vec::new(); libraries.len()];
        for round in 0..args.rounds {
            for (library, times) in libraries.iter().zip(&mut times) {
                let name = format!("hand-over-{}-{round}", process::id());
                times.push(one_round(**library, &name, args.turns, &nodes.urls()).await?);
            }
            eprintln!(
                "{count} nodes, hand-over: round {} of {}",
                round + 1,
                args.rounds
            );
        }
        for (library, rounds) in libraries.iter().zip(times) {
            text += &row(count, **library, &rounds)?;
        }
    }
    Ok(text)
}

const HEAD: &str = "\
| nodes | library | hand-over, median ms | lowest to highest of the rounds | slowest ms | hand-overs |
|--:|---|--:|:-:|--:|--:|
";

fn row(nodes: u32, library: Library, rounds: &[Vec<f64>]) -> Result<String> {
    let medians = rounds
        .iter()
        .filter_map(|times| Spread::of(times.iter().copied()));
    let medians = Spread::of(medians.map(|times| times.median)).ok_or("no rounds")?;
    let all = Spread::of(rounds.iter().flatten().copied()).ok_or("no hand-overs")?;
    let number: usize = rounds.iter().map(Vec::len).sum();
    let mut text = String::new();
    writeln!(
        text,
        "| {nodes} | {} | **{:.3}** | {:.3} to {:.3} | {:.1} | {number} |",
        library.name(),
        medians.median,
        medians.lowest,
        medians.highest,
        all.highest
    )?;
    Ok(text)
}

/// So many hand-overs, in milliseconds.
async fn one_round(library: Library, name: &str, turns: u32, urls: &[String]) -> Result<Vec<f64>> {
    let mut holder = Player::start(library, name, urls).await?;
    let mut waiter = Player::start(library, name, urls).await?;
    holder.tell(ASK).await?;
    holder.moment().await?;
    let mut times = Vec::with_capacity(turns as usize);
    for turn in 0..turns {
        waiter.tell(ASK).await?;
        // It has found the lock taken when this is over. Libraries that look again and again are met at any moment of
        // their pauses.
        sleep(WAITS + Duration::from_millis(u64::from(turn * 37 % 100))).await;
        holder.tell(RELEASE).await?;
        let (released, acquired) = (holder.moment().await?, waiter.moment().await?);
        let time = acquired.checked_sub(released);
        let time = time.ok_or("two processes held the lock at the same time")?;
        times.push(time.as_secs_f64() * 1e3);
        std::mem::swap(&mut holder, &mut waiter);
    }
    Ok(times)
}

const WAITS: Duration = Duration::from_millis(50);
const READY: &str = "ready";
const ASK: &str = "ask";
const RELEASE: &str = "release";

/// One of the two processes, as this one has it.
struct Player {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Player {
    async fn start(library: Library, name: &str, urls: &[String]) -> Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .args(["take-turns", library.name(), name])
            .args(urls)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the pipes of a process are missing".into());
        };
        let mut player = Self {
            _process: process,
            input,
            output: BufReader::new(output).lines(),
        };
        match player.line().await?.as_str() {
            READY => Ok(player),
            other => Err(other.into()),
        }
    }

    async fn tell(&mut self, word: &str) -> Result<()> {
        Ok(self.input.write_all(format!("{word}\n").as_bytes()).await?)
    }

    /// When it has acquired the lock, or has begun to give it back, on a clock that all processes share.
    async fn moment(&mut self) -> Result<Duration> {
        Ok(Duration::from_nanos(self.line().await?.parse()?))
    }

    async fn line(&mut self) -> Result<String> {
        let line = self.output.next_line().await?;
        line.ok_or_else(|| "a process has ended".into())
    }
}

/// The other side.
pub(crate) async fn take_turns(turns: &Turns) -> Result<()> {
    let Turns { library, urls, .. } = turns;
    match library {
        Library::Latchkey => take_with(&Latchkey::new(urls, TTL)?, &turns.name).await,
        Library::Rslock => take_with(&Rslock::new(urls)?, &turns.name).await,
        Library::Redlock => take_with(&Redlock::new(urls), &turns.name).await,
        Library::Plain => Err("plain commands do not wait for a lock".into()),
    }
}

async fn take_with<L: Locker>(locker: &L, name: &str) -> Result<()> {
    // Connections are made, scripts are loaded.
    let lease = locker.acquire(&format!("{name}-{}", process::id())).await?;
    locker.release(lease).await?;
    say(READY).await?;
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let mut held = None;
    while let Some(line) = input.next_line().await? {
        if line == ASK {
            held = Some(locker.acquire(name).await?);
            say(&now().as_nanos().to_string()).await?;
        } else if let Some(lease) = held.take() {
            let begun = now();
            locker.release(lease).await?;
            say(&begun.as_nanos().to_string()).await?;
        }
    }
    Ok(())
}

async fn say(line: &str) -> Result<()> {
    let mut output = tokio::io::stdout();
    output.write_all(format!("{line}\n").as_bytes()).await?;
    Ok(output.flush().await?)
}

fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), nanos)
}

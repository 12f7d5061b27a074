//! Sessions under fire: worker processes change the same sessions while servers, connections and the workers themselves
//! fail, as a seed decides; then everything that they did and saw is checked. How: ARCHITECTURE.md, "Under fire".

use std::{env, error::Error, fs, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, value_parser};
use latchkey_chaos::{Beats, Options, Report, Topology, run, worker};

/// Kills, stops and cuts off servers and processes while they change sessions, and checks that nothing acknowledged is lost.
///
/// Starts servers of its own. Exit status: 0 nothing was lost and no promise broken; 1 something was; 2 the run could not
/// be made.
#[derive(Parser)]
#[command(name = "chaos", max_term_width = 100)]
struct Args {
    /// What the sessions stand on: single (one Redis)
    #[arg(long, default_value = "single")]
    topology: Topology,

    /// How long faults happen
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = value_parser!(u64).range(5..=86_400))]
    seconds: u64,

    /// Decides what happens and what clients want to do
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Where the picture of the run (timeline.svg) and its result (result.json) go
    #[arg(long, value_name = "FOLDER", default_value = "target/chaos")]
    out: PathBuf,

    /// Print the result as one JSON object, on the last line
    #[arg(long)]
    json: bool,
}

type BoxError = Box<dyn Error + Send + Sync>;

/// How a run starts its workers: this program, with this word and their orders.
const WORKER: &str = "worker";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    if words.next().as_deref() == Some(WORKER) {
        let orders = words.next().unwrap_or_default();
        return told(worker(&orders).await.map(|()| true));
    }
    told(attack(&Args::parse()).await)
}

fn told(result: Result<bool, BoxError>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether no promise was broken.
async fn attack(args: &Args) -> Result<bool, BoxError> {
    let program = (env::current_exe()?, vec![WORKER.to_owned()]);
    let options = Options::new(
        args.topology,
        Duration::from_secs(args.seconds),
        args.seed,
        program,
    );
    let report = run(&options, progress).await?;
    eprintln!();
    eprint!("{report}");
    save(args, &report)?;
    if args.json {
        print_line(&serde_json::to_string(&report)?);
    }
    Ok(report.is_good())
}

fn save(args: &Args, report: &Report) -> Result<(), BoxError> {
    fs::create_dir_all(&args.out)?;
    let (timeline, result) = (args.out.join("timeline.svg"), args.out.join("result.json"));
    fs::write(&timeline, report.timeline()?)?;
    fs::write(&result, serde_json::to_string_pretty(report)?)?;
    eprintln!("{}, {}", timeline.display(), result.display());
    Ok(())
}

/// One line that changes, once a second.
fn progress(beats: &Beats) {
    let in_all: u32 = beats.done.iter().sum();
    let lately: u32 = beats.done.iter().rev().take(4).sum();
    let failed: u32 = beats.failed.iter().rev().take(4).sum();
    let wait = beats
        .longest_wait_ms
        .iter()
        .rev()
        .take(4)
        .max()
        .unwrap_or(&0);
    let seconds = beats.done.len() / 4;
    eprint!(
        "\r{seconds:4} s  {in_all:7} operations, {lately:5}/s, {failed:4}/s not done, longest wait {wait:5} ms "
    );
}

#[expect(clippy::print_stdout, reason = "the result")]
fn print_line(line: &str) {
    println!("{line}");
}

//! From the moment that a process begins to give a lock back to the moment that another process, which waits for it, has it.

mod player; // one of the two processes
mod round; // so many hand-overs, one after the other
mod turns; // what it does

use std::fmt::Write as _;

use clap::value_parser;
use latchkey_benches::{Comparison, Result, Run, Spread, locks::Nodes};

use self::round::{Table, Times};
use crate::library::Library;

pub(crate) use turns::{Turns, take_turns};

/// A lock, or a session, from one process to another.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Over how many nodes a lock is spread
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3, 5], value_parser = value_parser!(u32).range(1..=9))]
    nodes: Vec<u32>,

    /// How often it is handed over in each round
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..))]
    turns: u32,

    /// Who makes the lock; a session's is on one node only
    #[arg(long, value_delimiter = ',', default_values = ["session", "latchkey", "rslock", "redlock"])]
    libraries: Vec<Library>,
}

const HEAD: &str = "
## Hand-over between two processes

| nodes | library | median ms | lowest to highest of the rounds | slowest ms | one GET, ms | hand-over, times one GET | lowest to highest | hand-overs |
|--:|---|--:|:-:|--:|--:|--:|:-:|--:|
";

pub(crate) async fn measure(args: &Args, run: &Run) -> Result<String> {
    let (mut text, rounds) = (HEAD.to_owned(), run.rounds());
    let turns = if run.is_short() { 2 } else { args.turns };
    for &count in &args.nodes {
        let nodes = Nodes::start(count as usize).await?;
        let table = Table::new(&nodes, turns).await?;
        let libraries = args.libraries.iter().copied();
        let libraries: Vec<_> = libraries.filter(|library| fits(*library, count)).collect();
        let mut comparison = Comparison::of(libraries.len());
        for round in 0..rounds {
            let measure = async |at: usize| table.round(libraries[at], round).await;
            comparison.round(measure).await?;
            eprintln!("{count} nodes, hand-over: round {} of {rounds}", round + 1);
        }
        for (at, library) in libraries.iter().enumerate() {
            text += &row(count, *library, &comparison, at);
        }
    }
    Ok(text)
}

/// Plain commands know no waiting.
fn fits(library: Library, nodes: u32) -> bool {
    match library {
        Library::Plain => false,
        Library::Session => nodes == 1,
        _ => true,
    }
}

fn row(nodes: u32, library: Library, comparison: &Comparison<Times>, at: usize) -> String {
    let rounds = comparison.all(at);
    let all: Vec<f64> = rounds
        .iter()
        .flat_map(|times| times.hand_overs.clone())
        .collect();
    let slowest = all.iter().copied().fold(0.0, f64::max);
    let mut text = String::new();
    // A String takes every write.
    let _written = writeln!(
        text,
        "| {nodes} | {} | {:.3} | {slowest:.1} | {:.3} | {:.1} | {} |",
        library.name(),
        comparison.spread(at, |times| median(&times.hand_overs)),
        comparison.spread(at, |times| median(&times.flights)).median,
        comparison.spread(at, |times| median(&times.hand_overs)
            / median(&times.flights)),
        all.len(),
    );
    text
}

fn median(times: &[f64]) -> f64 {
    Spread::of(times.iter().copied()).map_or(f64::NAN, |times| times.median)
}

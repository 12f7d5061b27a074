use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Interval, interval};

use crate::{report::grouped, stopwatch::Stopwatch};

/// One line on the terminal that is written over and over; nothing where there is no terminal.
pub(crate) struct Progress {
    ticks: Option<Interval>,
    begun: Stopwatch,
    acknowledged: Arc<AtomicU64>,
}

impl Progress {
    pub(crate) fn new(begun: Stopwatch, acknowledged: Arc<AtomicU64>) -> Self {
        Self {
            ticks: io::stderr()
                .is_terminal()
                .then(|| interval(Duration::from_millis(250))),
            begun,
            acknowledged,
        }
    }

    pub(crate) async fn tick(&mut self) {
        match &mut self.ticks {
            Some(ticks) => drop(ticks.tick().await),
            None => std::future::pending().await,
        }
    }

    pub(crate) fn show(&self, workers: usize) {
        let seconds = self.begun.elapsed().as_secs();
        let acknowledged = grouped(self.acknowledged.load(Ordering::Relaxed));
        write(&format!(
            "{CLEAR}{seconds:>5} s  {acknowledged} rounds acknowledged, {workers} workers at work"
        ));
    }

    pub(crate) fn clear(&self) {
        if self.ticks.is_some() {
            write(CLEAR);
        }
    }
}

fn write(text: &str) {
    let mut terminal = io::stderr();
    // A terminal that is gone is no reason to end the run.
    drop(
        terminal
            .write_all(text.as_bytes())
            .and_then(|()| terminal.flush()),
    );
}

/// Moves to the beginning of the line and clears it.
const CLEAR: &str = "\r\x1b[K";

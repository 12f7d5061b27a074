use std::{
    io::Write as _,
    mem,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use latchkey::lock::{Clock as _, Moment, SystemClock};

use crate::{Action, Hold, Nanos, Outcome, history::Event};

/// Where the clients of a process write down what they do: before they do it, and after.
#[derive(Debug)]
pub struct Recorder {
    process: u64,
    numbers: AtomicU64,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    /// One line for each event. What was printed stays when the process is killed.
    Output,
    Memory(Mutex<Vec<Event>>),
}

/// An operation that was begun.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Begun {
    number: u64,
    pub(crate) at: Nanos,
}

impl Recorder {
    /// Of a process whose lines another one reads.
    pub(crate) const fn printing(process: u64) -> Self {
        Self::new(process, Sink::Output)
    }

    /// Of clients in this process; each that counts as a process of its own has another number.
    pub const fn in_memory(process: u64) -> Self {
        Self::new(process, Sink::Memory(Mutex::new(Vec::new())))
    }

    const fn new(process: u64, sink: Sink) -> Self {
        Self {
            process,
            numbers: AtomicU64::new(0),
            sink,
        }
    }

    pub(crate) const fn process(&self) -> u64 {
        self.process
    }

    /// What was written down in this process.
    pub(crate) fn take(&self) -> Vec<Event> {
        match &self.sink {
            Sink::Output => Vec::new(),
            Sink::Memory(events) => {
                mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    pub(crate) fn begin(&self, client: u64, session: u64, action: Action) -> Begun {
        self.begin_at(now(), client, session, action)
    }

    /// What has begun at another moment.
    pub(crate) fn begin_at(&self, at: Nanos, client: u64, session: u64, action: Action) -> Begun {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.write(Event::Begun {
            process: self.process,
            number,
            client,
            session,
            at,
            action,
        });
        Begun { number, at }
    }

    pub(crate) fn end(
        &self,
        begun: Begun,
        action: Action,
        outcome: Outcome,
        revision: Option<u64>,
    ) {
        self.write(Event::Ended {
            process: self.process,
            number: begun.number,
            at: now(),
            action,
            outcome,
            revision,
        });
    }

    pub(crate) fn held(&self, hold: Hold) {
        self.write(Event::Held(hold));
    }

    pub(crate) fn odd(&self, what: String) {
        self.write(Event::Odd(what));
    }

    fn write(&self, event: Event) {
        match &self.sink {
            Sink::Memory(events) => events
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(event),
            Sink::Output => {
                let Ok(mut line) = serde_json::to_vec(&event) else {
                    return;
                };
                line.push(b'\n');
                // A reader that has gone wants to know no more.
                drop(std::io::stdout().lock().write_all(&line));
            }
        }
    }
}

/// Now, on the clock of all processes of the machine.
pub(crate) fn now() -> Nanos {
    let since = SystemClock
        .now()
        .saturating_since(Moment::from_origin(Duration::ZERO));
    nanos(since)
}

pub(crate) fn nanos(span: Duration) -> Nanos {
    Nanos::try_from(span.as_nanos()).unwrap_or(Nanos::MAX)
}

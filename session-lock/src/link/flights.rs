use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::Value;
use tokio::sync::oneshot;

use super::{call::Call, error::CallError};
use crate::Fault;

/// The calls that wait to go out together.
#[derive(Debug)]
pub(super) struct Flights {
    // A std mutex: held for a few instructions, never across an await.
    state: Mutex<State>,
    /// How many may be under way and the next call still goes out on its own.
    most_alone: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Passenger>,
    /// Flights that are under way.
    flying: usize,
    /// Whether somebody will see to those who wait.
    boarding: bool,
}

type Answer = Result<Vec<Value>, CallError>;

#[derive(Debug)]
pub(super) struct Passenger {
    pub(super) call: Call,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// How a call goes out.
pub(super) enum Ticket {
    /// On its own, at once: nothing else is under way, or next to nothing.
    Alone(Call, Flying),
    /// With others. `board`: the caller has to see to it that they are sent.
    Together {
        answer: oneshot::Receiver<Answer>,
        board: bool,
    },
}

// More calls in one flight save little, and keep the server from answering the first ones meanwhile.
const LARGEST_FLIGHT: usize = 32;
const HEAVIEST_FLIGHT: usize = 256 * 1024;
/// In bytes. Above this, a call goes out on its own.
pub(super) const HEAVIEST_CALL: usize = HEAVIEST_FLIGHT / 4;

impl Flights {
    pub(super) fn new(most_alone: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            most_alone,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn book(self: &Arc<Self>, call: Call) -> Ticket {
        let mut state = self.state();
        // Nobody overtakes those who are about to leave.
        if state.flying < self.most_alone && !state.boarding {
            state.flying += 1;
            return Ticket::Alone(call, Flying(Arc::clone(self)));
        }
        let (sender, answer) = oneshot::channel();
        state.waiting.push(Passenger {
            call,
            answer: sender,
        });
        let board = !std::mem::replace(&mut state.boarding, true);
        Ticket::Together { answer, board }
    }

    /// Whoever sees to those who wait holds this.
    pub(super) fn boarding(self: &Arc<Self>) -> Boarding {
        Boarding {
            flights: Arc::clone(self),
            over: false,
        }
    }
}

/// A flight under way.
pub(super) struct Flying(Arc<Flights>);

impl Drop for Flying {
    fn drop(&mut self) {
        self.0.state().flying -= 1;
    }
}

pub(super) struct Boarding {
    flights: Arc<Flights>,
    over: bool,
}

impl Boarding {
    /// The next flight; none, and no more from here, if nobody waits.
    pub(super) fn next(&mut self) -> Option<(Vec<Passenger>, Flying)> {
        let mut state = self.flights.state();
        // Whoever has gone away asks for nothing any more.
        state
            .waiting
            .retain(|passenger| !passenger.answer.is_closed());
        if state.waiting.is_empty() {
            state.boarding = false;
            self.over = true;
            return None;
        }
        let mut weight = 0;
        let fits = |passenger: &&Passenger| {
            weight += passenger.call.weight;
            weight <= HEAVIEST_FLIGHT
        };
        let seats = state.waiting.iter().take(LARGEST_FLIGHT);
        let seats = seats.take_while(fits).count();
        let passengers = state.waiting.drain(..seats).collect();
        state.flying += 1;
        Some((passengers, Flying(Arc::clone(&self.flights))))
    }
}

impl Drop for Boarding {
    /// If its task ends with its runtime, those who wait learn it: their answers are dropped.
    fn drop(&mut self) {
        if !self.over {
            let mut state = self.flights.state();
            state.boarding = false;
            state.waiting.clear();
        }
    }
}

/// The flight ended without an answer.
pub(super) const fn lost() -> CallError {
    CallError {
        fault: Fault::Unreachable,
        source: None,
        sent: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_alone(ticket: &Ticket) -> bool {
        matches!(ticket, Ticket::Alone(..))
    }

    #[test]
    fn so_many_calls_go_alone_and_those_behind_them_together() {
        for most_alone in [1, 2] {
            let flights = Flights::new(most_alone);
            let alone: Vec<_> = (0..most_alone)
                .map(|_| flights.book(Call::default()))
                .collect();
            assert!(alone.iter().all(goes_alone));
            let first = flights.book(Call::default());
            assert!(matches!(first, Ticket::Together { board: true, .. }));
            let second = flights.book(Call::default());
            assert!(matches!(second, Ticket::Together { board: false, .. }));
            drop(alone);
            let mut boarding = flights.boarding();
            let (passengers, flying) = boarding.next().unwrap();
            assert_eq!(passengers.len(), 2);
            // It may not have been sent yet, and what is given back must not overtake what asked for it.
            let late = flights.book(Call::default());
            assert!(matches!(late, Ticket::Together { board: false, .. }));
            drop((late, flying));
            assert!(boarding.next().is_none());
            assert!(goes_alone(&flights.book(Call::default())));
        }
    }
}

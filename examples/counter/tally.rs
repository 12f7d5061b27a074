use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use crate::{
    assignment::session_of,
    frame::Message,
    outcome::{Failure, Outcome},
};

/// What one worker was told by the store, as far as it got through to the parent.
pub(crate) struct Tally {
    pub(crate) worker: u32,
    /// By session.
    pub(crate) counts: Vec<Count>,
    pub(crate) errors: BTreeMap<Failure, u64>,
    pub(crate) waits_us: Histogram<u64>,
    pub(crate) last_acknowledged: Duration,
    tasks: Vec<Task>,
    begun: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
}

#[derive(Clone, Copy, Default)]
struct Task {
    rounds: u64,
    finished: bool,
}

impl Tally {
    pub(crate) fn new(worker: u32, tasks: u32, sessions: usize) -> Self {
        Self {
            worker,
            counts: vec![Count::default(); sessions],
            errors: BTreeMap::new(),
            waits_us: empty_histogram(),
            last_acknowledged: Duration::ZERO,
            tasks: vec![Task::default(); tasks as usize],
            begun: false,
        }
    }

    /// The worker was told to begin.
    pub(crate) const fn begin(&mut self) {
        self.begun = true;
    }

    /// `at`: when it came in, since the workers were told to begin.
    pub(crate) fn note(&mut self, message: Message, at: Duration) {
        match message {
            Message::Ready => {}
            Message::Finished { task } => self.tasks[task as usize].finished = true,
            Message::Round { task, outcome } => {
                let count = self.count_of_next_round(task);
                match outcome {
                    Outcome::Acknowledged { wait } => {
                        count.acknowledged += 1;
                        self.last_acknowledged = at;
                        let wait_us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
                        self.waits_us.saturating_record(wait_us);
                    }
                    Outcome::Unknown => count.unknown += 1,
                    Outcome::Failed(failure) => *self.errors.entry(failure).or_default() += 1,
                }
                self.tasks[task as usize].rounds += 1;
            }
        }
    }

    /// The worker is gone: each task that had not finished may have been in a round, and that round may be stored.
    /// Returns how many.
    pub(crate) fn give_up_unfinished(&mut self) -> u64 {
        let mut in_flight = 0;
        for task in (0..).take(self.tasks.len()) {
            if self.begun && !self.tasks[task as usize].finished {
                self.count_of_next_round(task).unknown += 1;
                in_flight += 1;
            }
        }
        in_flight
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.counts.iter().map(|count| count.acknowledged).sum()
    }

    pub(crate) fn has_finished(&self) -> bool {
        self.tasks.iter().all(|task| task.finished)
    }

    fn count_of_next_round(&mut self, task: u32) -> &mut Count {
        let round = self.tasks[task as usize].rounds;
        let session = session_of(self.worker, task, round, self.counts.len());
        &mut self.counts[session]
    }
}

/// For waits from 1 us to over an hour, to three digits.
pub(crate) fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, u64::from(u32::MAX), 3).expect("the bounds are in order")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACKNOWLEDGED: Outcome = Outcome::Acknowledged {
        wait: Duration::from_millis(2),
    };

    fn note(tally: &mut Tally, task: u32, outcome: Outcome) {
        tally.note(Message::Round { task, outcome }, Duration::from_secs(1));
    }

    #[test]
    fn a_killed_worker_may_have_stored_one_round_of_each_unfinished_task() {
        let mut tally = Tally::new(7, 3, 50);
        tally.begin();
        note(&mut tally, 0, ACKNOWLEDGED);
        note(&mut tally, 0, Outcome::Failed(Failure::Busy));
        note(&mut tally, 1, ACKNOWLEDGED);
        tally.note(Message::Finished { task: 1 }, Duration::ZERO);
        assert!(!tally.has_finished());

        assert_eq!(tally.give_up_unfinished(), 2);
        let mut expected = vec![Count::default(); 50];
        expected[session_of(7, 0, 0, 50)].acknowledged += 1;
        expected[session_of(7, 1, 0, 50)].acknowledged += 1;
        expected[session_of(7, 0, 2, 50)].unknown += 1;
        expected[session_of(7, 2, 0, 50)].unknown += 1;
        assert_eq!(tally.counts, expected);
        assert_eq!(tally.errors, BTreeMap::from([(Failure::Busy, 1)]));
    }

    #[test]
    fn a_worker_that_never_began_has_nothing_in_flight() {
        let mut tally = Tally::new(0, 3, 1);
        assert_eq!(tally.give_up_unfinished(), 0);
        assert_eq!(tally.counts, [Count::default()]);
    }
}

use std::{io, time::Duration};

use crate::outcome::{Failure, Outcome};

/// What a worker tells the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Connected; waits for the word to begin.
    Ready,
    /// The next round of this task is over.
    Round { task: u32, outcome: Outcome },
    /// The task begins no further round.
    Finished { task: u32 },
}

/// A message on the pipe: kind, failure, two unused bytes, task, wait in microseconds (both little-endian).
///
/// All frames have one size, far below `PIPE_BUF`. So one write puts a frame into the pipe whole or not at all, also
/// when the worker is killed in it, and the tasks of a worker need no lock between them.
pub(crate) type Frame = [u8; FRAME_LEN];

pub(crate) const FRAME_LEN: usize = 12;

const READY: u8 = 0;
const ACKNOWLEDGED: u8 = 1;
const UNKNOWN: u8 = 2;
const FAILED: u8 = 3;
const FINISHED: u8 = 4;

impl Message {
    pub(crate) fn encode(self) -> Frame {
        match self {
            Self::Ready => frame(READY, 0, 0, 0),
            Self::Finished { task } => frame(FINISHED, 0, task, 0),
            Self::Round { task, outcome } => match outcome {
                Outcome::Acknowledged { wait } => {
                    let wait_us = u32::try_from(wait.as_micros()).unwrap_or(u32::MAX);
                    frame(ACKNOWLEDGED, 0, task, wait_us)
                }
                Outcome::Unknown => frame(UNKNOWN, 0, task, 0),
                Outcome::Failed(failure) => frame(FAILED, failure as u8, task, 0),
            },
        }
    }

    pub(crate) fn decode(frame: Frame) -> io::Result<Self> {
        let [kind, failure, _, _, task @ .., w0, w1, w2, w3] = frame;
        let task = u32::from_le_bytes(task);
        let wait_us = u32::from_le_bytes([w0, w1, w2, w3]);
        let outcome = match kind {
            READY => return Ok(Self::Ready),
            FINISHED => return Ok(Self::Finished { task }),
            ACKNOWLEDGED => Outcome::Acknowledged {
                wait: Duration::from_micros(wait_us.into()),
            },
            UNKNOWN => Outcome::Unknown,
            FAILED => {
                let failure = Failure::ALL.get(usize::from(failure));
                Outcome::Failed(*failure.ok_or_else(not_understood)?)
            }
            _ => return Err(not_understood()),
        };
        Ok(Self::Round { task, outcome })
    }
}

fn frame(kind: u8, failure: u8, task: u32, wait_us: u32) -> Frame {
    let mut frame = [0; FRAME_LEN];
    frame[0] = kind;
    frame[1] = failure;
    frame[4..8].copy_from_slice(&task.to_le_bytes());
    frame[8..].copy_from_slice(&wait_us.to_le_bytes());
    frame
}

fn not_understood() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "a message of the worker was not understood",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_reads_back_as_itself() {
        let failures = Failure::ALL.map(Outcome::Failed);
        let wait = Duration::from_micros(123_456);
        let outcomes = [Outcome::Acknowledged { wait }, Outcome::Unknown];
        let rounds = outcomes
            .into_iter()
            .chain(failures)
            .map(|outcome| Message::Round {
                task: 70_000,
                outcome,
            });
        for message in rounds.chain([Message::Ready, Message::Finished { task: 3 }]) {
            assert_eq!(Message::decode(message.encode()).unwrap(), message);
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert!(Message::decode([9; FRAME_LEN]).is_err());
        assert!(Message::decode(frame(FAILED, 200, 0, 0)).is_err());
    }
}

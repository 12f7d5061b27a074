use std::collections::VecDeque;

use super::log::{Log, Request};
use crate::servers::resp::{self, Command, Malformed, ReplyKind};

/// What has been asked on one connection, and what of it has been answered.
#[derive(Debug)]
pub(super) struct Exchange {
    connection: u64,
    /// Requests that the server has not answered yet, oldest first.
    expected: VecDeque<Expected>,
    /// Requests whose answer the client has not been given yet.
    undelivered: usize,
    /// The client has sent the beginning of a request.
    partial: bool,
    flight: u64,
    /// Calls of scripts so far.
    scripts: usize,
    resp3: bool,
    subscribed: bool,
    /// Greetings of the client, to be repeated to a node that it is redirected to.
    greetings: Vec<Vec<u8>>,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) name: String,
    pub(super) frame: Vec<u8>,
    /// Channels of a (un)subscription, each confirmed by a frame of its own; else 0.
    confirmations: usize,
}

impl Exchange {
    pub(super) fn new(connection: u64) -> Self {
        Self {
            connection,
            expected: VecDeque::new(),
            undelivered: 0,
            partial: false,
            flight: 0,
            scripts: 0,
            resp3: false,
            subscribed: false,
            greetings: Vec::new(),
        }
    }

    /// Notes the whole requests in `bytes`, all that the client has sent and that was not
    /// forwarded; returns their length.
    pub(super) fn sent(&mut self, bytes: &[u8], log: &Log) -> Result<usize, Malformed> {
        let mut in_flight = self.undelivered > 0 || self.partial;
        let mut end = 0;
        while let Some(command) = resp::first_command(&bytes[end..])? {
            let frame = &bytes[end..end + command.length];
            end += command.length;
            if command.words.is_empty() {
                continue;
            }
            if !in_flight {
                self.flight = log.begin_flight();
                in_flight = true;
            }
            self.note(command, frame, log);
        }
        self.partial = end < bytes.len();
        if self.partial && !in_flight {
            self.flight = log.begin_flight();
        }
        Ok(end)
    }

    fn note(&mut self, command: Command, frame: &[u8], log: &Log) {
        let mut words = command.words.into_iter();
        let name = words.next().unwrap_or_default();
        let name = String::from_utf8_lossy(&name).to_ascii_uppercase();
        let args: Vec<_> = words.collect();

        let confirmations = match is_subscription(&name) {
            true => args.len().max(1),
            false => 0,
        };
        match name.as_str() {
            "HELLO" => self.resp3 = args.first().is_some_and(|version| version == b"3"),
            "SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE" => self.subscribed = true,
            "EVALSHA" => self.scripts += 1,
            _ => {}
        }
        if matches!(name.as_str(), "HELLO" | "AUTH") {
            self.greetings.push(frame.to_vec());
        }
        self.undelivered += 1;
        self.expected.push_back(Expected {
            name: name.clone(),
            frame: frame.to_vec(),
            confirmations,
        });
        log.request(Request {
            name,
            args,
            connection: self.connection,
            flight: self.flight,
        });
    }

    /// The request that a frame of the server answers for good, if any.
    pub(super) fn answered(&mut self, kind: &ReplyKind) -> Option<Expected> {
        match kind {
            ReplyKind::Push(event) => {
                let confirms = event.as_deref().is_some_and(is_confirmation);
                let awaited = self.expected.front().is_some_and(|e| e.confirmations > 0);
                (confirms && awaited).then(|| self.confirm()).flatten()
            }
            ReplyKind::Array(Some(event)) if self.is_message(event) => None,
            ReplyKind::Array(_) if !self.resp3 => self.confirm(),
            ReplyKind::Array(_) | ReplyKind::Value | ReplyKind::Error(_) => {
                self.expected.pop_front()
            }
        }
    }

    fn confirm(&mut self) -> Option<Expected> {
        let front = self.expected.front_mut()?;
        front.confirmations = front.confirmations.saturating_sub(1);
        match front.confirmations {
            0 => self.expected.pop_front(),
            _ => None,
        }
    }

    /// RESP2 sends messages to a subscriber as arrays.
    fn is_message(&self, event: &[u8]) -> bool {
        let messages: [&[u8]; 3] = [b"message", b"pmessage", b"smessage"];
        self.subscribed && !self.resp3 && messages.contains(&event)
    }

    pub(super) fn delivered(&mut self) {
        self.undelivered = self.undelivered.saturating_sub(1);
    }

    /// Requests that the server has yet to answer.
    pub(super) fn unanswered(&self) -> usize {
        self.expected.len()
    }

    pub(super) fn scripts(&self) -> usize {
        self.scripts
    }

    pub(super) fn greetings(&self) -> &[Vec<u8>] {
        &self.greetings
    }
}

fn is_subscription(name: &str) -> bool {
    is_confirmation(name.to_ascii_lowercase().as_bytes())
}

/// A confirmation is called as the command that it confirms.
fn is_confirmation(event: &[u8]) -> bool {
    matches!(
        event,
        b"subscribe"
            | b"psubscribe"
            | b"ssubscribe"
            | b"unsubscribe"
            | b"punsubscribe"
            | b"sunsubscribe"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::resp::{encode, first_reply};

    struct Wire {
        exchange: Exchange,
        log: Log,
    }

    impl Wire {
        fn new() -> Self {
            Self {
                exchange: Exchange::new(1),
                log: Log::default(),
            }
        }

        fn send(&mut self, commands: &[&[&[u8]]]) {
            let bytes: Vec<u8> = commands.iter().flat_map(|words| encode(words)).collect();
            let taken = self.exchange.sent(&bytes, &self.log).unwrap();
            assert_eq!(taken, bytes.len());
        }

        /// Passes a server's frame on to the client; whether it answered a request.
        fn reply(&mut self, frame: &[u8]) -> bool {
            let reply = first_reply(frame).unwrap().unwrap();
            let answered = self.exchange.answered(&reply.kind).is_some();
            if answered {
                self.exchange.delivered();
            }
            answered
        }

        fn flights(&self) -> Vec<Vec<String>> {
            let flights = self.log.flights();
            let names = flights.iter().map(|flight| flight.names());
            names
                .map(|names| names.into_iter().map(str::to_owned).collect())
                .collect()
        }
    }

    #[test]
    fn a_pipeline_is_one_flight_and_the_request_after_its_replies_another() {
        let mut wire = Wire::new();
        wire.send(&[&[b"set", b"k", b"v"], &[b"get", b"k"]]);
        wire.reply(b"+OK\r\n");
        wire.send(&[&[b"ping"]]);
        wire.reply(b"$1\r\nv\r\n");
        wire.reply(b"+PONG\r\n");
        wire.send(&[&[b"ping"]]);
        assert_eq!(wire.flights(), [vec!["SET", "GET", "PING"], vec!["PING"]]);
    }

    #[test]
    fn a_request_in_two_pieces_belongs_to_the_flight_of_its_first_piece() {
        let mut wire = Wire::new();
        let bytes = [encode(&[b"GET", b"a"]), encode(&[b"GET", b"b"])].concat();
        let half = bytes.len() - 3;
        let taken = wire.exchange.sent(&bytes[..half], &wire.log).unwrap();
        assert_eq!(taken, bytes.len() / 2);
        wire.reply(b"$-1\r\n");
        wire.exchange.sent(&bytes[taken..], &wire.log).unwrap();
        assert_eq!(wire.flights(), [vec!["GET", "GET"]]);
    }

    #[test]
    fn a_subscription_is_answered_by_a_push_and_a_message_answers_nothing() {
        let mut wire = Wire::new();
        wire.send(&[&[b"HELLO", b"3"]]);
        assert!(wire.reply(b"%1\r\n+proto\r\n:3\r\n"));
        wire.send(&[&[b"SSUBSCRIBE", b"a", b"b"], &[b"PING"]]);
        assert!(!wire.reply(b">2\r\n+smessage\r\n+x\r\n"));
        assert!(!wire.reply(b">3\r\n$10\r\nssubscribe\r\n+a\r\n:1\r\n"));
        assert!(wire.reply(b">3\r\n$10\r\nssubscribe\r\n+b\r\n:2\r\n"));
        assert!(!wire.reply(b">2\r\n+invalidate\r\n_\r\n"));
        assert!(wire.reply(b"+PONG\r\n"));
        assert_eq!(wire.exchange.unanswered(), 0);
    }

    #[test]
    fn resp2_subscribers_are_counted_as_well() {
        let mut wire = Wire::new();
        wire.send(&[&[b"SUBSCRIBE", b"a", b"b"], &[b"PING"]]);
        assert!(!wire.reply(b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"));
        assert!(!wire.reply(b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"));
        assert!(wire.reply(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"));
        assert!(wire.reply(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"));
    }

    #[test]
    fn all_six_subscription_commands_are_known() {
        for name in ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"] {
            assert!(is_subscription(name), "{name}");
        }
        for name in ["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"] {
            assert!(is_subscription(name), "{name}");
        }
        assert!(!is_subscription("PUBLISH"));
    }
}

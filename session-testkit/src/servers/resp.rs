//! Frames of the Redis protocol: where they end and what they are, for RESP2 and RESP3.
//!
//! Enough for somebody in the middle who counts and forwards; values are not decoded.
//! Source: the [protocol specification](https://redis.io/docs/latest/develop/reference/protocol-spec/).

/// A command as a client sends it.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Command {
    /// Name and arguments.
    pub words: Vec<Vec<u8>>,
    /// Bytes that it takes.
    pub length: usize,
}

/// A top-level frame as a server sends it.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// What it is, as far as its first bytes tell.
    pub kind: ReplyKind,
    /// Bytes that it takes.
    pub length: usize,
}

/// What a server's frame is.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyKind {
    /// An answer: anything but an error or an array.
    Value,
    /// An answer that is an array, with its first element if that is a string.
    Array(Option<Vec<u8>>),
    /// An error, without its marker and line end.
    Error(String),
    /// Out-of-band data of RESP3, no answer to anything, with its kind.
    Push(Option<Vec<u8>>),
}

/// The bytes are not of this protocol.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a frame of the Redis protocol")]
#[non_exhaustive]
pub struct Malformed;

/// The first command in `bytes`; `None` while it is incomplete.
///
/// Understands inline commands (words on a line); an empty line is a command without words.
///
/// # Errors
/// [`Malformed`] when no further byte can make it a command.
pub fn first_command(bytes: &[u8]) -> Result<Option<Command>, Malformed> {
    whole(command(&mut Cursor { bytes, at: 0 }))
}

/// The first frame in `bytes` that a server sent; `None` while it is incomplete.
///
/// # Errors
/// [`Malformed`] when no further byte can make it a frame.
pub fn first_reply(bytes: &[u8]) -> Result<Option<Reply>, Malformed> {
    whole(reply(&mut Cursor { bytes, at: 0 }))
}

/// `words` as a command.
pub fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Why a frame could not be read to its end.
enum Stop {
    Incomplete,
    Malformed,
}

fn whole<T>(read: Result<T, Stop>) -> Result<Option<T>, Malformed> {
    match read {
        Ok(frame) => Ok(Some(frame)),
        Err(Stop::Incomplete) => Ok(None),
        Err(Stop::Malformed) => Err(Malformed),
    }
}

fn command(cursor: &mut Cursor<'_>) -> Result<Command, Stop> {
    let line = cursor.line()?;
    let words = match line.split_first() {
        Some((b'*', count)) => (0..length(count)?.unwrap_or(0))
            .map(|_| cursor.bulk().map(<[u8]>::to_vec))
            .collect::<Result<_, _>>()?,
        _ => line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
            .map(<[u8]>::to_vec)
            .collect(),
    };
    Ok(Command {
        words,
        length: cursor.at,
    })
}

fn reply(cursor: &mut Cursor<'_>) -> Result<Reply, Stop> {
    cursor.attributes()?;
    let rest = &cursor.bytes[cursor.at..];
    let kind = match rest.first() {
        Some(b'>') => ReplyKind::Push(first_element(rest)),
        Some(b'*') => ReplyKind::Array(first_element(rest)),
        Some(b'-') => ReplyKind::Error(error_text(Cursor { bytes: rest, at: 1 }.line()?)),
        Some(b'!') => ReplyKind::Error(error_text(Cursor { bytes: rest, at: 0 }.blob()?)),
        _ => ReplyKind::Value,
    };
    cursor.value(0)?;
    Ok(Reply {
        kind,
        length: cursor.at,
    })
}

fn error_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn first_element(frame: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor {
        bytes: frame,
        at: 0,
    };
    cursor.line().ok()?;
    match frame.get(cursor.at)? {
        b'$' => cursor.blob().ok().map(<[u8]>::to_vec),
        b'+' => cursor.line().ok().map(|line| line[1..].to_vec()),
        _ => None,
    }
}

/// The number after a marker; `None` for the null of RESP2, -1.
fn length(digits: &[u8]) -> Result<Option<usize>, Stop> {
    let digits = std::str::from_utf8(digits).map_err(|_why| Stop::Malformed)?;
    match digits {
        "-1" => Ok(None),
        _ => digits.parse().map(Some).map_err(|_why| Stop::Malformed),
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Redis nests no reply deeper than a handful of levels.
const MAX_DEPTH: usize = 64;

impl<'a> Cursor<'a> {
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or(Stop::Incomplete)?;
        self.at += end + 1;
        let line = &rest[..end];
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.checked_add(count).ok_or(Stop::Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Stop::Incomplete)?;
        self.at = end;
        Ok(taken)
    }

    fn body(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let body = self.take(count)?;
        match self.take(2)? {
            b"\r\n" => Ok(body),
            _ => Err(Stop::Malformed),
        }
    }

    /// A string with its length before it, as commands consist of.
    fn bulk(&mut self) -> Result<&'a [u8], Stop> {
        match self.bytes.get(self.at) {
            Some(b'$') => self.blob(),
            Some(_) => Err(Stop::Malformed),
            None => Err(Stop::Incomplete),
        }
    }

    fn blob(&mut self) -> Result<&'a [u8], Stop> {
        let line = self.line()?;
        match length(&line[1..])? {
            Some(count) => self.body(count),
            None => Ok(&[]),
        }
    }

    /// Attributes stand before the value that they describe and are part of its frame.
    fn attributes(&mut self) -> Result<(), Stop> {
        while self.bytes.get(self.at) == Some(&b'|') {
            let line = self.line()?;
            let pairs = length(&line[1..])?.unwrap_or(0);
            self.values(pairs.saturating_mul(2), 1)?;
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<(), Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::Malformed);
        }
        self.attributes()?;
        let line = self.line()?;
        let (marker, rest) = line.split_first().ok_or(Stop::Malformed)?;
        match (marker, rest) {
            (b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(', _) => Ok(()),
            (b'$', b"?") => self.chunks(),
            (b'*' | b'~' | b'>' | b'%', b"?") => self.until_end(depth),
            (b'$' | b'!' | b'=', count) => match length(count)? {
                Some(count) => self.body(count).map(|_| ()),
                None => Ok(()),
            },
            (b'*' | b'~' | b'>', count) => self.values(length(count)?.unwrap_or(0), depth + 1),
            (b'%', count) => {
                let pairs = length(count)?.unwrap_or(0);
                self.values(pairs.saturating_mul(2), depth + 1)
            }
            _ => Err(Stop::Malformed),
        }
    }

    fn values(&mut self, count: usize, depth: usize) -> Result<(), Stop> {
        (0..count).try_for_each(|_| self.value(depth))
    }

    /// The chunks of a streamed string, the last of which is empty.
    fn chunks(&mut self) -> Result<(), Stop> {
        loop {
            let line = self.line()?;
            let count = line.strip_prefix(b";").ok_or(Stop::Malformed)?;
            match length(count)?.ok_or(Stop::Malformed)? {
                0 => return Ok(()),
                count => self.body(count)?,
            };
        }
    }

    /// The elements of a streamed aggregate.
    fn until_end(&mut self, depth: usize) -> Result<(), Stop> {
        loop {
            match self.bytes.get(self.at) {
                Some(b'.') => return self.line().map(|_| ()),
                Some(_) => self.value(depth + 1)?,
                None => return Err(Stop::Incomplete),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One frame of every type, alone and nested.
    const FRAMES: [&str; 25] = [
        "+OK\r\n",
        "-ERR no\r\n",
        ":1000\r\n",
        "$0\r\n\r\n",
        "$7\r\na\r\n+b\r\n\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        "_\r\n",
        ",3.14\r\n",
        "#t\r\n",
        "(3492890328409238509324850943850943825024385\r\n",
        "!7\r\nERR bad\r\n",
        "=8\r\ntxt:text\r\n",
        "%1\r\n+key\r\n%1\r\n:1\r\n~1\r\n_\r\n",
        "~2\r\n:1\r\n:2\r\n",
        ">2\r\n$7\r\nmessage\r\n:1\r\n",
        "|1\r\n+ttl\r\n:3600\r\n*1\r\n:1\r\n",
        "*2\r\n|1\r\n+a\r\n:1\r\n:1\r\n:2\r\n",
        "$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n",
        "*?\r\n:1\r\n*?\r\n:2\r\n.\r\n.\r\n",
        "%?\r\n+a\r\n:1\r\n.\r\n",
        "~?\r\n.\r\n",
        ">3\r\n+subscribe\r\n+c\r\n:1\r\n",
    ];

    #[test]
    fn every_reply_ends_where_the_next_begins_and_not_one_byte_earlier() {
        for frame in FRAMES {
            let followed = format!("{frame}+next\r\n");
            let reply = first_reply(followed.as_bytes()).unwrap().unwrap();
            assert_eq!(reply.length, frame.len(), "{frame:?}");
            for cut in 0..frame.len() {
                assert_eq!(first_reply(&frame.as_bytes()[..cut]), Ok(None), "{frame:?}");
            }
        }
    }

    #[test]
    fn replies_are_told_apart() {
        let kind = |frame: &str| first_reply(frame.as_bytes()).unwrap().unwrap().kind;
        assert_eq!(
            kind("-MOVED 1 127.0.0.1:2\r\n"),
            ReplyKind::Error("MOVED 1 127.0.0.1:2".into())
        );
        assert_eq!(kind("!3\r\nERR\r\n"), ReplyKind::Error("ERR".into()));
        assert_eq!(
            kind(">1\r\n+invalidate\r\n"),
            ReplyKind::Push(Some(b"invalidate".to_vec()))
        );
        assert_eq!(
            kind("*1\r\n$7\r\nmessage\r\n"),
            ReplyKind::Array(Some(b"message".to_vec()))
        );
        assert_eq!(kind("|1\r\n+a\r\n+b\r\n:1\r\n"), ReplyKind::Value);
    }

    #[test]
    fn commands_are_read_back_as_they_were_encoded() {
        let words: [&[u8]; 3] = [b"SET", b"key", b"\r\n\0*1\r\n"];
        let bytes = encode(&words);
        let command = first_command(&bytes).unwrap().unwrap();
        assert_eq!(command.words, words);
        assert_eq!(command.length, bytes.len());
        for cut in 0..bytes.len() {
            assert_eq!(first_command(&bytes[..cut]), Ok(None));
        }
    }

    #[test]
    fn inline_commands_are_lines_of_words() {
        let command = first_command(b"PING  hello\r\nPING\r\n").unwrap().unwrap();
        assert_eq!(command.words, [b"PING".to_vec(), b"hello".to_vec()]);
        assert_eq!(command.length, 13);
    }

    #[test]
    fn what_can_never_be_a_frame_is_refused() {
        assert_eq!(first_reply(b"HTTP/1.1 200 OK\r\n"), Err(Malformed));
        assert_eq!(first_reply(b"$1\r\nab\r\n"), Err(Malformed));
        assert_eq!(first_command(b"*1\r\n:1\r\n"), Err(Malformed));
        let bottomless = "*1\r\n".repeat(100);
        assert_eq!(first_reply(bottomless.as_bytes()), Err(Malformed));
    }
}

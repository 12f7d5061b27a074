//! The only place that spells Redis keys.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use session_core::{Attempt, ConfigError, CountedName, SessionHandle, SessionKey, UserKey};

/// What all keys of a store begin with.
#[derive(Clone, Debug)]
pub(crate) struct Prefix(
    Box<str>,
    /// What the records of sanic-cookies begin with, if they are what the store is for.
    #[cfg(feature = "sanic")]
    Option<SanicPrefix>,
);

/// The keys of one session. All stand in one slot: only the bucket is in braces, or what is the record's key.
pub(crate) struct Keys {
    text: String,
    lock: usize,
    queue: usize,
    /// Where the head's key begins: of a shared session only, else at the end.
    head: usize,
}

impl Keys {
    pub(crate) fn record(&self) -> &str {
        &self.text[..self.lock]
    }

    pub(crate) fn lock(&self) -> &str {
        &self.text[self.lock..self.queue]
    }

    pub(crate) fn queue(&self) -> &str {
        &self.text[self.queue..self.head]
    }

    /// In the order that scripts want them.
    pub(crate) fn all(&self) -> [&[u8]; 3] {
        [self.record(), self.lock(), self.queue()].map(str::as_bytes)
    }

    /// Of a shared session, in the order that scripts want them.
    #[cfg(feature = "sanic")]
    pub(crate) fn shared(&self) -> [&[u8]; 4] {
        let head = &self.text[self.head..];
        [self.record(), self.lock(), self.queue(), head].map(str::as_bytes)
    }
}

/// The keys of one user.
pub(crate) struct UserKeys {
    pub(crate) list: String,
    pub(crate) labels: String,
    pub(crate) epoch: String,
    pub(crate) floor: String,
}

impl Prefix {
    pub(crate) const DEFAULT: &'static str = "latchkey";

    pub(crate) fn new(prefix: &str) -> Result<Self, ConfigError> {
        Ok(Self(
            checked(prefix)?,
            #[cfg(feature = "sanic")]
            None,
        ))
    }

    /// The same prefix beside the records of sanic-cookies.
    #[cfg(feature = "sanic")]
    pub(crate) fn sharing(self, theirs: SanicPrefix) -> Self {
        Self(self.0, Some(theirs))
    }

    /// Whether a key is one of this store's.
    pub(crate) fn is_of(&self, key: &str) -> bool {
        key.strip_prefix(&*self.0)
            .is_some_and(|rest| rest.starts_with(":{"))
    }

    pub(crate) fn keys(&self, session: &SessionKey) -> Keys {
        #[cfg(feature = "sanic")]
        if let (Some(theirs), Some(id)) = (&self.1, session.hex()) {
            return self.shared_keys(theirs, id);
        }
        let mut hash = [0; HASH_LEN];
        let written = URL_SAFE_NO_PAD.encode_slice(session.digest(), &mut hash);
        debug_assert_eq!(written.ok(), Some(HASH_LEN));
        let hash = str::from_utf8(&hash).unwrap_or_default();
        let bucket = session.bucket().number();
        let mut text = String::with_capacity(3 * (self.0.len() + HASH_LEN + 16));
        let mut key = |kind: &str| {
            text.extend([&*self.0, ":{"]);
            text.extend([12, 8, 4, 0].map(|shift| hex(bucket >> shift)));
            text.extend(["}:", kind, hash]);
            text.len()
        };
        let (lock, queue, head) = (key("session:"), key("lock:"), key("queue:"));
        Keys {
            text,
            lock,
            queue,
            head,
        }
    }

    /// The keys beside a record of sanic-cookies: its key in braces puts them in its slot.
    #[cfg(feature = "sanic")]
    fn shared_keys(&self, theirs: &SanicPrefix, id: &str) -> Keys {
        let mut text = format!("{}{id}", theirs.0);
        let lock = text.len();
        let mut key = |kind: &str| {
            text.extend([&*self.0, ":{", &theirs.0, id, "}:", kind]);
            text.len()
        };
        let (queue, head) = (key("lock"), key("queue"));
        key("head");
        Keys {
            text,
            lock,
            queue,
            head,
        }
    }

    /// `:{0a3f}:`, the part of a key that decides its slot.
    fn bucket(&self, session: &SessionKey) -> String {
        format!(":{{{:04x}}}:", session.bucket().number())
    }

    /// Where a large record waits for the script that checks it and puts it in its place.
    pub(crate) fn stage(&self, session: &SessionKey, attempt: Attempt) -> String {
        let bucket = self.bucket(session);
        format!("{}{bucket}stage:{}", self.0, name(attempt))
    }

    /// Where the answer to a call is kept that is to act once, in the slot of the user.
    pub(crate) fn note(&self, user: &UserKey, attempt: Attempt) -> String {
        let bucket = user.bucket().number();
        format!("{}:{{{bucket:04x}}}:note:{}", self.0, name(attempt))
    }

    /// The keys of a user, in the slot of all sessions of the user.
    pub(crate) fn user(&self, user: &UserKey) -> UserKeys {
        let bucket = user.bucket().number();
        let key = |kind: &str| format!("{}:{{{bucket:04x}}}:{kind}:{:016x}", self.0, user.tag());
        UserKeys {
            list: key("user"),
            labels: key("labels"),
            epoch: key("epoch"),
            floor: self.floor(bucket),
        }
    }

    /// Where a bucket notes when everything was revoked.
    pub(crate) fn floor(&self, bucket: u16) -> String {
        format!("{}:{{{bucket:04x}}}:floor", self.0)
    }

    /// Where it stands that a carried session was ended.
    pub(crate) fn ended(&self, session: &SessionHandle) -> String {
        format!("{}:{{{:04x}}}:ended:{session}", self.0, bucket_of(session))
    }

    /// What waits for a secondary in a bucket; by the name of the list that scripts have.
    pub(crate) fn outbox(&self, bucket: u16, list: &str) -> String {
        format!("{}:{{{bucket:04x}}}:{list}", self.0)
    }

    /// Who delivers what the buckets from this one on hold.
    pub(crate) fn deliverer(&self, bucket: u16) -> String {
        format!("{}:{{{bucket:04x}}}:deliverer", self.0)
    }

    /// Where the list of secondaries stands.
    pub(crate) fn secondaries(&self) -> String {
        format!("{}:secondaries", self.0)
    }

    /// A session in an outbox.
    pub(crate) fn noted(&self, key: &SessionKey, session: &SessionHandle) -> Vec<u8> {
        let mut noted = session.as_bytes().to_vec();
        noted.extend_from_slice(URL_SAFE_NO_PAD.encode(key.digest()).as_bytes());
        noted
    }

    /// The row of a session, on a server that is a secondary.
    pub(crate) fn row(&self, session: &SessionHandle) -> String {
        format!("{}:{{{:04x}}}:row:{session}", self.0, bucket_of(session))
    }

    /// Whether another prefix is the same.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Where the uses of a limit are counted. Its keys spread over all buckets.
    pub(crate) fn limit(&self, name: &CountedName) -> String {
        let bucket = name.bucket().number();
        let hash = URL_SAFE_NO_PAD.encode(name.digest());
        format!("{}:{{{bucket:04x}}}:limit:{hash}", self.0)
    }

    /// What the keys of all records match.
    pub(crate) fn records(&self) -> String {
        let mut pattern = String::new();
        for character in self.0.chars() {
            if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern + ":{????}:session:*"
    }

    /// The channel on which a process hears that a lock it waits for is free.
    pub(crate) fn channel(&self, process: u64) -> String {
        format!("{}:wake:{process:016x}", self.0)
    }

    /// The same in a cluster: for the locks of one bucket, and in its slot.
    pub(crate) fn shard_channel(&self, bucket: u16, process: u64) -> String {
        format!("{}:{{{bucket:04x}}}:wake:{process:016x}", self.0)
    }
}

fn checked(prefix: &str) -> Result<Box<str>, ConfigError> {
    let fits =
        (1..=64).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_graphic());
    if fits && !prefix.contains(['{', '}']) {
        Ok(prefix.into())
    } else {
        Err(ConfigError::new(
            "key prefix",
            format!("{prefix:?}"),
            "1 to 64 printable ASCII characters, no braces",
        ))
    }
}

/// What the keys of sanic-cookies begin with.
#[cfg(feature = "sanic")]
#[derive(Clone, Debug)]
pub(crate) struct SanicPrefix(Box<str>);

#[cfg(feature = "sanic")]
impl SanicPrefix {
    pub(crate) const DEFAULT: &'static str = "session:";

    pub(crate) fn new(prefix: &str) -> Result<Self, ConfigError> {
        Ok(Self(checked(prefix)?))
    }
}

/// Where what is known of a session by its handle stands: spread over all buckets.
fn bucket_of(session: &SessionHandle) -> u16 {
    let [.., high, low] = *session.as_bytes();
    u16::from_be_bytes([high, low]) & 0x0fff
}

/// The session that an entry of an outbox in that bucket is for.
pub(crate) fn noted_session(bucket: u16, noted: &[u8]) -> Option<(SessionKey, SessionHandle)> {
    let (handle, hash) = noted.split_first_chunk()?;
    let digest = URL_SAFE_NO_PAD.decode(hash).ok()?.try_into().ok()?;
    let key = SessionKey::from_parts(digest, bucket)?;
    Some((key, SessionHandle::from_bytes(*handle)))
}

/// An attempt in 24 hex digits.
pub(crate) fn name(attempt: Attempt) -> String {
    format!("{:016x}{:08x}", attempt.process, attempt.number)
}

fn hex(number: u16) -> char {
    char::from_digit(u32::from(number & 15), 16).unwrap_or('0')
}

// The length of a digest in base64.
const HASH_LEN: usize = 43;

/// The session that a lock belongs to.
pub(crate) fn session_of(lock: &str) -> Option<SessionKey> {
    #[cfg(feature = "sanic")]
    if let Some(record) = lock.strip_suffix("}:lock") {
        return SessionKey::from_hex(*record.as_bytes().last_chunk()?);
    }
    session_in(lock, ":lock:")
}

/// The session that a record belongs to.
pub(crate) fn session_of_record(record: &str) -> Option<SessionKey> {
    session_in(record, ":session:")
}

fn session_in(key: &str, kind: &str) -> Option<SessionKey> {
    let (head, hash) = key.rsplit_once(kind)?;
    let bucket = head.rsplit_once('{')?.1.strip_suffix('}')?;
    let digest = URL_SAFE_NO_PAD.decode(hash).ok()?.try_into().ok()?;
    SessionKey::from_parts(digest, u16::from_str_radix(bucket, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use session_core::SessionId;

    use super::*;

    #[test]
    fn prefixes_with_a_brace_are_refused() {
        for bad in ["", "a{b", "a}b", "with space", "é", &"x".repeat(65)] {
            assert!(Prefix::new(bad).is_err(), "{bad:?}");
        }
        assert!(Prefix::new("my-app:sessions").is_ok());
    }

    #[test]
    fn all_keys_of_a_session_share_a_hash_tag_and_hide_the_id() {
        let id = SessionId::random();
        let keys = Prefix::new(Prefix::DEFAULT).unwrap().keys(id.key());
        let tag = format!("{{{:04x}}}", id.key().bucket().number());
        for key in [keys.record(), keys.lock(), keys.queue()] {
            assert!(key.contains(&tag) && !key.contains(id.expose()), "{key}");
        }
        assert_eq!(session_of(keys.lock()), Some(*id.key()));
        assert_eq!(session_of(keys.record()), None);
        assert_eq!(session_of_record(keys.record()), Some(*id.key()));
    }

    #[cfg(feature = "sanic")]
    #[test]
    fn all_keys_of_a_shared_session_have_its_record_as_their_hash_tag() {
        let prefix = Prefix::new("ours").unwrap();
        let prefix = prefix.sharing(SanicPrefix::new("theirs:").unwrap());
        let text = "0123456789abcdef0123456789abcdef";
        let id = SessionId::from_hex(text).unwrap();
        let keys = prefix.keys(id.key());
        let record = format!("theirs:{text}");
        let beside = ["lock", "queue", "head"].map(|kind| format!("ours:{{{record}}}:{kind}"));
        let [lock, queue, head] = &beside;
        let expected = [&record, lock, queue, head].map(String::as_bytes);
        assert_eq!(keys.shared(), expected);
        assert_eq!(keys.all(), expected[..3]);
        assert_eq!(session_of(keys.lock()), Some(*id.key()));
        assert_eq!(session_of(keys.queue()), None);
    }
}

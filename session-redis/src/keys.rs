//! The only place that spells Redis keys.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use session_core::{Attempt, ConfigError, SessionKey};

/// What all keys of a store begin with.
#[derive(Clone, Debug)]
pub(crate) struct Prefix(Box<str>);

/// The keys of one session. All stand in one slot: only the bucket is in braces.
pub(crate) struct Keys {
    pub(crate) record: String,
    pub(crate) lock: String,
    pub(crate) queue: String,
}

impl Prefix {
    pub(crate) const DEFAULT: &'static str = "latchkey";

    pub(crate) fn new(prefix: &str) -> Result<Self, ConfigError> {
        let fits =
            (1..=64).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_graphic());
        if fits && !prefix.contains(['{', '}']) {
            Ok(Self(prefix.into()))
        } else {
            Err(ConfigError::new(
                "key prefix",
                format!("{prefix:?}"),
                "1 to 64 printable ASCII characters, no braces",
            ))
        }
    }

    pub(crate) fn keys(&self, session: &SessionKey) -> Keys {
        let mut hash = [0; HASH_LEN];
        let written = URL_SAFE_NO_PAD.encode_slice(session.digest(), &mut hash);
        debug_assert_eq!(written.ok(), Some(HASH_LEN));
        let hash = str::from_utf8(&hash).unwrap_or_default();
        let bucket = self.bucket(session);
        let key = |kind: &str| [&*self.0, &bucket, kind, hash].concat();
        Keys {
            record: key("session:"),
            lock: key("lock:"),
            queue: key("queue:"),
        }
    }

    /// `:{0a3f}:`, the part of a key that decides its slot.
    fn bucket(&self, session: &SessionKey) -> String {
        format!(":{{{:04x}}}:", session.bucket().number())
    }

    /// Where a large record waits for the script that checks it and puts it in its place.
    pub(crate) fn stage(&self, session: &SessionKey, attempt: Attempt) -> String {
        let bucket = self.bucket(session);
        format!(
            "{}{bucket}stage:{:016x}{:08x}",
            self.0, attempt.process, attempt.number
        )
    }

    /// The channel on which a process hears that a lock it waits for is free.
    pub(crate) fn channel(&self, process: u64) -> String {
        format!("{}:wake:{process:016x}", self.0)
    }
}

// The length of a digest in base64.
const HASH_LEN: usize = 43;

/// The session that a lock belongs to.
pub(crate) fn session_of(lock: &str) -> Option<SessionKey> {
    let (head, hash) = lock.rsplit_once(":lock:")?;
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
        for key in [&keys.record, &keys.lock, &keys.queue] {
            assert!(key.contains(&tag) && !key.contains(id.expose()), "{key}");
        }
        assert_eq!(session_of(&keys.lock), Some(*id.key()));
        assert_eq!(session_of(&keys.record), None);
    }
}

//! The only place that spells the Redis keys of a node.

use crate::{Fault, Resource};

/// How the keys of a node are spelled.
#[derive(Debug)]
pub(super) struct Keys {
    /// What all keys of the node's own begin with, and which no lock of another spelling may.
    own: Vec<u8>,
    lock: Vec<u8>,
    fence: Vec<u8>,
    freed: Vec<u8>,
    pub(super) marker: Vec<u8>,
    pub(super) pending: Vec<u8>,
    pub(super) run: Vec<u8>,
    /// Whether locks may be named like the node's own keys.
    locks_may_collide: bool,
}

/// The keys of one resource.
pub(super) struct ResourceKeys {
    pub(super) lock: Vec<u8>,
    pub(super) fence: Vec<u8>,
}

impl Keys {
    pub(super) const DEFAULT_PREFIX: &'static str = "latchkey";

    /// Keys under `prefix`; locks stand under `lock_prefix` instead, if it is given.
    pub(super) fn new(prefix: &str, lock_prefix: Option<&[u8]>) -> Result<Self, Fault> {
        let fits =
            (1..=64).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(Fault::Unsuitable(format!(
                "the key prefix is {prefix:?}; allowed are 1 to 64 printable ASCII characters"
            )));
        }
        let own = |kind: &str| format!("{prefix}:{kind}").into_bytes();
        let locks_may_collide = lock_prefix.is_some_and(|given| given != own("lock:"));
        if locks_may_collide && lock_prefix.is_some_and(|given| given.starts_with(&own(""))) {
            return Err(Fault::Unsuitable(format!(
                "the prefix of locks begins with {prefix:?}, as the node's own keys do; choose another for either"
            )));
        }
        Ok(Self {
            lock: lock_prefix.map_or_else(|| own("lock:"), <[u8]>::to_vec),
            fence: own("fence:"),
            freed: own("freed:"),
            marker: own("marker"),
            pending: own("pending"),
            run: own("run"),
            own: own(""),
            locks_may_collide,
        })
    }

    /// # Errors
    /// When the lock would be named like one of the node's own keys.
    pub(super) fn of(&self, resource: &Resource) -> Result<ResourceKeys, Fault> {
        let lock = self.lock(resource)?;
        let fence = [&self.fence, resource.as_bytes()].concat();
        Ok(ResourceKeys { lock, fence })
    }

    /// # Errors
    /// As [`of`](Self::of).
    pub(super) fn lock(&self, resource: &Resource) -> Result<Vec<u8>, Fault> {
        let lock = [&self.lock, resource.as_bytes()].concat();
        if self.locks_may_collide && lock.starts_with(&self.own) {
            return Err(Fault::Unsuitable(format!(
                "the lock of {resource} would be named like one of the node's own keys; choose another prefix for these"
            )));
        }
        Ok(lock)
    }

    /// The channel on which it is told that a lock was freed.
    pub(super) fn channel(&self, resource: &Resource) -> Vec<u8> {
        [&self.freed, resource.as_bytes()].concat()
    }

    /// The resource that a channel is about.
    pub(super) fn resource_of(&self, channel: &[u8]) -> Option<Resource> {
        Resource::new(channel.strip_prefix(&*self.freed)?).ok()
    }

    /// A glob that matches all fences.
    pub(super) fn all_fences(&self) -> Vec<u8> {
        let mut pattern = Vec::with_capacity(self.fence.len() + 1);
        for byte in &self.fence {
            if b"*?[]\\^-".contains(byte) {
                pattern.push(b'\\');
            }
            pattern.push(*byte);
        }
        pattern.push(b'*');
        pattern
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str) -> Resource {
        Resource::new(name).unwrap()
    }

    #[test]
    fn a_raw_lock_is_named_like_its_resource() {
        let keys = Keys::new("latchkey", Some(b"")).unwrap();
        assert_eq!(keys.lock(&resource("printer")).unwrap(), b"printer");
        let fence = keys.of(&resource("printer")).unwrap().fence;
        assert_eq!(fence, b"latchkey:fence:printer");
    }

    #[test]
    fn no_lock_is_named_like_a_key_of_the_nodes_own() {
        let raw = Keys::new("latchkey", Some(b"")).unwrap();
        assert!(raw.lock(&resource("latchkey:fence:printer")).is_err());
        assert!(raw.lock(&resource("latchkey:marker")).is_err());
        let split = Keys::new("latchkey", Some(b"latch")).unwrap();
        assert!(split.lock(&resource("key:marker")).is_err());
        assert!(Keys::new("latchkey", Some(b"latchkey:")).is_err());
        assert!(Keys::new("latchkey", Some(b"latchkey:fence:")).is_err());
        let own = Keys::new("latchkey", None).unwrap();
        let lock = own.lock(&resource("latchkey:marker")).unwrap();
        assert_eq!(lock, b"latchkey:lock:latchkey:marker");
    }

    #[test]
    fn prefixes_that_cannot_be_read_are_refused() {
        for bad in ["", "with space", "é", &"x".repeat(65)] {
            assert!(Keys::new(bad, None).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_pattern_of_fences_takes_the_prefix_literally() {
        let keys = Keys::new("a*[b]", None).unwrap();
        assert_eq!(keys.all_fences(), br"a\*\[b\]:fence:*");
    }

    #[test]
    fn a_channel_tells_its_resource() {
        let keys = Keys::new("latchkey", None).unwrap();
        let channel = keys.channel(&resource("printer"));
        assert_eq!(keys.resource_of(&channel), Some(resource("printer")));
        assert_eq!(keys.resource_of(b"latchkey:fence:printer"), None);
    }
}

use std::fmt;

use crate::random_bytes;

/// Random bytes that prove who holds a lock.
///
/// One value serves one attempt to acquire and is never used again: a request that arrives late can then never be
/// mistaken for a later one. 128 bits from the operating system. `Debug` prints `[redacted]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerValue([u8; 16]);

impl OwnerValue {
    /// A fresh value.
    ///
    /// # Panics
    /// When the operating system gives no random bytes, which no safe program can go on from.
    pub fn random() -> Self {
        Self(random_bytes())
    }

    /// The bytes, as they are stored in the lock.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for OwnerValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerValue([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_values_differ() {
        assert_ne!(OwnerValue::random(), OwnerValue::random());
    }

    #[test]
    fn debug_output_hides_the_owner_value() {
        assert_eq!(
            format!("{:?}", OwnerValue::random()),
            "OwnerValue([redacted])"
        );
    }
}

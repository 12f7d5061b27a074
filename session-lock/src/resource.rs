use std::{fmt, sync::Arc};

/// The name of what is locked: 1 to 1,024 bytes of any kind.
///
/// A name is not a secret: it stands in errors, in logs and in `Debug`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource(Arc<[u8]>);

impl Resource {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 1024;

    /// A resource of this name.
    ///
    /// # Errors
    /// [`ResourceNameLength`] when the name is empty or longer than [`MAX_LEN`](Self::MAX_LEN).
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self, ResourceNameLength> {
        let name = name.as_ref();
        if (1..=Self::MAX_LEN).contains(&name.len()) {
            Ok(Self(name.into()))
        } else {
            Err(ResourceNameLength { found: name.len() })
        }
    }

    /// The name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&Self> for Resource {
    fn from(resource: &Self) -> Self {
        resource.clone()
    }
}

macro_rules! named_by {
    ($($name:ty),*) => {$(
        impl TryFrom<$name> for Resource {
            type Error = ResourceNameLength;

            fn try_from(name: $name) -> Result<Self, ResourceNameLength> {
                Self::new(name)
            }
        }
    )*};
}

named_by!(&str, String, &String, &[u8], Vec<u8>, &Vec<u8>);

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resource({self})")
    }
}

/// A resource name that is empty or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a resource has {found} bytes, allowed are 1 to {}",
    Resource::MAX_LEN
)]
#[expect(clippy::exhaustive_structs, reason = "all there is to say")]
pub struct ResourceNameLength {
    /// The length that was given, in bytes.
    pub found: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_huge_names_are_refused() {
        assert_eq!(Resource::new(""), Err(ResourceNameLength { found: 0 }));
        assert!(Resource::new("x".repeat(1025)).is_err());
        assert!(Resource::new("x".repeat(1024)).is_ok());
    }

    #[test]
    fn a_name_of_any_bytes_can_be_printed() {
        let resource = Resource::new([b'a', 0, 0xff]).unwrap();
        assert_eq!(resource.to_string(), "a\\x00\\xff");
    }
}

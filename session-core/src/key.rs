use std::{borrow::Borrow, fmt, marker::PhantomData};

/// A key whose value has one type: `const CART: Key<Cart> = Key::new("cart");`.
///
/// Strings work as keys too; a typed key keeps readers and writers of one value in step.
pub struct Key<T> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The key of that name.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            value: PhantomData,
        }
    }

    /// The name, as it stands in the record.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

/// What names a value of any type or of none in particular: a string or a [`Key`].
pub trait KeyName: Copy {
    /// The name, as it stands in the record.
    fn name(&self) -> &str;
}

/// A key under which a `T` can be read.
pub trait ReadKey<T>: KeyName {}

/// A key under which a `V` can be written: by value or by reference.
pub trait WriteKey<V>: KeyName {}

impl<T> KeyName for Key<T> {
    fn name(&self) -> &str {
        self.name
    }
}

impl<T> ReadKey<T> for Key<T> {}

impl<T, V: Borrow<T>> WriteKey<V> for Key<T> {}

impl KeyName for &str {
    fn name(&self) -> &str {
        self
    }
}

impl<T> ReadKey<T> for &str {}

impl<V> WriteKey<V> for &str {}

impl KeyName for &String {
    fn name(&self) -> &str {
        self
    }
}

impl<T> ReadKey<T> for &String {}

impl<V> WriteKey<V> for &String {}

//! The primary session store on Redis or Valkey.

/// A store of sessions on one Redis. (Being built.)
#[derive(Clone, Debug)]
pub struct RedisStore {}

impl RedisStore {
    /// Connects.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn connect(_url: &str) -> Result<Self, session_core::StoreError> {
        Err(session_core::StoreError::new("connect", "nowhere", session_core::Fault::Unreachable))
    }
}
